"""Stain estimation from the extremes of the optical-density plane (Macenko [1]_).

Pixels of two stains lie in a plane through the origin of optical-density space. Project on its
two leading directions; the stains are the directions at the lowest and highest angle, taken at
a percentile so that noise does not decide.

References
----------
.. [1] M. Macenko et al. A method for normalizing histology slides for quantitative analysis.
   ISBI 2009, 1107-1110. doi:10.1109/ISBI.2009.5193250
"""

import numpy as np

from jecur.arrays import OpticalDensity, StainVectors
from jecur.stain.stain_matrix import order_stains

__all__ = ["extreme_directions"]


def extreme_directions(od: OpticalDensity, *, percentile: float = 1.0) -> StainVectors:
    """Rows of the stain matrix as the extreme directions of the data.

    Parameters
    ----------
    od
        (n, 3) optical densities of tissue pixels, base e, n >= 2.
    percentile
        Angle percentile taken at either end, in (0, 50).

    Returns
    -------
    StainVectors
        (2, 3) non-negative unit rows, hematoxylin first; nearly equal rows if the data hold a
        single color.
    """
    _, axes = np.linalg.eigh(od.T @ od)
    plane = axes[:, [2, 1]].copy()
    plane[:, 0] *= 1.0 if plane[:, 0].sum() >= 0 else -1.0  # od >= 0 lies on one side
    projected = od @ plane
    angle = np.arctan2(projected[:, 1], projected[:, 0])
    low, high = np.percentile(angle, [percentile, 100.0 - percentile])
    rows = np.array([[np.cos(a), np.sin(a)] for a in (low, high)]) @ plane.T
    rows = np.maximum(rows, 0.0)
    return order_stains(rows / np.linalg.norm(rows, axis=1, keepdims=True))
