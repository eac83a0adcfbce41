"""What a pixel's color says on an H&E slide: glass, stain, ink, black, or another stain.

Colors are judged in optical density, od = -ln(I / glass), relative to the slide's own glass.
Hematoxylin and eosin both absorb green most, so green absorption above the mean of red and blue
(``magenta``) rises with either stain and stays at zero for gray: dust, coverslip edges, shadows.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import RGB, BoolVector, Mask, Vector

__all__ = [
    "DEFAULT_GLASS",
    "black",
    "dark_background",
    "density",
    "estimate_glass",
    "faint_ink",
    "he_colored",
    "ink",
    "magenta",
    "nuclear_lean",
    "optical_density",
    "red_ink",
    "redder_than_tissue",
    "stained",
]

FloatImage = NDArray[np.float32]
"""(..., 3) or (...), float32."""

DEFAULT_GLASS: Vector = np.array([245.0, 245.0, 245.0])
"""Glass of a slide that shows none."""

_Number = TypeVar("_Number", np.uint8, np.float32)
_STAINED_OD = 0.15
_THINNED_PIXELS = 250_000
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
    pixels = _thinned(rgb)
    low, high = _extremes(pixels)
    neutral = (low > 190) & (high - low < 25)
    if neutral.mean() < 0.02:
        return DEFAULT_GLASS
    return np.asarray(np.median(pixels[neutral], axis=0), dtype=np.float64)


def optical_density(rgb: RGB, glass: Vector) -> FloatImage:
    """Return -ln(I / glass), at least 0, same shape as ``rgb``, float32, base e."""
    table = -np.log(np.maximum(np.arange(256.0), 1.0)[:, None] / glass)
    table = np.maximum(table, 0.0).astype(np.float32)
    planes = np.empty((3, *rgb.shape[:-1]), dtype=np.float32)
    for channel in range(3):
        np.take(table[:, channel], rgb[..., channel], out=planes[channel])
    return np.moveaxis(planes, 0, -1)  # each color contiguous: what follows works by color


def magenta(od: FloatImage) -> FloatImage:
    """Green absorption above the mean of red and blue, (...): H and E positive, gray zero."""
    return np.asarray(od[..., 1] - 0.5 * (od[..., 0] + od[..., 2]))


def stained(od: FloatImage) -> Mask:
    """Whether a pixel holds visible dye of any color, (...) bool."""
    low, high = _extremes(od)
    return np.asarray((density(od) > _STAINED_OD) & (high - low > _GRAY_OD))


def density(od: FloatImage) -> FloatImage:
    """Mean optical density of the three colors, (...)."""
    return np.asarray((od[..., 0] + od[..., 1] + od[..., 2]) * np.float32(1.0 / 3.0))


def black(od: FloatImage) -> Mask:
    """Whether a pixel is black pen, coverslip edge or unscanned border, (...) bool.

    Dense nuclei stay out: hematoxylin lets blue through.
    """
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    low, _ = _extremes(od)
    return np.asarray((low > 0.9) & (blue > 0.72 * green) & (red > 0.55 * green))


def ink(od: FloatImage) -> Mask:
    """Whether a pixel has the color of blue, green or red pen, (...) bool.

    Blue and green ink absorb red most, which neither stain does; over tissue less clearly so, but
    then they are dense. Red ink absorbs green and blue nearly alike, strongly, and almost no red;
    blood cells can look the same, so judge areas, not pixels.
    """
    red, green = od[..., 0], od[..., 1]
    cyan = (red > 0.3) & (red > 1.25 * green + 0.05)
    cyan |= (red > 1.0) & (red > 1.08 * green)
    return np.asarray(cyan | red_ink(od))


def redder_than_tissue(od: FloatImage, tissue: FloatImage) -> Mask:
    """Whether a pixel absorbs less red and more blue than its slide's own tissue, (...) bool.

    Thin red ink over glass or tissue does; so may blood: believe it on a slide with red pen only.

    Parameters
    ----------
    od
        (..., 3) optical densities.
    tissue
        (3,) median optical density of the slide's tissue.
    """
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    least_red, most_blue = tissue[0] / tissue[1], tissue[2] / tissue[1]
    pale = red < np.float32(min(0.35, 0.75 * least_red)) * green
    return np.asarray((green > 0.3) & pale & (blue > np.float32(most_blue + 0.06) * green))


def red_ink(od: FloatImage) -> Mask:
    """Whether a pixel has the color of dense red pen, (...) bool; see `ink`."""
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    return np.asarray((green > 0.9) & (red < 0.25 * green) & (blue > 0.7 * green))


def faint_ink(od: FloatImage) -> Mask:
    """Whether a pixel could be thin red ink, (...) bool; strong eosin can look the same.

    To be believed beside `ink` only.
    """
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    return np.asarray((green > 0.35) & (red < 0.22 * green) & (blue > 0.64 * green))


def he_colored(od: FloatImage) -> Mask:
    """Whether a mixture of hematoxylin and eosin can have this color, (...) bool.

    It absorbs green more than blue (brown does not) and at least about as much as red (blue does
    not). Only meaningful where `stained`.
    """
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    return np.asarray((green > 1.05 * blue) & (green > 0.9 * red))


def dark_background(rgb: RGB) -> bool:
    """Whether most of an overview is black and none is glass: fluorescence, or inverted."""
    low, high = _extremes(_thinned(rgb))
    return bool((high < 60).mean() > 0.5 and (low > 190).mean() < 0.02)


def nuclear_lean(od: FloatImage) -> float:
    """How much more the densest tissue leans to red absorption than the middling, about [-1, 1].

    Nuclei are the densest tissue and bluest: hematoxylin absorbs red more than blue does, compared
    with eosin. With red and blue exchanged the sign turns round. Tissue of one tint gives 0.

    Parameters
    ----------
    od
        (n, 3) tissue pixels; below 100 of them the answer is 0.
    """
    if len(od) < 100:
        return 0.0
    total = density(od)
    low, middle, high = np.quantile(total, (0.3, 0.6, 0.9))
    return _lean(od, total >= high) - _lean(od, (total >= low) & (total <= middle))


def _lean(od: FloatImage, where: BoolVector) -> float:
    """Red minus blue absorption over the mean, for the pixels chosen."""
    red, green, blue = (float(od[where, channel].mean()) for channel in range(3))
    return 3.0 * (red - blue) / max(red + green + blue, 1e-6)


def _extremes(values: NDArray[_Number]) -> tuple[NDArray[_Number], NDArray[_Number]]:
    """Least and greatest of the three colors, (...) each."""
    first, second, third = values[..., 0], values[..., 1], values[..., 2]
    low = np.minimum(np.minimum(first, second), third)
    return low, np.maximum(np.maximum(first, second), third)


def _thinned(rgb: RGB) -> RGB:
    """Evenly spaced pixels of an image, (n, 3), about a quarter million at most."""
    pixels = rgb.reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // _THINNED_PIXELS)]
