"""Time-dependent AUC, cumulative cases and dynamic controls, weighted for censoring.

The chance that a patient who recurs by t had a higher marker than one who does not:

    AUC(t) = sum over cases i of w_i * mean over controls j of [m_i > m_j] + [m_i = m_j] / 2
             / sum of w_i,     w_i = 1 / G(T_i -)

Controls are followed beyond t. Cases had the event at T <= t ("score", as R's
riskRegression::Score) or T < t ("timeroc", as R's timeROC): with times in whole months the two
differ wherever t itself is an event time. Both are written here, because the libraries that
are at hand weight by 1 / G^2 or take G at T, and then agree with neither.

The standard error is that of the estimator's influence function, the part through the estimate
of G included.

References
----------
.. [1] P. Blanche, J.-F. Dartigues, H. Jacqmin-Gadda. Estimating and comparing time-dependent
   areas under receiver operating characteristic curves for censored event times with competing
   risks. Stat. Med. 32(30), 5381-5397, 2013.
.. [2] H. Uno et al. Evaluating prediction rules for t-year survivors with censored regression
   models. J. Am. Stat. Assoc. 102(478), 527-537, 2007.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import NotEstimableError
from jecur.survival.censoring import CensoringCurve, censoring_curve, censoring_part
from jecur.survival.concordance import (
    PairedDifference,
    ProportionInterval,
    paired_difference,
    proportion_interval,
)
from jecur.survival.follow_up import check_follow_up, check_marker

__all__ = [
    "AucRecipe",
    "RocCurve",
    "TimeDependentAuc",
    "compare_auc",
    "roc_curve",
    "time_dependent_auc",
]

AucRecipe = Literal["score", "timeroc"]


@dataclass(frozen=True, slots=True)
class TimeDependentAuc:
    """AUC at each horizon; NaN, with a reason, where it cannot be estimated."""

    horizons: Vector
    """(h,) months."""
    estimate: Vector
    """(h,)"""
    lower: Vector
    """(h,) pointwise."""
    upper: Vector
    """(h,)"""
    standard_error: Vector
    """(h,)"""
    n_cases: Vector
    """(h,) events by the horizon."""
    n_controls: Vector
    """(h,) followed beyond it, without an event."""
    n_at_risk: Vector
    """(h,) follow-up of at least the horizon."""
    influence: Vector
    """(h, n) of each patient; sums to 0 over patients."""
    reasons: tuple[str | None, ...]
    level: float
    n: int
    events: int
    method: str


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Sensitivity against 1 - specificity at one horizon, thresholds falling."""

    false_positive: Vector
    """(k,) rising from 0 to 1."""
    true_positive: Vector
    """(k,)"""
    thresholds: Vector
    """(k,) marker above which a patient counts as positive; the first is infinite."""
    horizon: float


def time_dependent_auc(  # noqa: PLR0913 -- marker, response in two parts, options
    marker: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizons: ArrayLike,
    *,
    recipe: AucRecipe = "score",
    interval: ProportionInterval = "logit",
    level: float = 0.95,
) -> TimeDependentAuc:
    """Estimate AUC(t) with marginal inverse-probability-of-censoring weights [1]_, [2]_.

    Parameters
    ----------
    marker
        (n,) higher means earlier event.
    time, event
        Follow-up of the same n patients: months, and whether the event was seen.
    horizons
        (h,) months.
    recipe
        Whether an event at the horizon itself is a case ("score") or not ("timeroc").
    interval
        "logit" stays in (0, 1); "plain" is the symmetric one of timeROC and riskRegression.
    level
        Coverage of the pointwise interval.

    Returns
    -------
    TimeDependentAuc
        A horizon without cases or controls is NaN and says why.
    """
    months, seen = check_follow_up(time, event)
    values = check_marker(marker, months.size)
    at = np.atleast_1d(np.asarray(horizons, dtype=np.float64))
    curve = censoring_curve(months, seen)
    code = np.unique(values, return_inverse=True)[1]  # sorted once for all horizons
    weight = 1.0 / np.maximum(curve.before(months), 1e-300)
    rows = [
        _at_horizon(code, weight, months, seen, float(t), recipe=recipe, curve=curve) for t in at
    ]
    estimate = np.array([r[0] for r in rows])
    influence = np.stack([r[1] for r in rows])
    error = _error(influence)
    limits = np.array(
        [
            proportion_interval(a, s, level, interval) if np.isfinite(a) else (np.nan, np.nan)
            for a, s in zip(estimate.tolist(), error.tolist(), strict=True)
        ]
    )
    return TimeDependentAuc(
        at,
        estimate,
        limits[:, 0],
        limits[:, 1],
        error,
        np.array([np.sum(_cases(months, seen, t, recipe)) for t in at]),
        np.array([np.sum(months > t) for t in at]),
        np.array([np.sum(months >= t) for t in at]),
        influence,
        tuple(r[2] for r in rows),
        level,
        months.size,
        int(seen.sum()),
        f"cumulative/dynamic AUC, marginal IPCW, cases T {'<=' if recipe == 'score' else '<'} t",
    )


