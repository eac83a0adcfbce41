"""Calibration at a horizon: predicted probability of the event against what was observed.

Observed in a group is 1 - Kaplan-Meier or, where another event competes, the cumulative incidence.
Slope and intercept are on the scale of the complementary log-log, on which proportional hazards are
a straight line:

    log(-log(1 - observed)) = intercept + slope * log(-log(1 - predicted))

so a perfect model has intercept 0 and slope 1 [1]_, [2]_. The slope is the coefficient of a Cox
model (Fine and Gray's where another event competes); the intercept, given slope 1, and the smooth
curve come from regressing pseudo-values [3]_.

References
----------
.. [1] P. Royston, D. G. Altman. External validation of a Cox prognostic model: principles and
   methods. BMC Med. Res. Methodol. 13, 33, 2013.
.. [2] C. S. Crowson, E. J. Atkinson, T. M. Therneau. Assessing calibration of prognostic risk
   scores. Stat. Methods Med. Res. 25(4), 1692-1706, 2016.
.. [3] N. van Geloven et al. Validation of prediction models in the presence of competing risks: a
   guide through modern methods. BMJ 377, e069249, 2022.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from jecur.arrays import Matrix, Vector
from jecur.errors import NotEstimableError, SettingsError, require_choice
from jecur.survival.brier import check_probabilities
from jecur.survival.competing import cumulative_incidence
from jecur.survival.cox import fit_cox
from jecur.survival.estimate import Estimate
from jecur.survival.fine_gray import fit_fine_gray
from jecur.survival.follow_up import check_level
from jecur.survival.inputs import check_horizon, same_patients
from jecur.survival.outcome_at import OutcomeAt, check_outcome, outcome_at
from jecur.survival.pseudo_regression import fit_cloglog, spline_columns
from jecur.survival.risk_sets import Ties
from jecur.survival.survival_curve import IntervalKind, kaplan_meier

__all__ = [
    "CalibrationCoefficient",
    "CalibrationCurve",
    "CalibrationGroup",
    "ObservedExpected",
    "calibration_curve",
    "calibration_groups",
    "calibration_intercept",
    "calibration_slope",
    "cloglog",
    "observed_expected",
]

MIN_DISTINCT = 10
"""Different predictions that a smooth curve asks for."""
CURVE_POINTS = 200
KNOTS = (0.1, 0.5, 0.9)
"""Quantiles of the predictions at which the spline bends, Harrell's for three knots."""


@dataclass(frozen=True, slots=True)
class CalibrationGroup:
    """Patients of neighboring predictions."""

    predicted: float
    """Mean predicted probability of the event by the horizon."""
    observed: float
    """1 - Kaplan-Meier, or cumulative incidence, at the horizon; NaN where nobody was followed so
    long."""
    lower: float
    upper: float
    n: int
    events: int
    """Seen by the horizon."""
    n_at_risk: int
    """Followed to the horizon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedExpected(Estimate):
    """Observed over mean predicted probability at the horizon; 1 is perfect in the large."""

    observed: float
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCoefficient(Estimate):
    """Slope or intercept on the complementary log-log scale.

    The intercept is the shift at slope 1: 0 is perfect, above it more events than predicted.
    """

    standard_error: float


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Smooth observed probability along the predicted one; all vectors are (g,)."""

    predicted: Vector
    """Rising, from the first to the last percentile of the predictions."""
    observed: Vector
    lower: Vector
    """Pointwise."""
    upper: Vector
    level: float
    method: str


def cloglog(probability: Vector) -> Vector:
    """log(-log(1 - p)) of (n,) probabilities in (0, 1)."""
    return np.asarray(np.log(-np.log1p(-np.clip(probability, 1e-12, 1 - 1e-12))))


