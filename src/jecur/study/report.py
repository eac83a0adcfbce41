"""What the study found, put into files: statistics, tables, figures and the report."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import spearmanr

import jecur
from jecur.cohort.cohort import Cohort, Exclusion, Patient
from jecur.cohort.endpoint import endpoint_definition
from jecur.evaluation.patients import (
    competing_of,
    covariate_columns,
    describe_patients,
    write_exclusions,
)
from jecur.model.card import write_card
from jecur.model.file import Bundle, read_bundle
from jecur.report.content import (
    HeatmapPicture,
    PlantedFeature,
    PlantedTruth,
    ReportContent,
    RiskValues,
    SlideRow,
    TilePicture,
)
from jecur.report.document import write_report_folder
from jecur.report.methods import methods_paragraphs
from jecur.runs.folder import RunFolder, fingerprint, library_versions, write_json
from jecur.runs.pictures import jpeg_bytes
from jecur.settings import StudySettings
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import EvaluationInput, StudyStatistics
from jecur.study.explain import TopTilePicture
from jecur.study.patient_flow import exclusions, patient_flow, statements, trained_counts
from jecur.study.prepare import PreparedSlide
from jecur.study.score import ScoredPatient
from jecur.study.train import TrainingPatients
from jecur.study.training_card import RESEARCH_USE_ONLY

__all__ = ["PlantedCohort", "StudyReport", "StudyResults", "write_study_report"]


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


@dataclass(frozen=True, slots=True)
class StudyReport:
    """Results of a study, and where they lie."""

    statistics: StudyStatistics
    report: Path
    model: Path
    n_failed_slides: int
    virtual: bool
    excluded: tuple[Exclusion, ...]


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
    excluded = exclusions(cohort, training_patients, prepared, scored)
    data = _evaluation_input(study, patients, scored)
    statistics = evaluate(data, settings=study.statistics)
    trained = trained_counts(training_patients, prepared)
    write_json(
        run.root / "statistics.json",
        {
            "study": study.name,
            "intended_use": RESEARCH_USE_ONLY,
            "endpoint": {"kind": data.endpoint_name, "definition": data.endpoint_definition},
            "training": trained,
            "remarks": list(cohort.remarks),
            "excluded": dict(Counter(f"{e.role}: {e.reason}" for e in excluded)),
            "validation": statistics.to_json_dict(),
        },
    )
    write_exclusions(excluded, run)
    content = ReportContent(
        title=study.name,
        created=run.day_begun("report", fingerprint(study, bundle.sha256, data.patient_ids)),
        endpoint_name=data.endpoint_name,
        endpoint_definition=data.endpoint_definition,
        flow=patient_flow(study, cohort, training_patients, excluded, len(scored)),
        statistics=statistics,
        settings=study,
        methods=methods_paragraphs(study, n_features=_n_features(bundle)),
        statements=(
            *statements(study, trained, len(cohort.unmatched_slides)),
            *cohort.remarks,
        ),
        facts=_facts(study, model, bundle),
        baseline=describe_patients(
            study.cohort.covariates,
            patients,
            data.high_risk,
            "Baseline characteristics, validation patients",
        ),
        risks=RiskValues(data.risk, data.event, bundle.cutoff),
        slides=_slide_rows(prepared),
        heatmaps=_heatmap_pictures(scored, run, study.scoring.n_heatmaps),
        heatmap_legend="Orange tiles point to early recurrence, violet ones to late or none; the colors "
        "turn where a tile alone would reach the cut-off. Slides are evenly spread over the range of "
        "risk, not picked.",
        tiles=tuple(
            TilePicture(t.jpeg, t.patient, t.score, "high" if t.end == "high" else "low")
            for t in done.tiles
        ),
        model_card=_shown_card(bundle),
        training_curve=_training_curve(bundle),
        banner=_banner(study, planted),
        truth=_truth(planted, statistics, scored),
    )
    report = write_report_folder(content, run.root)
    failed = sum(slide.status == "failed" for slide in prepared.values())
    return StudyReport(statistics, report, model, failed, study.virtual, tuple(excluded))


def _evaluation_input(
    study: StudySettings, patients: Sequence[Patient], scored: Sequence[ScoredPatient]
) -> EvaluationInput:
    endpoint = study.cohort.endpoint
    # A sigmoid in double precision reaches 1 beyond a score of 37; statistics want it inside.
    risk = np.clip([s.score.risk for s in scored], 1e-12, 1 - 1e-12).astype(float)
    return EvaluationInput(
        patient_ids=tuple(p.id for p in patients),
        months=np.array([p.months for p in patients], dtype=float),
        event=np.array([p.event for p in patients], dtype=bool),
        risk=risk,
        high_risk=np.array([s.score.high_risk for s in scored], dtype=bool),
        endpoint_name=endpoint.kind,
        endpoint_definition=endpoint_definition(endpoint),
        covariates=covariate_columns(study.cohort.covariates, patients),
        competing=competing_of(patients, declared=endpoint.competing_death == "competes"),
    )


def _n_features(bundle: Bundle) -> int:
    """Numbers a tile of a model trained on another network's features; else 0."""
    return bundle.card.input.width or 0


def _facts(study: StudySettings, model: Path, bundle: Bundle) -> dict[str, dict[str, str]]:
    return {
        "Software": {"jecur": jecur.__version__, **library_versions()},
        "Seeds": {
            "training": str(study.training.seed),
            "tiles": str(study.tiling.seed),
            "stain sample": str(study.stain.seed),
        },
        "Model": {"file": model.name, "SHA-256": bundle.sha256},
    }


def _slide_rows(prepared: Mapping[str, PreparedSlide]) -> tuple[SlideRow, ...]:
    return tuple(
        SlideRow(s.slide, s.patient_id, s.status, s.code, s.reason, s.n_tiles)
        for s in prepared.values()
    )


def _heatmap_pictures(
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
                thumbnail_png=_as_jpeg(folder / "thumbnail.png"),
                heatmap_png=_as_jpeg(folder / "overlay.png"),
                risk=patient.score.risk,
                group="high" if patient.score.high_risk else "low",
            )
        )
    return tuple(chosen)


def _as_jpeg(path: Path) -> bytes:
    """Make a picture small enough for a report to be mailed."""
    with Image.open(path) as picture:
        return jpeg_bytes(np.asarray(picture.convert("RGB")))


def _shown_card(bundle: Bundle) -> dict[str, object]:
    hidden = ("training_curve", "trained_on")
    card = json.loads(write_card(bundle.card))
    return {key: value for key, value in card.items() if key not in hidden}


def _training_curve(bundle: Bundle) -> tuple[tuple[float, float], ...]:
    return tuple((float(row.epoch), row.training_loss) for row in bundle.card.training_curve)


def _banner(study: StudySettings, planted: PlantedCohort | None) -> str:
    if not study.virtual:
        return ""
    text = (
        "Virtual cohort: slides, patients and follow-up were simulated. No real patient is in it."
    )
    if planted is not None and planted.null:
        text += " Control: the tissue was given no effect on recurrence; nothing should be found."
    return text


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
