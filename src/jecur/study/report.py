"""What the study found, put into files: statistics, tables, figures and the report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from jecur.cohort.cohort import Cohort, Exclusion
from jecur.evaluation.report import Analyzed, evaluation_input, report_risks
from jecur.explain.review import read_closed
from jecur.model.card import write_card
from jecur.model.file import Bundle, read_bundle
from jecur.report.content import (
    HeatmapPicture,
    PlantedFeature,
    PlantedTruth,
    RiskValues,
    SlideRow,
    TilePicture,
)
from jecur.report.methods import methods_paragraphs
from jecur.report.review import review_entries
from jecur.report.shown import Shown
from jecur.report.verdict import give_verdict
from jecur.runs.folder import RunFolder
from jecur.runs.pictures import jpeg_of_file
from jecur.settings import StudySettings
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import StudyStatistics
from jecur.study.explain import TopTilePicture
from jecur.study.patient_flow import exclusions, patient_flow, statements, trained_counts
from jecur.study.score import ScoredPatient
from jecur.study.slide_task import PreparedSlide
from jecur.study.training_task import TrainingPatients

__all__ = ["PlantedCohort", "StudyReport", "StudyResults", "write_study_report"]


HEATMAP_LEGEND = (
    "Orange tiles point to early recurrence, violet ones to late or none; the colors turn where a tile "
    "alone would reach the cut-off. Slides are evenly spread over the range of risk, not picked."
)


@dataclass(frozen=True, slots=True)
class PlantedCohort:
    """Truth of a virtual cohort."""

    oracle_concordance: float
    """Harrell's C of the true log hazard on the validation patients."""
    null: bool
    """Whether the tissue was given no effect."""
    features: Mapping[str, tuple[float, Mapping[str, float]]]
    """Feature -> planted log hazard ratio per standard deviation, and the value of each patient."""


@dataclass(frozen=True, slots=True)
class StudyResults:
    """What the stages before made."""

    study: StudySettings
    cohort: Cohort
    training_patients: TrainingPatients
    prepared: Mapping[str, PreparedSlide]
    """Slide -> what became of it."""
    scored: Sequence[ScoredPatient]
    """Validation patients."""
    tiles: Sequence[TopTilePicture]
    model: Path


@dataclass(frozen=True, slots=True, repr=False)
class StudyReport(Shown):
    """Results of a study, and where they lie."""

    statistics: StudyStatistics
    report: Path
    model: Path
    n_failed_slides: int
    virtual: bool
    excluded: tuple[Exclusion, ...]

    def said(self) -> tuple[str, str, Path | None]:
        """Give the finding of the validation patients."""
        verdict = give_verdict(self.statistics, "", virtual=self.virtual)
        return verdict.headline, verdict.detail, self.report


def write_study_report(
    done: StudyResults, run: RunFolder, *, planted: PlantedCohort | None
) -> StudyReport:
    """Compute the statistics of the validation patients and write everything people look at.

    Every patient of the table ends as training, tuning, scored, or excluded
    with a reason; the report checks that the numbers add up.
    """
    study, cohort, training_patients = done.study, done.cohort, done.training_patients
    prepared, scored, model = done.prepared, done.scored, done.model
    bundle = read_bundle(model)
    by_id = {patient.id: patient for patient in cohort.of_role("validation")}
    patients = [by_id[score.patient] for score in scored]
    high_risk = np.array([s.score.high_risk for s in scored], dtype=np.bool_)
    excluded = exclusions(cohort, training_patients, prepared, scored)
    data = evaluation_input(study, patients, np.array([s.score.risk for s in scored]), high_risk)
    statistics = evaluate(data, settings=study.statistics)
    trained = trained_counts(training_patients, prepared)
    review = read_closed(run.root) if done.tiles else None
    report = report_risks(
        Analyzed(
            study=study,
            patients=patients,
            called="validation patients",
            high_risk=high_risk,
            excluded=excluded,
            remarks=cohort.remarks,
        ),
        statistics,
        run,
        made_from=(bundle.sha256, data.patient_ids),
        head={"training": trained},
        tail=review_entries(review),
        flow=patient_flow(study, cohort, training_patients, excluded, len(scored)),
        settings=study,
        methods=methods_paragraphs(study, n_features=_n_features(bundle)),
        statements=(
            *statements(study, trained, len(cohort.unmatched_slides)),
            *cohort.remarks,
        ),
        facts=_facts(study, model, bundle),
        risks=RiskValues(data.risk, data.event, bundle.cutoff),
        slides=slide_rows(prepared),
        heatmaps=heatmap_pictures(scored, run, study.scoring.n_heatmaps),
        heatmap_legend=HEATMAP_LEGEND,
        tiles=tile_pictures(done.tiles),
        review=review,
        model_card=_shown_card(bundle),
        training_curve=_training_curve(bundle),
        banner=_control(planted),
        truth=_truth(planted, statistics, scored),
    )
    failed = sum(slide.status == "failed" for slide in prepared.values())
    return StudyReport(statistics, report, model, failed, study.virtual, tuple(excluded))