@same_patients
def calibration_groups(  # noqa: PLR0913 -- prediction, response in three parts, options
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    n_groups: int = 5,
    interval: IntervalKind = "log",
    level: float = 0.95,
) -> tuple[CalibrationGroup, ...]:
    """Compare predicted with observed probability in groups of rising prediction.

    Equal predictions are never split; fewer distinct predictions give fewer groups.

    Raises
    ------
    TableError
        If a prediction is no probability.
    """
    require_choice("interval", interval, IntervalKind)
    check_horizon(horizon)
    if isinstance(n_groups, bool) or not isinstance(n_groups, int | np.integer) or n_groups < 1:
        raise SettingsError(f"n_groups: expected a whole number above 0, found {n_groups!r}")
    months, seen, other = check_outcome(time, event, competing, [horizon])
    p = check_probabilities(predicted, months.size)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, n_groups + 1)[1:-1]))
    group = np.searchsorted(edges, p, side="left")
    out = []
    for g in np.unique(group):
        inside = group == g
        at = outcome_at(months[inside], seen[inside], horizon, competing=other[inside])
        options = {"interval": interval, "level": level}
        part = months[inside], seen[inside]
        if competing is None:
            limits = kaplan_meier(*part, **options).interval_at(horizon)  # type: ignore[arg-type]
            low, high = (1.0 - float(v[0]) for v in reversed(limits))
        else:
            curve = cumulative_incidence(*part, other[inside], **options)  # type: ignore[arg-type]
            low, high = (float(v[0]) for v in curve.interval_at(horizon))
        values = (at.estimate, low, high) if at.known else (float("nan"),) * 3
        out.append(
            CalibrationGroup(float(p[inside].mean()), *values, at.n, at.events, at.n_at_risk)
        )
    return tuple(out)


@same_patients
def observed_expected(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    level: float = 0.95,
) -> ObservedExpected:
    """Ratio of the observed to the mean predicted probability, interval on the log scale [3]_.

    Raises
    ------
    NotEstimableError
        If nobody is followed to the horizon, no event was seen by then, or all predictions are 0.
    TableError
        If a prediction is no probability.
    """
    p, at = _observed(predicted, time, event, horizon, competing)
    expected = float(p.mean())
    if expected == 0:
        raise NotEstimableError(
            "expected predictions above 0, found 0 for everybody; observed/expected has no value"
        )
    ratio = at.estimate / expected
    half = float(ndtri(0.5 + check_level(level) / 2)) * at.standard_error / at.estimate
    method = f"observed/expected at {horizon:g} months, log interval"
    return ObservedExpected(
        ratio,
        float(ratio * np.exp(-half)),
        float(ratio * np.exp(half)),
        None,
        None,
        at.n,
        int(np.sum(np.asarray(event))),
        level,
        method,
        observed=at.estimate,
        expected=expected,
    )


@same_patients
def calibration_slope(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    competing: ArrayLike | None = None,
    ties: Ties = "efron",
    level: float = 0.95,
) -> CalibrationCoefficient:
    """Coefficient of log(-log(1 - p)) in a Cox or Fine-Gray model: the slope, 1 if perfect.

    Raises
    ------
    NotEstimableError
        No event, or predictions that do not vary.
    TableError
        If a prediction is no probability.
    """
    months, seen, other = check_outcome(time, event, competing)
    x = cloglog(check_probabilities(predicted, months.size))[:, None]
    names = ("log(-log(1 - predicted))",)
    if competing is None:
        ratio = fit_cox(x, months, seen, names=names, ties=ties).hazard_ratios(level=level)[0]
    else:
        model = fit_fine_gray(x, months, seen, other, names=names, ties=ties)
        ratio = model.hazard_ratios(level=level)[0]
    # of the coefficient: as ratios the limits may be beyond float64
    half = float(ndtri(0.5 + level / 2)) * ratio.standard_error
    return CalibrationCoefficient(
        ratio.coefficient,
        ratio.coefficient - half,
        ratio.coefficient + half,
        ratio.p,
        ratio.z,
        ratio.n,
        ratio.events,
        level,
        f"coefficient of log(-log(1 - risk)); {ratio.method}",
        standard_error=ratio.standard_error,
    )


