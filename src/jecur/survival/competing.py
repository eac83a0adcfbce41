"""Cumulative incidence where another event can come first, and Gray's test between groups.

A patient who dies before recurrence will not recur: to censor them is to ask for the recurrences of
a world without death. The cumulative incidence of Aalen and Johansen asks for those of this world:

    F(t) = sum over event times u <= t of S(u-) d(u) / Y(u)

S is the Kaplan-Meier curve of both kinds of event, d the events of interest, Y those at risk.

References
----------
.. [1] O. O. Aalen, S. Johansen. An empirical transition matrix for non-homogeneous Markov chains
   based on censored observations. Scand. J. Stat. 5(3), 141-150, 1978.
.. [2] R. J. Gray. A class of K-sample tests for comparing the cumulative incidence of a competing
   risk. Ann. Stat. 16(3), 1141-1154, 1988.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import chi2 as chi2_distribution

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import EndpointError, NotEstimableError
from jecur.survival.estimate import ChiSquared
from jecur.survival.follow_up import (
    Labels,
    check_follow_up,
    check_level,
    label_codes,
    rows_of_curve,
    times_of_curve,
)
from jecur.survival.inputs import same_patients, truths
from jecur.survival.meeting import refuse_groups_apart
from jecur.survival.newton import inverse
from jecur.survival.survival_curve import IntervalKind, confidence_limits

__all__ = [
    "CumulativeIncidence",
    "check_competing",
    "cumulative_incidence",
    "gray_test",
]


@dataclass(frozen=True, slots=True)
class CumulativeIncidence:
    """Probability of having had the event by each time, the competing event accounted for."""

    time: Vector
    """(k,) distinct times, months, rising."""
    n_risk: Vector
    """(k,) still followed and free of both events."""
    incidence: Vector
    """(k,) of the event of interest, in [0, 1]."""
    incidence_competing: Vector
    """(k,) of the competing event."""
    standard_error: Vector
    """(k,) of ``incidence``, infinitesimal jackknife, as R's ``survfit``."""
    lower: Vector
    """(k,) NaN where there is none: incidence 0, as R."""
    upper: Vector
    lower_competing: Vector
    upper_competing: Vector
    level: float
    n: int
    events: int
    n_competing: int
    method: str

    def at(self, times: ArrayLike) -> Vector:
        """Incidence by ``times``, (m,)."""
        return self._at(self.incidence, times)

    def interval_at(self, times: ArrayLike) -> tuple[Vector, Vector]:
        """Lower and upper limits at ``times``, two (m,)."""
        return self._at(self.lower, times), self._at(self.upper, times)

    def competing_at(self, times: ArrayLike) -> tuple[Vector, Vector, Vector]:
        """Incidence of the competing event by ``times`` and its limits, three (m,)."""
        values = self.incidence_competing, self.lower_competing, self.upper_competing
        low, middle, high = (self._at(v, times) for v in (values[1], values[0], values[2]))
        return middle, low, high

    def known_at(self, months: float) -> bool:
        """Whether somebody was followed to ``months``, or nobody was left free of both events."""
        left = 1.0 - float(self.incidence[-1] + self.incidence_competing[-1])
        at = float(times_of_curve(np.array([months]), self.time)[0])
        return bool(self.time[-1] >= at or left < 1e-12)

    def n_at_risk(self, times: ArrayLike) -> Vector:
        """Patients with follow-up of at least ``times``, (m,)."""
        row = rows_of_curve(times, self.time, "left")
        return np.asarray(np.concatenate([self.n_risk, [0.0]])[row])

    def _at(self, values: Vector, times: ArrayLike) -> Vector:
        row = rows_of_curve(times, self.time, "right")
        return np.asarray(np.concatenate([[0.0], values])[row])


def check_competing(competing: ArrayLike, event: BoolVector) -> BoolVector:
    """Return competing events as bool, (n,).

    Raises
    ------
    EndpointError
        If the length differs, a value is not 0 or 1, or somebody has both events.
    """
    other = truths(competing, "competing events", EndpointError)
    if other.shape != event.shape:
        raise EndpointError(
            f"expected one competing event, 0 or 1, for each of {event.size} patients, found "
            f"shape {other.shape}; give two vectors of the same length"
        )
    if np.any(other & event):
        row = int(np.flatnonzero(other & event)[0])
        raise EndpointError(
            f"expected one event a patient, found the endpoint and a competing event in row {row}; "
            "keep the one that came first"
        )
    return other


