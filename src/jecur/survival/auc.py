"""Time-dependent AUC, cumulative cases and dynamic controls, weighted for censoring.

The chance that a patient who recurs by t had a higher marker than one who does not:

    AUC(t) = sum over cases i of w_i * mean over controls j of [m_i > m_j] + [m_i = m_j] / 2
             / sum of w_i,     w_i = 1 / G(T_i -)

Controls are followed beyond t; where another event competes, those who had it by t are controls
too, weighted likewise, as in riskRegression (timeROC's second definition). Cases had the
event at T <= t ("score", as R's riskRegression::Score) or T < t ("timeroc", as R's timeROC): with
times in whole months the two differ wherever t itself is an event time. Both are written here,
because the libraries that are at hand weight by 1 / G^2 or take G at T, and then agree with neither.

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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import NotEstimableError, SettingsError, require_choice
from jecur.survival.censoring import CensoringCurve, censoring_curve, censoring_part
from jecur.survival.concordance_index import (
    PairedDifference,
    ProportionInterval,
    paired_difference,
    proportion_interval,
)
from jecur.survival.follow_up import check_marker
from jecur.survival.inputs import check_horizon, same_patients
from jecur.survival.outcome_at import check_outcome

__all__ = [
    "LEAST_G",
    "AucRecipe",
    "RocCurve",
    "TimeDependentAuc",
    "cases_and_controls",
    "compare_auc",
    "roc_curve",
    "time_dependent_auc",
]

LEAST_G = 1e-300
"""Censoring probability below which a weight does not grow on: no patient who counts has so small a one."""

AucRecipe = Literal["score", "timeroc"]


@dataclass(frozen=True, slots=True)
class TimeDependentAuc:
    """AUC at each horizon; NaN, with a reason, where it cannot be estimated."""

    horizons: Vector
    """(h,) months."""
    estimate: Vector
    """(h,)"""
    lower: Vector
    """(h,) pointwise; NaN where no patient moves the estimate, as where every pair is right."""
    upper: Vector
    """(h,)"""
    standard_error: Vector
    """(h,)"""
    n_cases: Vector
    """(h,) events by the horizon."""
    n_controls: Vector
    """(h,) followed beyond it, without an event; or with the competing event by then."""
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


@same_patients
def time_dependent_auc(  # noqa: PLR0913 -- marker, response in two parts, options
    marker: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizons: ArrayLike,
    *,
    competing: ArrayLike | None = None,
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
    competing
        (n,) whether follow-up ended by an event after which the other cannot happen.
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
    require_choice("interval", interval, ProportionInterval)
    at = np.array([check_horizon(t) for t in np.ravel(horizons).tolist()])
    if not at.size:
        raise SettingsError("horizons: expected months above 0, found none")
    data = _outcomes(time, event, competing, recipe, at.tolist())
    months = data.months
    values = check_marker(marker, months.size)
    code = np.unique(values, return_inverse=True)[1]  # sorted once for all horizons
    rows = [_at_horizon(code, data, float(t)) for t in at]
    estimate = np.array([r[0] for r in rows])
    influence = np.stack([r[1] for r in rows])
    error = _error(influence)
    limits = np.array(
        [
            proportion_interval(a, s, level, interval)
            for a, s in zip(estimate.tolist(), error.tolist(), strict=True)
        ],
        dtype=np.float64,  # None is NaN
    )
    return TimeDependentAuc(
        at,
        estimate,
        limits[:, 0],
        limits[:, 1],
        error,
        np.array([np.sum(data.cases(t)) for t in at]),
        np.array([np.sum(data.controls(t)) for t in at]),
        np.array([np.sum(months >= t) for t in at]),
        influence,
        tuple(r[2] for r in rows),
        level,
        months.size,
        int(data.seen.sum()),
        f"cumulative/dynamic AUC, marginal IPCW, cases T {'<=' if recipe == 'score' else '<'} t"
        + ("" if competing is None else ", competing events are controls"),
    )


@same_patients
def compare_auc(  # noqa: PLR0913 -- two markers, response in two parts, options
    first: ArrayLike,
    second: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    recipe: AucRecipe = "score",
    level: float = 0.95,
) -> PairedDifference:
    """Difference in AUC(horizon) of two markers of the same patients, with its interval.

    Raises
    ------
    NotEstimableError
        Without cases or controls at the horizon.
    """
    a, b = (
        time_dependent_auc(
            marker, time, event, [horizon], competing=competing, recipe=recipe, level=level
        )
        for marker in (first, second)
    )
    if a.reasons[0] is not None:
        raise NotEstimableError(a.reasons[0])
    error = float(_error(a.influence[:1] - b.influence[:1])[0])
    difference = float(a.estimate[0] - b.estimate[0])
    method = f"difference of {a.method} at {horizon:g} months"
    return paired_difference(difference, error, level, (a.n, a.events), method)


@same_patients
def roc_curve(
    marker: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    recipe: AucRecipe = "score",
) -> RocCurve:
    """Trace the curve whose area is AUC(horizon).

    Raises
    ------
    NotEstimableError
        Without cases or controls at the horizon.
    """
    data = _outcomes(time, event, competing, recipe, [horizon])
    values = check_marker(marker, data.months.size)
    case, control = data.cases(horizon), data.controls(horizon)
    reason = _reason(case, data.months > horizon, horizon)
    if reason is not None:
        raise NotEstimableError(reason)
    weight = data.weight(horizon)
    cut, position = np.unique(-values, return_inverse=True)
    true = np.cumsum(np.bincount(position, weights=weight * case, minlength=cut.size))
    false = np.cumsum(np.bincount(position, weights=weight * control, minlength=cut.size))
    start = np.zeros(1)
    return RocCurve(
        np.concatenate([start, false / false[-1]]),
        np.concatenate([start, true / true[-1]]),
        np.concatenate([[np.inf], -cut]),
        horizon,
    )


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """Follow-up of n patients, and who is a case and who a control at a horizon."""

    months: Vector
    seen: BoolVector
    other: BoolVector
    recipe: AucRecipe
    censoring: CensoringCurve

    def cases(self, t: float) -> BoolVector:
        return cases_and_controls(self.months, self.seen, self.other, t, self.recipe)[0]

    def controls(self, t: float) -> BoolVector:
        return cases_and_controls(self.months, self.seen, self.other, t, self.recipe)[1]

    def weight(self, t: float) -> Vector:
        """1 / G, just before a patient's own time or at the horizon, (n,)."""
        g = np.where(self.months > t, self.censoring.at(t), self.censoring.before(self.months))
        return np.asarray(1.0 / np.maximum(g, LEAST_G))


