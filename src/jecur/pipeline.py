"""The study from top to bottom: read this file first.

    table -> cohort -> slides -> bags -> model -> risks -> statistics -> report

Each stage is one call into one room. A stage whose result is already in the run folder, made
from the same input under the same settings, is not done again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jecur.cohort.cohort import SlideEntry, read_cohort
from jecur.cohort.selection import DistinctOutcome
from jecur.errors import SettingsError
from jecur.explain.heatmap import ScoreScale
from jecur.mil.passport import admit_model
from jecur.model.file import Bundle, read_bundle
from jecur.runs.folder import RunFolder
from jecur.runs.progress import LoggedProgress, Progress
from jecur.settings import Recipe, ScoringSettings, StudySettings
from jecur.study.bag_form import in_bags
from jecur.study.cohort_slides import (
    PreparedCohort,
    prepare_slides,
    prepare_study,
    require_unseen_patients,
    study_facts,
    usable_slides,
)
from jecur.study.devices import tell_other_device
from jecur.study.explain import TopTilePicture, top_tiles, write_heatmaps, write_top_tiles
from jecur.study.model_name import (
    goes_beside,
    model_path,
    refuse_other_report,
    refuse_other_study,
    scored_model,
)
from jecur.study.pass_by import score_in_passing
from jecur.study.preflight import require_ready_slides
from jecur.study.recipe import recipe_of_bundle
from jecur.study.score import ScoredPatient, flag_unlike_training, score_patients
from jecur.study.slide_task import PreparedSlide, SlideTask
from jecur.study.train import train_model
from jecur.study.training_task import TrainingPatients

if TYPE_CHECKING:
    from jecur.study.report import PlantedCohort, StudyReport

__all__ = ["Scored", "prepare_alone", "run_study", "score_slides", "train_study", "validate_study"]


def run_study(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    planted: "PlantedCohort | None" = None,
) -> "StudyReport":
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
        Shows bars and messages.
    planted
        Truth of a virtual cohort, shown beside what was found.

    Returns
    -------
    StudyReport
        Statistics of the validation patients and where the files are.
    """
    refuse_other_study("run", study, run)
    progress = LoggedProgress(progress, run.log)
    ready = prepare_study(study, folder, run, workers=workers, progress=progress, unseen_later=True)
    refuse_other_report(model_path(study, ready.recipe, run), run)
    cohort, training_patients = ready.cohort, ready.training_patients
    unseen = cohort.of_role("validation")
    model = train_model(
        study, training_patients, ready.prepared, ready.recipe, run, progress=progress
    )
    bundle = read_bundle(model)
    orders = [score_in_passing(order, bundle, model) for order in ready.unseen]
    prepared: Mapping[str, PreparedSlide] = ready.prepared
    if orders:
        prepared = {
            **prepared,
            **prepare_slides(
                orders, run, workers=workers, progress=progress, compute=study.compute
            ),
        }

    slides = usable_slides([(p.id, p.slides) for p in unseen], prepared)
    scored = score_patients(model, slides, run, study.scoring, threads=workers, progress=progress)
    require_unseen_patients(scored)
    prepared = flag_unlike_training(scored, prepared, run)
    write_heatmaps(scored, prepared, run, cutoff=bundle.cutoff, workers=workers, progress=progress)
    top = top_tiles(scored, run, study.scoring, orders, workers=workers, progress=progress)
    tiles = write_top_tiles(top, run, study.review)

    from jecur.study.report import StudyResults, write_study_report  # noqa: PLC0415 (figures and tables: scoring alone need not wait for them)

    done = StudyResults(study, cohort, training_patients, prepared, scored, tiles, model)
    findings = write_study_report(done, run, planted=planted)
    run.write_manifest(study_facts(study, "run"))
    return findings


