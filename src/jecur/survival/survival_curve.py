"""Kaplan-Meier survival with Greenwood's variance and R's three common intervals.

    S(t) = prod over s <= t of (1 - d(s) / Y(s))
    var log S(t) = sum over s <= t of d(s) / (Y(s) (Y(s) - d(s)))

Written here, and not taken from a library, because the default interval differs between
programs ("log" in R, "log-log" in lifelines) and so does the median where the curve runs flat
at one half; this file gives R's value in both.

References
----------
.. [1] E. L. Kaplan, P. Meier. Nonparametric estimation from incomplete observations. J. Am.
   Stat. Assoc. 53(282), 457-481, 1958.
.. [2] M. Schemper, T. L. Smith. A note on quantifying follow-up in studies of failure time.
   Control. Clin. Trials 17(4), 343-346, 1996.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jecur.arrays import IntVector, Vector
from jecur.errors import SettingsError, require_choice
from jecur.survival.estimate import Estimate, NotEstimable, Reported
from jecur.survival.follow_up import (
    check_follow_up,
    check_level,
    life_table,
    rows_of_curve,
)
from jecur.survival.inputs import check_horizon, same_patients

__all__ = [
    "IntervalKind",
    "KaplanMeier",
    "confidence_limits",
    "kaplan_meier",
    "median_follow_up",
]

IntervalKind = Literal["log", "log-log", "plain"]
FLAT = 1e-12
"""A curve this close to a probability is on it, as in R."""


@dataclass(frozen=True, slots=True)
class KaplanMeier:
    """A survival curve; steps down at ``time`` and holds its value until the next."""

    time: Vector
    """(k,) distinct times, months, rising; events and censorings."""
    n_risk: Vector
    """(k,) patients at risk just before."""
    n_event: Vector
    """(k,)"""
    n_censored: Vector
    """(k,)"""
    survival: Vector
    """(k,) in [0, 1]."""
    standard_error: Vector
    """(k,) of the survival itself, Greenwood."""
    lower: Vector
    """(k,) NaN where there is none: survival 0, or survival 1 with "log-log"; as R."""
    upper: Vector
    """(k,)"""
    level: float
    n: int
    events: int
    method: str

    def at(self, times: ArrayLike) -> Vector:
        """Survival at ``times``, (m,); beyond the last follow-up the last value, as R extends."""
        return self._step(self.survival, times, 1.0)

    def interval_at(self, times: ArrayLike) -> tuple[Vector, Vector]:
        """Lower and upper limits at ``times``, two (m,)."""
        return self._step(self.lower, times, 1.0), self._step(self.upper, times, 1.0)

    def n_at_risk(self, times: ArrayLike) -> IntVector:
        """Patients with follow-up of at least ``times``, (m,)."""
        row = rows_of_curve(times, self.time, "left")
        return np.append(self.n_risk, 0.0)[row].astype(np.int64)

    def quantile(self, probability: float) -> Reported:
        """Time by which a fraction ``probability`` has had the event, months; R's ``quantile``.

        `NotEstimable` where the curve does not come down far enough; a limit may exist all the same.

        Raises
        ------
        SettingsError
            If it is no fraction.
        """
        number = isinstance(probability, int | float | np.number) and not isinstance(
            probability, bool
        )
        if not number or not 0 <= probability <= 1:
            raise SettingsError(f"expected a probability from 0 to 1, found {probability!r}")
        q = 1.0 - probability
        time, lower, upper = (
            _crossing(self.time, curve, q) for curve in (self.survival, self.lower, self.upper)
        )
        limits = _or_none(lower), _or_none(upper)
        counts = self.n, self.events, self.level, self.method
        if np.isfinite(time):
            return Estimate(time, *limits, None, None, self.n, self.events, self.level, self.method)
        where = "one half" if probability == 0.5 else f"{q:g}"
        return NotEstimable(f"the curve stays above {where}", *counts, *limits)

    def median(self) -> Reported:
        """Median survival, months; the interval inverts the curve's limits."""
        return self.quantile(0.5)

    def restricted_mean(self, horizon: float) -> tuple[float, float]:
        """Area under the curve to ``horizon``, months, and its standard error.

        Raises
        ------
        SettingsError
            If that is no number of months above 0.
        """
        horizon = check_horizon(horizon)
        inside = self.time < horizon
        knots = np.concatenate([[0.0], self.time[inside], [horizon]])
        heights = np.concatenate([[1.0], self.survival[inside]])
        areas = heights * np.diff(knots)
        beyond = np.cumsum(areas[::-1])[::-1][1:]  # area to the right of each event time
        d, y = self.n_event[inside], self.n_risk[inside]
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(y > d, beyond**2 * d / (y * (y - d)), 0.0)
        return float(areas.sum()), float(np.sqrt(terms.sum()))

    def _step(self, values: Vector, times: ArrayLike, start: float) -> Vector:
        row = rows_of_curve(times, self.time, "right")
        return np.concatenate([[start], values])[row]


