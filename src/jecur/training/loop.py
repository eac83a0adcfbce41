"""Train the model: one step per patient (or group of patients), resumable after every epoch or at a stop."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, optim

from jecur.errors import TrainingError
from jecur.runs.progress import Progress
from jecur.settings import TrainingSettings
from jecur.training.bag_chunks import BagChunks, draw_chunks
from jecur.training.bag_model import BagModel
from jecur.training.build import build_model, optimizer_of, refuse_apart
from jecur.training.checkpoint import TrainingState, load_newest, save_checkpoint
from jecur.training.cohort_gradient import accumulate_cohort_gradient
from jecur.training.every_tile import describe_bags, outputs_of
from jecur.training.frozen_norm import folded_batch_norm, frozen_batch_norm
from jecur.training.mobilenet import TileEncoder
from jecur.training.objective import LabeledBag, Objective
from jecur.training.penalty import penalized_step
from jecur.training.pooling import BagPooling
from jecur.training.processes import ALONE, Processes
from jecur.training.stopping import StopRequest, heeding_stops

__all__ = ["LabeledBag", "Trained", "score_bags", "train_encoder"]

N_STATISTICS_TILES = 512
"""Tiles from which the mean and spread of features are fixed."""
_EPOCHS_OF_A_HEAD = 10
"""Between two checkpoints: they are milliseconds, and the encoder that does not learn is written with it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained encoder and how it got there."""

    encoder: BagModel
    state: TrainingState
    pooling: BagPooling
    cutoff: float
    """Risk above which a patient is at high risk, fixed on the training patients."""
    tuning_scores: tuple[float, ...] = ()
    """Pooled scores of the tuning patients by the finished model, in their order."""
    training_scores: tuple[float, ...] = ()
    """Those of the training patients, on whom it was trained."""


@dataclass(frozen=True, slots=True)
class _TrainingSetup:
    """What stays the same from epoch to epoch."""

    encoder: BagModel
    optimizer: optim.Optimizer
    objective: Objective
    training: Sequence[LabeledBag]
    settings: TrainingSettings
    processes: Processes

    def outputs(self, bags: Sequence[LabeledBag]) -> list[Tensor]:
        """Score all tiles of each bag by the network as it is now."""
        return outputs_of(self.encoder, bags, self.settings, self.processes)


def train_encoder(  # noqa: PLR0913 -- what to train on, where to keep it, whom to report to
    training: Sequence[LabeledBag],
    tuning: Sequence[LabeledBag],
    settings: TrainingSettings,
    *,
    checkpoints: Path,
    mark: str,
    progress: Progress,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
    processes: Processes = ALONE,
    described: bool = False,
    of_covariates: Sequence[float] = (),
) -> Trained:
    """Train on labeled bags.

    Parameters
    ----------
    training
        At least one patient of each outcome.
    tuning
        Patients whose loss is recorded after each epoch; may be empty. Never trained on.
    settings
        The recipe.
    checkpoints
        Folder; an interrupted training of the same ``mark`` goes on from its newest whole one.
    mark
        Fingerprint of settings and data.
    progress
        Draws the epochs.
    on_epoch
        Called with the state of training after each epoch, once its checkpoint is written. Where the head of
        a tile encoder alone learns, only every tenth epoch has one.
    processes
        Share the work; the main process writes files and reports progress.
    described
        The bags hold tiles as the encoder, which is not trained, describes them.
    of_covariates
        (p,) from which the weights of the patients' covariates start, in the last layer; empty: tiles alone.

    Raises
    ------
    TrainingError
        If the training patients are all of one outcome, the loss stops being finite, or several processes
        would each normalize by their own statistics.
    KeyboardInterrupt
        With the number of the signal, if one asked to end: once the step at hand is done and on disk.
    """
    if len({bag.recurred for bag in training}) < 2:
        raise TrainingError(
            f"expected training patients of both outcomes, found {len(training)} of "
            f"{len({bag.recurred for bag in training})}; the prognosis is not estimable from these: "
            "add patients or change good_months and poor_months",
            code="labels-all-alike",
        )
    encoder, objective = build_model(
        training, settings, described=described, of_covariates=of_covariates
    )
    refuse_apart(encoder, settings, processes)
    if not settings.encoder.trained and not described:
        seen = describe_bags(encoder, (*training, *tuning), settings, processes, progress)
        training, tuning = seen[: len(training)], seen[len(training) :]
    optimizer = optimizer_of(encoder, settings)
    state = load_newest(checkpoints, mark, encoder, optimizer)
    processes.wait()  # no process writes before all have read
    if settings.optimizer.standardize and state.epoch == 0 and not state.losses:
        encoder.standardize_features(_sampled_tiles(training, settings))
    setup = _TrainingSetup(encoder, optimizer, objective, training, settings, processes)

    head_alone = isinstance(encoder, TileEncoder) and not settings.encoder.trained
    every = _EPOCHS_OF_A_HEAD if head_alone else 1

    def keep(reached: TrainingState) -> None:
        if processes.is_main_process:
            between = reached.epoch % every and reached.epoch < settings.optimizer.epochs
            if reached.losses or not between:
                save_checkpoint(checkpoints, reached, encoder, optimizer)
            if not reached.losses:  # an epoch is whole
                on_epoch(reached)

    state = _run_epochs(setup, state, tuning, keep, progress)
    encoder.eval()
    cutoff, settled = _settle(setup)
    return Trained(
        encoder,
        state,
        objective.pooling,
        cutoff,
        objective.plain_scores(setup.outputs(tuning), tuning),
        objective.plain_scores(settled, training),
    )


def score_bags(
    trained: Trained, patients: Sequence[LabeledBag], settings: TrainingSettings
) -> tuple[float, ...]:
    """Score patients by what was trained, in their order; higher = earlier event. Outcomes are not looked at.

    Tiles are taken as the training took them: described, if its bags were.
    """
    encoder = trained.encoder.eval()
    objective = Objective(settings, trained.pooling, encoder.of_covariates)
    return objective.plain_scores(outputs_of(encoder, patients, settings, ALONE), patients)


def _run_epochs(
    setup: _TrainingSetup,
    state: TrainingState,
    tuning: Sequence[LabeledBag],
    keep: Callable[[TrainingState], None],
    progress: Progress,
) -> TrainingState:
    """Train the epochs that are left; what is reached is kept after each, and where a stop is asked for."""
    rates, optimizer = setup.settings.optimizer, setup.optimizer
    n_left = len(setup.training) * (rates.epochs - state.epoch)
    with heeding_stops() as stop, progress.task("Training", n_left) as advance:
        for epoch in range(state.epoch, rates.epochs):
            rate = rates.learning_rate * 0.5 ** (epoch // rates.halve_every)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            losses, asked = _one_epoch(setup, state, advance, stop)
            if asked:
                keep(replace(state, losses=losses))
                setup.processes.wait()  # the launcher ends all once one has ended
                raise KeyboardInterrupt(asked)
            record = {
                "epoch": epoch + 1,
                "learning_rate": rate,
                "training_loss": float(np.mean(losses)),
                "tuning_loss": _tuning_loss(setup, tuning),
            }
            state = TrainingState(epoch + 1, state.mark, (*state.curve, record))
            keep(state)
    return state


def _one_epoch(
    setup: _TrainingSetup, state: TrainingState, advance: Callable[[], None], stop: StopRequest
) -> tuple[tuple[float, ...], int]:
    """Take the steps of an epoch that are not done; return all losses, and the signal that asked to stop."""
    encoder, settings = setup.encoder, setup.settings
    encoder.train()
    frozen = settings.encoder.batch_norm == "frozen"
    if frozen:
        frozen_batch_norm(encoder)
    if frozen and isinstance(encoder, TileEncoder) and settings.encoder.trained:
        with folded_batch_norm(encoder, encoder.describe, encoder.channels):
            return _steps_of(setup, state, advance, stop)
    return _steps_of(setup, state, advance, stop)


def _steps_of(
    setup: _TrainingSetup, state: TrainingState, advance: Callable[[], None], stop: StopRequest
) -> tuple[tuple[float, ...], int]:
    encoder, settings = setup.encoder, setup.settings
    losses = list(state.losses)
    for k, (patients, bags) in enumerate(_epoch_steps(setup.training, settings, state.epoch)):
        if k < len(state.losses):
            continue
        setup.optimizer.zero_grad(set_to_none=True)
        wanted = partial(setup.objective.loss, patients=patients)
        loss, _ = accumulate_cohort_gradient(
            encoder,
            bags,
            wanted,
            setup.processes,
            at_once=settings.optimizer.chunk_size if settings.encoder.batch_norm == "frozen" else 0,
        )
        if not math.isfinite(loss):
            raise TrainingError(
                f"{patients[0].patient}: expected a finite loss, found {loss}; lower learning_rate"
            )
        penalized_step(encoder, setup.optimizer, settings.loss)
        losses.append(loss)
        for _ in patients:
            advance()
        if asked := setup.processes.highest(stop.number):
            return tuple(losses), asked
    return tuple(losses), 0


def _epoch_steps(
    training: Sequence[LabeledBag], settings: TrainingSettings, epoch: int
) -> Iterator[tuple[list[LabeledBag], list[BagChunks]]]:
    """Patients of each step and how this epoch sees their bags."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(training))
    group = settings.loss.patients_per_step or (len(training) if settings.loss.name == "cox" else 1)
    for step in _steps(order, group, training, settings):
        bags = []
        for index in step:
            bag = training[index].bag
            # Batch statistics couple the tiles of a chunk: then the whole bag is one chunk.
            size = (
                settings.optimizer.chunk_size
                if settings.encoder.batch_norm == "frozen"
                else len(bag)
            )
            rng = np.random.default_rng([settings.seed, epoch, int(index)])
            bags.append(draw_chunks(bag, settings, rng, size=size))
        yield [training[index] for index in step], bags


