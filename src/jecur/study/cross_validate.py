"""Cross-validation of a study: every risk comes from a model that never saw the patient.

Patients of the training and tuning roles are divided into folds; those of the validation role are
not touched. For each fold a model is trained on the others' distinct outcomes and scores all
comers of the fold. Where ``inner_folds`` are asked for, the number of epochs is chosen by folds
inside the training patients; the outer fold takes no part in that.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.csv_text import csv_text
from jecur.cohort.endpoint import endpoint_definition
from jecur.cohort.selection import (
    DistinctOutcome,
    refuse_labels_alike,
)
from jecur.cohort.splits import Folds, site_of, split_patients
from jecur.errors import TrainingError
from jecur.evaluation.report import Analyzed, evaluation_input, report_risks
from jecur.explain.review import ReviewTile
from jecur.model.file import read_bundle
from jecur.report.content import FlowStep, HeatmapPicture, Reason
from jecur.report.methods import Paragraph, methods_paragraphs
from jecur.report.shown import Shown
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.runs.folder import RunFolder, write_text
from jecur.runs.progress import LoggedProgress, Progress
from jecur.settings import CrossvalSettings, StudySettings
from jecur.statistics.cross_validated import HeldOutStatistics, held_out_statistics
from jecur.study.cohort_slides import (
    PreparedCohort,
    prepare_study,
    require_unseen_patients,
    study_cohort,
    study_facts,
    usable_slides,
)
from jecur.study.explain import top_tiles, write_heatmaps, write_top_tiles
from jecur.study.model_name import refuse_other_crossval
from jecur.study.report import HEATMAP_LEGEND, heatmap_pictures, slide_rows, tile_pictures
from jecur.study.score import ScoredPatient, score_patients
from jecur.study.train import TrainingPatients, outcomes_of, train_model

__all__ = ["CrossValidationReport", "cross_validate", "divide_study"]

NOBODY = DistinctOutcome((), (), ())


@dataclass(frozen=True, slots=True, repr=False)
class CrossValidationReport(Shown):
    """Result of a cross-validation, and where it lies."""

    statistics: HeldOutStatistics
    report: Path
    summary: Path
    scores: Path
    n_failed_slides: int
    excluded: tuple[Exclusion, ...]

    def said(self) -> tuple[str, str, Path | None]:
        """Give what the held-out patients show."""
        first, *others = self.statistics.lines()
        return first, "\n".join(others), self.report


@dataclass(frozen=True, slots=True)
class HeldOutFold:
    """One fold, scored by the model of the others."""

    rows: pd.DataFrame
    """Of ``scores.csv``."""
    facts: Mapping[str, object]
    """Of ``folds.csv``."""
    n_features: int
    """Numbers a tile, where another network described the tiles; else 0."""
    heatmaps: tuple[HeatmapPicture, ...]
    tiles: tuple[ReviewTile, ...]
    """Most predictive by this fold's model."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What all folds share."""

    study: StudySettings
    settings: CrossvalSettings
    ready: PreparedCohort
    run: RunFolder
    progress: Progress
    workers: int


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
    return _write(bench, patients, done, divisions, excluded)


def divide_study(
    patients: Sequence[Patient], study: StudySettings, settings: CrossvalSettings
) -> list[Folds]:
    """Folds of every repeat; each leaves patients of both outcomes to train on."""
    refuse_labels_alike(_distinct(patients, study), "all patients")
    divisions = []
    for repeat in range(settings.repeats):
        division = split_patients(
            patients,
            n_folds=settings.folds,
            site_preserving=settings.site_preserving,
            seed=settings.seed + repeat,
        )
        for fold in range(settings.folds):
            held_out = division.fold_of == fold
            others = [p for p, out in zip(patients, held_out, strict=True) if not out]
            refuse_labels_alike(_distinct(others, study), _part_name(repeat, fold))
        divisions.append(division)
    return divisions