@same_patients
def kaplan_meier(
    time: ArrayLike,
    event: ArrayLike,
    *,
    interval: IntervalKind = "log",
    level: float = 0.95,
) -> KaplanMeier:
    """Estimate survival [1]_.

    Parameters
    ----------
    time, event
        Follow-up of n patients: months, and whether the event was seen.
    interval
        Scale on which the interval is symmetric. "log" is R's default.
    level
        Coverage of the pointwise interval.

    Returns
    -------
    KaplanMeier
        The curve at every distinct time.

    Raises
    ------
    EndpointError, NotEstimableError
        Follow-up that is none, or no patient.
    """
    months, seen = check_follow_up(time, event)
    z = float(ndtri(0.5 + check_level(level) / 2))
    table = life_table(months, seen)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        survival = np.cumprod(1.0 - table.n_event / table.n_risk, dtype=np.float64)
        variance: Vector = np.cumsum(
            table.n_event / (table.n_risk * (table.n_risk - table.n_event))
        )
        log_error = np.sqrt(variance)
        lower, upper = confidence_limits(survival, log_error, z, interval)
        error = np.where(survival > 0, survival * log_error, np.nan)
    return KaplanMeier(
        table.time,
        table.n_risk,
        table.n_event,
        table.n_censored,
        survival,
        error,
        lower,
        upper,
        level,
        months.size,
        int(seen.sum()),
        f"Kaplan-Meier, Greenwood variance, {interval} interval",
    )


@same_patients
def median_follow_up(
    time: ArrayLike,
    event: ArrayLike,
    *,
    interval: IntervalKind = "log",
    level: float = 0.95,
) -> Reported:
    """Median follow-up by the reverse Kaplan-Meier curve: events censor, censoring counts [2]_."""
    months, seen = check_follow_up(time, event)
    median = kaplan_meier(months, ~seen, interval=interval, level=level).median()
    median = replace(
        median, events=int(seen.sum()), method=f"reverse Kaplan-Meier, {interval} interval"
    )
    if isinstance(median, NotEstimable):
        return replace(median, reason="too few patients were censored")
    return median


def confidence_limits(
    survival: Vector, log_error: Vector, z: float, interval: IntervalKind
) -> tuple[Vector, Vector]:
    """Limits of (k,) probabilities, as R's ``survfit``; NaN where there are none.

    Parameters
    ----------
    survival
        Probabilities: survival, or the cumulative incidence.
    log_error
        (k,) standard errors of their logarithms.
    z
        Quantile of the normal distribution.
    interval
        Scale on which the interval is symmetric.
    """
    require_choice("interval", interval, IntervalKind)
    if interval == "plain":
        half = z * survival * log_error
        return np.maximum(survival - half, 0.0), np.minimum(survival + half, 1.0)
    if interval == "log":
        factor = np.exp(z * log_error)
        lower, upper = survival / factor, np.minimum(survival * factor, 1.0)
    else:
        log_survival = np.log(survival)
        factor = np.exp(z * log_error / -log_survival)
        lower, upper = np.exp(log_survival * factor), np.exp(log_survival / factor)
        certain = survival >= 1
        lower, upper = np.where(certain, np.nan, lower), np.where(certain, np.nan, upper)
    gone = survival <= 0
    return np.where(gone, np.nan, lower), np.where(gone, np.nan, upper)


def _crossing(time: Vector, curve: Vector, level: float) -> float:
    """First time the curve is at or below ``level``; the middle of a stretch that lies on it."""
    below = np.flatnonzero(curve <= level + FLAT)  # NaN compares false
    if below.size == 0:
        return float("nan")
    first = int(below[0])
    if curve[first] < level - FLAT:
        return float(time[first])
    under = np.flatnonzero(curve < level - FLAT)
    end = int(under[0]) if under.size else time.size - 1
    return float((time[first] + time[end]) / 2)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
