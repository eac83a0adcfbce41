"""Cross-validation of a study: every risk comes from a model that never saw the patient.

Patients of the training and tuning roles are divided into folds; those of the validation role are
not touched. For each fold a model is trained on the others' distinct outcomes and scores all
comers of the fold. Where ``inner_folds`` are asked for, the number of epochs is chosen by folds
inside the training patients; the outer fold takes no part in that.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.selection import (
    DistinctOutcome,
)
from jecur.cohort.splits import Folds, site_of, split_patients
from jecur.errors import TrainingError
from jecur.explain.review import ReviewTile
from jecur.model.file import read_bundle
from jecur.report.content import HeatmapPicture
from jecur.runs.folder import RunFolder
from jecur.runs.progress import LoggedProgress, Progress
from jecur.settings import CrossvalSettings, StudySettings
from jecur.study.cohort_slides import (
    PreparedCohort,
    prepare_study,
    require_unseen_patients,
    study_cohort,
    usable_slides,
)
from jecur.study.cross_validation_report import (
    CrossValidation,
    CrossValidationReport,
    HeldOutFold,
    write_cross_validation,
)
from jecur.study.explain import top_tiles, write_heatmaps
from jecur.study.folds import distinct_outcomes, divide_study, part_name
from jecur.study.model_name import refuse_other_crossval
from jecur.study.report import heatmap_pictures
from jecur.study.score import ScoredPatient, score_patients
from jecur.study.train import train_model
from jecur.study.training_task import TrainingPatients

__all__ = ["CrossValidationReport", "cross_validate", "take_away_other_folds"]

NOBODY = DistinctOutcome((), (), ())


def cross_validate(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    settings: CrossvalSettings,
    *,
    workers: int,
    progress: Progress,
) -> CrossValidationReport:
    """Cross-validate a study; running again does only what is missing.

    Parameters
    ----------
    study
        Every setting of the models.
    folder
        Where the study file lies.
    run
        Where everything goes: ``scores.csv`` with each patient's fold, ``folds.csv``,
        ``crossval.json``, ``crossval.md``, ``report.html``; each fold's model under ``parts``.
    settings
        Folds, repeats, sites, inner folds.
    workers, progress
        As `jecur.pipeline.run_study`.

    Raises
    ------
    TableError
        If the folds asked for cannot be made, or two patients have the very same tiles.
    TrainingError
        If the patients left to train on are all of one outcome; the fold is named.
    """
    refuse_other_crossval(study, run)
    cohort = study_cohort(study, folder, everybody=True)
    # A study that cannot be divided is refused before hours of slides, not after.
    divide_study([p for p in cohort.patients if p.role != "validation"], study, settings)
    progress = LoggedProgress(progress, run.log)
    ready = prepare_study(study, folder, run, workers=workers, progress=progress, everybody=True)
    patients, excluded = _patients(ready)
    bench = CrossValidation(study, settings, ready, run, progress, workers)
    divisions = divide_study(patients, study, settings)
    done = [
        _one_fold(bench, patients, division, repeat, fold)
        for repeat, division in enumerate(divisions)
        for fold in range(settings.folds)
    ]
    take_away_other_folds(run, settings)
    return write_cross_validation(bench, patients, done, divisions, excluded)


def take_away_other_folds(run: RunFolder, settings: CrossvalSettings) -> None:
    """Delete what is left of folds that this division does not have."""
    names = {
        part_name(repeat, fold)
        for repeat in range(settings.repeats)
        for fold in range(settings.folds)
    }
    inner = {f"inner-{fold + 1}" for fold in range(settings.inner_folds)}
    for part in run.parts():
        for below in part.parts() if part.root.name in names else ():
            if below.root.name not in inner:
                shutil.rmtree(below.root)
        if part.root.name not in names:
            shutil.rmtree(part.root)


def _patients(ready: PreparedCohort) -> tuple[list[Patient], tuple[Exclusion, ...]]:
    """Patients of the training and tuning roles with a bag; the others with their reason."""
    used, excluded = [], list(ready.cohort.excluded)
    for patient in ready.cohort.patients:
        if patient.role == "validation":
            reason = "validation role: kept apart from cross-validation"
            excluded.append(Exclusion(patient.id, patient.role, reason))
        elif usable_slides([(patient.id, patient.slides)], ready.prepared):
            used.append(patient)
        else:
            codes = sorted({ready.prepared[e.id].code or "no-tiles" for e in patient.slides})
            reason = f"no usable slide: {', '.join(codes)}"
            excluded.append(Exclusion(patient.id, patient.role, reason))
    return used, tuple(excluded)


def _one_fold(
    bench: CrossValidation, patients: Sequence[Patient], division: Folds, repeat: int, fold: int
) -> HeldOutFold:
    """Train on the other folds and score this one."""
    inside = division.fold_of == fold
    held_out = [p for p, out in zip(patients, inside, strict=True) if out]
    others = [p for p, out in zip(patients, inside, strict=True) if not out]
    name = part_name(repeat, fold)
    part = bench.run.part(name)
    study = bench.study
    if bench.settings.inner_folds:
        epochs = _choose_epochs(bench, others, part, seed=bench.settings.seed + repeat)
        training = study.training.with_changes(epochs=epochs)
        study = msgspec.structs.replace(study, training=training)
    training_patients = TrainingPatients(distinct_outcomes(others, study), NOBODY)
    model = _train_fold(bench, study, training_patients, part, name)
    for other in model.parent.glob("*.jecur"):
        if other != model:  # of other numbers of epochs, by other inner folds
            other.unlink()
    scored = score_patients(
        model,
        usable_slides([(p.id, p.slides) for p in held_out], bench.ready.prepared),
        part,
        study.scoring,
        threads=bench.workers,
        progress=bench.progress,
    )
    require_unseen_patients(scored)
    bundle = read_bundle(model)
    by_id, cutoff = {p.id: p for p in held_out}, bundle.cutoff
    here = {"repeat": repeat + 1, "fold": fold + 1}
    file = {"model": model.relative_to(bench.run.root).as_posix()}
    rows = [_row(by_id[s.patient], s, here, cutoff) | file for s in scored]
    facts: dict[str, object] = {
        **here,
        "n": len(held_out),
        "events": sum(p.event for p in held_out),
        "n_good": len(training_patients.training.good),
        "n_poor": len(training_patients.training.poor),
        "n_not_trained_on": len(training_patients.training.excluded),
        "epochs": study.training.optimizer.epochs,
        "sites": ";".join(sorted({site_of(p) for p in held_out}))
        if bench.settings.site_preserving
        else "",
    }
    shown = _pictures(bench, scored, cutoff) if repeat == 0 else ((), ())
    return HeldOutFold(pd.DataFrame(rows), facts, bundle.card.input.width or 0, *shown)


def _row(
    patient: Patient, scored: ScoredPatient, here: Mapping[str, int], cutoff: float
) -> dict[str, object]:
    """One patient held out, with the risk of a model that never saw them."""
    return {
        "patient_id": patient.id,
        "site": patient.site,
        **here,
        "risk": scored.score.risk,
        "group": scored.score.group,
        "cutoff": cutoff,
        "months": patient.months,
        "event": int(patient.event),
        "n_slides": len(scored.slides),
        "n_tiles": len(scored.score.tile_scores),
    }


def _pictures(
    bench: CrossValidation, scored: Sequence[ScoredPatient], cutoff: float
) -> tuple[tuple[HeatmapPicture, ...], tuple[ReviewTile, ...]]:
    """Heat maps on the scale of this fold's model, and its share of what the report shows."""
    run, folds, scoring = bench.run, bench.settings.folds, bench.study.scoring
    write_heatmaps(
        scored,
        bench.ready.prepared,
        run,
        cutoff=cutoff,
        workers=bench.workers,
        progress=bench.progress,
    )
    share = msgspec.structs.replace(scoring, n_top_tiles=max(1, scoring.n_top_tiles // folds))
    heatmaps = heatmap_pictures(scored, run, max(1, scoring.n_heatmaps // folds))
    top = top_tiles(scored, run, share, workers=bench.workers, progress=bench.progress)
    return heatmaps, tuple(top)


def _train_fold(
    bench: CrossValidation,
    study: StudySettings,
    training_patients: TrainingPatients,
    part: RunFolder,
    name: str,
) -> Path:
    try:
        return train_model(
            study,
            training_patients,
            bench.ready.prepared,
            bench.ready.recipe,
            part,
            progress=bench.progress,
        )
    except TrainingError as error:
        raise error.within(name) from error


def _choose_epochs(
    bench: CrossValidation, patients: Sequence[Patient], part: RunFolder, *, seed: int
) -> int:
    """Epochs with the least mean loss on patients held out inside the training patients."""
    study, settings = bench.study, bench.settings
    division = split_patients(
        patients,
        n_folds=settings.inner_folds,
        site_preserving=settings.site_preserving,
        seed=seed,
    )
    curves = []
    for fold in range(settings.inner_folds):
        inside = division.fold_of == fold
        watched = [p for p, out in zip(patients, inside, strict=True) if out]
        inner_training = [p for p, out in zip(patients, inside, strict=True) if not out]
        training_patients = TrainingPatients(
            distinct_outcomes(inner_training, study), distinct_outcomes(watched, study)
        )
        name = f"inner-{fold + 1}"
        model = _train_fold(
            bench, study, training_patients, part.part(name), f"{part.root.name}, {name}"
        )
        curve = read_bundle(model).card.training_curve
        curves.append([row.tuning_loss for row in curve if row.tuning_loss is not None])
    usable = [curve for curve in curves if len(curve) == study.training.optimizer.epochs]
    if not usable:
        raise TrainingError(
            f"{part.root.name}: expected patients with a distinct outcome in an inner fold, found "
            "none; the number of epochs cannot be chosen: ask for fewer inner folds, or for none",
            code="labels-all-alike",
        )
    return int(np.argmin(np.mean(usable, axis=0))) + 1