def cases_and_controls(
    months: Vector, seen: BoolVector, other: BoolVector, t: float, recipe: AucRecipe
) -> tuple[BoolVector, BoolVector]:
    """Who had the event by a horizon, and who was free of it there or had the competing one by then.

    Parameters
    ----------
    months, seen, other
        (n,) follow-up; whether it ended by the event, or by a competing one.
    t
        Horizon, months.
    recipe
        As in `time_dependent_auc`.
    """
    by = months <= t if recipe == "score" else months < t
    return np.asarray(seen & by), np.asarray((months > t) | (other & by))


def _outcomes(
    time: ArrayLike,
    event: ArrayLike,
    competing: ArrayLike | None,
    recipe: AucRecipe,
    horizons: Sequence[float],
) -> _Outcomes:
    require_choice("recipe", recipe, AucRecipe)
    months, seen, other = check_outcome(time, event, competing, horizons)
    return _Outcomes(months, seen, other, recipe, censoring_curve(months, seen | other))


def _reason(case: BoolVector, beyond: BoolVector, t: float) -> str | None:
    if not case.any():
        return f"expected events by {t:g} months, found none"
    if not beyond.any():  # with competing events as the only controls nothing is known of t itself
        return f"expected patients followed beyond {t:g} months, found none"
    return None


def _at_horizon(code: IntVector, data: _Outcomes, t: float) -> tuple[float, Vector, str | None]:
    """AUC(t), each patient's influence (n,), and why not; ``code`` ranks the marker densely."""
    n = data.months.size
    case, control = data.cases(t), data.controls(t)
    reason = _reason(case, data.months > t, t)
    if reason is not None:
        return float("nan"), np.full(n, np.nan), reason
    weight = data.weight(t)
    of_case, of_control = np.where(case, weight, 0.0), np.where(control, weight, 0.0)
    cases, controls = float(of_case.sum()), float(of_control.sum())
    beaten = _below_or_half(code, of_control) / controls  # (n,) of a case
    estimate = float(of_case @ beaten / cases)
    above = 1.0 - _below_or_half(code, of_case) / cases  # (n,) of a control
    part = of_case * (beaten - estimate) / cases + of_control * (above - estimate) / controls
    last = np.searchsorted(data.censoring.table.time, t, side="right")
    row = np.where(data.months > t, last, data.censoring.table.position).astype(np.int64)
    through_g = censoring_part(data.censoring, part, data.seen | data.other, row) / n
    return estimate, part + through_g, None


def _error(influence: Matrix) -> Vector:
    """Return standard errors from influences (h, n), with the n - 1 of timeROC and riskRegression."""
    n = influence.shape[1]
    return np.asarray(np.sqrt(np.sum(influence**2, axis=1) * n / max(n - 1, 1)))


def _below_or_half(code: IntVector, weight: Vector) -> Vector:
    """Weight of all patients with a lower marker, and half of that with the same, (n,)."""
    own = np.bincount(code, weights=weight)
    return np.asarray((np.cumsum(own) - own / 2.0)[code])
