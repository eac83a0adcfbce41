"""Cumulative incidence that a Fine-Gray model predicts for a patient.

The baseline is Breslow's, as in R's ``cmprsk::predict.crr``; it asks only for the linear predictor, so any
fitted model of the subdistribution hazard can be given.

References
----------
.. [1] J. P. Fine, R. J. Gray. A proportional hazards model for the subdistribution of a competing
   risk. J. Am. Stat. Assoc. 94(446), 496-509, 1999.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import Matrix, Vector
from jecur.survival.censoring import censoring_curve
from jecur.survival.follow_up import check_marker, rows_of_curve
from jecur.survival.outcome_at import check_outcome

__all__ = ["SubdistributionBaseline", "subdistribution_baseline"]


@dataclass(frozen=True, slots=True)
class SubdistributionBaseline:
    """Cumulative subdistribution hazard of a patient whose linear predictor is 0."""

    time: Vector
    """(k,) distinct times of the event, months, rising."""
    cumulative: Vector
    """(k,)"""

    def incidence(self, linear: ArrayLike, times: ArrayLike) -> Matrix:
        """Predicted incidence of (m,) linear predictors at (t,) times, (m, t)."""
        row = rows_of_curve(times, self.time, "right")
        hazard = np.concatenate([[0.0], self.cumulative])[row]
        eta = np.asarray(linear, dtype=np.float64)
        return np.asarray(-np.expm1(-np.outer(np.exp(eta), hazard)))


def subdistribution_baseline(
    linear: ArrayLike, time: ArrayLike, event: ArrayLike, competing: ArrayLike
) -> SubdistributionBaseline:
    """Estimate the baseline from the patients that the model was fitted on [1]_.

    Parameters
    ----------
    linear
        (n,) linear predictors, x'b.
    time, event, competing
        Follow-up of the same n patients.
    """
    months, seen, other = check_outcome(time, event, competing)
    eta = check_marker(linear, months.size)
    risk = np.exp(eta - eta.max())
    before = np.maximum(censoring_curve(months, seen | other).before(months), 1e-300)
    order = np.argsort(months, kind="stable")
    t = months[order]
    at = np.unique(months[seen])
    first = np.searchsorted(t, at, side="left")
    later = np.concatenate([np.cumsum(risk[order][::-1])[::-1], [0.0]])[first]
    stay = np.where(other, risk / before, 0.0)[order]
    stayed = np.concatenate([[0.0], np.cumsum(stay)])[first]
    g = before[order][first]
    deaths = np.bincount(np.searchsorted(at, months[seen]), minlength=at.size)
    steps = deaths / (later + g * stayed)
    return SubdistributionBaseline(at, np.asarray(np.cumsum(steps) * np.exp(-eta.max())))
