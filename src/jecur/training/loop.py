"""Learn the prognosis: one bag a step, the paper's recipe, resumable after every epoch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, optim

from jecur.engine import Progress
from jecur.errors import TrainingError
from jecur.mil.bag import Bag
from jecur.settings import TrainingSettings
from jecur.training.bag_chunks import BagChunks, draw_chunks, training_device
from jecur.training.checkpoint import TrainingState, load_newest, save_checkpoint
from jecur.training.gradient import accumulate_bag_gradient
from jecur.training.losses import cutoff_cross_entropy, l2_penalty
from jecur.training.mobilenet import TileEncoder, build_encoder, freeze_blocks, frozen_batch_norm
from jecur.training.pooling import generalized_mean

__all__ = ["LabeledBag", "Trained", "best_offset", "train_encoder"]

N_STATISTICS_TILES = 512
"""Tiles from which the mean and spread of features are fixed."""


@dataclass(frozen=True, slots=True)
class LabeledBag:
    """A patient to learn from."""

    patient: str
    bag: Bag
    recurred: bool
    """Poor outcome (True) or good (False)."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained encoder and how it got there."""

    encoder: TileEncoder
    state: TrainingState


def train_encoder(  # noqa: PLR0913 -- what to learn from, where to keep it, whom to tell
    training: Sequence[LabeledBag],
    tuning: Sequence[LabeledBag],
    settings: TrainingSettings,
    *,
    checkpoints: Path,
    mark: str,
    progress: Progress,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
) -> Trained:
    """Train on labeled bags.

    Parameters
    ----------
    training
        At least one patient of each outcome.
    tuning
        Patients whose loss is recorded after each epoch; may be empty. Never learnt from.
    settings
        The recipe.
    checkpoints
        Folder; an interrupted training of the same ``mark`` goes on from its newest whole one.
    mark
        Fingerprint of settings and data.
    progress
        Draws the epochs.
    on_epoch
        Told how training stands after each epoch, its checkpoint written.

    Raises
    ------
    TrainingError
        If the training patients are all of one outcome, or the loss stops being finite.
    """
    if len({bag.recurred for bag in training}) < 2:
        raise TrainingError(
            f"expected training patients of both outcomes, found {len(training)} of "
            f"{len({bag.recurred for bag in training})}; the prognosis is not estimable from these: "
            "add patients or change good_months and poor_months",
            code="labels-all-alike",
        )
    encoder = build_encoder(
        settings.encoder, channels=settings.n_channels, start=settings.start, seed=settings.seed
    )
    freeze_blocks(encoder, settings.frozen_blocks)
    encoder = encoder.to(training_device())
    optimizer = _optimizer(encoder, settings)
    state = load_newest(checkpoints, mark, encoder, optimizer)
    if settings.standardize and state.epoch == 0:
        encoder.standardize_features(_sampled_tiles(training, settings))
    with progress.task("Training", len(training) * (settings.epochs - state.epoch)) as advance:
        for epoch in range(state.epoch, settings.epochs):
            rate = settings.learning_rate * 0.5 ** (epoch // settings.halve_every)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            loss = _one_epoch(encoder, optimizer, training, settings, epoch, advance)
            record = {
                "epoch": epoch + 1,
                "learning_rate": rate,
                "training_loss": loss,
                "tuning_loss": _mean_loss(encoder, tuning, settings),
            }
            state = TrainingState(epoch + 1, mark, (*state.curve, record))
            save_checkpoint(checkpoints, state, encoder, optimizer)
            on_epoch(state)
    encoder.eval()
    if settings.settle_offset:
        with torch.no_grad():
            offset = best_offset(_score_bags(encoder, training, settings), settings)
            encoder.head.bias.add_(offset)
    return Trained(encoder, state)


def best_offset(bags: Sequence[tuple[Tensor, bool]], settings: TrainingSettings) -> float:
    """Find the shift of all tile scores that minimizes the mean loss of some bags.

    Parameters
    ----------
    bags
        (n,) tile scores and whether the outcome was poor, a pair a bag.
    settings
        Pooling and cut-off.
    """

    def mean_loss(offset: float) -> float:
        losses = [_loss_of(poor, settings)(scores + offset) for scores, poor in bags]
        return float(torch.stack(losses).mean())

    reach = 2.0 + max(float(scores.abs().max()) for scores, _ in bags)
    grid = np.linspace(-reach, reach, 201)  # pooled scores bend, so the loss may have two valleys
    best = int(np.argmin([mean_loss(offset) for offset in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, 200)])
    return float(minimize_scalar(mean_loss, bounds=bounds, method="bounded").x)


def _optimizer(encoder: TileEncoder, settings: TrainingSettings) -> optim.Optimizer:
    head = {id(p) for p in encoder.head.parameters()}
    trained = [p for p in encoder.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in head], "factor": 1.0},
        {"params": [p for p in trained if id(p) in head], "factor": settings.head_rate},
    ]
    return optim.Adam([group for group in groups if group["params"]], lr=settings.learning_rate)


