"""Optical density, base e: the scale on which stains add.

By the Beer-Lambert law light that passes a stain falls exponentially with its amount::

    od = -ln(max(I, 1) / I0),    I0 = 255 (white)

so od is 0 for white and ln 255 = 5.54 for black. An 8 bit channel has 256 possible values, so
the logarithm is a table. I0 may instead be the color of a slide's own glass.
"""

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import Vector

__all__ = [
    "WHITE",
    "WHITE_POINT",
    "Triple",
    "from_optical_density",
    "mean_optical_density",
    "to_optical_density",
]

WHITE = 255
"""I0: the intensity of unstained glass."""
Triple = tuple[float, float, float]
WHITE_POINT: Triple = (255.0, 255.0, 255.0)
"""The same, R, G, B."""

_OD_OF_LEVEL: Vector = -np.log(np.maximum(np.arange(256), 1) / WHITE)
_OD_OF_LEVEL[WHITE] = 0.0  # not -0.0
_OD_OF_LEVEL.setflags(write=False)


def to_optical_density(rgb: NDArray[np.uint8], white: Triple | None = None) -> NDArray[np.float64]:
    """Optical density of 8 bit intensities.

    Parameters
    ----------
    rgb
        (..., 3) uint8, white = 255. Level 0 counts as 1, so black is finite.
    white
        I0 of R, G, B, each in (0, 255]; 255 if None. What is brighter has density 0.

    Returns
    -------
    NDArray[np.float64]
        Same shape, in [0, ln 255].
    """
    if white is None or white == WHITE_POINT:
        return _OD_OF_LEVEL[rgb]
    return np.maximum(_OD_OF_LEVEL[rgb] + np.log(np.array(white) / WHITE), 0.0)


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


def mean_optical_density(
    rgb: NDArray[np.uint8], white: Triple | None = None
) -> NDArray[np.float64]:
    """Mean optical density over the three channels, (...,): how dark a pixel is."""
    if white is not None and white != WHITE_POINT:
        mean: NDArray[np.float64] = to_optical_density(rgb, white).mean(axis=-1)
        return mean
    r, g, b = (_OD_OF_LEVEL[rgb[..., channel]] for channel in range(3))
    return (r + g + b) / 3.0
