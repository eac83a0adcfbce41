"""How well the risk and each clinical factor tell recurrence: concordance, and AUC at horizons."""

from collections.abc import Callable

import numpy as np

from jecur.arrays import BoolVector, Vector
from jecur.settings import StatisticsSettings
from jecur.statistics.cox_models import fit_terms
from jecur.statistics.results import (
    CLASSIFIER,
    SCORE,
    AucCurve,
    AucPoint,
    CovariateColumn,
    EvaluationInput,
    MarkerConcordance,
)
from jecur.statistics.terms import (
    estimate_or_none,
    estimate_or_reason,
    make_term,
    missing,
    not_estimable,
)
from jecur.survival.auc import (
    TimeDependentAuc,
    cases_and_controls,
    compare_auc,
    time_dependent_auc,
)
from jecur.survival.concordance_index import PairWeight, compare_concordance, concordance
from jecur.survival.estimate import Reported

__all__ = [
    "auc_curves",
    "marker_concordances",
    "marker_labels",
]


def auc_curves(patients: EvaluationInput, settings: StatisticsSettings) -> tuple[AucCurve, ...]:
    """AUC over time of the risk, the risk group, then every covariate."""
    everybody = np.ones(patients.months.size, dtype=np.bool_)
    group = patients.high_risk.astype(np.float64)
    score, groups = marker_labels(patients)
    curves = [_auc_curve((SCORE, score), patients.risk, everybody, patients, settings)]
    if patients.meaning != "group":
        curves.append(_auc_curve((CLASSIFIER, groups), group, everybody, patients, settings))
    for covariate in patients.covariates:
        name = covariate.name, covariate.label
        found, reason = estimate_or_reason(_marker_of(covariate, patients, settings))
        if found is None:
            curves.append(_no_auc(name, reason, ~missing(covariate), patients, settings))
        else:
            curves.append(_auc_curve(name, *found, patients, settings))
    return tuple(curves)


def marker_labels(patients: EvaluationInput) -> tuple[str, str]:
    """Names of the continuous risk and of the risk group."""
    if patients.label == "Classifier":
        return "Risk score", "Risk group"
    if patients.meaning == "group":
        return patients.label, patients.label
    return f"{patients.label}, continuous", f"{patients.label}, high or low"


def marker_concordances(
    patients: EvaluationInput, settings: StatisticsSettings
) -> tuple[MarkerConcordance, ...]:
    """Harrell's and Uno's C of the risk, the group and every covariate, and paired differences.

    A covariate is the linear predictor of its own Cox model on these patients, as in `auc_curves`.
    """
    everybody = np.ones(patients.months.size, dtype=np.bool_)
    score, groups = marker_labels(patients)
    group = patients.high_risk.astype(np.float64)
    out = [_concordances((SCORE, score), (patients.risk, everybody), patients, settings)]
    if patients.meaning != "group":
        found = group, everybody
        out.append(_concordances((CLASSIFIER, groups), found, patients, settings))
    for covariate in patients.covariates:
        marker, reason = estimate_or_reason(_marker_of(covariate, patients, settings))
        name = covariate.name, covariate.label
        if marker is None:
            out.append(_no_concordance(name, reason, ~missing(covariate), patients, settings))
        else:
            out.append(_concordances(name, marker, patients, settings))
    return tuple(out)


