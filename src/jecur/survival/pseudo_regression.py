"""Regression of pseudo-values on the complementary log-log scale, and splines to bend it.

    E[pseudo] = 1 - exp(-exp(offset + x'b))

fitted by least squares, as generalized estimating equations with constant variance and working
independence (R: ``glm(family = quasi(link = "cloglog", variance = "constant"))``, ``geese``), with the
sandwich variance.

References
----------
.. [1] P. K. Andersen, J. P. Klein, S. Rosthoj. Generalised linear models for correlated
   pseudo-observations. Biometrika 90(1), 15-27, 2003.
.. [2] F. E. Harrell. Regression modeling strategies. 2nd ed., Springer, 2015, section 2.4.5.
"""

from dataclasses import dataclass

import numpy as np

from jecur.arrays import Matrix, Vector
from jecur.errors import NotEstimableError

__all__ = ["CloglogFit", "fit_cloglog", "spline_columns"]

MAX_ITERATIONS = 200
TOLERANCE = 1e-10
MAX_EXPONENT = 30.0
"""exp(-exp(30)) is 0 long before."""


@dataclass(frozen=True, slots=True)
class CloglogFit:
    """Coefficients (p,) and their sandwich covariance (p, p)."""

    coefficients: Vector
    covariance: Matrix


def fit_cloglog(pseudo: Vector, columns: Matrix, *, offset: Vector, start: Vector) -> CloglogFit:
    """Fit by Gauss-Newton steps that never raise the sum of squares [1]_.

    Parameters
    ----------
    pseudo
        (n,) pseudo-values; may lie outside [0, 1].
    columns
        (n, p), the constant among them.
    offset
        (n,) fixed part of the linear predictor.
    start
        (p,)

    Raises
    ------
    NotEstimableError
        If the steps do not come to rest.
    """
    beta = start
    residual, slope = _parts(pseudo, columns, offset, beta)
    best = float(residual @ residual)
    damping = 0.0
    for _ in range(MAX_ITERATIONS):
        hessian = slope.T @ slope
        gradient = slope.T @ residual
        step = np.linalg.lstsq(hessian + damping * np.diag(np.diag(hessian)), gradient, rcond=None)[
            0
        ]
        trial = _parts(pseudo, columns, offset, beta + step)
        found = float(trial[0] @ trial[0])
        if not found <= best * (1 + 1e-15):
            damping = max(10 * damping, 1e-6)
            if damping > 1e12:
                break
            continue
        beta, (residual, slope), best = beta + step, trial, found
        if damping == 0.0 and np.max(np.abs(step) / (1 + np.abs(beta))) <= TOLERANCE:
            return CloglogFit(beta, _sandwich(residual, slope))
        damping = damping / 10 if damping > 1e-7 else 0.0
    raise NotEstimableError(
        "expected the calibration model to come to rest, found that it does not: too few events or "
        "nearly equal predictions"
    )


def spline_columns(x: Vector, knots: Vector) -> Matrix:
    """Restricted cubic spline of x: linear beyond the outer of k rising knots, (n, k - 1) [2]_."""
    span = (knots[-1] - knots[0]) ** 2

    def cube(knot: float) -> Vector:
        return np.asarray(np.maximum(x - knot, 0.0) ** 3)

    last, before = float(knots[-1]), float(knots[-2])
    columns = [x]
    for knot in knots[:-2].tolist():
        columns.append(
            (
                cube(knot)
                - cube(before) * (last - knot) / (last - before)
                + cube(last) * (before - knot) / (last - before)
            )
            / span
        )
    return np.column_stack(columns)


def _parts(pseudo: Vector, columns: Matrix, offset: Vector, beta: Vector) -> tuple[Vector, Matrix]:
    """Residuals (n,), and the derivative of the fitted values (n, p)."""
    grown = np.exp(np.minimum(offset + columns @ beta, MAX_EXPONENT))
    left = np.exp(-grown)
    return pseudo - (1.0 - left), columns * (grown * left)[:, None]


def _sandwich(residual: Vector, slope: Matrix) -> Matrix:
    try:
        inverse = np.linalg.inv(slope.T @ slope)
    except np.linalg.LinAlgError as error:
        raise NotEstimableError("expected predictions that vary, found equal ones") from error
    part = slope * residual[:, None]
    return np.asarray(inverse @ (part.T @ part) @ inverse)
