"""Newton-Raphson on a partial likelihood, and the refusal of a maximum that is not there.

Cox's and Fine and Gray's models are fitted by the same steps. A step is taken only if the
likelihood rises by a fair share of what the step promises. The end is judged on three things at
once: the likelihood no longer changes, the score is nil in its own metric (score' information^-1
score), and no patient's linear predictor moves. One skewed covariate can bring the information
down by many orders of magnitude on the way, so little information is no sign that there is no
maximum; that is asked of the data (`jecur.survival.separation`).
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from scipy.linalg import eigh

from jecur.arrays import Matrix, Vector
from jecur.errors import NotEstimableError
from jecur.survival.separation import RiskSetLeaders, separating_direction

__all__ = ["Curve", "Likelihood", "Maximum", "inverse", "maximize_likelihood", "require_units"]

TOLERANCE = 1e-9
"""Largest relative change of a linear predictor in the last step, and of the likelihood."""
SCORE_NIL = 1e-10
"""Largest chi-squared that the score may leave."""
SUSPECT = 12
"""Steps after which the existence of a maximum is looked into."""
FLAT = 1e-6
"""Share of the information at 0 below which the existence of a maximum is looked into, too."""
MAX_ITERATIONS = 500
FAIR = 1e-4
"""Share of the promised rise that a step must bring."""
NOISE = 1e-13
"""Relative rounding of a likelihood."""
NOTHING = 1e-20
"""Share of the model's variance below which a sandwich variance is rounding."""
SINGULAR = 1e-13
"""Share of the largest eigenvalue below which covariates cannot be told apart."""


class Curve(Protocol):
    """A likelihood at one point."""

    @property
    def log_likelihood(self) -> float: ...  # noqa: D102
    @property
    def gradient(self) -> Vector: ...  # noqa: D102
    @property
    def information(self) -> Matrix: ...  # noqa: D102


C = TypeVar("C", bound=Curve)
E_co = TypeVar("E_co", bound=Curve, covariant=True)


class Likelihood(RiskSetLeaders, Protocol[E_co]):
    """A concave function of beta."""

    def at(self, beta: Vector) -> E_co:
        """Value, gradient and minus the second derivative."""


@dataclass(frozen=True, slots=True)
class Maximum(Generic[C]):
    """Where a likelihood is largest."""

    beta: Vector
    at: C
    null: C
    """At beta = 0."""
    iterations: int


def maximize_likelihood(likelihood: Likelihood[C], names: tuple[str, ...]) -> Maximum[C]:
    """Maximize from 0.

    Parameters
    ----------
    likelihood
        Of (n, p) standardized covariates.
    names
        (p,) for messages.

    Raises
    ------
    NotEstimableError
        If covariates do not vary, or not apart, within the risk sets; if the likelihood rises for
        ever (code "separation"); if no maximum is reached.
    """
    x = likelihood.x
    beta = np.zeros(x.shape[1])
    null = at = likelihood.at(beta)
    _require_information(null, names)
    for iteration in range(1, MAX_ITERATIONS + 1):
        if iteration == SUSPECT:
            _refuse_separation(likelihood, names)
        step, promise, left = _newton_step(at, null)
        factor, trial = _line_search(likelihood, beta, at, step, promise, iteration > SUSPECT)
        if trial is None:
            if promise <= SCORE_NIL * (1.0 + abs(at.log_likelihood)) and iteration < SUSPECT:
                _refuse_separation(likelihood, names)
                return Maximum(beta, at, null, iteration)
            break
        rise = trial.log_likelihood - at.log_likelihood
        beta, at = beta + factor * step, trial
        level = abs(rise) <= TOLERANCE * (1.0 + abs(at.log_likelihood))
        if level and promise <= SCORE_NIL and _still(x, factor * step, beta):
            if left <= FLAT:  # one stride may end where rounding has made everything nil
                _refuse_separation(likelihood, names)
            return Maximum(beta, at, null, iteration)
    _refuse_separation(likelihood, names)
    raise NotEstimableError(
        f"expected a maximum of the likelihood, reached none for {', '.join(names)}: the data "
        "hardly determine it; take a logarithm of a skewed covariate or leave one out",
        code="no-convergence",
    )


def _still(x: Matrix, step: Vector, beta: Vector) -> bool:
    """Whether no patient's linear predictor moved."""
    return bool(np.abs(x @ step).max() <= TOLERANCE * max(1.0, float(np.abs(x @ beta).max())))


def inverse(information: Matrix) -> Matrix:
    """Invert an information matrix whose covariates may differ by many orders of magnitude.

    Raises
    ------
    NotEstimableError
        If it is singular.
    """
    diagonal = np.diag(information)
    if np.all(np.isfinite(information)) and np.all(diagonal > 0):
        scale = 1.0 / np.sqrt(diagonal)
        scaled = information * np.outer(scale, scale)
        if float(np.linalg.eigvalsh(scaled)[0]) > SINGULAR:
            return np.asarray(np.linalg.inv(scaled) * np.outer(scale, scale))
    raise NotEstimableError(
        "expected an information matrix that can be inverted, found a singular one: the data do "
        "not tell everything apart; leave a covariate or a group out"
    )