def _one_epoch(
    encoder: TileEncoder,
    optimizer: optim.Optimizer,
    training: Sequence[LabeledBag],
    settings: TrainingSettings,
    epoch: int,
    advance: Callable[[], None],
) -> float:
    encoder.train()
    if settings.batch_norm == "frozen":
        frozen_batch_norm(encoder)
    losses = []
    for example, chunks in _epoch_bags(training, settings, epoch):
        optimizer.zero_grad(set_to_none=True)
        loss, _ = accumulate_bag_gradient(encoder, chunks, _loss_of(example.recurred, settings))
        if not math.isfinite(loss):
            raise TrainingError(
                f"{example.patient}: expected a finite loss, found {loss}; lower learning_rate"
            )
        if settings.l2 > 0:
            torch.autograd.backward(settings.l2 * l2_penalty(encoder, on=settings.l2_on))
        optimizer.step()
        losses.append(loss)
        advance()
    return float(np.mean(losses))


def _epoch_bags(
    training: Sequence[LabeledBag], settings: TrainingSettings, epoch: int
) -> Iterator[tuple[LabeledBag, BagChunks]]:
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(training))
    for index in order:
        example = training[index]
        # Batch statistics couple the tiles of a chunk: then the whole bag is one chunk.
        size = settings.chunk_size if settings.batch_norm == "frozen" else len(example.bag)
        rng = np.random.default_rng([settings.seed, epoch, int(index)])
        yield example, draw_chunks(example.bag, settings, rng, size=size)


def _sampled_tiles(training: Sequence[LabeledBag], settings: TrainingSettings) -> Iterator[Tensor]:
    """Yield a few tiles of every bag: about `N_STATISTICS_TILES` in all."""
    rng = np.random.default_rng([settings.seed, len(training)])
    share = max(1, N_STATISTICS_TILES // len(training))
    for example in training:
        n = len(example.bag)
        chosen = np.sort(rng.choice(n, min(share, n), replace=False))
        yield from BagChunks(example.bag, chosen, settings.n_channels, settings.chunk_size)


def _loss_of(recurred: bool, settings: TrainingSettings) -> Callable[[Tensor], Tensor]:
    def loss(scores: Tensor) -> Tensor:
        pooled = generalized_mean(
            scores, exponent=settings.pooling_exponent, reduction=settings.pooling_reduction
        )
        return cutoff_cross_entropy(pooled, recurred, cutoff=settings.cutoff)

    return loss


def _mean_loss(
    encoder: TileEncoder, bags: Sequence[LabeledBag], settings: TrainingSettings
) -> float | None:
    if not bags:
        return None
    scored = _score_bags(encoder, bags, settings)
    return float(np.mean([float(_loss_of(poor, settings)(scores)) for scores, poor in scored]))


@torch.no_grad()
def _score_bags(
    encoder: TileEncoder, bags: Sequence[LabeledBag], settings: TrainingSettings
) -> list[tuple[Tensor, bool]]:
    """Scores of all tiles of each bag, with the bag's outcome."""
    encoder.eval()
    scored = []
    for example in bags:
        every = np.arange(len(example.bag))
        chunks = BagChunks(example.bag, every, encoder.channels, settings.chunk_size)
        scored.append((torch.cat([encoder(chunk).cpu() for chunk in chunks]), example.recurred))
    return scored
