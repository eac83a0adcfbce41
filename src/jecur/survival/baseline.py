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
from jecur.survival.cox import CoxModel, check_covariates
from jecur.survival.follow_up import check_follow_up
from jecur.survival.partial_likelihood import evaluate_likelihood, risk_sets

__all__ = ["BaselineHazard", "baseline_hazard"]


@dataclass(frozen=True, slots=True)
class BaselineHazard:
    """Cumulative hazard of a patient whose covariates are all 0."""

    time: Vector
    """(k,) distinct times, months, rising."""
    cumulative: Vector
    """(k,)"""
    model: CoxModel

    def survival(self, covariates: ArrayLike, times: ArrayLike) -> Matrix:
        """Predicted survival of (m, p) covariates at (t,) times, (m, t)."""
        row = np.searchsorted(self.time, np.atleast_1d(np.asarray(times, float)), side="right")
        hazard = np.concatenate([[0.0], self.cumulative])[row]
        return np.asarray(np.exp(-np.outer(np.exp(self.model.risk(covariates)), hazard)))


def baseline_hazard(
    model: CoxModel, covariates: ArrayLike, time: ArrayLike, event: ArrayLike
) -> BaselineHazard:
    """Estimate the baseline of an unstratified model from the patients it was fitted on.

    Ties as in the model: Efron's hazard [1]_ for "efron" (R's ``basehaz(centered = FALSE)``),
    Breslow's for "breslow".
    """
    months, seen = check_follow_up(time, event)
    x = check_covariates(covariates, months.size, model.names)
    sets = risk_sets(months, seen, np.zeros(months.size, dtype=np.int64), model.ties)
    at = evaluate_likelihood(model.coefficients, x[sets.order], sets)
    steps = np.bincount(sets.slot_row, weights=1.0 / at.slot_denominator, minlength=sets.first.size)
    scaled = np.cumsum(steps) * np.exp(-at.log_scale)
    return BaselineHazard(months[sets.order][sets.first], scaled, model)
