"""The study from top to bottom: read this file first.

    table -> cohort -> slides -> bags -> model -> risks -> statistics -> report

Each stage is one call into one room. A stage whose result is already in the run folder, made
from the same input under the same settings, is not done again.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from jecur.artifacts import RunFolder, write_text
from jecur.bundle import read_bundle
from jecur.cohort.cohort import Cohort, SlideEntry, read_cohort
from jecur.cohort.selection import refuse_shared_files
from jecur.engine import Failure, Progress, run_all
from jecur.errors import SettingsError, TableError
from jecur.findings import PlantedCohort, StudyFindings, StudyResults, write_findings
from jecur.learning import Learners, learn, outcomes_of, refuse_shared_tiles
from jecur.mil.passport import admit_model
from jecur.preparation import (
    PreparedSlide,
    Recipe,
    SlideOrder,
    finished_slide,
    prepare_slide,
    recipe_of_bundle,
    recipe_of_study,
    write_slides_table,
)
from jecur.scores import (
    ScoredPatient,
    score_patients,
    tell_strangers,
    write_heatmaps,
    write_top_tiles,
)
from jecur.settings import ComputeSettings, ScoringSettings, StudySettings, write_study

__all__ = [
    "Ready",
    "Scored",
    "prepare_slides",
    "prepare_study",
    "refuse_seen",
    "run_study",
    "score_slides",
    "select_learners",
    "train_study",
    "usable_slides",
]

_USUAL = ComputeSettings()


def run_study(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    planted: PlantedCohort | None = None,
) -> StudyFindings:
    """Run a study from the clinical table to the report.

    Parameters
    ----------
    study
        Every setting.
    folder
        Where the study file lies; its paths are relative to it.
    run
        Where everything goes; running again does only what is missing.
    workers
        Processes that prepare slides, and threads that score.
    progress
        Draws bars and speaks.
    planted
        Truth of a virtual cohort, shown beside what was found.

    Returns
    -------
    StudyFindings
        Statistics of the validation patients and where the files are.
    """
    ready = prepare_study(study, folder, run, workers=workers, progress=progress)
    cohort, learners = ready.cohort, ready.learners
    prepared: Mapping[str, PreparedSlide] = ready.prepared
    unseen = cohort.of_role("validation")
    model = learn(study, learners, prepared, ready.recipe, run, progress=progress)

    scored = score_patients(
        model,
        usable_slides([(p.id, p.slides) for p in unseen], prepared),
        run,
        study.scoring,
        threads=workers,
        progress=progress,
    )
    refuse_seen(scored)
    prepared = tell_strangers(scored, prepared, run)
    cutoff = read_bundle(model).cutoff
    write_heatmaps(scored, prepared, run, cutoff=cutoff, progress=progress)
    tiles = write_top_tiles(scored, run, study.scoring)

    done = StudyResults(study, cohort, learners, prepared, scored, tiles, model)
    findings = write_findings(done, run, planted=planted)
    run.write_manifest({"study": msgspec.to_builtins(study), "command": "run"})
    return findings


@dataclass(frozen=True, slots=True)
class Ready:
    """A cohort whose slides are prepared: all that is there before anything is learnt."""

    cohort: Cohort
    learners: Learners
    prepared: Mapping[str, PreparedSlide]
    """Slide -> what became of it."""
    recipe: Recipe

    @property
    def n_failed(self) -> int:
        """Slides without a bag."""
        return sum(slide.status == "failed" for slide in self.prepared.values())


def prepare_study(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    everybody: bool = False,
) -> Ready:
    """Read the clinical table and prepare the slides of everybody who is needed.

    Parameters
    ----------
    study, folder, run, workers, progress
        As `run_study`.
    everybody
        Prepare patients without a distinct outcome too, whatever their role.

    Raises
    ------
    TableError
        If two patients of different roles have the very same tiles.
    """
    run.log("study", name=study.name)
    write_text(run.root / "study.toml", write_study(study))
    cohort = read_cohort(study.cohort, folder)
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
    learners = select_learners(cohort, study)
    needed = cohort.patients if everybody else (*learners.patients, *cohort.of_role("validation"))
    recipe = recipe_of_study(study)
    orders = [
        SlideOrder(
            entry.id,
            patient.id,
            entry.path,
            entry.mpp,
            recipe,
            run,
            core=entry.core,
            annotation=entry.annotation,
        )
        for patient in needed
        for entry in patient.slides
    ]
    prepared = prepare_slides(
        orders, run, workers=workers, progress=progress, compute=study.compute
    )
    refuse_shared_tiles(needed, prepared, run, across_roles=not everybody)
    return Ready(cohort, learners, prepared, recipe)


def train_study(
    study: StudySettings, folder: Path, run: RunFolder, *, workers: int, progress: Progress
) -> tuple[Path, Ready]:
    """Run a study up to its model file; the validation patients' slides are not scored.

    Parameters are those of `run_study`.
    """
    ready = prepare_study(study, folder, run, workers=workers, progress=progress)
    model = learn(study, ready.learners, ready.prepared, ready.recipe, run, progress=progress)
    run.write_manifest({"study": msgspec.to_builtins(study), "command": "train"})
    return model, ready


def select_learners(cohort: Cohort, study: StudySettings) -> Learners:
    """Patients of the training and tuning roles that the loss of the study learns from."""
    training, tuning = (
        outcomes_of(cohort.of_role(role), study.training) for role in ("training", "tuning")
    )
    return Learners(training, tuning)


def prepare_slides(
    orders: Sequence[SlideOrder],
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    compute: ComputeSettings = _USUAL,
) -> dict[str, PreparedSlide]:
    """Prepare slides in processes and write ``slides.csv``: one row a slide, whatever happened."""
    prepared = _finished(orders, run, threads=workers, progress=progress)
    missing = [order for order in orders if order.slide not in prepared]
    for outcome in run_all(
        prepare_slide,
        missing,
        workers=workers,
        progress=progress,
        title="Preparing slides",
        limit_s=partial(_limit_s, compute),
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
    prepared = {order.slide: prepared[order.slide] for order in orders}  # not as they ended
    write_slides_table(list(prepared.values()), run)
    return prepared


def _finished(
    orders: Sequence[SlideOrder], run: RunFolder, *, threads: int, progress: Progress
) -> dict[str, PreparedSlide]:
    """Slides that were prepared before and whose files are as they were written, to the last byte."""
    prepared = {}
    with ThreadPoolExecutor(max(1, threads)) as pool:  # hashing runs outside of Python's lock
        for order, (slide, damaged) in zip(orders, pool.map(finished_slide, orders), strict=True):
            if slide is not None:
                prepared[order.slide] = slide
            if damaged:
                run.log("slide-damaged", slide=order.slide, files=damaged)
                progress.say(
                    f"{order.slide}: expected the files that were written, found "
                    f"{', '.join(damaged)} changed or gone; the slide is prepared anew [damaged]"
                )
    return prepared


def _limit_s(compute: ComputeSettings, order: SlideOrder) -> float:
    try:
        return compute.limit_s(order.path.stat().st_size)
    except OSError:  # preparing it will say what is wrong
        return compute.limit_s(0)


def usable_slides(
    slides_of: Sequence[tuple[str, Sequence[SlideEntry]]], prepared: Mapping[str, PreparedSlide]
) -> dict[str, list[str]]:
    """Patient -> slides with a bag; patients without one are left out."""
    usable = {
        patient: [entry.id for entry in entries if prepared[entry.id].usable]
        for patient, entries in slides_of
    }
    return {patient: slides for patient, slides in usable.items() if slides}


def refuse_seen(scored: Sequence[ScoredPatient]) -> None:
    """Refuse to report on patients that the model learnt from.

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


