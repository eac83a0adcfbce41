"""Newton-Raphson on the partial likelihood, and the refusal of a maximum that is not there.

Where a covariate separates events from the rest, the likelihood rises towards a limit as its
coefficient runs off to infinity. The steps then stay near one standard deviation while the
likelihood hardly moves, so convergence is judged by the step, not by the likelihood.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import eigh

from jecur.arrays import Matrix, Vector
from jecur.errors import NotEstimableError
from jecur.survival.partial_likelihood import Evaluation, RiskSets, evaluate_likelihood

__all__ = ["maximize_likelihood"]

TOLERANCE = 1e-9
"""Largest Newton step left at the maximum, in standard deviations of a covariate."""
MAX_ITERATIONS = 40
FLAT = 1e-8
"""Share of the information at 0 below which the likelihood counts as flat."""


def maximize_likelihood(
    x: Matrix, sets: RiskSets, names: tuple[str, ...]
) -> tuple[Vector, Evaluation, Evaluation, int]:
    """Maximize from 0, each Newton step halved until the likelihood rises.

    Parameters
    ----------
    x
        (n, p) standardized covariates in the order of ``sets``.
    sets
        Risk sets of the same patients.
    names
        (p,) for messages.

    Returns
    -------
    beta, at, null, iterations
        Coefficients per standard deviation, the likelihood there and at 0, steps taken.

    Raises
    ------
    NotEstimableError
        If a covariate never varies within a risk set, or the likelihood rises for ever.
    """
    beta = np.zeros(x.shape[1])
    null = at = evaluate_likelihood(beta, x, sets)
    _require_information(null, names)
    step = beta
    for iteration in range(1, MAX_ITERATIONS + 1):
        step = _newton_step(at, null, names)
        factor, trial = 1.0, at
        for _ in range(30):
            trial = _try(beta + factor * step, x, sets)
            slack = 1e-12 * abs(at.log_likelihood)
            if trial.log_likelihood >= at.log_likelihood - slack:
                break
            factor /= 2
        beta, at = beta + factor * step, trial
        if np.max(np.abs(factor * step) / (1.0 + np.abs(beta))) <= TOLERANCE:
            return beta, at, null, iteration
    stuck = np.flatnonzero(np.abs(step) > TOLERANCE * (1 + np.abs(beta)))
    raise _separated([names[k] for k in stuck])


def _try(beta: Vector, x: Matrix, sets: RiskSets) -> Evaluation:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        at = evaluate_likelihood(beta, x, sets)
    if np.isfinite(at.log_likelihood) and np.all(np.isfinite(at.information)):
        return at
    return replace(at, log_likelihood=-np.inf)


def _require_information(null: Evaluation, names: tuple[str, ...]) -> None:
    """Refuse a covariate that does not vary among the patients at risk at any event."""
    values, vectors = np.linalg.eigh(null.information)
    flat = values <= 1e-12 * max(float(values[-1]), 1.0)
    if flat.any():
        involved = np.abs(vectors[:, flat]).max(axis=1) > 0.1
        named = ", ".join(names[k] for k in np.flatnonzero(involved))
        raise NotEstimableError(
            f"expected covariates that vary among the patients at risk when events happened, "
            f"found none for {named}; leave it out or out of the strata"
        )


def _newton_step(at: Evaluation, null: Evaluation, names: tuple[str, ...]) -> Vector:
    """Solve information x step = gradient.

    A direction in which next to nothing is left of the information at 0 means no maximum.
    """
    values, vectors = eigh(at.information, null.information)
    flat = values <= FLAT
    if flat.any():
        directions = np.abs(vectors[:, flat])
        involved = (directions / directions.max(axis=0)).max(axis=1) > 0.1
        raise _separated([names[k] for k in np.flatnonzero(involved)])
    return np.asarray(vectors @ ((vectors.T @ at.gradient) / values))


def _separated(names: list[str]) -> NotEstimableError:
    return NotEstimableError(
        f"expected a finite maximum of the likelihood, found none for {', '.join(names)}: "
        "the covariate separates events from the rest; merge sparse levels or leave it out",
        code="separation",
    )
