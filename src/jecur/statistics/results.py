"""What goes into the statistics of a study, and everything that comes out.

Every number that may not exist is optional and stands beside a ``reason``; the pair is either
(number, None) or (None, why not).
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from jecur.arrays import BoolVector, Vector
from jecur.settings import FactorScale
from jecur.statistics.probabilities import BrierOverTime, Calibration, Decision, HorizonIncidence
from jecur.survival.competing import CumulativeIncidence
from jecur.survival.estimate import (
    ChiSquared,
    Estimate,
    NotEstimable,
    NotTestable,
    Reported,
    ReportedTest,
)
from jecur.survival.survival_curve import KaplanMeier

__all__ = [
    "AddedMeasure",
    "AddedValue",
    "AucCurve",
    "AucPoint",
    "BrierOverTime",
    "Calibration",
    "Caution",
    "CompetingRisks",
    "CovariateColumn",
    "Decision",
    "EvaluationInput",
    "GroupStatistics",
    "HorizonIncidence",
    "HorizonSurvival",
    "MarkerConcordance",
    "ModelRow",
    "MultivariableModel",
    "Reported",
    "ReportedTest",
    "RiskMeaning",
    "StratifiedFactor",
    "StudyStatistics",
    "Subgroup",
    "UnivariableRow",
    "factor_column",
    "factor_name",
    "to_json_dict",
]

CLASSIFIER = "high_risk"
"""Name of the classifier among the covariates: 1 high risk, 0 low."""

SCORE = "risk"
"""Name of the continuous risk among the markers."""

_OF_A_FACTOR = " (factor)"


def factor_name(column: str) -> str:
    """Name a covariate among terms and markers: by its column, if the risk itself is not called so."""
    return f"{column}{_OF_A_FACTOR}" if column in {CLASSIFIER, SCORE} else column


def factor_column(name: str) -> str:
    """Column of a covariate of that `factor_name`."""
    return name.removesuffix(_OF_A_FACTOR)


RiskMeaning = Literal["probability", "score", "group"]
"""What a risk is: a probability of the event, a number that only orders, or two groups."""


@dataclass(frozen=True, slots=True)
class CovariateColumn:
    """One clinical covariate of n patients."""

    name: str
    label: str
    """As printed."""
    kind: Literal["numeric", "categorical"]
    values: tuple[float | str | None, ...]
    """(n,) numbers or levels; None or NaN where missing."""
    reference: str | None = None
    """Level that others are compared with; the first of ``levels`` if left out."""
    unit: str | None = None
    """Unit of a numeric covariate."""
    cut: float | None = None
    """Splits a numeric covariate into subgroups (above it / up to it); its median if left out."""
    levels: tuple[str, ...] = ()
    """Order of levels; as they sort if empty."""
    scale: FactorScale = "linear"
    """Numeric: on which it enters the models; ``values`` and ``cut`` stay as measured."""
    per: float | None = None
    """Numeric, linear: units of one hazard ratio; one if left out."""


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """Patients with their risk and follow-up; one row a patient, the same order everywhere."""

    patient_ids: tuple[str, ...]
    months: Vector
    """(n,) follow-up."""
    event: BoolVector
    """(n,) the endpoint was seen."""
    risk: Vector
    """(n,) higher means earlier event; in (0, 1) if it is read as a probability."""
    high_risk: BoolVector
    """(n,) above the locked cutoff."""
    endpoint_name: str
    endpoint_definition: str
    covariates: tuple[CovariateColumn, ...] = ()
    meaning: RiskMeaning = "probability"
    label: str = "Classifier"
    """The classifier as printed."""
    competing: BoolVector | None = None
    """(n,) follow-up ended by an event after which the endpoint cannot happen: death before
    recurrence. Hazard ratios and concordance count such a patient as censored, probabilities do not."""


@dataclass(frozen=True, slots=True)
class HorizonSurvival:
    """Event-free survival of a group at one horizon; None where nobody was followed so long."""

    months: float
    survival: float | None
    lower: float | None
    upper: float | None
    n_at_risk: int


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """One group's event-free survival; where another event competes, free of both events."""

    name: str
    """"all", "high" or "low"."""
    n: int
    events: int
    median: Reported
    """Months; no estimate where the curve stays above one half."""
    survival: tuple[HorizonSurvival, ...]
    curve: KaplanMeier | None
    reason: str | None = None
    n_competing: int = 0
    incidence: CumulativeIncidence | None = None
    """None where nothing competes."""
    incidence_at: tuple[HorizonIncidence, ...] = ()