@same_patients
def cumulative_incidence(
    time: ArrayLike,
    event: ArrayLike,
    competing: ArrayLike,
    *,
    interval: IntervalKind = "log",
    level: float = 0.95,
) -> CumulativeIncidence:
    """Estimate cumulative incidence [1]_.

    Parameters
    ----------
    time, event
        Follow-up of n patients: months, and whether the event of interest was seen.
    competing
        (n,) whether follow-up ended by the competing event; nobody has both.
    interval
        Scale of the incidence on which its interval is symmetric; "log" is the default of R's
        ``survfit`` for several states.
    level
        Coverage of the pointwise interval.

    Raises
    ------
    EndpointError, NotEstimableError
        Follow-up that is none; a patient with both events; no patient.
    """
    months, seen = check_follow_up(time, event)
    other = check_competing(competing, seen)
    z = float(ndtri(0.5 + check_level(level) / 2))
    times, position = np.unique(months, return_inverse=True)
    k = times.size
    total: Vector = np.bincount(position, minlength=k).astype(np.float64)
    wanted: Vector = np.bincount(position, weights=seen, minlength=k).astype(np.float64)
    both: Vector = wanted + np.bincount(position, weights=other, minlength=k).astype(np.float64)
    at_risk: Vector = np.cumsum(total[::-1])[::-1]
    survival: Vector = np.asarray(np.cumprod(1.0 - both / at_risk), np.float64)
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.cumsum(before * wanted / at_risk)
    rival = np.cumsum(before * (both - wanted) / at_risk)
    error = _standard_error(at_risk, wanted, both, before, incidence)
    error_rival = _standard_error(at_risk, both - wanted, both, before, rival)
    lower, upper = _limits(incidence, error, z, interval)
    lower_rival, upper_rival = _limits(rival, error_rival, z, interval)
    return CumulativeIncidence(
        times,
        at_risk,
        incidence,
        rival,
        error,
        lower,
        upper,
        lower_rival,
        upper_rival,
        level,
        months.size,
        int(seen.sum()),
        int(other.sum()),
        f"Aalen-Johansen, infinitesimal jackknife, {interval} interval, as R's survfit",
    )


def _limits(
    incidence: Vector, error: Vector, z: float, interval: IntervalKind
) -> tuple[Vector, Vector]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        relative = np.where(incidence > 0, error / incidence, 0.0)
        return confidence_limits(incidence, relative, z, interval)


def _standard_error(
    at_risk: Vector, wanted: Vector, both: Vector, before: Vector, incidence: Vector
) -> Vector:
    """Infinitesimal jackknife in closed form, from running sums over the times.

    The influence of a patient on F(t) is the integral over u <= t of
    S(u-) dM_1(u) / Y(u) - (F(t) - F(u)) / (1 - dN/Y) dM(u) / Y(u), M_1 and M the patient's
    martingales of the event of interest and of either event. Its square, summed over patients,
    needs products of what happened at one time only, because martingale increments of
    different times do not covary; discreteness enters through the binomial factors.
    """
    hazard_one, hazard = wanted / at_risk, both / at_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(hazard < 1, 1.0 / (1.0 - hazard), 0.0)
    # at time u: coefficient a = S(u-) on M_1, b = (F(t) - F(u)) / (1 - hazard) on M
    variance_one = hazard_one * (1 - hazard_one) / at_risk
    variance_any = hazard * (1 - hazard) / at_risk * inverse**2
    covariance = hazard_one * (1 - hazard) / at_risk * inverse
    own = np.cumsum(before**2 * variance_one)
    # expand (F(t) - F(u)) into running sums that do not depend on t
    any0, any1, any2 = (np.cumsum(variance_any * incidence**m) for m in range(3))
    mixed0, mixed1 = (np.cumsum(before * covariance * incidence**m) for m in range(2))
    squared = (
        own + incidence**2 * any0 - 2 * incidence * any1 + any2 - 2 * (incidence * mixed0 - mixed1)
    )
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


@same_patients
def gray_test(time: ArrayLike, event: ArrayLike, competing: ArrayLike, group: Labels) -> ChiSquared:
    """Test that groups have one cumulative incidence [2]_, with rho = 0 as R's ``cmprsk``.

    Raises
    ------
    NotEstimableError
        Fewer than two groups; no event; a group that was never at risk with another when the
        event happened (code "groups-apart").
    """
    months, seen = check_follow_up(time, event)
    other = check_competing(competing, seen)
    names, code = label_codes(group, months.size)
    if len(names) < 2 or not seen.any():
        raise NotEstimableError(
            "expected two groups or more and an event, found less; nothing to compare"
        )
    score, covariance = _gray(months, seen, other, code, len(names))
    refuse_groups_apart(names, _together(months, seen, code, len(names)))
    kept = slice(0, len(names) - 1)
    solved = inverse(covariance[kept, kept]) @ score[kept]
    chi2, df = float(score[kept] @ solved), len(names) - 1
    return ChiSquared(
        chi2,
        df,
        float(chi2_distribution.sf(chi2, df)),
        months.size,
        int(seen.sum()),
        "Gray's test",
    )


