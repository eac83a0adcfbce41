"""Optical density, base e: the scale on which stains add.

By the Beer-Lambert law light that passes a stain falls exponentially with its amount::

    od = -ln(max(I, 1) / I0),    I0 = 255 (white)

so od is 0 for white and ln 255 = 5.54 for black. An 8 bit channel has 256 possible values, so
the logarithm is a table.
"""

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import Vector

__all__ = ["WHITE", "from_optical_density", "mean_optical_density", "to_optical_density"]

WHITE = 255
"""I0: the intensity of unstained glass."""

_OD_OF_LEVEL: Vector = -np.log(np.maximum(np.arange(256), 1) / WHITE)
_OD_OF_LEVEL[WHITE] = 0.0  # not -0.0
_OD_OF_LEVEL.setflags(write=False)


def to_optical_density(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Optical density of 8 bit intensities.

    Parameters
    ----------
    rgb
        (..., 3) uint8, white = 255. Level 0 counts as 1, so black is finite.

    Returns
    -------
    NDArray[np.float64]
        Same shape, in [0, ln 255].
    """
    return _OD_OF_LEVEL[rgb]


def from_optical_density(od: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Intensities, rounded to the nearest level, of optical densities.

    Parameters
    ----------
    od
        (..., 3) base e; values below 0 are brighter than white and become 255.

    Returns
    -------
    NDArray[np.uint8]
        Same shape, 0 to 255. `to_optical_density` followed by this gives back every level but
        0, which becomes 1.
    """
    intensity = np.exp(np.minimum(-od, 0.0))
    intensity *= WHITE
    intensity += 0.5  # the cast truncates
    return intensity.astype(np.uint8)


def mean_optical_density(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean optical density over the three channels, (...,): how dark a pixel is."""
    r, g, b = (_OD_OF_LEVEL[rgb[..., channel]] for channel in range(3))
    return (r + g + b) / 3.0
