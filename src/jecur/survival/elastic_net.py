"""Cox model with an elastic-net penalty: many covariates, few events.

Minimizes, over standardized covariates and with Efron ties ::

    -l(b) / n + strength (mix |b|_1 + (1 - mix) |b|_2^2 / 2)

by proximal Newton steps: the likelihood's parabola and the penalty are minimized coordinate by coordinate
[1]_, and a step is shortened where it promises too much. The strength is chosen by folds inside the
patients given: the largest sum over folds of ``l(b_-k; all) - l(b_-k; without k)`` [2]_. Nobody else is
looked at.

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
from jecur.survival.covariates import linear_predictor
from jecur.survival.follow_up import check_follow_up
from jecur.survival.partial_likelihood import evaluate_likelihood
from jecur.survival.risk_sets import RiskSets, risk_sets

__all__ = [
    "ElasticNetCox",
    "columns_that_vary",
    "fit_elastic_net",
    "fit_elastic_net_by_folds",
    "require_enough_for_folds",
]

FEWEST_FOR_FOLDS = 20
"""Patients below which folds inside them choose nothing."""

MAX_STEPS = 200
MAX_SWEEPS = 1000
N_STRENGTHS = 12
_RIDGE_STARTS_AT = 0.01
"""Share of the lasso for which ridge's first strength would leave no covariate."""
_ROUNDING = 1e-12
"""Of their size, by which values differ that are one."""
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
        return linear_predictor(x, self.coefficients)

    def require_something(self, expected: str, name: str) -> None:
        """Refuse a model that the folds left empty.

        Parameters
        ----------
        expected
            What should have been kept.
        name
            Of the model, in the message.

        Raises
        ------
        NotEstimableError
            If no coefficient was kept.
        """
        if not self.coefficients.any():
            raise NotEstimableError(
                f"expected {expected}, found that the folds inside the training patients keep none; {name} "
                "knows nothing here, which is a result"
            )


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
    scaled = (x - mean)[sets.order] / spread
    beta = _minimize(np.zeros(x.shape[1]), scaled, sets, _Penalty(strength, mix))
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
        _require_event(seen[rest])
        mean, spread = x[rest].mean(axis=0), _spread(x[rest])
        sets = risk_sets(months[rest], seen[rest], np.zeros(rest.sum(), dtype=np.int64), "efron")
        scaled = ((x - mean) / spread)[rest][sets.order]
        beta = np.zeros(x.shape[1])
        for i, strength in enumerate(strengths):  # each from where the stronger one came to rest
            beta = _minimize(beta, scaled, sets, _Penalty(float(strength), mix))
            eta = (x - mean) / spread @ beta
            gain[i] += _log_likelihood(eta, months, seen)
            gain[i] -= _log_likelihood(eta[rest], months[rest], seen[rest])
    best = float(strengths[int(np.argmax(gain))])
    return fit_elastic_net(x, months, seen, strength=best, mix=mix)


def require_enough_for_folds(n: int, who: str) -> None:
    """Refuse to choose a strength by folds inside too few patients; ``who`` they are, in the message.

    Raises
    ------
    NotEstimableError
        Below `FEWEST_FOR_FOLDS`.
    """
    if n < FEWEST_FOR_FOLDS:
        raise NotEstimableError(
            f"expected {FEWEST_FOR_FOLDS} {who} or more, found {n}; folds inside fewer choose nothing: add "
            "patients"
        )


def _require_event(seen: BoolVector) -> None:
    if not seen.any():
        raise NotEstimableError("expected an event, found none; a Cox model cannot be fitted")


def _spread(x: Matrix) -> Vector:
    """(p,) standard deviations; 1 where nothing varies, whatever rounding makes of it."""
    return np.where(columns_that_vary(x), x.std(axis=0), 1.0)


def columns_that_vary(x: Matrix) -> BoolVector:
    """(p,) whether the values of each of (n, p) columns, n >= 1, differ by more than rounding.

    0.3 and 0.1 + 0.2 are one value: in units of what lies between them any other is beyond all measure.
    """
    vary: BoolVector = np.ptp(x, axis=0) > _ROUNDING * np.abs(x).max(axis=0)
    return vary