def _concordances(
    name: tuple[str, str],
    found: tuple[Vector, BoolVector],
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> MarkerConcordance:
    marker, rows = found
    response = patients.months[rows], patients.event[rows]
    counts = int(rows.sum()), int(response[1].sum())

    def one(weight: PairWeight) -> Reported:
        return estimate_or_none(
            lambda: concordance(marker[rows], *response, weight=weight, level=settings.level),
            counts,
            settings.level,
            "concordance",
        )

    def ahead(weight: PairWeight) -> Reported:
        if name[0] == SCORE:
            return not_estimable(counts, settings.level, "paired difference", "the marker itself")
        return estimate_or_none(
            lambda: compare_concordance(
                patients.risk[rows], marker[rows], *response, weight=weight, level=settings.level
            ),
            counts,
            settings.level,
            "paired difference",
        )

    missing = int(np.sum(~rows))
    return MarkerConcordance(*name, one("n"), one("n/G2"), ahead("n"), ahead("n/G2"), missing)


def _no_concordance(
    name: tuple[str, str],
    reason: str | None,
    known: BoolVector,
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> MarkerConcordance:
    """Show a marker that is none, with those who have a value of it."""
    counts = int(known.sum()), int(patients.event[known].sum())
    gone = not_estimable(counts, settings.level, "concordance", reason)
    return MarkerConcordance(*name, gone, gone, gone, gone, int(known.size - known.sum()))


def _marker_of(
    covariate: CovariateColumn, patients: EvaluationInput, settings: StatisticsSettings
) -> Callable[[], tuple[Vector, BoolVector]]:
    """Make a covariate a marker: the linear predictor of its own Cox model on these patients."""

    def compute() -> tuple[Vector, BoolVector]:
        term = make_term(covariate, patients.months.size)
        model = fit_terms([term], term.known, patients, settings)
        return model.risk(np.nan_to_num(term.columns)), term.known

    return compute


def _auc_curve(
    name: tuple[str, str],
    marker: Vector,
    rows: BoolVector,
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> AucCurve:
    months, event = patients.months[rows], patients.event[rows]
    other = None if patients.competing is None else patients.competing[rows]
    horizons = [*settings.horizons_months, settings.landmark_months]
    value, reason = estimate_or_reason(
        lambda: time_dependent_auc(
            marker[rows],
            months,
            event,
            horizons,
            competing=other,
            recipe=settings.auc_recipe,
            level=settings.level,
        )
    )
    if value is None:
        return _no_auc(name, reason, rows, patients, settings)
    points = _points(value)
    counts = value.n, value.events
    return AucCurve(
        *name,
        points[:-1],
        points[-1],
        not_estimable(counts, settings.level, "paired difference", "the marker itself")
        if name[0] == SCORE
        else estimate_or_none(
            lambda: compare_auc(
                patients.risk[rows],
                marker[rows],
                months,
                event,
                settings.landmark_months,
                competing=other,
                recipe=settings.auc_recipe,
                level=settings.level,
            ),
            counts,
            settings.level,
            "paired difference",
        ),
        *counts,
        int(np.sum(~rows)),
        value.method,
    )


def _points(value: TimeDependentAuc) -> tuple[AucPoint, ...]:
    def number(v: float) -> float | None:
        return float(v) if np.isfinite(v) else None

    return tuple(
        AucPoint(
            float(value.horizons[k]),
            number(value.estimate[k]),
            number(value.lower[k]),
            number(value.upper[k]),
            int(value.n_cases[k]),
            int(value.n_controls[k]),
            int(value.n_at_risk[k]),
            value.reasons[k],
        )
        for k in range(value.horizons.size)
    )


def _no_auc(
    name: tuple[str, str],
    reason: str | None,
    known: BoolVector,
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> AucCurve:
    """Show a marker without AUC: the counts are those of who has a value of it."""
    months, event = patients.months[known], patients.event[known]
    other = np.zeros_like(event) if patients.competing is None else patients.competing[known]
    horizons = [*settings.horizons_months, settings.landmark_months]
    points = []
    for t in horizons:
        case, control = cases_and_controls(months, event, other, t, settings.auc_recipe)
        numbers = int(case.sum()), int(control.sum()), int(np.sum(months >= t))
        points.append(AucPoint(t, None, None, None, *numbers, reason))
    counts = int(known.sum()), int(event.sum())
    difference = not_estimable(counts, settings.level, "paired difference", reason)
    gone = int(known.size - known.sum())
    return AucCurve(*name, tuple(points[:-1]), points[-1], difference, *counts, gone, "AUC")
