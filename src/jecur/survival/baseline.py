"""Baseline hazard of a Cox model, and the survival it predicts for a patient.

References
----------
.. [1] B. Efron. The efficiency of Cox's likelihood function for censored data. J. Am. Stat.
   Assoc. 72(359), 557-565, 1977.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import Matrix, Vector
from jecur.survival.covariates import check_covariates
from jecur.survival.cox import CoxModel
from jecur.survival.follow_up import check_follow_up, rows_of_curve
from jecur.survival.inputs import in_model_order, same_patients
from jecur.survival.partial_likelihood import evaluate_likelihood
from jecur.survival.risk_sets import risk_sets

__all__ = ["BaselineHazard", "baseline_hazard"]


@dataclass(frozen=True, slots=True)
class BaselineHazard:
    """Cumulative hazard over time."""

    time: Vector
    """(k,) distinct times, months, rising."""
    cumulative: Vector
    """(k,) of a patient whose covariates are all 0."""
    model: CoxModel
    center: Vector
    """(p,) covariates of a patient of the middle of the cohort."""
    cumulative_at_center: Vector
    """(k,) that patient's; a covariate far from 0 leaves it a number."""

    def survival(self, covariates: ArrayLike, times: ArrayLike) -> Matrix:
        """Predicted survival of (m, p) covariates at (t,) times, (m, t)."""
        row = rows_of_curve(times, self.time, "right")
        hazard = np.concatenate([[0.0], self.cumulative_at_center])[row]
        with np.errstate(over="ignore", invalid="ignore"):
            risk = np.exp(self.model.risk(self.model.own_covariates(covariates) - self.center))
            product = np.outer(risk, hazard)
        return np.asarray(np.exp(-np.where(hazard == 0.0, 0.0, product)))


@same_patients
def baseline_hazard(
    model: CoxModel, covariates: ArrayLike, time: ArrayLike, event: ArrayLike
) -> BaselineHazard:
    """Estimate the baseline of an unstratified model from the patients it was fitted on.

    Ties as in the model: Efron's hazard [1]_ for "efron" (R's ``basehaz(centered = FALSE)``),
    Breslow's for "breslow".

    Raises
    ------
    NotEstimableError
        If the model has strata or case weights, or was fitted on other patients.
    """
    months, seen = check_follow_up(time, event)
    model.require_fitted_on(months.size, int(seen.sum()), stratified=False)
    x = check_covariates(in_model_order(covariates, model.names), months.size, model.names)
    sets = risk_sets(months, seen, np.zeros(months.size, dtype=np.int64), model.ties)
    center = x.mean(axis=0)
    at = evaluate_likelihood(model.coefficients, (x - center)[sets.order], sets)
    # a patient whose covariates are all 0 may be far from everybody
    with np.errstate(over="ignore", invalid="ignore"):
        hazard = np.exp(-at.slot_base) / at.slot_denominator
        steps = np.bincount(sets.slot_row, weights=hazard, minlength=sets.first.size)
        central = np.asarray(np.cumsum(steps), dtype=np.float64)
        scaled = central * np.exp(-float(center @ model.coefficients))
    cumulative = np.where(central == 0.0, 0.0, scaled)
    return BaselineHazard(months[sets.order][sets.first], cumulative, model, center, central)