def _part_name(repeat: int, fold: int) -> str:
    return f"repeat-{repeat + 1}-fold-{fold + 1}"


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
    name = _part_name(repeat, fold)
    part = bench.run.part(name)
    study = bench.study
    if bench.settings.inner_folds:
        epochs = _choose_epochs(bench, others, part, seed=bench.settings.seed + repeat)
        training = study.training.with_changes(epochs=epochs)
        study = msgspec.structs.replace(study, training=training)
    training_patients = TrainingPatients(_distinct(others, study), NOBODY)
    model = _train_fold(bench, study, training_patients, part, name)
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
    rows = [
        {
            "patient_id": s.patient,
            "site": by_id[s.patient].site,
            "repeat": repeat + 1,
            "fold": fold + 1,
            "risk": s.score.risk,
            "group": s.score.group,
            "cutoff": cutoff,
            "months": by_id[s.patient].months,
            "event": int(by_id[s.patient].event),
            "n_slides": len(s.slides),
            "n_tiles": len(s.score.tile_scores),
            "model": model.relative_to(bench.run.root).as_posix(),
        }
        for s in scored
    ]
    facts: dict[str, object] = {
        "repeat": repeat + 1,
        "fold": fold + 1,
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


def _pictures(
    bench: CrossValidation, scored: Sequence[ScoredPatient], cutoff: float
) -> tuple[tuple[HeatmapPicture, ...], tuple[ReviewTile, ...]]:
    """Heat maps on the scale of this fold's model, and its share of what the report shows."""
    run, folds, scoring = bench.run, bench.settings.folds, bench.study.scoring
    write_heatmaps(scored, bench.ready.prepared, run, cutoff=cutoff, progress=bench.progress)
    share = msgspec.structs.replace(scoring, n_top_tiles=max(1, scoring.n_top_tiles // folds))
    heatmaps = heatmap_pictures(scored, run, max(1, scoring.n_heatmaps // folds))
    return heatmaps, tuple(top_tiles(scored, run, share))


def _distinct(patients: Sequence[Patient], study: StudySettings) -> DistinctOutcome:
    return outcomes_of(patients, study.training)


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
            _distinct(inner_training, study), _distinct(watched, study)
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


def _write(
    bench: CrossValidation,
    patients: Sequence[Patient],
    done: Sequence[HeldOutFold],
    divisions: Sequence[Folds],
    excluded: tuple[Exclusion, ...],
) -> CrossValidationReport:
    run, study = bench.run, bench.study
    scores = pd.concat([fold.rows for fold in done], ignore_index=True)
    path = write_text(run.root / "scores.csv", csv_text(scores))
    by_id = {patient.id: patient for patient in patients}
    high_risk = (scores["group"] == "high").to_numpy()
    statistics = held_out_statistics(
        evaluation_input(
            study, [by_id[p] for p in scores["patient_id"]], scores["risk"].to_numpy(), high_risk
        ),
        repeat=scores["repeat"].to_numpy(),
        fold=scores["fold"].to_numpy(),
        settings=study.statistics,
    )
    rows = pd.DataFrame([fold.facts for fold in done])
    rows["concordance"] = [row.concordance for row in statistics.folds]
    rows["pairs"] = [row.pairs for row in statistics.folds]
    rows["reason"] = [row.reason for row in statistics.folds]
    write_text(run.root / "folds.csv", csv_text(rows))
    how = [{"method": division.method, "imbalance": division.imbalance} for division in divisions]
    summary = write_text(
        run.root / "crossval.md", _summary(bench, statistics, rows, how[0]["method"], excluded)
    )
    once = scores["repeat"] == 1
    report = report_risks(
        Analyzed(
            study=study,
            patients=[by_id[p] for p in scores.loc[once, "patient_id"]],
            called="patients cross-validated",
            high_risk=high_risk[once.to_numpy()],
            excluded=excluded,
            remarks=bench.ready.cohort.remarks,
        ),
        statistics,
        run,
        made_from=(bench.settings, csv_text(scores)),
        head={
            "virtual": study.virtual,
            "settings": msgspec.to_builtins(bench.settings),
            "divisions": how,
        },
        **_page(bench, done, str(how[0]["method"]), excluded, statistics.n),
    )
    run.write_manifest(study_facts(study, "crossval"))
    return CrossValidationReport(statistics, report, summary, path, bench.ready.n_failed, excluded)


def _page(
    bench: CrossValidation,
    done: Sequence[HeldOutFold],
    method: str,
    excluded: Sequence[Exclusion],
    n_scored: int,
) -> dict[str, Any]:
    """Fill the fields of a report that only a cross-validation fills."""
    study, settings, cohort = bench.study, bench.settings, bench.ready.cohort
    epochs = (
        f"The number of epochs was chosen in {settings.inner_folds} inner folds of the training "
        "patients."
        if settings.inner_folds
        else "No setting was chosen on these patients by the program."
    )
    how = Paragraph(
        "Cross-validation",
        f"Patients of the training and tuning roles were divided into {settings.folds} folds "
        f"({method}), {settings.repeats} time(s). For each fold a model was trained on the others and "
        f"scored it. {epochs} The cut-off is that of the study file, fixed before training. Risks of two "
        "models are on two scales: pairs of patients were compared within folds, and the hazard ratio "
        "and the log-rank test are stratified by fold.",
    )
    left = Counter(e.reason for e in excluded)
    total = len(cohort.patients) + len(cohort.excluded)
    return {
        "kicker": "Cross-validation",
        "flow": (
            FlowStep(
                "Patients in the clinical table",
                total,
                tuple(Reason(text, n) for text, n in left.items()),
            ),
            FlowStep("Scored by a model that never saw them", n_scored),
        ),
        "methods": (how, *methods_paragraphs(study, n_features=done[0].n_features)),
        "statements": (
            RESEARCH_USE_ONLY,
            f"{len(done)} models stand behind this report, one a fold and repeat: it judges the recipe, "
            "not one model file.",
            *cohort.remarks,
        ),
        "facts": {
            "Seeds": {"folds": str(settings.seed), "training": str(study.training.seed)},
        },
        "slides": slide_rows(bench.ready.prepared),
        "heatmaps": tuple(h for fold in done for h in fold.heatmaps),
        "heatmap_legend": f"{HEATMAP_LEGEND} Each fold has the scale of its own model.",
        "tiles": tile_pictures(
            write_top_tiles([tile for fold in done for tile in fold.tiles], bench.run)
        ),
    }


def _summary(
    bench: CrossValidation,
    statistics: HeldOutStatistics,
    folds: pd.DataFrame,
    method: object,
    excluded: Sequence[Exclusion],
) -> str:
    study, settings = bench.study, bench.settings
    tuned = (
        f"chosen in {settings.inner_folds} inner folds" if settings.inner_folds else "not chosen"
    )
    show: Callable[[object], str] = lambda value: "" if value is None else str(value)  # noqa: E731
    columns = [
        "repeat",
        "fold",
        "n",
        "events",
        "n_good",
        "n_poor",
        "epochs",
        "concordance",
        "pairs",
    ]
    lines = [
        f"# {study.name}: cross-validation",
        "",
        f"{RESEARCH_USE_ONLY}{' The patients are virtual.' if study.virtual else ''}",
        "",
        f"Endpoint: {study.cohort.endpoint.kind} ({endpoint_definition(study.cohort.endpoint)}).",
        f"Folds: {settings.folds}, {settings.repeats} time(s); {method}. Epochs: {tuned}. "
        "Cut-off: that of the study file, fixed before training.",
        f"Patients: {statistics.n} scored ({statistics.events} events), {len(excluded)} left out "
        "(exclusions.csv).",
        "",
        *(f"- {line}" for line in statistics.lines()),
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in folds.round(4).astype(object).where(folds.notna(), None).to_dict("records"):
        lines.append("| " + " | ".join(show(row[c]) for c in columns) + " |")
    return "\n".join(lines) + "\n"
