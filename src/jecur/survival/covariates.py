"""Covariates of a regression: checked, centered and scaled before anything is fitted."""

from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import qr

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import NotEstimableError, TableError
from jecur.survival.inputs import numbers

__all__ = ["check_covariates", "linear_predictor", "standardize"]

ROUNDING = 1e-15
"""Spread relative to the largest value that is nothing but rounding."""
COLLINEAR = 1e-9
"""Smallest part of a covariate, relative to its spread, that the others may leave unexplained."""


def check_covariates(covariates: ArrayLike, n: int, names: tuple[str, ...]) -> Matrix:
    """Return covariates as (n, p) float64 without missing values.

    Raises
    ------
    TableError
        If the shape is another or a value is missing.
    """
    x = numbers(covariates, "covariates")
    if x.ndim == 1 and len(names) == 1:
        x = x[:, None]
    if x.shape != (n, len(names)) or not names:
        raise TableError(
            f"expected covariates of shape ({n}, {len(names)}), found {x.shape}; "
            "give one row a patient and one name a column"
        )
    if not np.all(np.isfinite(x)):
        bad = [names[k] for k in np.flatnonzero(~np.isfinite(x).all(axis=0))]
        raise TableError(
            f"expected no missing values, found some in {', '.join(bad)}; leave those patients out"
        )
    return x


def linear_predictor(covariates: Matrix, coefficients: Vector) -> Vector:
    """Sum each row of (m, p) covariates, or of (p,), times (p,) coefficients, (m,).

    Column after column: a product of matrices adds in an order that hangs on the place of a row, so two
    patients of the same covariates would differ in the last digit, and be neither tied with each other nor on
    the same side of a cut-off.
    """
    total = np.zeros(covariates.shape[:-1])
    for k, coefficient in enumerate(coefficients.tolist()):
        total = total + covariates[..., k] * coefficient
    return np.asarray(total)


def standardize(
    x: Matrix, names: tuple[str, ...], counted: BoolVector, stratum: IntVector | None = None
) -> tuple[Matrix, Vector]:
    """Center in each stratum and scale over all; refuse what no model can tell apart.

    Parameters
    ----------
    x
        (n, p) covariates.
    names
        (p,) for messages.
    counted
        (n,) who is in a risk set at all; nobody else has a say, and their rows become 0.
    stratum
        (n,) 0, 1, ...; None for one.

    Returns
    -------
    tuple of Matrix and Vector
        (n, p) standardized covariates, and (p,) what they were divided by.
    """
    _refuse_constant(np.ptp(x, axis=0) == 0, names)
    largest = np.abs(x).max(axis=0)
    held = x / largest  # squares of numbers up to the end of float64 stay inside it
    if stratum is None:
        centered = held - held[counted].mean(axis=0)
    else:
        n = np.maximum(np.bincount(stratum, weights=counted), 1.0)
        sums = [np.bincount(stratum, weights=np.where(counted, column, 0.0)) for column in held.T]
        centered = held - (np.stack(sums, axis=1) / n[:, None])[stratum]
    centered[~counted] = 0.0
    scale = np.sqrt((centered**2).sum(axis=0) / counted.sum())
    flat = scale <= ROUNDING
    if flat.any():
        raise NotEstimableError(
            f"expected covariates that vary among the patients at risk when events happened, "
            f"found none for {', '.join(names[k] for k in np.flatnonzero(flat))}; leave it out or "
            "out of the strata"
        )
    z = centered / scale
    if len(names) > 1:
        triangle, pivot = qr(np.linalg.qr(z, mode="r"), mode="r", pivoting=True)
        weak = np.abs(np.diag(triangle)) <= COLLINEAR * np.sqrt(x.shape[0])
        if x.shape[0] < len(names) or weak.any():
            named = ", ".join(names[k] for k in pivot[: weak.size][weak]) or ", ".join(names)
            raise NotEstimableError(
                f"expected independent covariates, found that {named} follows from the others; "
                "leave one out"
            )
    return np.asfortranarray(z), cast("Vector", scale * largest)


def _refuse_constant(constant: BoolVector, names: tuple[str, ...]) -> None:
    if constant.any():
        raise NotEstimableError(
            f"expected covariates that vary, found one value only in "
            f"{', '.join(names[k] for k in np.flatnonzero(constant))}; leave it out"
        )
