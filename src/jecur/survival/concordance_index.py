"""Concordance: the share of comparable pairs in which the higher risk recurs first.

A pair is comparable if the earlier of the two times is an event; a patient censored at that very
time is the later one. Pairs with equal risk count one half. Weights of an event time: 1
(Harrell), or 1 / G(t-)^2 (Uno), which makes the value free of the censoring pattern.

The variance is the infinitesimal jackknife of R's ``concordance``: the sum over patients of
the squared change of C when a patient's weight is moved.

References
----------
.. [1] F. E. Harrell et al. Evaluating the yield of medical tests. JAMA 247(18), 2543-2546, 1982.
.. [2] H. Uno et al. On the C-statistics for evaluating overall adequacy of risk prediction
   procedures with censored survival data. Stat. Med. 30(10), 1105-1117, 2011.
.. [3] T. Therneau, E. Atkinson. Concordance. Vignette of the R package survival, 2020.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from jecur.arrays import BoolVector, IntVector, Vector
from jecur.errors import NotEstimableError, require_choice
from jecur.survival.censoring import censoring_curve
from jecur.survival.estimate import Estimate
from jecur.survival.follow_up import (
    Labels,
    check_follow_up,
    check_level,
    check_marker,
    label_codes,
    life_table,
    rows_by_code,
    tied_times,
)
from jecur.survival.inputs import check_horizon, same_patients
from jecur.survival.pairs import weight_below

__all__ = [
    "NO_ERROR",
    "Concordance",
    "PairWeight",
    "PairedDifference",
    "ProportionInterval",
    "compare_concordance",
    "concordance",
    "harrell_concordance",
    "paired_difference",
    "proportion_interval",
    "uno_concordance",
]

NO_ERROR = 1e-12
"""Standard error of a share of pairs that is rounding."""

PairWeight = Literal["n", "S", "S/G", "n/G2", "I"]
ProportionInterval = Literal["logit", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concordance(Estimate):
    """Concordance of a marker with time to event; higher marker, earlier event is 1.

    There is no interval where no patient moves it, as where every pair is right: that is no certainty.
    """

    standard_error: float
    concordant: float
    """Weighted number of pairs."""
    discordant: float
    tied_marker: float
    tied_time: float
    """Pairs of events at one time, different markers; not comparable."""
    tied_both: float
    influence: Vector = field(compare=False)
    """(n,) change of the estimate per unit of each patient's weight; sums to 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference(Estimate):
    """First minus second, of two markers on the same patients."""

    lower: float
    upper: float
    z: float
    p: float
    standard_error: float


@same_patients
def concordance(  # noqa: PLR0913 -- the options of R's function
    risk: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    weight: PairWeight = "n",
    tau: float | None = None,
    strata: Labels | None = None,
    cluster: Labels | None = None,
    interval: ProportionInterval = "logit",
    level: float = 0.95,
) -> Concordance:
    """Estimate concordance with any of R's weights of an event time [3]_.

    Parameters
    ----------
    risk
        (n,) marker; higher means earlier event.
    time, event
        Follow-up of the same n patients: months, and whether the event was seen.
    weight
        "n" Harrell [1]_, "n/G2" Uno [2]_, "S" Peto, "S/G" Schemper, "I" one per event.
    tau
        Events later than this, months, are not compared; all if left out.
    strata
        (n,) labels; pairs are formed within a stratum.
    cluster
        (n,) labels; the variance is over clusters.
    interval
        "logit" stays in (0, 1); "plain" is estimate -+ z se.
    level
        Coverage of the interval.

    Returns
    -------
    Concordance
        With numbers of pairs and each patient's influence.

    Raises
    ------
    NotEstimableError
        If no pair is comparable.
    """
    require_choice("weight", weight, PairWeight)
    months, seen = check_follow_up(time, event)
    if tau is not None:
        months = tied_times(months, [check_horizon(tau, "tau")])
    marker = check_marker(risk, months.size)
    _, stratum = label_codes(strata, months.size)
    counts, per_patient = np.zeros(5), np.zeros((months.size, 2))
    for inside in rows_by_code(stratum):
        part, own = _count(marker[inside], months[inside], seen[inside], weight, tau)
        counts += part
        per_patient[inside] = own
    total = counts[:3].sum()
    if total <= 0:
        raise NotEstimableError(
            "expected a patient followed beyond another's event, found no such pair; "
            "concordance cannot be estimated"
        )
    estimate = float((counts[0] + counts[2] / 2) / total)
    influence = (per_patient[:, 0] - estimate * per_patient[:, 1]) / total
    _, code = label_codes(cluster, months.size) if cluster is not None else ((), None)
    grouped = influence if code is None else np.bincount(code, weights=influence)
    error = float(np.sqrt(np.sum(grouped**2)))
    lower, upper = proportion_interval(estimate, error, level, interval)
    concordant, discordant, tied_marker, tied_time, tied_both = (float(c) for c in counts)
    names = {"n": "Harrell's C", "n/G2": "Uno's C"}
    return Concordance(
        estimate=estimate,
        lower=lower,
        upper=upper,
        p=None,
        z=None,
        n=months.size,
        events=int(seen.sum()),
        level=level,
        method=f"{names.get(weight, f'concordance, weights {weight}')}, infinitesimal jackknife"
        + (f", events to {tau:g} months" if tau is not None else ""),
        standard_error=error,
        concordant=concordant,
        discordant=discordant,
        tied_marker=tied_marker,
        tied_time=tied_time,
        tied_both=tied_both,
        influence=influence,
    )