def _steps(
    order: np.ndarray, group: int, training: Sequence[LabeledBag], settings: TrainingSettings
) -> Iterator[list[int]]:
    """Divide an epoch's patients; a group without an event has no Cox loss."""
    for start in range(0, len(order), group):
        step = [int(i) for i in order[start : start + group]]
        if settings.loss.name != "cox" or any(training[i].recurred for i in step):
            yield step


def _sampled_tiles(training: Sequence[LabeledBag], settings: TrainingSettings) -> Iterator[Tensor]:
    """Yield a few tiles of every bag: about `N_STATISTICS_TILES` in all."""
    rng = np.random.default_rng([settings.seed, len(training)])
    share = max(1, N_STATISTICS_TILES // len(training))
    for example in training:
        n = len(example.bag)
        chosen = np.sort(rng.choice(n, min(share, n), replace=False))
        yield from BagChunks(
            example.bag, chosen, settings.n_channels, settings.optimizer.chunk_size
        )


def _tuning_loss(setup: _TrainingSetup, tuning: Sequence[LabeledBag]) -> float | None:
    """Loss of the tuning patients; None if there are none or, for Cox, no event among them."""
    if not tuning or (setup.settings.loss.name == "cox" and not any(p.recurred for p in tuning)):
        return None
    with torch.no_grad():
        return float(setup.objective.loss(setup.outputs(tuning), tuning))


def _settle(setup: _TrainingSetup) -> tuple[float, list[Tensor]]:
    """Shift all tile scores to where the training loss is least; return the cut-off and the scores."""
    settings, objective = setup.settings, setup.objective
    with torch.no_grad():
        outputs = setup.outputs(setup.training)
        if (
            settings.optimizer.settle_offset and settings.loss.name != "cox"
        ):  # Cox knows differences alone
            offset = objective.best_offset(outputs, setup.training)
            setup.encoder.head.bias.add_(offset)
            return objective.indifferent, [out + offset for out in outputs]
        return objective.cutoff(outputs, setup.training), outputs