def _n_features(bundle: Bundle) -> int:
    """Numbers a tile of a model trained on another network's features; else 0."""
    return bundle.card.input.width or 0


def _facts(study: StudySettings, model: Path, bundle: Bundle) -> dict[str, dict[str, str]]:
    return {
        "Seeds": {
            "training": str(study.training.seed),
            "tiles": str(study.tiling.seed),
            "stain sample": str(study.stain.seed),
        },
        "Model": {"file": model.name, "SHA-256": bundle.sha256},
    }


def slide_rows(prepared: Mapping[str, PreparedSlide]) -> tuple[SlideRow, ...]:
    """Every slide of a study, as the report lists it."""
    return tuple(
        SlideRow(s.slide, s.patient_id, s.status, s.code, s.reason, s.n_tiles)
        for s in prepared.values()
    )


def heatmap_pictures(
    scored: Sequence[ScoredPatient], run: RunFolder, n: int
) -> tuple[HeatmapPicture, ...]:
    """Pick slides evenly over the range of risk, not those that look best."""
    ranked = sorted(scored, key=lambda s: -s.score.risk)
    places = np.unique(np.linspace(0, len(ranked) - 1, min(n, len(ranked))).round().astype(int))
    chosen: list[HeatmapPicture] = []
    for patient in (ranked[i] for i in places):
        folder = run.slide_folder(patient.slides[0])
        if not (folder / "overlay.png").is_file():  # features have no pictures
            continue
        chosen.append(
            HeatmapPicture(
                patient=patient.patient,
                slide=patient.slides[0],
                thumbnail_png=jpeg_of_file(folder / "thumbnail.png"),
                heatmap_png=jpeg_of_file(folder / "overlay.png"),
                risk=patient.score.risk,
                group="high" if patient.score.high_risk else "low",
            )
        )
    return tuple(chosen)


def tile_pictures(tiles: Sequence[TopTilePicture]) -> tuple[TilePicture, ...]:
    """Return the most predictive tiles, as the report shows them."""
    return tuple(
        TilePicture(t.jpeg, t.patient, t.score, "high" if t.end == "high" else "low") for t in tiles
    )


def _shown_card(bundle: Bundle) -> dict[str, object]:
    hidden = ("training_curve", "trained_on")
    card = json.loads(write_card(bundle.card))
    return {key: value for key, value in card.items() if key not in hidden}


def _training_curve(bundle: Bundle) -> tuple[tuple[float, float], ...]:
    return tuple((float(row.epoch), row.training_loss) for row in bundle.card.training_curve)


def _control(planted: PlantedCohort | None) -> str:
    """Say of a control that it is one; else nothing, and the report says what it says of all."""
    if planted is None or not planted.null:
        return ""
    return (
        "Virtual cohort: slides, patients and follow-up were simulated. No real patient is in it. "
        "Control: the tissue was given no effect on recurrence; nothing should be found."
    )


def _truth(
    planted: PlantedCohort | None,
    statistics: StudyStatistics,
    scored: Sequence[ScoredPatient],
) -> PlantedTruth | None:
    achieved = statistics.concordance.estimate
    if planted is None or achieved is None:
        return None
    risks = [patient.score.risk for patient in scored]
    features = tuple(
        PlantedFeature(name, effect, _rank_correlation([values[p.patient] for p in scored], risks))
        for name, (effect, values) in planted.features.items()
    )
    return PlantedTruth(planted.oracle_concordance, achieved, features)


def _rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's; None where one side is constant."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(spearmanr(first, second).statistic)
