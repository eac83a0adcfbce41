"""Concentrations of two known stains: a non-negative lasso, solved exactly.

For one pixel with optical density v and stain matrix W (unit rows) find::

    minimize  1/2 |v - c W|^2 + sparsity * (c1 + c2)    subject to  c1 >= 0, c2 >= 0

With two stains there is nothing to iterate. Write g = W1 . W2 and b = W v - sparsity. Without the
constraint the minimum is ``c1 = (b1 - g b2) / (1 - g^2)``, ``c2 = (b2 - g b1) / (1 - g^2)``. If
one of these is negative that stain is absent and the other is ``max(b, 0)``: since stains are
non-negative, 0 <= g < 1, and the sign of the free solution is the sign of the multiplier.
"""

import numpy as np

from jecur.arrays import Concentrations, OpticalDensity, StainVectors
from jecur.stain.stain_matrix import StainMatrix

__all__ = ["separate_stains", "solve_concentrations"]

_BLOCK = 8_192
"""Pixels at a time: small enough that the intermediates stay in cache."""


def separate_stains(
    od: OpticalDensity, stains: StainMatrix, *, sparsity: float = 0.0
) -> Concentrations:
    """Concentration of each stain in each pixel.

    Parameters
    ----------
    od
        (n, 3) optical densities, base e.
    stains
        Hematoxylin and eosin, not parallel.
    sparsity
        Weight of the L1 penalty, >= 0, in units of optical density; 0 is non-negative least
        squares.

    Returns
    -------
    Concentrations
        (n, 2) float64, non-negative, in optical density along the stain's direction.
    """
    return solve_concentrations(od, stains.vectors, sparsity)


def solve_concentrations(
    od: OpticalDensity, vectors: StainVectors, sparsity: float
) -> Concentrations:
    """`separate_stains` on bare unit rows; parallel rows share the concentration evenly."""
    out = od @ vectors.T
    out -= sparsity
    g = min(float(vectors[0] @ vectors[1]), 1.0 - 1e-12)
    for start in range(0, len(out), _BLOCK):
        _constrain(out[start : start + _BLOCK], g)
    return out


def _constrain(b: Concentrations, g: float) -> None:
    """Put the solution in the place of b = W v - sparsity, (n, 2)."""
    determinant = 1.0 - g * g
    b1, b2 = b[:, 0].copy(), b[:, 1].copy()  # side by side they are worked on several at a time
    free1, free2 = g * b2, g * b1
    np.subtract(b1, free1, out=free1)  # times 1 - g^2
    np.subtract(b2, free2, out=free2)
    absent1, absent2 = free1 < 0.0, free2 < 0.0
    free1 /= determinant
    free2 /= determinant
    np.copyto(free1, b1, where=absent2)
    np.copyto(free2, b2, where=absent1)
    np.maximum(free1, 0.0, out=b[:, 0])
    np.maximum(free2, 0.0, out=b[:, 1])