def _log_likelihood(eta: Vector, months: Vector, seen: BoolVector) -> float:
    sets = risk_sets(months, seen, np.zeros(months.size, dtype=np.int64), "efron")
    return evaluate_likelihood(np.ones(1), eta[sets.order][:, None], sets).log_likelihood


def _highest_strength(x: Matrix, months: Vector, seen: BoolVector, mix: float) -> float:
    sets = risk_sets(months, seen, np.zeros(months.size, dtype=np.int64), "efron")
    scaled = ((x - x.mean(axis=0)) / _spread(x))[sets.order]
    slope = evaluate_likelihood(np.zeros(x.shape[1]), scaled, sets).gradient
    return float(np.abs(slope).max() / months.size / mix)


@dataclass(frozen=True, slots=True)
class _Penalty:
    strength: float
    mix: float

    def __call__(self, beta: Vector) -> float:
        lasso, ridge = float(np.abs(beta).sum()), float(beta @ beta)
        return self.strength * (self.mix * lasso + (1 - self.mix) * ridge / 2)


def _minimize(beta: Vector, x: Matrix, sets: RiskSets, penalty: _Penalty) -> Vector:
    """Proximal Newton steps from ``beta``, each shortened until it brings what it should."""
    n = len(x)
    at = evaluate_likelihood(beta, x, sets)
    for _ in range(MAX_STEPS):
        slope, curve = -at.gradient / n, at.information / n
        aim = _minimize_parabola(beta, slope, curve, penalty)
        step = aim - beta
        if float(np.abs(step).max()) < TOLERANCE:
            return aim
        value = -at.log_likelihood / n + penalty(beta)
        promised = float(slope @ step) + penalty(aim) - penalty(beta)
        share = 1.0
        while share > 1e-10:
            ahead = beta + share * step
            at = evaluate_likelihood(ahead, x, sets)
            rise = -at.log_likelihood / n + penalty(ahead) - value
            if rise <= 1e-4 * share * promised + 1e-13 * abs(value):
                break
            share /= 2
        beta = ahead
    raise NotEstimableError(
        f"expected the penalized likelihood to come to rest, found it moving after {MAX_STEPS:,} "
        "steps; take a logarithm of skewed covariates or raise the strength of the penalty",
        code="no-convergence",
    )


def _minimize_parabola(start: Vector, slope: Vector, curve: Matrix, penalty: _Penalty) -> Vector:
    """Minimize slope (b - start) + (b - start)' curve (b - start) / 2 + penalty(b) by coordinates.

    Once the covariates that take part keep their signs, theirs is a linear system: it is solved, and
    a last sweep over all says whether that was the end.
    """
    beta, offset = start.copy(), slope - curve @ start
    lasso, ridge = penalty.strength * penalty.mix, penalty.strength * (1 - penalty.mix)
    bend = np.diag(curve)
    every = np.flatnonzero(bend + ridge > 0).tolist()
    for _ in range(MAX_SWEEPS):
        down, largest = offset + curve @ beta, 0.0  # the parabola's slope at beta
        for k in every:
            pull = bend[k] * beta[k] - down[k]
            new = np.sign(pull) * max(abs(pull) - lasso, 0.0) / (bend[k] + ridge)
            move = new - beta[k]
            if move:
                beta[k] = new
                down += move * curve[:, k]
                largest = max(largest, abs(move))
        if largest < TOLERANCE / 10:
            break
        used = np.flatnonzero(beta)
        sign = np.sign(beta[used])
        system = curve[np.ix_(used, used)] + ridge * np.eye(len(used))
        try:
            solved = np.linalg.solve(system, -offset[used] - lasso * sign)
        except np.linalg.LinAlgError:  # a plain lasso of copies
            continue
        if np.array_equal(np.sign(solved), sign):
            beta[used] = solved
    return beta
