"""The distribution of censoring, whose inverse weights patients that were seen to the end.

G(t) = P(censored after t), Kaplan-Meier with the roles exchanged. Where events and censorings
fall on one time the events leave the risk set first: that is the order of timeROC, of
riskRegression and of R's concordance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import BoolVector, IntVector, Vector
from jecur.survival.follow_up import LifeTable, life_table

__all__ = ["CensoringCurve", "censoring_curve", "censoring_part"]


@dataclass(frozen=True, slots=True)
class CensoringCurve:
    """G at every distinct time, and what it was computed from."""

    table: LifeTable
    n_at_risk: Vector
    """(k,) patients that could be censored: at risk, less the events of that time."""
    hazard: Vector
    """(k,) of censoring."""
    survival: Vector
    """(k,) G at the distinct times."""

    def before(self, times: ArrayLike) -> Vector:
        """G(t-), just before ``times``, (m,)."""
        row = np.searchsorted(self.table.time, np.asarray(times, dtype=np.float64), side="left")
        return np.asarray(np.concatenate([[1.0], self.survival])[row])

    def at(self, times: ArrayLike) -> Vector:
        """G(t) at ``times``, (m,)."""
        row = np.searchsorted(self.table.time, np.asarray(times, dtype=np.float64), side="right")
        return np.asarray(np.concatenate([[1.0], self.survival])[row])


def censoring_curve(time: Vector, event: BoolVector) -> CensoringCurve:
    """Estimate G from (n,) months and events."""
    table = life_table(time, event)
    able = table.n_risk - table.n_event
    hazard: Vector = np.where(able > 0, table.n_censored / np.maximum(able, 1.0), 0.0)
    survival = np.cumprod(1.0 - hazard, dtype=np.float64)
    return CensoringCurve(table, able, hazard, survival)


def censoring_part(
    curve: CensoringCurve, weighted: Vector, event: BoolVector, row: IntVector | None = None
) -> Vector:
    """Influence of each patient through the estimate of G, (n,).

    For a sum over patients of ``weighted[i]`` = a_i / G(T_i -): adding patient k to the sample
    changes 1 / G(s-) by (1 / G(s-)) times the integral of dM_k(u) / (Y(u) / n) over u < s, M_k
    the martingale of k's censoring.

    Parameters
    ----------
    curve
        Estimated from the same n patients.
    weighted
        (n,) summands, 0 where a patient has none.
    event
        (n,) as given to `censoring_curve`.
    row
        (n,) number of distinct times that went into each summand's G; those before its own
        time if left out.
    """
    n, k = weighted.size, curve.table.time.size
    position = curve.table.position
    own = np.bincount(position if row is None else row, weights=weighted, minlength=k + 1)
    later = np.cumsum(own[::-1])[::-1][1:]  # summands whose G has the censorings at u
    # those left after the censorings of a time, as in Greenwood's formula; nobody is after the last
    able = np.maximum(curve.n_at_risk * (1.0 - curve.hazard), 1.0)
    jump = np.where(event, 0.0, (later / able)[position])
    drift = np.cumsum(later * curve.hazard / able)
    # a patient with an event has left before the censorings of that time
    before = drift - later * curve.hazard / able
    return np.asarray(n * (jump - np.where(event, before[position], drift[position])))
