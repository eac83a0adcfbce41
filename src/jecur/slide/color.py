"""What a pixel's color says on an H&E slide: glass, stain, ink, black, or another stain.

Colors are judged in optical density, od = -ln(I / glass), relative to the slide's own glass.
Hematoxylin and eosin both absorb green most, so green absorption above the mean of red and blue
(``magenta``) rises with either stain and stays at zero for gray: dust, coverslip edges, shadows.
"""

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import RGB, BoolVector, Mask, Vector

__all__ = [
    "DEFAULT_GLASS",
    "black",
    "channels_look_swapped",
    "dark_background",
    "estimate_glass",
    "he_colored",
    "ink",
    "magenta",
    "optical_density",
    "stained",
]

FloatImage = NDArray[np.float32]
"""(..., 3) or (...), float32."""

DEFAULT_GLASS: Vector = np.array([245.0, 245.0, 245.0])
"""Glass of a slide that shows none."""

_STAINED_OD = 0.15
_GRAY_OD = 0.1
"""Optical densities of R, G, B closer than this are gray."""


def estimate_glass(rgb: RGB) -> Vector:
    """Color of empty glass, (3,): the median of bright, nearly neutral pixels.

    Parameters
    ----------
    rgb
        (..., 3) uint8, an overview of the whole slide.

    Returns
    -------
    numpy.ndarray
        (3,) in [190, 255]; `DEFAULT_GLASS` if fewer than 2 % of the pixels qualify.
    """
    pixels = rgb.reshape(-1, 3)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    neutral = (low > 190) & (high - low < 25)
    if neutral.mean() < 0.02:
        return DEFAULT_GLASS
    return np.asarray(np.median(pixels[neutral], axis=0), dtype=np.float64)


def optical_density(rgb: RGB, glass: Vector) -> FloatImage:
    """Return -ln(I / glass), at least 0, same shape as ``rgb``, float32, base e."""
    table = -np.log(np.maximum(np.arange(256.0), 1.0)[:, None] / glass)
    table = np.maximum(table, 0.0).astype(np.float32)
    return np.stack([table[:, channel][rgb[..., channel]] for channel in range(3)], axis=-1)


def magenta(od: FloatImage) -> FloatImage:
    """Green absorption above the mean of red and blue, (...): H and E positive, gray zero."""
    return np.asarray(od[..., 1] - 0.5 * (od[..., 0] + od[..., 2]))


def stained(od: FloatImage) -> Mask:
    """Whether a pixel holds visible dye of any color, (...) bool."""
    return np.asarray(
        (od.mean(axis=-1) > _STAINED_OD) & (od.max(axis=-1) - od.min(axis=-1) > _GRAY_OD)
    )


def black(od: FloatImage) -> Mask:
    """Whether a pixel is black pen, coverslip edge or unscanned border, (...) bool.

    Dense nuclei stay out: hematoxylin lets blue through.
    """
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    strongest = np.maximum(green, 1e-6)
    return np.asarray(
        (od.min(axis=-1) > 0.9) & (blue > 0.72 * strongest) & (red > 0.55 * strongest)
    )


def ink(od: FloatImage) -> Mask:
    """Whether a pixel has the color of blue, green or red pen, (...) bool.

    Blue and green ink absorb red most, which neither stain does. Red ink absorbs green and blue
    nearly alike and almost no red; a few percent of blood-filled tissue looks the same, so judge
    areas, not pixels.
    """
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    cyan = (red > 0.3) & (red > 1.25 * green + 0.05)
    scarlet = (green > 0.35) & (red < 0.22 * green) & (blue > 0.64 * green)
    return np.asarray(cyan | scarlet)


def he_colored(od: FloatImage) -> Mask:
    """Whether a mixture of hematoxylin and eosin can have this color, (...) bool.

    It absorbs green more than blue (brown does not) and at least about as much as red (blue does
    not). Only meaningful where `stained`.
    """
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    return np.asarray((green > 1.05 * blue) & (green > 0.9 * red))


def dark_background(rgb: RGB) -> bool:
    """Whether most of an overview is black and none is glass: fluorescence, or inverted."""
    pixels = rgb.reshape(-1, 3)
    return bool((pixels.max(axis=1) < 60).mean() > 0.5 and (pixels.min(axis=1) > 190).mean() < 0.02)


def channels_look_swapped(od: FloatImage) -> bool:
    """Whether red and blue seem exchanged, judged on tissue pixels (n, 3).

    Nuclei are the darkest tissue and lean to blue (they absorb red more than blue does the
    cytoplasm); exchanged channels turn that lean around. Slides of one tint decide nothing.
    """
    density = od.mean(axis=-1)
    if len(od) < 1_000:
        return False
    low, middle, high = np.quantile(density, (0.3, 0.6, 0.9))
    return _lean(od, density > high) - _lean(od, (density > low) & (density < middle)) < -0.15


def _lean(od: FloatImage, where: BoolVector) -> float:
    """Red minus blue absorption over the total, for the pixels chosen."""
    if not where.any():
        return 0.0
    red, _, blue = od[where].mean(axis=0)
    return float((red - blue) / max(od[where].mean(), 1e-6))
