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
    b = od @ vectors.T - sparsity
    b1, b2 = b[:, 0], b[:, 1]
    g = min(float(vectors[0] @ vectors[1]), 1.0 - 1e-12)
    free1 = b1 - g * b2  # times 1 - g^2
    free2 = b2 - g * b1
    determinant = 1.0 - g * g
    out = np.empty_like(b)
    out[:, 0] = np.where(free2 < 0.0, b1, free1 / determinant)
    out[:, 1] = np.where(free1 < 0.0, b2, free2 / determinant)
    return np.maximum(out, 0.0, out=out)
