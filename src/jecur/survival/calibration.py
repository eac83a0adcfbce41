"""Calibration at a horizon: predicted against observed recurrence, and the Brier score.

Observed recurrence of a group is 1 - Kaplan-Meier. The Brier score is the mean squared
difference between the predicted probability and the outcome at the horizon, patients with a known
outcome weighted for those censored before it.

References
----------
.. [1] E. Graf et al. Assessment and comparison of prognostic classification schemes for survival
   data. Stat. Med. 18(17-18), 2529-2545, 1999.
.. [2] T. A. Gerds, M. W. Kattan. Medical risk prediction models. CRC Press, 2021.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jecur.arrays import Vector
from jecur.errors import NotEstimableError, TableError
from jecur.survival.censoring import censoring_curve, censoring_part
from jecur.survival.follow_up import check_follow_up, check_level, check_marker
from jecur.survival.kaplan_meier import IntervalKind, kaplan_meier

__all__ = [
    "BrierScore",
    "CalibrationGroup",
    "brier_score",
    "calibration_groups",
    "check_probabilities",
    "integrated_brier_score",
]


@dataclass(frozen=True, slots=True)
class BrierScore:
    """Mean squared error of predicted probabilities at a horizon; 0 is perfect."""

    estimate: float
    lower: float
    upper: float
    standard_error: float
    null: float
    """Score of the Kaplan-Meier probability given to everybody."""
    skill: float
    """1 - estimate / null; above 0 the prediction beats giving everybody the average."""
    horizon: float
    level: float
    n: int
    events: int
    method: str


@dataclass(frozen=True, slots=True)
class CalibrationGroup:
    """Patients of neighboring predictions."""

    predicted: float
    """Mean predicted probability of the event by the horizon."""
    observed: float
    """1 - Kaplan-Meier at the horizon."""
    lower: float
    upper: float
    n: int
    events: int
    n_at_risk: int
    """Followed to the horizon."""


def brier_score(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
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
    level
        Coverage of the interval.

    Raises
    ------
    NotEstimableError
        If nobody is followed to the horizon.
    TableError
        If a prediction is no probability.
    """
    months, seen = check_follow_up(time, event)
    p = check_probabilities(predicted, months.size)
    if not np.any(months > horizon):
        raise NotEstimableError(
            f"expected patients followed beyond {horizon:g} months, found none; "
            "take an earlier horizon"
        )
    happened, beyond = (months <= horizon) & seen, months > horizon
    censoring = censoring_curve(months, seen)
    g = np.where(beyond, censoring.at(horizon), censoring.before(months))
    weight = np.where(happened | beyond, 1.0 / np.maximum(g, 1e-300), 0.0)
    squared = weight * (happened - p) ** 2
    estimate = float(squared.mean())
    last = np.searchsorted(censoring.table.time, horizon, side="right")
    row = np.where(beyond, last, censoring.table.position).astype(np.int64)
    influence = squared - estimate + censoring_part(censoring, squared, seen, row) / months.size
    n = months.size
    error = float(np.sqrt(np.sum(influence**2) / (n * max(n - 1, 1))))
    half = float(ndtri(0.5 + check_level(level) / 2)) * error
    average = 1.0 - float(kaplan_meier(months, seen).at(horizon)[0])
    null = float((weight * (happened - average) ** 2).mean())
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
        f"Brier score at {horizon:g} months, marginal IPCW",
    )


def integrated_brier_score(
    predicted: ArrayLike, time: ArrayLike, event: ArrayLike, horizons: ArrayLike
) -> float:
    """Brier score averaged over a span of time, by the trapezoid rule [1]_.

    Parameters
    ----------
    predicted
        (n, h) probability of the event by each horizon, in [0, 1].
    time, event
        Follow-up of the same n patients: months, and whether the event was seen.
    horizons
        (h,) months, rising, two or more.

    Raises
    ------
    NotEstimableError
        If nobody is followed to the last horizon.
    TableError
        If shapes do not fit or the horizons do not rise.
    """
    p = np.asarray(predicted, dtype=np.float64)
    at = np.asarray(horizons, dtype=np.float64)
    if at.ndim != 1 or at.size < 2 or np.any(np.diff(at) <= 0) or p.shape[1:] != at.shape:
        raise TableError(
            f"expected rising horizons and one prediction a patient for each, found shapes {at.shape} "
            f"and {p.shape}; give two horizons or more"
        )
    scores = [brier_score(p[:, k], time, event, float(t)).estimate for k, t in enumerate(at)]
    return float(np.trapezoid(scores, at) / (at[-1] - at[0]))


def calibration_groups(  # noqa: PLR0913 -- prediction, response in two parts, options
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    n_groups: int = 5,
    interval: IntervalKind = "log",
    level: float = 0.95,
) -> tuple[CalibrationGroup, ...]:
    """Compare predicted with observed recurrence in groups of rising prediction.

    Equal predictions are never split; fewer distinct predictions give fewer groups.

    Raises
    ------
    TableError
        If a prediction is no probability.
    """
    months, seen = check_follow_up(time, event)
    p = check_probabilities(predicted, months.size)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, n_groups + 1)[1:-1]))
    group = np.searchsorted(edges, p, side="left")
    out = []
    for g in np.unique(group):
        inside = group == g
        curve = kaplan_meier(months[inside], seen[inside], interval=interval, level=level)
        low, high = curve.interval_at(horizon)
        out.append(
            CalibrationGroup(
                float(p[inside].mean()),
                1.0 - float(curve.at(horizon)[0]),
                1.0 - float(high[0]),
                1.0 - float(low[0]),
                curve.n,
                curve.events,
                int(curve.n_at_risk(horizon)[0]),
            )
        )
    return tuple(out)


def check_probabilities(predicted: ArrayLike, n: int) -> Vector:
    """Return (n,) finite probabilities, or raise ``TableError``."""
    p = check_marker(predicted, n)
    if np.any((p < 0) | (p > 1)):
        raise TableError(
            f"expected probabilities in [0, 1], found {p.min():g} to {p.max():g}; "
            "give the probability of the event by the horizon"
        )
    return p
