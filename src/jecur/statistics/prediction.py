"""The risk read as a probability: calibration, Brier score and decision curve of a study."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from jecur.arrays import Vector
from jecur.settings import StatisticsSettings
from jecur.statistics.probabilities import BrierOverTime, Calibration, Decision
from jecur.statistics.results import EvaluationInput
from jecur.statistics.terms import estimate_or_none, estimate_or_reason, not_estimable
from jecur.survival.baseline import baseline_hazard
from jecur.survival.brier import IntegratedBrier, brier_score, integrated_brier_score
from jecur.survival.calibration import (
    calibration_curve,
    calibration_groups,
    calibration_intercept,
    calibration_slope,
    cloglog,
    observed_expected,
)
from jecur.survival.cox import fit_cox
from jecur.survival.decision import decision_curve
from jecur.survival.estimate import Estimate, Reported
from jecur.survival.fine_gray import fit_fine_gray
from jecur.survival.fine_gray_baseline import subdistribution_baseline

__all__ = ["calibration_of_risk", "decision_of_risk", "integrated_brier_of_risk"]

NO_PROBABILITY = (
    "the score is not declared a probability of the event, so there is nothing to compare with "
    "what happened"
)
THRESHOLDS = np.arange(1, 100) / 100


def calibration_of_risk(patients: EvaluationInput, settings: StatisticsSettings) -> Calibration:
    """Read the risk as the probability of the event by the landmark, which it need not be."""
    horizon = settings.landmark_months
    if patients.meaning != "probability":
        gone = _gone(patients, settings, "calibration", NO_PROBABILITY)
        return Calibration(
            horizon, (), None, gone, gone, gone, None, NO_PROBABILITY, NO_PROBABILITY
        )
    response = patients.risk, patients.months, patients.event
    at = (*response, horizon)
    other, level = patients.competing, settings.level
    groups, reason = estimate_or_reason(
        lambda: calibration_groups(
            *at,
            competing=other,
            level=level,
            n_groups=settings.n_calibration_groups,
            interval=settings.interval,
        )
    )
    brier, brier_reason = estimate_or_reason(lambda: brier_score(*at, competing=other, level=level))
    curve, curve_reason = estimate_or_reason(
        lambda: calibration_curve(*at, competing=other, level=level)
    )

    def number(compute: Callable[[], Estimate], method: str) -> Reported:
        return estimate_or_none(compute, _counts(patients), level, method)

    return Calibration(
        horizon,
        groups or (),
        brier,
        number(
            lambda: calibration_slope(*response, competing=other, level=level, ties=settings.ties),
            "calibration slope",
        ),
        number(
            lambda: calibration_intercept(*at, competing=other, level=level),
            "calibration intercept",
        ),
        number(lambda: observed_expected(*at, competing=other, level=level), "observed/expected"),
        curve,
        curve_reason,
        reason or brier_reason,
    )


def decision_of_risk(patients: EvaluationInput, settings: StatisticsSettings) -> Decision:
    """Net benefit of acting on the risk, read as the probability of the event by the landmark."""
    horizon = settings.landmark_months
    if patients.meaning != "probability":
        return Decision(horizon, None, NO_PROBABILITY)
    curve, reason = estimate_or_reason(
        lambda: decision_curve(
            patients.risk,
            patients.months,
            patients.event,
            horizon,
            thresholds=THRESHOLDS,
            competing=patients.competing,
            level=settings.level,
        )
    )
    return Decision(horizon, curve, reason)


def integrated_brier_of_risk(
    patients: EvaluationInput, settings: StatisticsSettings
) -> BrierOverTime:
    """Integrated Brier score of a Cox model (Fine and Gray's with a competing event) of the risk.

    One probability at one horizon says nothing of the time before it; the model, fitted to these
    patients, gives each risk its curve. So any score has one, and it is a little too good.
    """
    horizon = settings.landmark_months
    kind = "Cox" if patients.competing is None else "Fine-Gray"

    def compute() -> IntegratedBrier:
        return integrated_brier_score(
            _predictor(patients, settings),
            patients.months,
            patients.event,
            horizon,
            competing=patients.competing,
            level=settings.level,
        )

    value, reason = estimate_or_reason(compute)
    if value is None:
        gone = _gone(patients, settings, "integrated Brier score", reason)
        return BrierOverTime(horizon, gone, None, None)
    method = f"{value.method}; {kind} model of the risk fitted to these patients"
    score = replace(value, method=method)
    skill = value.skill if np.isfinite(value.skill) else None
    return BrierOverTime(horizon, score, value.null, skill)


def _predictor(
    patients: EvaluationInput, settings: StatisticsSettings
) -> Callable[[float], Vector]:
    """From months to the probability of the event by then, (n,), by a model of the risk alone."""
    column = {
        "probability": cloglog(patients.risk),
        "score": patients.risk,
        "group": patients.high_risk.astype(np.float64),
    }[patients.meaning]
    x, response = column[:, None], (patients.months, patients.event)
    names = ("risk",)
    if patients.competing is None:
        model = fit_cox(x, *response, names=names, ties=settings.ties)
        base = baseline_hazard(model, x, *response)
        return lambda t: np.asarray(1.0 - base.survival(x, [t])[:, 0])
    weighted = fit_fine_gray(x, *response, patients.competing, names=names, ties=settings.ties)
    linear = x @ weighted.coefficients
    linear = linear - linear.mean()
    curve = subdistribution_baseline(linear, *response, patients.competing)
    return lambda t: np.asarray(curve.incidence(linear, [t])[:, 0])


def _gone(
    patients: EvaluationInput, settings: StatisticsSettings, method: str, reason: str | None
) -> Reported:
    return not_estimable(_counts(patients), settings.level, method, reason)


def _counts(patients: EvaluationInput) -> tuple[int, int]:
    return patients.months.size, int(patients.event.sum())
