"""Log-rank tests: several groups, strata, and the Harrington-Fleming G-rho weights.

At every event time the events of a group are compared with those expected if all groups had
one hazard; the differences are summed over times, and over strata, with weights S(t-)^rho.

Written here because the libraries that agree with R to the last digits offer either strata
or weights, not both at once.

References
----------
.. [1] N. Mantel. Evaluation of survival data and two new rank order statistics. Cancer
   Chemother. Rep. 50(3), 163-170, 1966.
.. [2] D. P. Harrington, T. R. Fleming. A class of rank test procedures for censored survival
   data. Biometrika 69(3), 553-566, 1982.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2 as chi2_distribution

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import NotEstimableError, SettingsError, require_choice
from jecur.survival.estimate import ChiSquared
from jecur.survival.follow_up import Labels, check_follow_up, label_codes, rows_by_code
from jecur.survival.inputs import same_patients
from jecur.survival.meeting import refuse_groups_apart
from jecur.survival.multiplicity import Adjustment, adjust_p_values

__all__ = ["LogRank", "PairwiseLogRank", "logrank", "pairwise_logrank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRank(ChiSquared):
    """A log-rank test."""

    groups: tuple[Hashable, ...]
    """In sorted order."""
    n_per_group: tuple[int, ...]
    observed: Vector = field(compare=False)
    """(g,) events of each group, weighted."""
    expected: Vector = field(compare=False)
    """(g,) events expected under one hazard, weighted."""
    covariance: Matrix = field(compare=False)
    """(g, g) of observed - expected."""


@dataclass(frozen=True, slots=True)
class PairwiseLogRank:
    """Log-rank tests of every pair of groups."""

    pairs: tuple[tuple[Hashable, Hashable], ...]
    tests: tuple[LogRank, ...]
    p_adjusted: Vector
    """(pairs,)"""
    adjustment: str


@same_patients
def logrank(
    time: ArrayLike,
    event: ArrayLike,
    group: Labels,
    *,
    strata: Labels | None = None,
    rho: float = 0.0,
) -> LogRank:
    """Test that all groups have one hazard.

    Parameters
    ----------
    time, event
        Follow-up of n patients: months, and whether the event was seen.
    group
        (n,) group labels.
    strata
        (n,) labels; groups are compared only within a stratum.
    rho
        0 is the log-rank test [1]_; 1 weights early differences (Peto-Peto) [2]_.

    Returns
    -------
    LogRank
        Statistic with (groups with expected events) - 1 degrees of freedom.

    Raises
    ------
    NotEstimableError
        Fewer than two groups; no event while two groups were at risk; groups that never met
        another, as a group alone in its stratum (code "groups-apart").
    """
    if not np.isfinite(rho):
        raise SettingsError(f"rho: expected a finite number, found {rho!r}; 0 is the log-rank test")
    months, seen = check_follow_up(time, event)
    names, code = label_codes(group, months.size)
    if len(names) < 2:
        raise NotEstimableError("expected two groups or more, found one; nothing to compare")
    _, stratum = label_codes(strata, months.size)
    g = len(names)
    observed, expected, covariance = np.zeros(g), np.zeros(g), np.zeros((g, g))
    for inside in rows_by_code(stratum):
        o, e, v = _one_stratum(months[inside], seen[inside], code[inside], g, rho)
        observed += o
        expected += e
        covariance += v
    chi2, df = _quadratic(names, observed, expected, covariance)
    return LogRank(
        chi2,
        df,
        float(chi2_distribution.sf(chi2, df)),
        months.size,
        int(seen.sum()),
        f"{'stratified ' if strata is not None else ''}log-rank"
        + (f", weights S(t-)^{rho:g}" if rho else ""),
        groups=names,
        n_per_group=tuple(int(c) for c in np.bincount(code, minlength=g)),
        observed=observed,
        expected=expected,
        covariance=covariance,
    )


@same_patients
def pairwise_logrank(
    time: ArrayLike,
    event: ArrayLike,
    group: Labels,
    *,
    adjustment: Adjustment = "holm",
) -> PairwiseLogRank:
    """Compare every pair of groups and adjust the p-values for the number of pairs.

    Raises
    ------
    NotEstimableError
        As `logrank`, of the first pair that cannot be compared.
    """
    require_choice("adjustment", adjustment, Adjustment)
    months, seen = check_follow_up(time, event)
    names, code = label_codes(group, months.size)
    pairs, tests = [], []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            inside = (code == i) | (code == j)
            pairs.append((names[i], names[j]))
            tests.append(logrank(months[inside], seen[inside], code[inside]))
    p = adjust_p_values([t.p for t in tests], adjustment)
    return PairwiseLogRank(tuple(pairs), tuple(tests), p, adjustment)


def _one_stratum(
    time: Vector, event: BoolVector, code: IntVector, g: int, rho: float
) -> tuple[Vector, Vector, Matrix]:
    """Observed, expected and covariance of one stratum."""
    times, position = np.unique(time, return_inverse=True)
    k = times.size
    cell = position * g + code
    at_time = np.bincount(cell, minlength=k * g).reshape(k, g).astype(np.float64)
    events = np.bincount(cell, weights=event, minlength=k * g).reshape(k, g)
    at_risk = np.cumsum(at_time[::-1], axis=0)[::-1]
    d, y = events.sum(axis=1), at_risk.sum(axis=1)
    weight = np.ones(k)
    if rho:
        survival = np.cumprod(1.0 - d / y)
        weight = np.concatenate([[1.0], survival[:-1]]) ** rho
    share = at_risk / y[:, None]  # (k, g)
    observed = weight @ events
    expected = (weight * d) @ share
    spread = np.where(y > 1, weight**2 * d * (y - d) / np.maximum(y - 1, 1), 0.0)
    covariance = np.diag(spread @ share) - (share * spread[:, None]).T @ share
    return observed, expected, covariance


def _quadratic(
    names: tuple[Hashable, ...], observed: Vector, expected: Vector, covariance: Matrix
) -> tuple[float, int]:
    """Chi-squared over the groups that could have had an event."""
    used = np.flatnonzero(expected > 0)
    if used.size < 2 or not np.any(np.diag(covariance)[used] > 0):
        raise NotEstimableError(
            "expected events while two groups were at risk, found none; nothing to compare"
        )
    # groups that were at risk together at an event vary together
    refuse_groups_apart([names[k] for k in used], covariance[np.ix_(used, used)] < 0)
    kept = used[1:]
    difference = (observed - expected)[kept]
    solved = np.linalg.solve(covariance[np.ix_(kept, kept)], difference)
    return float(difference @ solved), int(kept.size)