def compare_auc(  # noqa: PLR0913 -- two markers, response in two parts, options
    first: ArrayLike,
    second: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    recipe: AucRecipe = "score",
    level: float = 0.95,
) -> PairedDifference:
    """Difference in AUC(horizon) of two markers of the same patients, with its interval.

    Raises
    ------
    NotEstimableError
        Without cases or controls at the horizon.
    """
    a = time_dependent_auc(first, time, event, [horizon], recipe=recipe, level=level)
    b = time_dependent_auc(second, time, event, [horizon], recipe=recipe, level=level)
    if a.reasons[0] is not None:
        raise NotEstimableError(a.reasons[0])
    error = float(_error(a.influence[:1] - b.influence[:1])[0])
    difference = float(a.estimate[0] - b.estimate[0])
    method = f"difference of {a.method} at {horizon:g} months"
    return paired_difference(difference, error, level, (a.n, a.events), method)


def roc_curve(
    marker: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    recipe: AucRecipe = "score",
) -> RocCurve:
    """Trace the curve whose area is AUC(horizon).

    Raises
    ------
    NotEstimableError
        Without cases or controls at the horizon.
    """
    months, seen = check_follow_up(time, event)
    values = check_marker(marker, months.size)
    case, control = _cases(months, seen, horizon, recipe), months > horizon
    reason = _reason(case, control, horizon)
    if reason is not None:
        raise NotEstimableError(reason)
    weight = np.where(case, 1.0 / censoring_curve(months, seen).before(months), 0.0)
    cut, position = np.unique(-values, return_inverse=True)
    true = np.cumsum(np.bincount(position, weights=weight, minlength=cut.size))
    false = np.cumsum(np.bincount(position, weights=control, minlength=cut.size))
    start = np.zeros(1)
    return RocCurve(
        np.concatenate([start, false / false[-1]]),
        np.concatenate([start, true / true[-1]]),
        np.concatenate([[np.inf], -cut]),
        horizon,
    )


def _cases(time: Vector, event: BoolVector, t: float, recipe: AucRecipe) -> BoolVector:
    return event & (time <= t if recipe == "score" else time < t)


def _reason(case: BoolVector, control: BoolVector, t: float) -> str | None:
    if not case.any():
        return f"expected events by {t:g} months, found none"
    if not control.any():
        return f"expected patients followed beyond {t:g} months, found none"
    return None


def _at_horizon(  # noqa: PLR0913 -- what all horizons share, and one of them
    code: IntVector,
    inverse_g: Vector,
    time: Vector,
    event: BoolVector,
    t: float,
    *,
    recipe: AucRecipe,
    curve: CensoringCurve,
) -> tuple[float, Vector, str | None]:
    """AUC(t), each patient's influence (n,), and why not; ``code`` ranks the marker densely."""
    n = time.size
    case, control = _cases(time, event, t, recipe), time > t
    reason = _reason(case, control, t)
    if reason is not None:
        return float("nan"), np.full(n, np.nan), reason
    weight = np.where(case, inverse_g, 0.0)
    total, n_controls = float(weight.sum()), float(control.sum())
    beaten = _below_or_half(code, control.astype(np.float64)) / n_controls  # (n,) of a case
    estimate = float(weight @ beaten / total)
    above = 1.0 - _below_or_half(code, weight) / total  # (n,) of a control
    as_case = weight * (beaten - estimate) / total
    as_control = np.where(control, (above - estimate) / n_controls, 0.0)
    through_g = censoring_part(curve, as_case, event) / n
    return estimate, as_case + as_control + through_g, None


def _error(influence: Matrix) -> Vector:
    """Return standard errors from influences (h, n), with the n - 1 of timeROC and riskRegression."""
    n = influence.shape[1]
    return np.asarray(np.sqrt(np.sum(influence**2, axis=1) * n / max(n - 1, 1)))


def _below_or_half(code: IntVector, weight: Vector) -> Vector:
    """Weight of all patients with a lower marker, and half of that with the same, (n,)."""
    own = np.bincount(code, weights=weight)
    return np.asarray((np.cumsum(own) - own / 2.0)[code])