@dataclass(frozen=True, slots=True)
class UnivariableRow:
    """One contrast of a model with one covariate."""

    covariate: str
    label: str
    contrast: str
    """"high vs low", "II vs I", "per year"."""
    hazard_ratio: Reported
    term: ReportedTest
    """Likelihood-ratio test of the whole covariate."""
    n_missing: int


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One contrast of the multivariable model."""

    covariate: str
    label: str
    contrast: str
    hazard_ratio: Reported
    proportional_hazards: ReportedTest
    """Of the whole covariate."""


@dataclass(frozen=True, slots=True)
class MultivariableModel:
    """The classifier beside clinical covariates."""

    rule: str
    covariates: tuple[str, ...]
    left_out: tuple[str, ...]
    """Covariates that did not enter, each with the reason."""
    rows: tuple[ModelRow, ...]
    n: int
    events: int
    n_excluded_missing: int
    proportional_hazards: ReportedTest
    likelihood_ratio: ReportedTest
    added_value: ReportedTest
    """Likelihood-ratio test of what the classifier adds to the covariates."""
    added_value_score: ReportedTest
    """The same of the continuous risk in place of the two groups."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Subgroup:
    """High versus low risk within one level of a factor."""

    level: str
    n: int
    events: int
    hazard_ratio: Reported
    logrank: ReportedTest
    high: GroupStatistics
    low: GroupStatistics


@dataclass(frozen=True, slots=True)
class StratifiedFactor:
    """High versus low risk within every level of a factor."""

    covariate: str
    label: str
    levels: tuple[Subgroup, ...]
    n_missing: int
    stratified_logrank: ReportedTest
    interaction: ReportedTest
    """Likelihood-ratio test that the classifier's hazard ratio is the same in all levels."""


@dataclass(frozen=True, slots=True)
class AucPoint:
    """AUC at one horizon."""

    months: float
    estimate: float | None
    lower: float | None
    upper: float | None
    n_cases: int
    n_controls: int
    n_at_risk: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AucCurve:
    """Time-dependent AUC of one marker."""

    marker: str
    label: str
    points: tuple[AucPoint, ...]
    landmark: AucPoint
    difference: Reported
    """Continuous risk less this marker at the landmark, same patients."""
    n: int
    events: int
    n_missing: int
    method: str


@dataclass(frozen=True, slots=True)
class MarkerConcordance:
    """Concordance of one marker, and how far the risk is ahead of it in the same patients."""

    marker: str
    label: str
    harrell: Reported
    uno: Reported
    difference: Reported
    """Harrell's C of the continuous risk less this marker's, paired."""
    difference_uno: Reported
    n_missing: int


@dataclass(frozen=True, slots=True)
class CompetingRisks:
    """The endpoint where another event competes with it."""

    n_competing: int
    groups: tuple[tuple[str, CumulativeIncidence], ...]
    """("high" or "low", curve); an empty group has none."""
    gray: ReportedTest
    """Gray's test that both groups have one cumulative incidence."""
    subdistribution: tuple[UnivariableRow, ...]
    """Fine-Gray ratios, high versus low risk and each covariate alone."""


