"""From the bags of the training patients to a locked model file.

torch is imported here only when there is something to train.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import convert

from jecur.cohort.cohort import Patient
from jecur.cohort.endpoint import endpoint_definition
from jecur.errors import JecurError, RunFolderError, TableError
from jecur.mil.likeness import SlideLooks, fit_looks
from jecur.mil.looks import read_looks
from jecur.mil.tile_digest import read_digests
from jecur.model.card import CohortFacts, ComputedOn, ModelCard, PoolingFacts, TrainingEpoch
from jecur.model.file import read_bundle, write_bundle
from jecur.nuclei.segmentation import NucleiModel
from jecur.runs.device import Wanted, devices_in_use
from jecur.runs.folder import RunFolder, fingerprint
from jecur.runs.progress import Progress
from jecur.settings import Recipe, StudySettings
from jecur.study.devices import settle_torch
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
from jecur.study.training_task import (
    TrainingPatients,
    run_task,
    tile_digests_of,
    training_inputs,
    training_task,
)

if TYPE_CHECKING:
    from jecur.training.loop import LabeledBag, Trained
    from jecur.training.task import TrainingTask

__all__ = ["refuse_shared_tiles", "train_model"]


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
    digests = tile_digests_of(training_patients, prepared, run)
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


def _is_whole(path: Path) -> bool:
    try:
        read_bundle(path)
    except JecurError:
        return False
    return True
