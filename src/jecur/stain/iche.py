"""Intensity centering and histogram equalization, in the style of the paper's ref. 20 (Tam [1]_).

Only the abstract of the reference could be read: center the intensity histograms at a common point,
then equalize them with a modified, contrast-limited histogram equalization. What is done here is
our reading of those two steps:

1. each channel of the slide's tissue is shifted so that its mean lies at the reference's;
2. the intensity I = (R + G + B) / 3 is equalized over the slide with a clip limit, as CLAHE does in
   each of its windows, but with one histogram a slide: windows would give one color different
   answers in two tiles. R, G, B follow by the same shift.

Toward white the transfer fades out, so glass stays white.

References
----------
.. [1] A. Tam, J. Barker, D. Rubin. A method for normalizing pathology images to improve feature
   extraction for quantitative pathology. Med. Phys. 43(1), 528-537, 2016. doi:10.1118/1.4939130
"""

from dataclasses import dataclass

import numpy as np

from jecur.arrays import Pixels, Vector
from jecur.stain.appearance import Appearance
from jecur.stain.optical_density import WHITE, mean_optical_density
from jecur.stain.reinhard import rgb_of_lab

__all__ = ["IcheTransfer", "center_shift", "centered_levels", "equalize"]

CLIP_LIMIT = 2.0
"""No level may hold more than this many times its even share: bounds the gain in contrast."""
STRENGTH = 0.5
"""Share of the way from the centered intensity to the equalized one."""


def equalize(intensity: Vector) -> Vector:
    """Contrast-limited equalization of intensities within the range they already have.

    Parameters
    ----------
    intensity
        (n,) in [0, 255], tissue only.

    Returns
    -------
    numpy.ndarray
        (256,) new intensity of each level, never falling; its ends are the first and the last
        percentile of ``intensity``, outside them nothing changes.
    """
    levels = np.arange(256.0)
    low, high = np.percentile(intensity, [1.0, 99.0])
    if high - low < 1.0:
        return levels
    counts = np.histogram(np.clip(intensity, low, high), bins=256, range=(0.0, 256.0))[0]
    inside = (levels >= np.floor(low)) & (levels <= np.floor(high))
    share = np.where(inside, counts, 0) / counts.sum() * inside.sum()
    clipped = np.where(inside, np.minimum(share, CLIP_LIMIT), 0.0)
    clipped[inside] += (share.sum() - clipped.sum()) / inside.sum()
    rank = np.cumsum(clipped) / clipped.sum()
    equalized = low + (high - low) * rank
    mapped = levels + STRENGTH * (np.where(inside, equalized, levels) - levels)
    return np.asarray(np.maximum.accumulate(mapped), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class IcheTransfer:
    """Shift each channel, then equalize the intensity.

    Parameters
    ----------
    shift
        (3,) gray levels added to R, G, B: reference mean minus slide mean, over tissue.
    levels
        (256,) of `equalize`, for centered intensities.
    background
        Mean optical density at and above which a color is wholly transferred.
    """

    shift: Vector
    levels: Vector
    background: float

    def __call__(self, pixels: Pixels) -> Pixels:
        """Map (n, 3) uint8."""
        centered = pixels + self.shift
        intensity = centered.mean(axis=1)
        gain = np.interp(intensity, np.arange(256.0), self.levels) - np.clip(intensity, 0.0, WHITE)
        weight = np.minimum(mean_optical_density(pixels) / self.background, 1.0)[:, None]
        blended = weight * (centered + gain[:, None]) + (1.0 - weight) * pixels
        rounded: Pixels = np.clip(np.rint(blended), 0, WHITE).astype(np.uint8)
        return rounded


def center_shift(source: Appearance, target: Appearance) -> Vector:
    """Gray levels, (3,), that bring the slide's mean color to the reference's.

    Both are the colors of their means in l-alpha-beta, which either keeps.
    """
    shift: Vector = rgb_of_lab(np.array(target.lab_mean)) - rgb_of_lab(np.array(source.lab_mean))
    return shift


def centered_levels(tissue: Pixels, source: Appearance, target: Appearance) -> tuple[float, ...]:
    """Equalization of a slide's tissue pixels, (n, 3) uint8, once they are centered; 256 levels."""
    centered = (tissue + center_shift(source, target)).mean(axis=1)
    return tuple(equalize(np.clip(centered, 0.0, WHITE)).tolist())