@dataclass(frozen=True, slots=True)
class AddedMeasure:
    """One measure of the clinical model without and with the score, in the same patients."""

    name: str
    months: float | None
    """Horizon; None where there is none."""
    clinical: Reported
    with_score: Reported
    difference: Reported
    """With the score less without it."""
    corrected_clinical: float | None = None
    """Less the optimism of having been fitted to these patients; None where nobody asked for it."""
    corrected_with_score: float | None = None
    corrected_difference: float | None = None
    n_cases: int | None = None
    """AUC: patients with the event by the horizon."""
    n_controls: int | None = None


@dataclass(frozen=True, slots=True)
class AddedValue:
    """What the continuous score adds to the model of all clinical factors."""

    factors: tuple[str, ...]
    left_out: tuple[str, ...]
    """Factors that could not enter, each with the reason."""
    n: int
    events: int
    n_excluded_missing: int
    n_parameters: int
    """Coefficients of the larger model."""
    likelihood_ratio: ReportedTest
    measures: tuple[AddedMeasure, ...]
    n_replicates: int
    """Bootstrap draws behind the corrected numbers; 0 if they were not computed."""
    n_requested: int
    """Draws that were asked for."""
    seed: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Caution:
    """What a reader must know before believing a number."""

    code: str
    """"few-events", "few-events-per-parameter", "unit-too-small" or "unit-too-large"."""
    place: Literal["headline", "stratified", "univariable", "multivariable", "added_value"]
    """What it is about."""
    text: str


@dataclass(frozen=True, slots=True)
class StudyStatistics:
    """Everything a report prints."""

    n: int
    events: int
    endpoint_name: str
    endpoint_definition: str
    level: float
    landmark_months: float
    horizons_months: tuple[float, ...]
    median_follow_up: Reported
    overall: GroupStatistics
    groups: tuple[GroupStatistics, ...]
    """High, then low."""
    logrank: ReportedTest
    hazard_ratio: Reported
    """High versus low."""
    proportional_hazards: ReportedTest
    """Of that hazard ratio."""
    hazard_ratio_per_sd: Reported
    """Per standard deviation of the risk."""
    concordance: Reported
    """Harrell's, of the continuous risk."""
    concordance_uno: Reported
    concordance_groups: Reported
    """Harrell's, of high versus low."""
    concordance_bootstrap: Reported | None
    univariable: tuple[UnivariableRow, ...]
    multivariable: MultivariableModel
    stratified: tuple[StratifiedFactor, ...]
    auc: tuple[AucCurve, ...]
    concordances: tuple[MarkerConcordance, ...]
    """The group and every covariate beside the continuous risk."""
    calibration: Calibration
    integrated_brier: BrierOverTime
    decision: Decision
    competing: CompetingRisks | None
    """None where nothing competes."""
    added_value: AddedValue | None = None
    """None without clinical factors."""
    cautions: tuple[Caution, ...] = ()
    label: str = "Classifier"
    meaning: RiskMeaning = "probability"

    @property
    def n_competing(self) -> int | None:
        """Patients whose follow-up another event ended; None where nothing competes."""
        return None if self.competing is None else self.competing.n_competing

    def to_json_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers and None; see `to_json_dict`."""
        converted: dict[str, Any] = to_json_dict(self)
        return converted


def to_json_dict(value: Any) -> Any:  # noqa: ANN401, PLR0911 -- any value that JSON can hold
    """Turn a tree of dataclasses and arrays into what JSON can hold; NaN and infinity are None."""
    if isinstance(value, Estimate | NotEstimable | ChiSquared | NotTestable):
        return to_json_dict(value.reported())
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json_dict(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: to_json_dict(v) for key, v in value.items()}
    if isinstance(value, np.ndarray):
        return [to_json_dict(v) for v in value.tolist()]
    if isinstance(value, (tuple, list)):
        return [to_json_dict(v) for v in value]
    if isinstance(value, np.generic):
        return to_json_dict(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