@same_patients
def calibration_intercept(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    level: float = 0.95,
) -> CalibrationCoefficient:
    """Shift of the observed from the predicted probability, slope 1, by pseudo-values [3]_.

    Raises
    ------
    NotEstimableError
        If nobody is followed to the horizon, or no event was seen by then.
    TableError
        If a prediction is no probability.
    """
    p, at = _observed(predicted, time, event, horizon, competing)
    ones = np.ones((p.size, 1))
    fit = fit_cloglog(at.pseudo_values, ones, offset=cloglog(p), start=np.zeros(1))
    value, error = float(fit.coefficients[0]), float(np.sqrt(fit.covariance[0, 0]))
    if not error > 0:
        raise NotEstimableError(
            "expected patients who differ in outcome or prediction, found none; the intercept has no variance"
        )
    half = float(ndtri(0.5 + check_level(level) / 2)) * error
    z = value / error
    method = f"pseudo-values at {horizon:g} months, complementary log-log, sandwich variance"
    return CalibrationCoefficient(
        value,
        value - half,
        value + half,
        float(2 * ndtr(-abs(z))),
        z,
        at.n,
        int(np.sum(np.asarray(event))),
        level,
        method,
        standard_error=error,
    )


@same_patients
def calibration_curve(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    competing: ArrayLike | None = None,
    level: float = 0.95,
) -> CalibrationCurve:
    """Smooth observed against predicted probability: a restricted cubic spline of three knots [3]_.

    Raises
    ------
    NotEstimableError
        If nobody is followed to the horizon, no event was seen by then, or fewer than ten
        predictions differ.
    TableError
        If a prediction is no probability.
    """
    p, at = _observed(predicted, time, event, horizon, competing)
    x = cloglog(p)
    knots = np.unique(np.quantile(x, KNOTS))
    if np.unique(p).size < MIN_DISTINCT or knots.size < len(KNOTS):
        raise NotEstimableError(
            f"expected {MIN_DISTINCT} or more different predictions for a smooth curve, found "
            f"{np.unique(p).size} or most of them equal; the groups show the same"
        )
    start = np.zeros(len(KNOTS))
    start[1] = 1.0
    fit = fit_cloglog(at.pseudo_values, _design(x, knots), offset=np.zeros(x.size), start=start)
    low, high = np.quantile(p, [0.01, 0.99])
    grid = np.linspace(low, high, CURVE_POINTS)
    rows = _design(cloglog(grid), knots)
    eta = rows @ fit.coefficients
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, fit.covariance, rows), 0.0))
    half = float(ndtri(0.5 + check_level(level) / 2)) * error
    # beyond 30 the probability is 1 to the last digit, and its exponential may not fit
    smooth, lower, upper = (
        -np.expm1(-np.exp(np.minimum(v, 30.0))) for v in (eta, eta - half, eta + half)
    )
    method = (
        f"pseudo-values at {horizon:g} months, complementary log-log, restricted cubic spline of "
        "three knots, sandwich interval"
    )
    return CalibrationCurve(grid, smooth, lower, upper, level, method)


def _design(x: Vector, knots: Vector) -> Matrix:
    return np.column_stack([np.ones(x.size), spline_columns(x, knots)])


def _observed(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    competing: ArrayLike | None,
) -> tuple[Vector, OutcomeAt]:
    """Predictions and the observed outcome in everybody, where there is one."""
    months, seen, other = check_outcome(time, event, competing, [horizon])
    p = check_probabilities(predicted, months.size)
    at = outcome_at(months, seen, horizon, competing=other)
    if not at.known:
        raise NotEstimableError(
            f"expected patients followed to {horizon:g} months, found none; take an earlier horizon"
        )
    if not 0 < at.estimate < 1:
        raise NotEstimableError(
            f"expected some patients with the event by {horizon:g} months and some without, found "
            f"{at.events} of {at.n} with it"
        )
    return p, at