def require_units(
    beta: Vector, scale: Vector, covariance: Matrix, names: tuple[str, ...]
) -> Vector:
    """Return coefficients in the covariates' own units, if a number can hold them and their variances.

    Raises
    ------
    NotEstimableError
        If a covariate is so small or large that the variance of its coefficient is 0 or infinite: its
        test would have p = 1, or none.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        coefficients = np.asarray(beta / scale)
    variance = np.diag(covariance)
    wrong = ~(np.isfinite(coefficients) & np.isfinite(variance) & (variance > 0))
    if wrong.any():
        raise NotEstimableError(
            "expected covariates whose coefficients a number can hold, found none for "
            f"{', '.join(names[k] for k in np.flatnonzero(wrong))}: the unit is too large or too small; "
            "take another one"
        )
    return coefficients


def require_moved(sandwich: Matrix, covariance: Matrix, names: tuple[str, ...]) -> None:
    """Refuse coefficients of whose sandwich variance nothing but rounding is left, (p, p) beside the model's.

    Raises
    ------
    NotEstimableError
        If no cluster, or no patient, moves one: it would seem to be known for certain.
    """
    still = np.diag(sandwich) <= NOTHING * np.diag(covariance)
    if still.any():
        raise NotEstimableError(
            f"expected patients of whom each moves the coefficient of "
            f"{', '.join(names[k] for k in np.flatnonzero(still))}, found none: it has no sandwich "
            "variance; there are too few patients or clusters"
        )


def _line_search(
    likelihood: Likelihood[C], beta: Vector, at: C, step: Vector, promise: float, slow: bool
) -> tuple[float, C | None]:
    """Halve a step until it rises enough; where progress is slow, double it while it rises more."""
    slack = NOISE * (1.0 + abs(at.log_likelihood))
    factor = 1.0
    for _ in range(60):
        trial = _try(likelihood, beta + factor * step)
        if trial is not None:
            needed = FAIR * factor * promise
            rise = trial.log_likelihood - at.log_likelihood
            if rise >= needed or (needed <= slack and rise >= -slack):
                break
        factor /= 2
    else:
        return 0.0, None
    while slow and promise > 1e-4:
        further = _try(likelihood, beta + 2 * factor * step)
        if further is None or further.log_likelihood <= trial.log_likelihood:
            break
        factor, trial = 2 * factor, further
    return factor, trial


def _try(likelihood: Likelihood[C], beta: Vector) -> C | None:
    """Evaluate where it can be."""
    with np.errstate(all="ignore"):
        at = likelihood.at(beta)
    whole = np.isfinite(at.log_likelihood) and np.all(np.isfinite(at.information))
    return at if whole and np.all(np.isfinite(at.gradient)) else None


def _require_information(null: Curve, names: tuple[str, ...]) -> None:
    """Refuse covariates that do not vary, or not apart, among the patients at risk at any event."""
    diagonal = np.diag(null.information)
    flat = diagonal <= 1e-12 * max(float(diagonal.max()), 1.0)
    if not flat.any():
        scale = 1.0 / np.sqrt(diagonal)
        values, vectors = np.linalg.eigh(null.information * np.outer(scale, scale))
        alike = values <= SINGULAR * float(values[-1])
        flat = np.abs(vectors[:, alike]).max(axis=1, initial=0.0) > 0.1
    if flat.any():
        named = ", ".join(names[k] for k in np.flatnonzero(flat))
        raise NotEstimableError(
            f"expected covariates that vary among the patients at risk when events happened, "
            f"found none for {named}; leave it out or out of the strata"
        )


def _newton_step(at: Curve, null: Curve) -> tuple[Vector, float, float]:
    """Solve information x step = gradient.

    Also gradient x step, twice the rise it promises, and the smallest share of the information at
    0 that is left in any direction.

    Directions of next to no information are given a little of that at 0: the step stays finite
    and points uphill.
    """
    scale = 1.0 / np.sqrt(np.diag(null.information))
    outer = np.outer(scale, scale)
    values, vectors = eigh(at.information * outer, null.information * outer)
    along = vectors.T @ (at.gradient * scale)
    step = vectors @ (along / np.maximum(values, 1e-14 * max(1.0, float(values[-1]))))
    return np.asarray(step * scale), float(step @ (at.gradient * scale)), float(values[0])


def _refuse_separation(likelihood: Likelihood[C], names: tuple[str, ...]) -> None:
    direction = separating_direction(likelihood)
    if direction is None:
        return
    involved = np.abs(direction) * np.ptp(likelihood.x, axis=0)
    named = [names[k] for k in np.flatnonzero(involved > 0.01 * involved.max())]
    raise NotEstimableError(
        f"expected a finite maximum of the likelihood, found none for {', '.join(named)}: "
        "the covariate separates events from the rest; merge sparse levels or leave it out",
        code="separation",
    )