@same_patients
def harrell_concordance(
    risk: ArrayLike, time: ArrayLike, event: ArrayLike, *, level: float = 0.95
) -> Concordance:
    """Harrell's C [1]_: every comparable pair counts the same; see `concordance`."""
    return concordance(risk, time, event, weight="n", level=level)


@same_patients
def uno_concordance(
    risk: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    tau: float | None = None,
    level: float = 0.95,
) -> Concordance:
    """Uno's C [2]_: pairs weighted by 1 / G(t-)^2; see `concordance`.

    The variance takes the weights as known, as R does.
    """
    return concordance(risk, time, event, weight="n/G2", tau=tau, level=level)


@same_patients
def compare_concordance(  # noqa: PLR0913 -- two markers and their options
    first: ArrayLike,
    second: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    weight: PairWeight = "n",
    tau: float | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Difference in concordance of two markers of the same patients, with its interval.

    Raises
    ------
    NotEstimableError
        As `concordance`.
    """
    a = concordance(first, time, event, weight=weight, tau=tau, level=level)
    b = concordance(second, time, event, weight=weight, tau=tau, level=level)
    error = float(np.sqrt(np.sum((a.influence - b.influence) ** 2)))
    difference = a.estimate - b.estimate
    return paired_difference(difference, error, level, (a.n, a.events), f"difference of {a.method}")


def paired_difference(
    difference: float, error: float, level: float, counts: tuple[int, int], method: str
) -> PairedDifference:
    """Wald interval and test of a difference; two equal markers have p = 1.

    Limits, z and p are NaN where two markers differ and no patient moves either, as of a marker that
    orders every pair right beside one that is the same in everybody: that is no certainty.
    """
    half = float(ndtri(0.5 + check_level(level) / 2)) * error
    z = 0.0 if difference == 0 else difference / error if error > 0 else float("nan")
    half = half if np.isfinite(z) else float("nan")
    return PairedDifference(
        estimate=difference,
        lower=difference - half,
        upper=difference + half,
        p=float(2 * ndtr(-abs(z))),
        z=z,
        n=counts[0],
        events=counts[1],
        level=level,
        method=method,
        standard_error=error,
    )


def proportion_interval(
    estimate: float, error: float, level: float, kind: ProportionInterval
) -> tuple[float, float] | tuple[None, None]:
    """Wald interval of a share of pairs; none where no patient moves it, as at 0 and 1."""
    require_choice("interval", kind, ProportionInterval)
    half = float(ndtri(0.5 + check_level(level) / 2)) * error
    if not error > NO_ERROR or not 0 < estimate < 1:
        return None, None
    if kind == "plain":
        return estimate - half, estimate + half
    center = np.log(estimate / (1 - estimate))
    half /= estimate * (1 - estimate)
    lower, upper = 1 / (1 + np.exp(half - center)), 1 / (1 + np.exp(-half - center))
    return min(float(lower), estimate), max(float(upper), estimate)  # rounding apart


def _count(
    marker: Vector, time: Vector, event: BoolVector, weight: PairWeight, tau: float | None
) -> tuple[Vector, Vector]:
    """Pairs (5,) and each patient's (n, 2): concordant + tied / 2, and all comparable."""
    position = np.unique(time, return_inverse=True)[1].astype(np.int64)
    used = event if tau is None else event & (time <= tau)
    w = np.where(used, _event_weight(time, event, weight)[position], 0.0)
    rank = np.unique(marker, return_inverse=True)[1].astype(np.int64)
    order = position * 2 + ~event
    top = int(order.max())
    ones, alike = np.ones(time.size), np.zeros_like(rank)
    # as the earlier one of a pair: how many later patients have less, the same, more risk
    later_below, later_equal = weight_below(top - order, rank, ones)
    later_all = weight_below(top - order, alike, ones)[1]
    # as the later one: the weight of earlier events with less, the same, more risk
    earlier_below, earlier_equal = weight_below(order, rank, w)
    earlier_all = weight_below(order, alike, w)[1]
    earlier_above = earlier_all - earlier_below - earlier_equal
    concordant = float(np.sum(w * later_below))
    tied = float(np.sum(w * later_equal))
    comparable = float(np.sum(w * later_all))
    good = w * (later_below + later_equal / 2) + earlier_above + earlier_equal / 2
    counts = np.array([concordant, comparable - concordant - tied, tied, *_tied(order, rank, w)])
    return counts, np.stack([good, w * later_all + earlier_all], axis=1)


def _tied(order: IntVector, rank: IntVector, w: Vector) -> tuple[float, float]:
    """Weighted pairs of events at one time: with different, and with equal, markers."""
    used = w > 0
    weight = w[used]

    def pairs(keys: IntVector) -> float:
        _, first, count = np.unique(keys, return_index=True, return_counts=True)
        return float(np.sum(weight[first] * count * (count - 1) / 2))

    same_time = pairs(order[used])
    both = pairs(order[used] * (int(rank.max()) + 1) + rank[used])
    return same_time - both, both


def _event_weight(time: Vector, event: BoolVector, weight: PairWeight) -> Vector:
    """Weight of a comparable pair at every distinct time, (k,)."""
    table = life_table(time, event)
    if weight == "n":
        return np.ones(table.time.size)
    if weight == "I":
        return 1.0 / table.n_risk
    g = censoring_curve(time, event).before(table.time)
    if weight == "n/G2":
        return np.where(g > 0, 1.0 / np.maximum(g, 1e-300) ** 2, 0.0)
    survival = np.concatenate([[1.0], np.cumprod(1.0 - table.n_event / table.n_risk)])[:-1]
    share = survival * time.size / table.n_risk
    return share if weight == "S" else share / g