def validate_study(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    *,
    model: Path,
    workers: int,
    progress: Progress,
) -> "StudyReport":
    """Run a study whose model was trained before: its validation patients are scored and reported on.

    Slides are prepared by the recipe that the model holds. A part of a run (`RunFolder.part`) takes
    up the slides of the whole and leaves its pictures as they are.

    Parameters are those of `run_study`; ``model`` is a ``.jecur`` file.

    Raises
    ------
    TableError
        If the model was trained on one of these patients ("leak").
    RunFolderError
        If the folder holds the results of another command ("other-recipe").
    """
    refuse_other_study("validate", study, run)
    bundle = admit_model(model)
    study = _as_trained(study, bundle)
    progress = LoggedProgress(progress, run.log)
    tell_other_device(bundle.card, progress)
    run.log_slide_folder(folder / study.cohort.slide_folder)
    cohort = read_cohort(study.cohort, folder)
    if bundle.card.virtual and not study.virtual:
        said = "The model was trained on virtual patients: its risks mean nothing for real slides."
        cohort = replace(cohort, notes=(*cohort.notes, said))
    unseen = [(p.id, p.slides) for p in cohort.of_role("validation")]
    slides = [(patient, entry) for patient, entries in unseen for entry in entries]
    recipe = recipe_of_bundle(bundle)
    orders = _orders(slides, recipe, run, model)
    if (
        run.whole is None and not study.run.keep_tiles
    ):  # parts of a run share the tiles of the whole
        orders = [score_in_passing(order, bundle, model) for order in orders]
    orders = in_bags(orders, study.bags, recipe, run.whole or run.root, progress=progress)
    prepared: Mapping[str, PreparedSlide] = prepare_slides(
        orders,
        run,
        workers=workers,
        progress=progress,
        compute=study.compute,
    )
    usable = usable_slides(unseen, prepared)
    scored = score_patients(model, usable, run, study.scoring, threads=workers, progress=progress)
    require_unseen_patients(scored)
    prepared = flag_unlike_training(scored, prepared, run)
    tiles: Sequence[TopTilePicture] = ()
    if run.whole is None:
        write_heatmaps(
            scored, prepared, run, cutoff=bundle.cutoff, workers=workers, progress=progress
        )
        top = top_tiles(scored, run, study.scoring, orders, workers=workers, progress=progress)
        tiles = write_top_tiles(top, run, study.review)
    nobody = TrainingPatients(DistinctOutcome((), (), ()), DistinctOutcome((), (), ()))
    from jecur.study.report import StudyResults, write_study_report  # noqa: PLC0415 (figures and tables: scoring alone need not wait for them)

    done = StudyResults(study, cohort, nobody, prepared, scored, tiles, model)
    findings = write_study_report(done, run, planted=None)
    run.write_manifest(study_facts(study, "validate") | {"virtual_model": bundle.card.virtual})
    return findings


def _as_trained(study: StudySettings, bundle: Bundle) -> StudySettings:
    """Put the model's own settings into a study: what is reported is what was done."""
    recipe = recipe_of_bundle(bundle)
    stages = ("tissue", "tiling", "quality", "stain", "nuclei", "annotations")
    own = {name: getattr(recipe, name) for name in stages}
    return msgspec.structs.replace(study, training=bundle.card.training, **own)


def train_study(
    study: StudySettings, folder: Path, run: RunFolder, *, workers: int, progress: Progress
) -> tuple[Path, PreparedCohort]:
    """Run a study up to its model file; the validation patients' slides are not scored.

    Tables and manifest of a finished run or cross-validation in this folder stay as they are.

    Parameters are those of `run_study`.
    """
    refuse_other_study("train", study, run)
    beside = goes_beside("train", run)
    progress = LoggedProgress(progress, run.log)
    ready = prepare_study(
        study,
        folder,
        run,
        workers=workers,
        progress=progress,
        unseen_later=True,
        beside=beside,
    )
    model = train_model(
        study,
        ready.training_patients,
        ready.prepared,
        ready.recipe,
        run,
        progress=progress,
        reported=scored_model(run) if beside else "",
    )
    if not (beside and run.renew_manifest()):
        run.write_manifest(study_facts(study, "train"))
    return model, ready


