"""The Brier score: how far predicted probabilities are from what happened, at a horizon and over time.

It is the mean squared difference between the predicted probability and the outcome at the horizon;
patients with a known outcome are weighted for those censored before it. A patient who had a
competing event has not had the event, and will not: 0, as in R's ``riskRegression::Score(cause = 1)``.

References
----------
.. [1] E. Graf et al. Assessment and comparison of prognostic classification schemes for survival
   data. Stat. Med. 18(17-18), 2529-2545, 1999.
.. [2] T. A. Gerds, M. W. Kattan. Medical risk prediction models. CRC Press, 2021.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jecur.arrays import BoolVector, Vector
from jecur.errors import TableError
from jecur.survival.censoring import CensoringCurve, censoring_curve, censoring_part
from jecur.survival.competing import cumulative_incidence
from jecur.survival.estimate import Estimate
from jecur.survival.follow_up import check_level, check_marker
from jecur.survival.inputs import same_patients
from jecur.survival.outcome_at import check_outcome, outcome_at, require_beyond
from jecur.survival.survival_curve import kaplan_meier

__all__ = [
    "BrierScore",
    "IntegratedBrier",
    "brier_score",
    "check_probabilities",
    "integrated_brier_score",
]

MIN_TIMES, MAX_TIMES, WORK = 50, 400, 2_000_000
"""The integrated score is evaluated at all follow-up times up to 400; with more, at evenly spaced ones
among them, 400 of up to 5,000 patients and fewer of more, so that a cohort of 100,000 takes seconds."""


@dataclass(frozen=True, slots=True)
class BrierScore:
    """Mean squared error of predicted probabilities at a horizon; 0 is perfect."""

    estimate: float
    lower: float
    upper: float
    standard_error: float
    null: float
    """Score of the average probability (Kaplan-Meier, Aalen-Johansen) given to everybody."""
    skill: float
    """1 - estimate / null; above 0 the prediction beats giving everybody the average."""
    horizon: float
    level: float
    n: int
    events: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegratedBrier(Estimate):
    """Brier score averaged from time 0 to the horizon; 0 is perfect."""

    lower: float
    upper: float
    standard_error: float
    null: float
    """Of the average probability given to everybody at each time."""
    skill: float
    """1 - estimate / null."""
    influence: Vector = field(compare=False)
    """(n,) of each patient on the estimate; sums to 0. Two models are compared by its difference."""
    horizon: float


@dataclass(frozen=True, slots=True)
class _Outcomes:
    months: Vector
    seen: BoolVector
    other: BoolVector
    censoring: CensoringCurve


@same_patients
def brier_score(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    level: float = 0.95,
) -> BrierScore:
    """Inverse-probability-of-censoring weighted Brier score [1]_, [2]_.

    Parameters
    ----------
    predicted
        (n,) probability of the event by ``horizon``, in [0, 1].
    time, event
        Follow-up of the same n patients: months, and whether the event was seen.
    horizon
        Months.
    competing
        (n,) whether follow-up ended by a competing event; the probability is then that of the
        event before it.
    level
        Coverage of the interval.

    Raises
    ------
    NotEstimableError
        If nobody is followed beyond the horizon.
    TableError
        If a prediction is no probability.
    """
    months, seen, other = check_outcome(time, event, competing, [horizon])
    p = check_probabilities(predicted, months.size)
    require_beyond(months, horizon)
    data = _Outcomes(months, seen, other, censoring_curve(months, seen | other))
    squared, influence = _at(p, data, horizon)
    average = outcome_at(months, seen, horizon, competing=other).estimate
    null = float(_at(np.full(months.size, average), data, horizon)[0].mean())
    estimate = float(squared.mean())
    n = months.size
    error = _standard_error(influence)
    half = float(ndtri(0.5 + check_level(level) / 2)) * error
    return BrierScore(
        estimate,
        max(0.0, estimate - half),
        estimate + half,
        error,
        null,
        1.0 - estimate / null if null > 0 else float("nan"),
        horizon,
        level,
        n,
        int(seen.sum()),
        f"Brier score at {horizon:g} months, marginal IPCW{_competes(competing)}",
    )


@same_patients
def integrated_brier_score(
    predict: Callable[[float], Vector],
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    level: float = 0.95,
) -> IntegratedBrier:
    """Brier score averaged over the time from 0 to ``horizon`` [1]_.

    Between two follow-up times no prediction of a fitted model and no weight moves, so the integral is a
    sum over those times, as in ``riskRegression::Score(summary = "ibs")``. Beyond 400 times, or
    with more than 5,000 patients, it takes evenly spaced ones among them.

    Parameters
    ----------
    predict
        From months to the (n,) probabilities of the event by then.
    time, event, competing
        As in `brier_score`.
    horizon
        Months.
    level
        Coverage of the interval, in which the predictions count as given.

    Raises
    ------
    NotEstimableError
        If nobody is followed beyond the horizon.
    TableError
        If a prediction is no probability.
    """
    months, seen, other = check_outcome(time, event, competing, [horizon])
    require_beyond(months, horizon)
    data = _Outcomes(months, seen, other, censoring_curve(months, seen | other))
    times = _times(months, horizon)
    average = _average(data, times)
    n = months.size
    squared, influence, null = np.zeros(n), np.zeros(n), 0.0
    for k, (t, width) in enumerate(
        zip(times.tolist(), (np.diff(np.append(times, horizon)) / horizon).tolist(), strict=True)
    ):
        one, part = _at(check_probabilities(predict(t), n), data, t)
        squared += width * one
        influence += width * part
        null += width * float(_at(np.full(n, average[k]), data, t)[0].mean())
    estimate, error = float(squared.mean()), _standard_error(influence)
    half = float(ndtri(0.5 + check_level(level) / 2)) * error
    return IntegratedBrier(
        estimate=estimate,
        lower=max(0.0, estimate - half),
        upper=estimate + half,
        p=None,
        z=None,
        n=n,
        events=int(seen.sum()),
        level=level,
        method=f"integrated Brier score, 0 to {horizon:g} months, marginal IPCW{_competes(competing)}",
        standard_error=error,
        null=null,
        skill=1.0 - estimate / null if null > 0 else float("nan"),
        influence=influence / n,
        horizon=horizon,
    )


def check_probabilities(predicted: ArrayLike, n: int) -> Vector:
    """Return (n,) finite probabilities, or raise ``TableError``."""
    p = check_marker(predicted, n)
    if np.any((p < 0) | (p > 1)):
        raise TableError(
            f"expected probabilities in [0, 1], found {p.min():g} to {p.max():g}; "
            "give the probability of the event by the horizon"
        )
    return p


def _at(p: Vector, data: _Outcomes, horizon: float) -> tuple[Vector, Vector]:
    """Weighted squared errors (n,), whose mean is the score, and n times their influence (n,)."""
    by, beyond = data.months <= horizon, data.months > horizon
    happened = by & data.seen
    g = np.where(beyond, data.censoring.at(horizon), data.censoring.before(data.months))
    known = happened | (by & data.other) | beyond
    weight = np.where(known, 1.0 / np.maximum(g, 1e-300), 0.0)
    squared = np.asarray(weight * (happened - p) ** 2)
    last = np.searchsorted(data.censoring.table.time, horizon, side="right")
    row = np.where(beyond, last, data.censoring.table.position).astype(np.int64)
    through_g = censoring_part(data.censoring, squared, data.seen | data.other, row)
    return squared, squared - squared.mean() + through_g / data.months.size


def _standard_error(influence: Vector) -> float:
    n = influence.size
    return float(np.sqrt(np.sum(influence**2) / (n * max(n - 1, 1))))


def _times(months: Vector, horizon: float) -> Vector:
    """0 and the follow-up times before the horizon, at most some 400 of them, rising."""
    inside = np.unique(months[(months > 0) & (months < horizon)])
    most = int(np.clip(WORK // months.size, MIN_TIMES, MAX_TIMES))
    if inside.size > most:
        inside = inside[np.linspace(0, inside.size - 1, most).round().astype(np.int64)]
    return np.concatenate([[0.0], inside])


def _average(data: _Outcomes, times: Vector) -> Vector:
    """Probability of the event by each time, in everybody, (t,)."""
    if not data.other.any():
        return np.asarray(1.0 - kaplan_meier(data.months, data.seen).at(times))
    return cumulative_incidence(data.months, data.seen, data.other).at(times)


def _competes(competing: ArrayLike | None) -> str:
    return "" if competing is None else ", competing risks"
