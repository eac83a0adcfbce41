"""The probability of the event by a horizon, and each patient's part in it.

Without a competing event it is 1 - Kaplan-Meier, with one the cumulative incidence of Aalen and
Johansen. The parts (infinitesimal jackknife) give the standard error of R's ``survfit`` and, added
to the estimate, the pseudo-values of R's ``survival::pseudo``.

References
----------
.. [1] P. K. Andersen, M. Pohar Perme. Pseudo-observations in survival analysis. Stat. Methods Med.
   Res. 19(1), 71-99, 2010.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import BoolVector, Vector
from jecur.errors import NotEstimableError
from jecur.survival.competing import check_competing
from jecur.survival.follow_up import check_follow_up, tied_times
from jecur.survival.inputs import check_horizon

__all__ = ["OutcomeAt", "check_outcome", "outcome_at", "require_beyond"]

EXHAUSTED = 1e-12
"""Nobody is left free of both events below this share: the curve is final however long ago."""


@dataclass(frozen=True, slots=True)
class OutcomeAt:
    """Probability of the event by the horizon."""

    estimate: float
    standard_error: float
    """Greenwood's without a competing event."""
    influence: Vector
    """(n,) sums to 0; its squares sum to the squared standard error."""
    n: int
    events: int
    """Seen by the horizon."""
    n_at_risk: int
    """Followed to the horizon."""
    known: bool
    """Somebody was followed to the horizon, or everybody had an event before it."""

    @property
    def pseudo_values(self) -> Vector:
        """(n,) what each patient adds to the estimate; their mean is the estimate [1]_."""
        return np.asarray(self.estimate + self.n * self.influence)


def check_outcome(
    time: ArrayLike,
    event: ArrayLike,
    competing: ArrayLike | None,
    horizons: Sequence[float] = (),
) -> tuple[Vector, BoolVector, BoolVector]:
    """Return months, event and competing event, three (n,); nobody has one if none is given.

    Times that differ from a horizon by rounding only are that horizon.
    """
    months, seen = check_follow_up(time, event)
    months = tied_times(months, [check_horizon(t) for t in horizons])
    if competing is None:
        return months, seen, np.zeros(months.size, dtype=np.bool_)
    return months, seen, check_competing(competing, seen)


def require_beyond(months: Vector, horizon: float) -> None:
    """Raise ``NotEstimableError`` unless somebody is followed beyond the horizon."""
    if not np.any(months > check_horizon(horizon)):
        raise NotEstimableError(
            f"expected patients followed beyond {horizon:g} months, found none; "
            "take an earlier horizon"
        )


def outcome_at(
    time: ArrayLike, event: ArrayLike, horizon: float, *, competing: ArrayLike | None = None
) -> OutcomeAt:
    """Estimate the probability of the event by ``horizon``.

    Parameters
    ----------
    time, event
        Follow-up of n patients: months, and whether the event was seen.
    horizon
        Months.
    competing
        (n,) whether follow-up ended by an event after which the other cannot happen.

    Raises
    ------
    EndpointError, NotEstimableError
        Follow-up that is none, a patient with both events; no patient.
    """
    months, seen, other = check_outcome(time, event, competing, [horizon])
    times, position = np.unique(months, return_inverse=True)
    total = np.bincount(position, minlength=times.size)
    at_risk = np.cumsum(total[::-1])[::-1].astype(np.float64)
    inside = times <= horizon
    either = seen | other
    wanted = np.bincount(position, weights=seen, minlength=times.size) / at_risk * inside
    hazard = np.bincount(position, weights=either, minlength=times.size) / at_risk * inside
    survival = np.cumprod(1.0 - hazard)
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.cumsum(before * wanted)
    estimate = float(incidence[-1])
    # after a time at which all had an event nothing moves any more
    left = np.where(hazard < 1, 1.0 - hazard, 1.0)
    own = np.where(inside, before / at_risk, 0.0)
    later = np.where(inside & (hazard < 1), (estimate - incidence) / left / at_risk, 0.0)
    drift = np.cumsum(own * wanted - later * hazard)
    influence = own[position] * seen - later[position] * either - drift[position]
    n_at_risk = int(np.sum(months >= horizon))
    return OutcomeAt(
        estimate,
        float(np.sqrt(np.sum(influence**2))),
        np.asarray(influence, dtype=np.float64),
        months.size,
        int(np.sum(seen & (months <= horizon))),
        n_at_risk,
        n_at_risk > 0 or float(survival[-1]) <= EXHAUSTED,
    )