def _refuse_idle_drawings(slides: Sequence[tuple[str, SlideEntry]], recipe: Recipe) -> None:
    """Refuse drawings that the model would not look at, rather than score as if they counted."""
    drawn = [entry.id for _, entry in slides if entry.annotation is not None]
    classes = recipe.annotations
    if drawn and not (classes.include or classes.exclude):
        raise SettingsError(
            f"expected a model that learnt from drawn regions, as drawings are given for {drawn[0]}, "
            "found one that names no class; leave the drawings out, or train with [annotations]",
            code="no-annotation-classes",
        )


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score_slides` found."""

    patients: tuple[ScoredPatient, ...]
    slides: tuple[PreparedSlide, ...]
    cutoff: float
    endpoint: str
    virtual: bool
    """The model learnt from simulated patients: its risks mean nothing for real slides."""

    @property
    def n_failed(self) -> int:
        """Slides without a score."""
        return sum(slide.status == "failed" for slide in self.slides)


def score_slides(
    slides: Sequence[tuple[str, SlideEntry]],
    model: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
) -> Scored:
    """Score slides with a model file; needs no torch.

    Parameters
    ----------
    slides
        (patient, slide); the slides of one patient are one bag.
    model
        A ``.jecur`` file. Slides are prepared by the recipe it holds.
    run
        Where the files go.
    workers
        Processes that prepare slides, and threads that score.
    progress
        Draws bars and speaks.
    """
    bundle = admit_model(model)
    recipe = recipe_of_bundle(bundle)
    _refuse_idle_drawings(slides, recipe)
    orders = [
        SlideOrder(
            entry.id,
            patient,
            entry.path,
            entry.mpp,
            recipe,
            run,
            bundle=model.resolve(),
            annotation=entry.annotation,
        )
        for patient, entry in slides
    ]
    prepared = prepare_slides(orders, run, workers=workers, progress=progress)
    entries: dict[str, list[SlideEntry]] = {}
    for patient, entry in slides:
        entries.setdefault(patient, []).append(entry)
    settings = ScoringSettings()
    scored = score_patients(
        model,
        usable_slides(list(entries.items()), prepared),
        run,
        settings,
        threads=workers,
        progress=progress,
    )
    prepared = tell_strangers(scored, prepared, run)
    write_heatmaps(scored, prepared, run, cutoff=bundle.cutoff, progress=progress)
    run.write_manifest({"model": model.name, "model_sha256": bundle.sha256, "command": "score"})
    return Scored(
        patients=tuple(scored),
        slides=tuple(prepared.values()),
        cutoff=bundle.cutoff,
        endpoint=bundle.card.endpoint.definition,
        virtual=bundle.card.virtual,
    )
