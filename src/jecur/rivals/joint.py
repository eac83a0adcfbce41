"""Joint fusion: covariates beside the features in front of a network's last layer (Mobadersany 2018).

``S = P(s_1, ..., s_n) + v'x``: the last layer is linear, so covariates that enter it add their weighted sum
to the pooled score of the tiles. The weights v start at those of the clinical model (Cox, ridge where events
are few) and are trained together with the network, by its own loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from jecur.cohort.cohort import Patient
from jecur.errors import SettingsError
from jecur.rivals.bench import Bench, Division, RivalScores, follow_up, locked_scores, median_cutoff
from jecur.rivals.clinical import ClinicalColumns, clinical_columns, fit_linear, require_covariates
from jecur.rivals.described import described_bench
from jecur.rivals.networks import Network, logit
from jecur.runs.folder import RunFolder, atomic_path, fingerprint
from jecur.settings import StudySettings
from jecur.study.devices import settle_torch
from jecur.study.training_task import (
    TrainingPatients,
    bag_files,
    outcomes_of,
    run_task,
    training_inputs,
    training_task,
)

if TYPE_CHECKING:
    from jecur.training.loop import Trained
    from jecur.training.task import Example, TrainingTask

__all__ = ["JOINT", "JointFusion"]

JOINT = "+joint"

Covariates = Mapping[str, tuple[float, ...]]
"""Patient -> standardized covariates."""


@dataclass(frozen=True, slots=True)
class JointFusion:
    """A network, trained with the covariates of the study file in its last layer.

    Parameters
    ----------
    network
        Its recipe, loss and pooling stay as they are.
    """

    network: Network
    version: int = field(default=1)
    """Of the recipe: a change makes finished models of another one stale."""

    @property
    def name(self) -> str:
        """``scnn+joint``."""
        return f"{self.network.name}{JOINT}"

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{self.network.title}, joint fusion"

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:
        """Need covariates, a loss of whole patients, and whatever the network needs."""
        require_covariates(study)
        if self.network.training(study).pooling.method == "tile-labels":
            raise SettingsError(
                f"{self.name}: expected a network whose loss is of whole patients, found one that is trained "
                "tile by tile, where a patient's covariates have no place; take "
                f"{self.network.name}+clinical, or leave it out of --models",
                code="unknown-model",
            )
        self.network.require(study, divisions)

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Give the network's inputs, the covariates and the recipe's version."""
        return (self.version, *self.network.inputs(bench), bench.study.cohort.covariates)

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:
        """Train network and weights of the covariates together, then score everybody."""
        training = self.network.training(bench.study)
        bench = replace(bench, study=msgspec.structs.replace(bench.study, training=training))
        if not training.encoder.trained:
            bench = described_bench(bench, training)
            part = replace(part, slides=bench.run.slides or part.slides)
        sides = (division.training, division.tuning)
        patients = TrainingPatients(*(outcomes_of(side, training) for side in sides))
        trained_on = (*patients.training.good, *patients.training.poor)
        columns = clinical_columns(bench.study.cohort.covariates, trained_on)
        everybody = (*patients.patients, *division.held_out)
        covariates = _standardized(columns, trained_on, everybody)
        x = np.array([covariates[p.id] for p in trained_on])
        start, how = fit_linear(x, *follow_up(trained_on), columns.names, bench)
        task = _task(self, bench, patients, covariates, tuple(start.tolist()), part)
        trained, bags = run_task(task, part, bench.progress)
        weights = _keep(trained, part)
        return _scores(
            trained, task, [bag.patient for bag in bags],
            _to_score(division.held_out, bench, part, covariates),
            {"start": how} | {f"weight of {k}": w for k, w in zip(columns.names, weights, strict=True)},
        )  # fmt: skip


def _standardized(
    columns: ClinicalColumns, trained_on: Sequence[Patient], patients: Sequence[Patient]
) -> Covariates:
    """Bring covariates to mean 0 and SD 1 among the patients trained on."""
    own = columns.of(trained_on)
    rows = (columns.of(patients) - own.mean(0)) / own.std(0)
    return {p.id: tuple(row.tolist()) for p, row in zip(patients, rows, strict=True)}


def _task(
    rival: JointFusion,
    bench: Bench,
    patients: TrainingPatients,
    covariates: Covariates,
    start: tuple[float, ...],
    part: RunFolder,
) -> "TrainingTask":
    """Put the training into plain data; its mark holds `start`, which hangs on months that no label tells."""
    device = settle_torch(part)
    inputs = training_inputs(bench.study, patients, bench.prepared, bench.recipe, part)
    own = [[p.id, covariates[p.id]] for p in patients.patients]
    mark = fingerprint(*inputs, rival.version, own, start, device)
    tiles = training_task(bench.study, patients, bench.prepared, part, mark=mark, device=device)
    training, tuning = (
        tuple(msgspec.structs.replace(e, covariates=covariates[e.patient]) for e in side)
        for side in (tiles.training, tiles.tuning)
    )
    return msgspec.structs.replace(tiles, training=training, tuning=tuning, of_covariates=start)


def _keep(trained: "Trained", part: RunFolder) -> list[float]:
    """Write all weights; return those of the covariates."""
    from safetensors.torch import save_file  # noqa: PLC0415 - torch only where it is needed

    state = {k: v.cpu().contiguous() for k, v in trained.encoder.state_dict().items()}
    with atomic_path(part.root / "joint.safetensors") as temporary:
        save_file(state, temporary)
    found: list[float] = state["of_covariates.weight"][0].tolist()
    return found


def _to_score(
    patients: Sequence[Patient], bench: Bench, part: RunFolder, covariates: Covariates
) -> "list[Example]":
    """Patients with tiles, as a training has them; their outcome is not among it."""
    from jecur.training.task import Example  # noqa: PLC0415

    files = [(p.id, bag_files(p, bench.prepared, part)) for p in patients]
    return [
        Example(name, tuple(map(str, paths)), False, float("nan"), covariates[name])
        for name, paths in files
        if paths
    ]


def _scores(
    trained: "Trained",
    task: "TrainingTask",
    trained_on: Sequence[str],
    held_out: "Sequence[Example]",
    facts: Mapping[str, float | str],
) -> RivalScores:
    from jecur.training.task import score_examples  # noqa: PLC0415

    found = score_examples(task, trained, held_out)
    by_label = task.settings.loss.name != "cox"
    return locked_scores(
        {example.patient: s for example, s in zip(held_out, found, strict=True)},
        dict(zip(trained_on, trained.training_scores, strict=True)),
        {"trained_on": len(trained_on), **facts},
        cutoff=(lambda _: logit(trained.cutoff)) if by_label else median_cutoff,
    )
