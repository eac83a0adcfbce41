"""A training as plain data: who is trained on, by which files, and what decides the weights.

torch is imported here only when there is something to train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jecur
from jecur.cohort.cohort import Patient
from jecur.cohort.selection import (
    DistinctOutcome,
    select_distinct_outcome,
    select_everybody,
)
from jecur.mil.bag import bag_file
from jecur.mil.describing import FEATURES_FILE
from jecur.mil.tile_digest import read_digests
from jecur.runs.device import Device
from jecur.runs.folder import RunFolder, write_text
from jecur.runs.progress import Progress
from jecur.settings import Recipe, StudySettings, TrainingSettings
from jecur.study.frozen import starting_weights
from jecur.study.slide_task import PreparedSlide
from jecur.study.torch_wing import needing_torch

if TYPE_CHECKING:
    from jecur.training.loop import LabeledBag, Trained
    from jecur.training.task import Example, TrainingTask

__all__ = [
    "TrainingPatients",
    "bag_files",
    "outcomes_of",
    "run_task",
    "tile_digests_of",
    "training_inputs",
    "training_task",
]


@dataclass(frozen=True, slots=True)
class TrainingPatients:
    """Patients to train on, and the tuning patients whose loss is recorded meanwhile."""

    training: DistinctOutcome
    tuning: DistinctOutcome

    @property
    def patients(self) -> tuple[Patient, ...]:
        """All patients whose slides are needed."""
        sides = (self.training, self.tuning)
        return tuple(p for side in sides for p in (*side.good, *side.poor))


def outcomes_of(patients: Sequence[Patient], training: TrainingSettings) -> DistinctOutcome:
    """Sort patients as the loss wants them: distinct outcomes, or for Cox all without and with event."""
    if training.loss.name == "cox":
        return select_everybody(patients)
    return select_distinct_outcome(
        patients, good_months=training.loss.good_months, poor_months=training.loss.poor_months
    )


def training_inputs(
    study: StudySettings,
    training_patients: TrainingPatients,
    prepared: Mapping[str, PreparedSlide],
    recipe: Recipe,
    run: RunFolder,
) -> tuple[object, ...]:
    """List whatever decides the weights: recipes, starting weights, patients with their tiles, version."""
    digests = tile_digests_of(training_patients, prepared, run)
    return (
        study.training,
        starting_weights(study.training),
        recipe,
        _trained_on(training_patients, digests, cox=study.training.loss.name == "cox"),
        jecur.__version__,
    )


def training_task(
    study: StudySettings,
    training_patients: TrainingPatients,
    prepared: Mapping[str, PreparedSlide],
    run: RunFolder,
    *,
    mark: str,
    device: Device,
) -> "TrainingTask":
    """Put a training into plain data: its examples, recipe and the folder of its checkpoints.

    Parameters
    ----------
    study, training_patients, prepared, run
        As `train_model`.
    mark
        Fingerprint of `training_inputs`: checkpoints of another are not taken up.
    device
        To train on.

    Raises
    ------
    TrainingError
        If torch is not installed.
    """
    with needing_torch("training"):
        from jecur.training.task import TrainingTask  # noqa: PLC0415

    entries = [entry.id for patient in training_patients.patients for entry in patient.slides]
    slides = [slide for slide in entries if slide in prepared and prepared[slide].n_tiles > 0]
    return TrainingTask(
        training=_examples(training_patients.training, prepared, run),
        tuning=_examples(training_patients.tuning, prepared, run),
        settings=study.training,
        checkpoints=str((run.root / "checkpoints").resolve()),
        mark=mark,
        tile_px=study.tiling.output_px,
        described=any(run.has_file(slide, FEATURES_FILE) for slide in slides),
        device=device,
    )


def run_task(
    task: "TrainingTask", run: RunFolder, progress: Progress, apart: str = ""
) -> "tuple[Trained, list[LabeledBag]]":
    """Train with whatever processes a launcher started; losses go to ``training.csv`` and beside the bar.

    Raises
    ------
    TrainingError
        As `jecur.training.loop.train_encoder`.
    """
    from jecur.training.processes import join_processes  # noqa: PLC0415
    from jecur.training.task import run_training_task  # noqa: PLC0415

    return run_training_task(
        task,
        progress=progress,
        on_epoch=lambda state: _show_curve(state.curve, run, progress, apart),
        processes=join_processes(),
    )


def bag_files(
    patient: Patient, prepared: Mapping[str, PreparedSlide], run: RunFolder
) -> list[Path]:
    """Files of the tiles of a patient's usable slides, as a frozen encoder described them if it did."""
    return [
        (run.slide_folder(entry.id) / _tiles_file(entry.id, run)).resolve()
        for entry in patient.slides
        if entry.id in prepared and prepared[entry.id].usable
    ]


def _tiles_file(slide: str, run: RunFolder) -> str:
    """Name the file of a slide's tiles: as a frozen encoder described them, or the tiles themselves."""
    if run.has_file(slide, FEATURES_FILE):
        return FEATURES_FILE
    return bag_file(run.slide_folder(slide)).name


def _examples(
    outcome: DistinctOutcome, prepared: Mapping[str, PreparedSlide], run: RunFolder
) -> "tuple[Example, ...]":
    """Patients of one role with a bag; good outcome (for Cox: without event) first."""
    from jecur.training.task import Example  # noqa: PLC0415

    sides = ((outcome.good, False), (outcome.poor, True))
    files = [(p, bag_files(p, prepared, run), poor) for side, poor in sides for p in side]
    return tuple(
        Example(p.id, tuple(str(path) for path in paths), poor, p.months)
        for p, paths, poor in files
        if paths
    )


def _show_curve(
    curve: Sequence[Mapping[str, float | None]], run: RunFolder, progress: Progress, apart: str
) -> None:
    """Write ``training.csv`` anew, and the newest losses (training | tuning) beside the bar."""
    lines = [",".join(curve[-1])]
    lines += [",".join("" if v is None else f"{v:.8g}" for v in row.values()) for row in curve]
    write_text(run.root / f"training{apart}.csv", "\n".join(lines) + "\n")
    loss, tuning = curve[-1]["training_loss"], curve[-1]["tuning_loss"]
    tuned = "" if tuning is None else f", tuning {tuning:.3f}"
    progress.note(f"epoch {curve[-1]['epoch']}, loss {loss:.3f}{tuned}")


def tile_digests_of(
    training_patients: TrainingPatients, prepared: Mapping[str, PreparedSlide], run: RunFolder
) -> dict[str, str]:
    """Slide -> digest of its tiles, of all training and tuning patients."""
    return {
        entry.id: read_digests(run.slide_folder(entry.id)).tiles_sha256
        for patient in training_patients.patients
        for entry in patient.slides
        if entry.id in prepared and prepared[entry.id].n_tiles > 0
    }


def _trained_on(
    training_patients: TrainingPatients, digests: Mapping[str, str], *, cox: bool
) -> Sequence[tuple[str, Sequence[object]]]:
    """Say who is trained on: role and outcome, name, months if the loss takes them, and their slides."""
    sides = {"training": training_patients.training, "tuning": training_patients.tuning}
    return [
        (
            f"{role}-{name}",
            [
                patient.id,
                patient.months if cox else None,
                [[e.id, digests[e.id]] for e in patient.slides if e.id in digests],
            ],
        )
        for role, side in sides.items()
        for name in ("good", "poor")
        for patient in getattr(side, name)
    ]
