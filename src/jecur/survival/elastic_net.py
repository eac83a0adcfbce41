"""Cox model with an elastic-net penalty: many covariates, few events.

Minimizes, over standardized covariates and with Efron ties ::

    -l(b) / n + strength (mix |b|_1 + (1 - mix) |b|_2^2 / 2)

by accelerated proximal gradient steps. The strength is chosen by folds inside the patients given:
the largest sum over folds of ``l(b_-k; all) - l(b_-k; without k)`` [2]_. Nobody else is looked at.

References
----------
.. [1] N. Simon et al. Regularization paths for Cox's proportional hazards model via coordinate
   descent. J. Stat. Softw. 39(5), 2011.
.. [2] P. Verweij, H. van Houwelingen. Cross-validation in survival analysis. Stat. Med. 12, 1993.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.errors import NotEstimableError
from jecur.survival.follow_up import check_follow_up
from jecur.survival.partial_likelihood import evaluate_likelihood
from jecur.survival.risk_sets import RiskSets, risk_sets

__all__ = ["ElasticNetCox", "fit_elastic_net", "fit_elastic_net_by_folds"]

MAX_STEPS = 20_000
N_STRENGTHS = 12
_RIDGE_STARTS_AT = 0.01
"""Share of the lasso for which ridge's first strength would leave no covariate."""
TOLERANCE = 1e-7
"""Largest move of a standardized coefficient in the last step."""


@dataclass(frozen=True, slots=True)
class ElasticNetCox:
    """A fitted model."""

    coefficients: Vector
    """(p,) log hazard ratio per standard deviation."""
    mean: Vector
    """(p,) of the patients it was fitted on."""
    spread: Vector
    """(p,)"""
    strength: float

    def risk(self, covariates: ArrayLike) -> Vector:
        """Linear predictor of (m, p) covariates, (m,); higher means earlier event."""
        x = (np.asarray(covariates, dtype=np.float64) - self.mean) / self.spread
        return np.asarray(x @ self.coefficients)


def fit_elastic_net(
    covariates: ArrayLike, time: ArrayLike, event: ArrayLike, *, strength: float, mix: float = 0.5
) -> ElasticNetCox:
    """Fit at one strength.

    Parameters
    ----------
    covariates
        (n, p), finite.
    time, event
        Follow-up: months, and whether the event was seen.
    strength
        Of the penalty, >= 0; from ``max |gradient at 0| / mix`` all coefficients are 0.
    mix
        1 is the lasso; 0 is ridge, which leaves nothing out.

    Raises
    ------
    NotEstimableError
        If no event was seen, or the fit does not come to rest.
    """
    months, seen = check_follow_up(time, event)
    _require_event(seen)
    x = np.asarray(covariates, dtype=np.float64)
    mean, spread = x.mean(axis=0), _spread(x)
    sets = risk_sets(months, seen, np.zeros(months.size, dtype=np.int64), "efron")
    beta = _minimize((x - mean)[sets.order] / spread, sets, strength, mix)
    return ElasticNetCox(beta, mean, spread, strength)


def fit_elastic_net_by_folds(
    covariates: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    rng: np.random.Generator,
    mix: float = 0.5,
    n_folds: int = 5,
) -> ElasticNetCox:
    """Fit at the strength that folds inside these patients choose; parameters as above.

    `N_STRENGTHS` are tried, from the one that leaves no covariate down to a hundredth of it. Ridge, which
    leaves none out at any strength, starts where a hundredth of a lasso would, and goes down by 1e-4.
    """
    months, seen = check_follow_up(time, event)
    _require_event(seen)
    x = np.asarray(covariates, dtype=np.float64)
    highest = _highest_strength(x, months, seen, mix or _RIDGE_STARTS_AT)
    strengths = highest * np.geomspace(1.0, 0.01 if mix else 1e-4, N_STRENGTHS)
    fold = np.empty(months.size, dtype=np.int64)
    order = np.concatenate([rng.permutation(np.flatnonzero(seen == e)) for e in (True, False)])
    fold[order] = np.arange(months.size) % n_folds
    gain = np.zeros(N_STRENGTHS)
    for k in range(n_folds):
        rest = fold != k
        for i, strength in enumerate(strengths):
            model = fit_elastic_net(x[rest], months[rest], seen[rest], strength=strength, mix=mix)
            eta = model.risk(x)
            gain[i] += _log_likelihood(eta, months, seen)
            gain[i] -= _log_likelihood(eta[rest], months[rest], seen[rest])
    best = float(strengths[int(np.argmax(gain))])
    return fit_elastic_net(x, months, seen, strength=best, mix=mix)


def _require_event(seen: BoolVector) -> None:
    if not seen.any():
        raise NotEstimableError("expected an event, found none; a Cox model cannot be fitted")


def _spread(x: Matrix) -> Vector:
    """(p,) standard deviations; 1 where nothing varies, whatever rounding makes of it."""
    return np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)


def _log_likelihood(eta: Vector, months: Vector, seen: BoolVector) -> float:
    sets = risk_sets(months, seen, np.zeros(months.size, dtype=np.int64), "efron")
    return evaluate_likelihood(np.ones(1), eta[sets.order][:, None], sets).log_likelihood


def _highest_strength(x: Matrix, months: Vector, seen: BoolVector, mix: float) -> float:
    sets = risk_sets(months, seen, np.zeros(months.size, dtype=np.int64), "efron")
    scaled = ((x - x.mean(axis=0)) / _spread(x))[sets.order]
    slope = evaluate_likelihood(np.zeros(x.shape[1]), scaled, sets).gradient
    return float(np.abs(slope).max() / months.size / mix)


def _minimize(x: Matrix, sets: RiskSets, strength: float, mix: float) -> Vector:
    """Accelerated proximal gradient, restarted when a step points uphill."""
    n = len(x)
    # The information is at most the events' share of the covariates' second moment, times 2.
    step = n / max(2.0 * float(np.linalg.norm(x, 2)) ** 2, 1e-12)
    shrink, ridge = step * strength * mix, 1.0 + step * strength * (1.0 - mix)
    beta = ahead = np.zeros(x.shape[1])
    momentum = 1.0
    for _ in range(MAX_STEPS):
        moved = ahead + step * evaluate_likelihood(ahead, x, sets).gradient / n
        new = np.sign(moved) * np.maximum(np.abs(moved) - shrink, 0.0) / ridge
        uphill = float((ahead - new) @ (new - beta)) > 0
        momentum, before = (1.0 if uphill else (1 + np.sqrt(1 + 4 * momentum**2)) / 2), momentum
        change = new - beta
        ahead = new if uphill else new + (before - 1) / momentum * change
        beta = new
        if float(np.abs(change).max()) < TOLERANCE:
            return np.asarray(beta)
    raise NotEstimableError(
        f"expected the penalized likelihood to come to rest, found it moving after {MAX_STEPS:,} "
        "steps; take a logarithm of skewed covariates or raise the strength of the penalty",
        code="no-convergence",
    )