def _gray(
    time: Vector, event: BoolVector, other: BoolVector, code: IntVector, g: int
) -> tuple[Vector, Matrix]:
    """Score (g,) and its covariance (g, g), all event times at once."""
    at_risk, wanted, rival = _counts(time, event, other, code, g)
    here = at_risk > 0
    safe = np.where(here, at_risk, 1.0)
    left = 1.0 - np.where(here, (wanted + rival) / safe, 0.0)
    km: Matrix = np.asarray(np.cumprod(left, axis=0), np.float64)
    km_before = _shifted(km, 1.0)
    own = _shifted(np.cumsum(np.where(here, km_before * wanted / safe, 0.0), axis=0), 0.0)
    size = np.where(here & (km_before > 0), at_risk / np.where(km_before > 0, km_before, 1.0), 0.0)
    total = size.sum(axis=1)
    d = wanted.sum(axis=1)
    pooled: Vector = np.cumsum(d / np.where(total > 0, total, 1.0))
    pooled_before = _shifted(pooled, 0.0)
    expected_size = size * (1.0 - own)
    share = expected_size / np.maximum(expected_size.sum(axis=1), 1e-300)[:, None]
    score = np.sum(wanted - d[:, None] * share, axis=0)

    a = -size[:, :, None] * size[:, None, :] / np.maximum(total, 1e-300)[:, None, None]
    a[:, np.arange(g), np.arange(g)] += size
    # where one group is left nothing is compared, and what rounding leaves here must not grow: the
    # incidence that is divided by below may have come to 1
    a[(size > 0).sum(axis=1) < 2] = 0.0
    rate = d / np.maximum(total * (1.0 - pooled_before), 1e-300)
    c = np.cumsum(a * rate[:, None, None], axis=0)
    alive = km > 0
    ratio = np.where(alive, (1.0 - pooled)[:, None] / np.where(alive, km, 1.0), 0.0)

    # events of interest
    ties = np.where(
        (d > 1)[:, None],
        1.0 - (d - 1)[:, None] / np.maximum(total[:, None] * km_before - 1.0, 1e-300),
        1.0,
    )
    rate_of_events = km_before * d[:, None] / np.maximum(total[:, None] * safe, 1e-300)
    weight = np.where(here, ties * rate_of_events, 0.0)
    pull = 1.0 - ratio
    first = a - pull[:, None, :] * c
    third = np.sum(pull**2 * weight, axis=0)
    second = np.einsum("tik,tk->ik", first, pull * weight)
    covariance = np.einsum("tik,tjk,tk->ij", first, first, weight)
    # competing events
    ties = np.where(rival > 1, 1.0 - (rival - 1) / np.maximum(at_risk - 1, 1e-300), 1.0)
    weight = np.where(alive & (rival > 0), ties * km_before**2 * rival / safe**2, 0.0)
    third += np.sum(ratio**2 * weight, axis=0)
    moved = ratio[:, None, :] * c
    second -= np.einsum("tik,tk->ik", moved, ratio * weight)
    covariance += np.einsum("tik,tjk,tk->ij", moved, moved, weight)
    end = c[-1]
    # beyond float64 where groups are left after the incidence has come to 1; that is refused later
    with np.errstate(over="ignore", invalid="ignore"):
        covariance += (end * third) @ end.T + end @ second.T + second @ end.T
    return score, covariance


def _together(time: Vector, event: BoolVector, code: IntVector, g: int) -> NDArray[np.bool_]:
    """(g, g) whether two groups were still followed at the first event."""
    there = np.bincount(code[time >= time[event].min()], minlength=g) > 0
    return there[:, None] & there[None, :]


def _counts(
    time: Vector, event: BoolVector, other: BoolVector, code: IntVector, g: int
) -> tuple[Matrix, Matrix, Matrix]:
    """At risk, events and competing events of each group at every time with either, (k, g)."""
    times, position = np.unique(time, return_inverse=True)
    k = times.size
    cell = position * g + code

    def table(weights: BoolVector | None) -> Matrix:
        flat = np.bincount(cell, weights=weights, minlength=k * g)
        return np.asarray(flat.reshape(k, g), dtype=np.float64)

    at_risk = np.cumsum(table(None)[::-1], axis=0)[::-1]
    wanted, rival = table(event), table(other)
    kept = (wanted + rival).sum(axis=1) > 0
    return at_risk[kept], wanted[kept], rival[kept]


def _shifted(values: Matrix | Vector, first: float) -> Matrix:
    """Values just before each time."""
    out = np.empty_like(values)
    out[0], out[1:] = first, values[:-1]
    return out
