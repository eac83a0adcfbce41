"""From the clinical table to prepared slides: what every study does first."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import pandas as pd

from jecur.cohort.cohort import Cohort, Patient, SlideEntry, read_cohort
from jecur.cohort.csv_text import csv_text
from jecur.cohort.selection import refuse_shared_files
from jecur.errors import TableError
from jecur.runs.folder import RunFolder, write_text
from jecur.runs.progress import Progress
from jecur.runs.workers import Failure, run_all
from jecur.settings import ComputeSettings, Recipe, SplitSettings, StudySettings, write_study
from jecur.study.bag_form import in_bags
from jecur.study.devices import record_slides
from jecur.study.frozen import frozen_encoder
from jecur.study.pass_by import describe_in_passing, prepare_or_pass_by
from jecur.study.prepare import finished_slide, rename_slide
from jecur.study.recipe import recipe_of_study
from jecur.study.score import ScoredPatient
from jecur.study.slide_task import PreparedSlide, SlideTask, write_slides_table
from jecur.study.train import refuse_shared_tiles
from jecur.study.training_task import TrainingPatients, outcomes_of

__all__ = [
    "PreparedCohort",
    "as_ordered",
    "limit_of",
    "prepare_slides",
    "prepare_study",
    "require_unseen_patients",
    "select_training_patients",
    "slide_tasks",
    "study_cohort",
    "study_facts",
    "study_slides",
    "usable_slides",
]

_USUAL = ComputeSettings()


@dataclass(frozen=True, slots=True)
class PreparedCohort:
    """A cohort whose slides are prepared: all there is before a model is trained."""

    cohort: Cohort
    training_patients: TrainingPatients
    prepared: Mapping[str, PreparedSlide]
    """Slide -> what became of it."""
    recipe: Recipe
    unseen: tuple[SlideTask, ...] = ()
    """Slides of validation patients that are left to `score_in_passing`."""

    @property
    def n_failed(self) -> int:
        """Slides without a bag."""
        return sum(slide.status == "failed" for slide in self.prepared.values())


def prepare_study(  # noqa: PLR0913 -- the study, where it goes, and whose slides are wanted
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    everybody: bool = False,
    unseen_later: bool = False,
    beside: bool = False,
) -> PreparedCohort:
    """Read the clinical table and prepare the slides of all patients who are needed.

    Parameters
    ----------
    study, folder, run, workers, progress
        As `run_study`.
    everybody
        Prepare patients without a distinct outcome too, whatever their role.
    unseen_later
        Leave the slides of validation patients to whoever scores them, and keep no tiles of the others
        for an encoder that is not trained, unless the study keeps tiles.
    beside
        The folder holds a finished run or cross-validation: its study file and tables stay.

    Raises
    ------
    TableError
        If two patients of different roles have the very same tiles.
    """
    run.log("study", name=study.name)
    cohort = study_cohort(study, folder, everybody=everybody)
    if not beside:
        _write_study(study, folder, cohort, run)
    run.log("table", source=cohort.source, notes=list(cohort.remarks))
    for note in cohort.remarks:
        progress.say(note)
    for name in cohort.unmatched_slides:
        run.log("unmatched-slide", file=name)
        progress.say(
            f"{name}: expected a patient for every slide, found none that names it; "
            "add it to the table or leave it out [unmatched-slide]"
        )
    refuse_shared_files(cohort.patients, across_roles=not everybody)
    training_patients = select_training_patients(cohort, study)
    needed = _needed(cohort, training_patients, everybody=everybody)
    recipe = recipe_of_study(study)
    orders = slide_tasks(study, folder, needed, recipe, run.root)
    orders = [replace(order, run=run) for order in orders]
    unseen: list[SlideTask] = []
    if unseen_later and not study.run.keep_tiles:
        later = {entry.id for p in cohort.of_role("validation") for entry in p.slides}
        unseen = [order for order in orders if order.slide in later]
        orders = [order for order in orders if order.slide not in later]
        if not study.training.encoder.trained:
            orders = describe_in_passing(orders, partial(frozen_encoder, study, run))
    orders = in_bags(orders, study.bags, recipe, run.root, progress=progress)
    prepared = prepare_slides(
        orders, run, workers=workers, progress=progress, compute=study.compute, table=not beside
    )
    refuse_shared_tiles(needed, prepared, run, across_roles=not everybody)
    return PreparedCohort(cohort, training_patients, prepared, recipe, tuple(unseen))


def study_slides(
    study: StudySettings, folder: Path, root: Path, *, everybody: bool = False
) -> list[SlideTask]:
    """Slides that `prepare_study` prepares, in its order; nothing is written.

    Parameters
    ----------
    study, folder, everybody
        As `prepare_study`.
    root
        Run folder; it need not be there yet.
    """
    cohort = study_cohort(study, folder, everybody=everybody)
    refuse_shared_files(cohort.patients, across_roles=not everybody)
    training_patients = select_training_patients(cohort, study)
    needed = _needed(cohort, training_patients, everybody=everybody)
    return slide_tasks(study, folder, needed, recipe_of_study(study), root)


def _needed(
    cohort: Cohort, training_patients: TrainingPatients, *, everybody: bool
) -> Sequence[Patient]:
    """Patients whose slides are prepared."""
    if everybody:
        return cohort.patients
    return (*training_patients.patients, *cohort.of_role("validation"))


def study_cohort(study: StudySettings, folder: Path, *, everybody: bool) -> Cohort:
    """Read the cohort of a study.

    Where the study names no roles and no way to divide the patients, everybody is a training patient if
    ``everybody`` takes part (cross-validation).
    """
    cohort = read_cohort(study.cohort, folder)
    if not everybody or study.cohort.columns.role or study.cohort.split is not None:
        return cohort
    return replace(
        cohort, patients=tuple(replace(patient, role="training") for patient in cohort.patients)
    )


def slide_tasks(
    study: StudySettings, folder: Path, patients: Sequence[Patient], recipe: Recipe, root: Path
) -> list[SlideTask]:
    """Slides of patients to prepare under a recipe, for a run folder that need not be there yet."""
    run = RunFolder(root)
    cache = (folder / study.run.cache).resolve() if study.run.cache else None
    return [
        SlideTask(
            entry.id,
            patient.id,
            entry.path,
            entry.mpp,
            recipe,
            run,
            core=entry.core,
            annotation=entry.annotation,
            cache=cache,
            named=entry.named,
        )
        for patient in patients
        for entry in patient.slides
    ]


def _write_study(study: StudySettings, folder: Path, cohort: Cohort, run: RunFolder) -> None:
    """Write down the study as it is now: ``study.toml``, ``roles.csv``, and where its slides lie."""
    run.log_slide_folder(folder / study.cohort.slide_folder)
    write_text(run.root / "study.toml", write_study(study))
    if study.cohort.split is not None:
        _write_roles(cohort, study.cohort.split, run)
    else:
        (run.root / "roles.csv").unlink(missing_ok=True)


def _write_roles(cohort: Cohort, split: SplitSettings, run: RunFolder) -> None:
    """Write down who got which role, and how: ``roles.csv``."""
    how = {
        "fraction": f"drawn with seed {split.seed}",
        "site": f"by site; these validate: {', '.join(split.validation_sites)}",
        "date": f"by date; from {split.validation_from} on they validate",
    }[split.by]
    rows = [(p.id, str(p.role), p.site, str(int(p.event)), how) for p in cohort.patients]
    rows += [(e.patient, "", "", "", e.reason) for e in cohort.excluded]
    names = ["patient_id", "role", "site", "event", "why"]
    write_text(run.root / "roles.csv", csv_text(pd.DataFrame(rows, columns=names)))


def select_training_patients(cohort: Cohort, study: StudySettings) -> TrainingPatients:
    """Patients of the training and tuning roles that the loss of the study trains on."""
    training, tuning = (
        outcomes_of(cohort.of_role(role), study.training) for role in ("training", "tuning")
    )
    return TrainingPatients(training, tuning)


def prepare_slides(
    orders: Sequence[SlideTask],
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    compute: ComputeSettings = _USUAL,
    table: bool = True,
) -> dict[str, PreparedSlide]:
    """Prepare slides in processes and write ``slides.csv``: one row a slide, whatever happened.

    Without ``table`` the one that is there stays.

    Slides fewer than the workers share them: threads of all processes together are no more than these.
    """
    record_slides(run)
    prepared = _finished(orders, run, threads=workers, progress=progress)
    missing = [order for order in orders if order.slide not in prepared]
    threads = max(1, workers // max(1, len(missing)))
    scored = any(order.model_sha256 for order in missing)
    for outcome in run_all(
        prepare_or_pass_by,
        [replace(order, threads=threads) for order in missing],
        workers=workers,
        progress=progress,
        title="Scoring slides" if scored else "Preparing slides",
        limit_s=partial(limit_of, compute),
    ):
        order, result = outcome.item, outcome.result
        if isinstance(result, Failure):
            run.log("slide-failed", slide=order.slide, code=result.error.code, trace=result.trace)
            progress.say(f"{order.slide}: {result.error.message} [{result.error.code}]")
            result = PreparedSlide.failed(order, result.error, result.error.code)
        elif result.status == "failed":
            run.log("slide-failed", slide=order.slide, code=result.code)
            progress.say(f"{order.slide}: {result.reason} [{result.code}]")
        run.log("slide", slide=order.slide, status=result.status, seconds=outcome.seconds)
        prepared[order.slide] = result
    prepared = {o.slide: as_ordered(prepared[o.slide], o) for o in orders}  # not as they ended
    if table:
        write_slides_table(list(prepared.values()), run)
    return prepared


def as_ordered(prepared: PreparedSlide, order: SlideTask) -> PreparedSlide:
    """Whose the slide is and where it lies now; it may have been prepared under another order."""
    return replace(prepared, patient_id=order.patient, path=order.named)


def _finished(
    orders: Sequence[SlideTask], run: RunFolder, *, threads: int, progress: Progress
) -> dict[str, PreparedSlide]:
    """Slides that were prepared before and whose files are as they were written, to the last byte."""
    prepared = {}
    with ThreadPoolExecutor(max(1, threads)) as pool:  # hashing runs outside of Python's lock
        for order, (slide, damaged) in zip(orders, pool.map(finished_slide, orders), strict=True):
            if slide is not None:
                prepared[order.slide] = rename_slide(order, slide)
            if damaged:
                run.log("slide-damaged", slide=order.slide, files=damaged)
                progress.say(
                    f"{order.slide}: expected the files that were written, found "
                    f"{', '.join(damaged)} changed or gone; the slide is prepared anew [damaged]"
                )
    return prepared


def limit_of(compute: ComputeSettings, order: SlideTask) -> float:
    """Seconds that preparing a slide may take."""
    try:
        return compute.limit_s(order.path.stat().st_size)
    except OSError:  # preparing it will say what is wrong
        return compute.limit_s(0)


def study_facts(study: StudySettings, command: str) -> dict[str, object]:
    """Say in the manifest what was done, and where the slides lie, as the study names it."""
    return {
        "study": msgspec.to_builtins(study),
        "slides": study.cohort.slide_folder,
        "command": command,
    }


def usable_slides(
    slides_of: Sequence[tuple[str, Sequence[SlideEntry]]], prepared: Mapping[str, PreparedSlide]
) -> dict[str, list[str]]:
    """Patient -> slides with a bag; patients without one are left out."""
    usable = {
        patient: [entry.id for entry in entries if prepared[entry.id].usable]
        for patient, entries in slides_of
    }
    return {patient: slides for patient, slides in usable.items() if slides}


def require_unseen_patients(scored: Sequence[ScoredPatient]) -> None:
    """Refuse to report on patients that the model was trained on.

    Raises
    ------
    TableError
        With code ``leak``.
    """
    seen = [p.patient for p in scored if p.seen_in_training]
    if seen:
        raise TableError(
            f"expected validation patients the model has not seen, found {seen[0]} among its "
            f"training patients ({len(seen)} in all: the same tiles under two patients?); "
            "no statistics are made from these; correct roles or slides",
            code="leak",
        )