def prepare_alone(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    everybody: bool = False,
) -> PreparedCohort:
    """Prepare the slides of a study and stop there; `run_study` and `train_study` go on from it.

    Tables and manifest of a finished run or cross-validation in this folder stay as they are.

    Parameters are those of `run_study`; ``everybody`` is that of `prepare_study`.
    """
    refuse_other_study("prepare", study, run)
    beside = goes_beside("prepare", run)
    progress = LoggedProgress(progress, run.log)
    ready = prepare_study(
        study,
        folder,
        run,
        workers=workers,
        progress=progress,
        everybody=everybody,
        beside=beside,
    )
    if not (beside and run.renew_manifest()):
        run.write_manifest(study_facts(study, run.command or "prepare"))
    return ready


def _refuse_idle_drawings(slides: Sequence[tuple[str, SlideEntry]], recipe: Recipe) -> None:
    """Refuse drawings that the model would not look at, rather than score as if they counted."""
    drawn = [entry.id for _, entry in slides if entry.annotation is not None]
    classes = recipe.annotations
    if drawn and not (classes.include or classes.exclude):
        raise SettingsError(
            f"expected a model trained on drawn regions, as drawings are given for {drawn[0]}, "
            "found one that names no class; leave the drawings out, or train with [annotations]",
            code="no-annotation-classes",
        )


def _orders(
    slides: Sequence[tuple[str, SlideEntry]], recipe: Recipe, run: RunFolder, model: Path
) -> list[SlideTask]:
    """Slides to be prepared as a model wants them."""
    return [
        SlideTask(
            entry.id,
            patient,
            entry.path,
            entry.mpp,
            recipe,
            run,
            bundle=model.resolve(),
            annotation=entry.annotation,
            core=entry.core,
            named=entry.named,
        )
        for patient, entry in slides
    ]


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score_slides` found."""

    patients: tuple[ScoredPatient, ...]
    slides: tuple[PreparedSlide, ...]
    cutoff: float
    endpoint: str
    virtual: bool
    """The model was trained on simulated patients: its risks mean nothing for real slides."""
    scale: ScoreScale | None = None
    """Colors of the heat maps."""

    @property
    def n_failed(self) -> int:
        """Slides without a score."""
        return sum(slide.status == "failed" for slide in self.slides)


def score_slides(  # noqa: PLR0913 -- what to score, where to, and whom to report to
    slides: Sequence[tuple[str, SlideEntry]],
    model: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    keep_tiles: bool = False,
    scale: ScoreScale | None = None,
) -> Scored:
    """Score slides with a model file; needs no torch. `jecur.scored` puts them into a folder of scores.

    Each slide goes from its file to its tile scores in one pass; no pixel is written.

    Parameters
    ----------
    slides
        (patient, slide); the slides of one patient are one bag.
    model
        A ``.jecur`` file. Slides are prepared by the recipe it holds.
    run
        Where the files go.
    workers
        Processes; threads where slides are fewer.
    progress
        Shows bars and messages.
    keep_tiles
        Write the tiles of each slide into its folder, as training does, and score them from there:
        the same scores, for whoever wants the tiles.
    scale
        Colors of heat maps that are in the folder already.
    """
    bundle = admit_model(model)
    recipe = recipe_of_bundle(bundle)
    _refuse_idle_drawings(slides, recipe)
    orders = _orders(slides, recipe, run, model)
    if not keep_tiles:
        orders = [score_in_passing(order, bundle, model) for order in orders]
    progress = LoggedProgress(progress, run.log)
    tell_other_device(bundle.card, progress)
    root = run.whole or run.root
    require_ready_slides(orders, recipe, out=root, workers=workers, progress=progress)
    prepared = prepare_slides(orders, run, workers=workers, progress=progress)
    entries: dict[str, list[SlideEntry]] = {}
    for patient, entry in slides:
        entries.setdefault(patient, []).append(entry)
    usable = usable_slides(list(entries.items()), prepared)
    settings = ScoringSettings()
    scored = score_patients(model, usable, run, settings, threads=workers, progress=progress)
    prepared = flag_unlike_training(scored, prepared, run)
    scale = write_heatmaps(
        scored,
        prepared,
        run,
        cutoff=bundle.cutoff,
        workers=workers,
        progress=progress,
        scale=scale,
    )
    return Scored(
        patients=tuple(scored),
        slides=tuple(prepared.values()),
        cutoff=bundle.cutoff,
        endpoint=bundle.card.endpoint.definition,
        virtual=bundle.card.virtual,
        scale=scale,
    )
