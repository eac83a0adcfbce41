"""How well the risk and each clinical factor tell recurrence, at horizons, and calibration."""

from collections.abc import Callable

import numpy as np

from jecur.arrays import BoolVector, Vector
from jecur.settings import StatisticsSettings
from jecur.survival.auc import TimeDependentAuc, compare_auc, time_dependent_auc
from jecur.survival.calibration import brier_score, calibration_groups
from jecur.survival.cox import HazardRatio, fit_cox
from jecur.survival.design import attempt, make_term, nothing
from jecur.survival.models import fit_terms
from jecur.survival.study import (
    CLASSIFIER,
    AucCurve,
    AucPoint,
    Calibration,
    CovariateColumn,
    EvaluationInput,
    Reported,
)

__all__ = ["auc_curves", "calibration_of_risk"]


def auc_curves(patients: EvaluationInput, settings: StatisticsSettings) -> tuple[AucCurve, ...]:
    """AUC over time of the risk, the risk group, then every covariate."""
    everybody = np.ones(patients.months.size, dtype=np.bool_)
    group = patients.high_risk.astype(np.float64)
    curves = [
        _auc_curve(("risk", "Risk score"), patients.risk, everybody, patients, settings),
        _auc_curve((CLASSIFIER, "Risk group"), group, everybody, patients, settings),
    ]
    for covariate in patients.covariates:
        name = covariate.name, covariate.label
        found, reason = attempt(_marker_of(covariate, patients, settings))
        if found is None:
            curves.append(_no_auc(name, reason, patients, settings))
        else:
            curves.append(_auc_curve(name, *found, patients, settings))
    return tuple(curves)


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
    horizons = [*settings.horizons_months, settings.landmark_months]
    value, reason = attempt(
        lambda: time_dependent_auc(
            marker[rows],
            months,
            event,
            horizons,
            recipe=settings.auc_recipe,
            level=settings.level,
        )
    )
    if value is None:
        return _no_auc(name, reason, patients, settings)
    points = _points(value)
    difference, why = (
        (None, "the marker itself")
        if name[0] == "risk"
        else attempt(
            lambda: compare_auc(
                patients.risk[rows],
                marker[rows],
                months,
                event,
                settings.landmark_months,
                recipe=settings.auc_recipe,
                level=settings.level,
            )
        )
    )
    counts = value.n, value.events
    return AucCurve(
        *name,
        points[:-1],
        points[-1],
        nothing(counts, settings.level, "paired difference", why)
        if difference is None
        else Reported(
            difference.estimate,
            difference.lower,
            difference.upper,
            difference.p,
            difference.z,
            *counts,
            settings.level,
            difference.method,
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
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> AucCurve:
    counts = patients.months.size, int(patients.event.sum())
    horizons = [*settings.horizons_months, settings.landmark_months]
    points = tuple(AucPoint(t, None, None, None, 0, 0, 0, reason) for t in horizons)
    difference = nothing(counts, settings.level, "paired difference", reason)
    return AucCurve(*name, points[:-1], points[-1], difference, *counts, 0, "AUC")


def calibration_of_risk(patients: EvaluationInput, settings: StatisticsSettings) -> Calibration:
    """Read the risk as the probability of the event by the landmark, which it need not be."""
    counts = patients.months.size, int(patients.event.sum())
    response = patients.months, patients.event
    horizon = settings.landmark_months
    groups, reason = attempt(
        lambda: calibration_groups(
            patients.risk,
            *response,
            horizon,
            n_groups=settings.n_calibration_groups,
            interval=settings.interval,
            level=settings.level,
        )
    )
    brier, brier_reason = attempt(
        lambda: brier_score(patients.risk, *response, horizon, level=settings.level)
    )
    return Calibration(
        horizon, groups or (), brier, _slope(patients, counts, settings), reason or brier_reason
    )


def _slope(
    patients: EvaluationInput, counts: tuple[int, int], settings: StatisticsSettings
) -> Reported:
    logit = np.log(patients.risk / (1 - patients.risk))

    def fit() -> HazardRatio:
        names = ("logit(risk)",)
        model = fit_cox(
            logit[:, None], patients.months, patients.event, names=names, ties=settings.ties
        )
        return model.hazard_ratios(level=settings.level)[0]

    ratio, reason = attempt(fit)
    if ratio is None:
        return nothing(counts, settings.level, "Cox on logit(risk)", reason)
    return Reported(
        ratio.coefficient,
        float(np.log(ratio.lower)),
        float(np.log(ratio.upper)),
        ratio.p,
        ratio.z,
        *counts,
        settings.level,
        f"coefficient of logit(risk); {ratio.method}",
    )
