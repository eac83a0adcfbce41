"""Columns that a model can tell apart: of columns that follow from others, the earlier ones.

As in R, a column that is constant in the patients of a model, or a combination of those before it, has
no coefficient of its own; it is left out with that reason, and the model of the others is fitted.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jecur.arrays import BoolVector, Vector
from jecur.statistics.terms import Term

__all__ = ["independent_terms"]

COLLINEAR = 1e-9
"""Part of a column, relative to its spread, that those before it may leave unexplained at most."""

CONSTANT = 1e-12


def independent_terms(
    terms: Sequence[Term], rows: BoolVector
) -> tuple[list[Term], dict[tuple[str, str], str]]:
    """Keep the columns that vary and do not follow from those before them.

    Parameters
    ----------
    terms
        In the order in which they enter.
    rows
        (n,) patients of the model.

    Returns
    -------
    tuple
        Terms of the columns kept (a term without one is gone), and (term, contrast) -> reason.
    """
    basis: list[Vector] = []
    kept, reasons = [], {}
    for term in terms:
        inside = []
        for k, contrast in enumerate(term.contrasts):
            reason = _refuse(term.columns[rows, k], basis)
            if reason is None:
                inside.append(k)
            else:
                reasons[term.name, contrast] = f"{term.label} ({contrast}) {reason}"
        if inside:
            contrasts = tuple(term.contrasts[k] for k in inside)
            kept.append(replace(term, columns=term.columns[:, inside], contrasts=contrasts))
    return kept, reasons


def _refuse(column: Vector, basis: list[Vector]) -> str | None:
    """Say why a column has no coefficient, or add its new part to the basis."""
    if not column.size:
        return "has no patient in this model"
    centered = column - column.mean()
    spread = float(np.sqrt(np.mean(centered**2)))
    if not spread > CONSTANT * max(1e-300, float(np.abs(column).max())):
        return "has one value only in the patients of this model"
    left = centered / spread
    for _ in range(2):  # twice is enough for orthogonality to the last digits
        for direction in basis:
            left = left - direction * float(direction @ left)
    norm = float(np.sqrt(left @ left))
    if norm <= COLLINEAR * np.sqrt(column.size):
        return "follows from the factors before it"
    basis.append(np.asarray(left / norm))
    return None
