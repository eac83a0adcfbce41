"""From the bags of the training patients to a locked model file.

torch is imported here only when there is something to train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import convert

import jecur
from jecur.cohort.cohort import Patient
from jecur.cohort.endpoint import endpoint_definition
from jecur.cohort.selection import (
    DistinctOutcome,
    select_distinct_outcome,
    select_everybody,
)
from jecur.errors import JecurError, RunFolderError, TableError
from jecur.mil.bag import bag_file
from jecur.mil.describing import FEATURES_FILE
from jecur.mil.likeness import SlideLooks, fit_looks
from jecur.mil.looks import read_looks
from jecur.mil.tile_digest import read_digests
from jecur.model.card import CohortFacts, ComputedOn, ModelCard, PoolingFacts, TrainingEpoch
from jecur.model.file import read_bundle, write_bundle
from jecur.nuclei.segmentation import NucleiModel
from jecur.runs.device import Device, Wanted, devices_in_use
from jecur.runs.folder import RunFolder, fingerprint, write_text
from jecur.runs.progress import Progress
from jecur.settings import Recipe, StudySettings, TrainingSettings
from jecur.study.devices import settle_torch
from jecur.study.frozen import starting_weights
from jecur.study.memory import remember_patients
from jecur.study.model_name import beside_first, model_path
from jecur.study.slide_task import PreparedSlide
from jecur.study.torch_wing import needing_torch
from jecur.study.training_card import (
    input_of,
    selection,
    study_card,
    tile_memory,
    training_risks,
    tuning_metrics,
)

if TYPE_CHECKING:
    from jecur.training.loop import LabeledBag, Trained
    from jecur.training.task import Example, TrainingTask

__all__ = [
    "TrainingPatients",
    "bag_files",
    "outcomes_of",
    "refuse_shared_tiles",
    "run_task",
    "train_model",
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


def train_model(  # noqa: PLR0913 -- who is trained on, where it goes, and what is there
    study: StudySettings,
    training_patients: TrainingPatients,
    prepared: Mapping[str, PreparedSlide],
    recipe: Recipe,
    run: RunFolder,
    *,
    progress: Progress,
    reported: str = "",
) -> Path:
    """Train, lock the cut-off and write the model file; nothing if that was done before.

    ``reported`` is the model file that scores and report in this folder are of: it is not made anew
    without them.

    Raises
    ------
    TrainingError
        If torch is not installed, or the training patients are all of one outcome.
    RunFolderError
        With code ``other-recipe``, if the model of the report would become another.
    """
    work = training_inputs(study, training_patients, prepared, recipe, run)
    told = _told(study, training_patients, prepared)
    path = model_path(study, recipe, run)
    apart = beside_first(path, study)
    stage = f"training{apart}"
    if run.is_finished(stage, _finished_mark(_mark(work, devices_in_use().torch), told)) and (
        _is_whole(path)
    ):
        return path
    if path.name == reported:
        raise RunFolderError(
            f"expected {path.name} to stay the model that scores and report in {run.root} are of, found "
            "that study, slides or version were changed since, or the file; give jecur run, which makes all "
            "of them anew, or name another --out",
            code="other-recipe",
        )
    device = settle_torch(run)
    mark = _mark(work, device)
    if apart:
        progress.say(
            f"{path.name}: another recipe than that of the model in this folder; a second model is trained"
        )
    day = run.day_begun("training", mark)
    task = training_task(study, training_patients, prepared, run, mark=mark, device=device)
    with needing_torch("training"):
        from jecur.training.export import export_model  # noqa: PLC0415

    trained, training = run_task(task, run, progress, apart)
    nuclei = NucleiModel.load(study.nuclei, threads=1)
    facts = study_card(study, recipe, created=day) | _training_facts(
        task, training_patients, trained, training
    )
    digests = _bag_digests(training_patients, prepared, run)
    card = ModelCard(
        **facts,
        nuclei=dict(nuclei.card),
        computed_on=ComputedOn(slides=devices_in_use().slides, training=device),
        trained_on=tile_memory([read_digests(run.slide_folder(s)) for s in digests]),
        looks=fit_looks(_looks(training_patients, prepared, run)),
    )
    held = nuclei.onnx_bytes if _needs_nuclei(study, trained) else None
    write_bundle(export_model(trained, card, tile_px=task.tile_px, nuclei_onnx=held), path)
    used = {example.patient for example in (*task.training, *task.tuning)}
    remember_patients(used, path, run)
    run.log_private()
    run.mark_stage(stage, _finished_mark(mark, told), [path])
    return path


def training_inputs(
    study: StudySettings,
    training_patients: TrainingPatients,
    prepared: Mapping[str, PreparedSlide],
    recipe: Recipe,
    run: RunFolder,
) -> tuple[object, ...]:
    """List whatever decides the weights: recipes, starting weights, patients with their tiles, version."""
    digests = _bag_digests(training_patients, prepared, run)
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


def _mark(work: tuple[object, ...], device: Wanted) -> str:
    """Fingerprint of a training; that of a graphics card names it."""
    return fingerprint(*work, *(() if device != "cuda" else (device,)))


def _finished_mark(mark: str, told: Sequence[object]) -> str:
    """Fingerprint of a model file: of the training, and of what its card tells beside it."""
    return fingerprint(mark, *told)


def _told(
    study: StudySettings,
    training_patients: TrainingPatients,
    prepared: Mapping[str, PreparedSlide],
) -> tuple[object, ...]:
    """List what decides no weight and stands in the model file: its change writes the card anew, no more."""
    watched = training_patients.tuning
    slides = [entry.id for patient in training_patients.patients for entry in patient.slides]
    return (
        study.name,
        study.virtual,
        endpoint_definition(study.cohort.endpoint),
        study.cohort.endpoint.kind,
        [[p.id, p.months, p.event] for p in (*watched.good, *watched.poor)],
        [[s, prepared[s].vendor, prepared[s].mpp] for s in slides if s in prepared],
    )


def _needs_nuclei(study: StudySettings, trained: "Trained") -> bool:
    """Whether the nuclei network goes into the model file: it is used, or is not the built-in one."""
    return trained.encoder.channels == 4 or study.nuclei.model != "builtin"


def _training_facts(
    task: "TrainingTask",
    training_patients: TrainingPatients,
    trained: "Trained",
    training: "Sequence[LabeledBag]",
) -> dict[str, Any]:
    """Write down what came of the training."""
    by_id = {p.id: p for p in training_patients.patients}
    watched = [by_id[example.patient] for example in task.tuning]
    return {
        "cohort": CohortFacts(
            n_good=sum(not bag.recurred for bag in training),
            n_poor=sum(bag.recurred for bag in training),
            n_tuning=len(watched),
            n_tiles=sum(len(bag.bag) for bag in training),
            selection=selection(task.settings),
        ),
        "metrics": tuning_metrics(watched, trained.tuning_scores),
        "risks": training_risks(trained.training_scores, [bag.recurred for bag in training]),
        "cutoff": trained.cutoff,
        "pooling": PoolingFacts(**trained.pooling.plain().to_card()),
        "input": input_of(
            training[0].bag, trained.encoder.channels, task.tile_px if task.described else 0
        ),
        "channels": trained.encoder.channels,
        "training_curve": convert(trained.state.curve, tuple[TrainingEpoch, ...]),
    }


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


def _bag_digests(
    training_patients: TrainingPatients, prepared: Mapping[str, PreparedSlide], run: RunFolder
) -> dict[str, str]:
    """Slide -> digest of its tiles, of all training and tuning patients."""
    return {
        entry.id: read_digests(run.slide_folder(entry.id)).tiles_sha256
        for patient in training_patients.patients
        for entry in patient.slides
        if entry.id in prepared and prepared[entry.id].n_tiles > 0
    }


def _looks(
    training_patients: TrainingPatients, prepared: Mapping[str, PreparedSlide], run: RunFolder
) -> list[SlideLooks]:
    """Read what the slides of the training and tuning patients look like."""
    return [
        SlideLooks(
            patient.id,
            read_looks(run.slide_folder(entry.id)),
            prepared[entry.id].vendor,
            prepared[entry.id].mpp,
        )
        for patient in training_patients.patients
        for entry in patient.slides
        if entry.id in prepared and prepared[entry.id].usable
    ]


def refuse_shared_tiles(
    patients: Sequence[Patient],
    prepared: Mapping[str, PreparedSlide],
    run: RunFolder,
    *,
    across_roles: bool,
) -> None:
    """Refuse, before anything is trained, the same tiles under two patients.

    Parameters
    ----------
    patients
        All patients whose slides were prepared.
    prepared, run
        Where the bags are.
    across_roles
        Only patients of different roles matter; else any two do (they may fall into two folds).

    Raises
    ------
    TableError
        With code ``leak``; names both patients and slides.
    """
    first: dict[str, tuple[Patient, str]] = {}
    for patient in patients:
        for entry in patient.slides:
            if entry.id not in prepared or not prepared[entry.id].usable:
                continue
            digest = read_digests(run.slide_folder(entry.id)).tiles_sha256
            other, slide = first.setdefault(digest, (patient, entry.id))
            if other.id != patient.id and (not across_roles or other.role != patient.role):
                raise TableError(
                    f"expected every slide under one patient, found the same tiles as {slide} of "
                    f"{other.id} ({other.role}) and {entry.id} of {patient.id} ({patient.role}); "
                    "no model was trained: correct patients, roles or slides",
                    code="leak",
                )


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


def _is_whole(path: Path) -> bool:
    try:
        read_bundle(path)
    except JecurError:
        return False
    return True
