"""Known stains: the Beer-Lambert law forward, and how sites and slides differ in it.

A pixel's intensity is ``I0 * exp(-(c_h * w_h + c_e * w_e))`` for each of R, G, B, with
concentrations c and unit stain vectors w (optical density, base e).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import StainVectors
from jecur.simulate.fields import Image32

__all__ = ["BASE_STAINS", "VirtualStain", "beer_lambert", "site_stain", "slide_stain"]

BASE_STAINS: StainVectors = np.array([[0.62, 0.71, 0.335], [0.135, 0.915, 0.38]])
"""(2, 3) hematoxylin and eosin before normalization to unit rows."""


@dataclass(frozen=True, slots=True)
class VirtualStain:
    """How one slide (or site) turns concentrations into color."""

    vectors: StainVectors
    """(2, 3) unit rows, non-negative: hematoxylin, eosin."""
    intensity: NDArray[np.float64]
    """(2,) factor on the concentrations of each stain; 1 is the base."""
    white: NDArray[np.float64]
    """(3,) intensity of empty glass, 0 to 255."""


def site_stain(rng: np.random.Generator, *, angle_deg: float, intensity_sd: float) -> VirtualStain:
    """Draw the habits of one laboratory.

    Parameters
    ----------
    rng
        Draws them.
    angle_deg
        Typical angle between its stain vectors and the base, degrees.
    intensity_sd
        Standard deviation of the log of its stain intensities.
    """
    glass = np.array([244.0, 243.0, 245.0]) + rng.normal(scale=[1.5, 1.5, 2.0])
    unit = BASE_STAINS / np.linalg.norm(BASE_STAINS, axis=1, keepdims=True)
    base = VirtualStain(unit, np.ones(2), np.clip(glass, 236.0, 252.0))
    return slide_stain(base, rng, angle_deg=angle_deg, intensity_sd=intensity_sd)


def slide_stain(
    site: VirtualStain, rng: np.random.Generator, *, angle_deg: float, intensity_sd: float
) -> VirtualStain:
    """Draw one slide's stain around its site's: same parameters as `site_stain`."""
    vectors = np.stack([_turned(row, angle_deg, rng) for row in site.vectors])
    factor = np.exp(rng.normal(scale=intensity_sd, size=2))
    white = np.clip(site.white + rng.normal(scale=0.8, size=3), 234.0, 254.0)
    return VirtualStain(vectors, site.intensity * factor, white)


def beer_lambert(hematoxylin: Image32, eosin: Image32, stain: VirtualStain) -> Image32:
    """Compute the transmitted light of each pixel, not rounded.

    Parameters
    ----------
    hematoxylin, eosin
        (h, w) concentrations.
    stain
        Vectors, intensity and white of the slide.

    Returns
    -------
    numpy.ndarray
        (3, h, w) float32 in [0, white], R, G, B.
    """
    weights = (stain.intensity[:, None] * stain.vectors).astype(np.float32)
    light = np.empty((3, *hematoxylin.shape), np.float32)
    for channel in range(3):
        plane = light[channel]
        np.multiply(hematoxylin, -weights[0, channel], out=plane)
        plane -= weights[1, channel] * eosin
        np.exp(plane, out=plane)
        plane *= np.float32(stain.white[channel])
    return light


def _turned(
    vector: NDArray[np.float64], angle_deg: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Turn a unit vector by a random angle, in a random direction, within the positive octant."""
    direction = rng.standard_normal(3)
    direction -= (direction @ vector) * vector
    direction /= np.linalg.norm(direction)
    angle = np.deg2rad(np.clip(abs(rng.normal(scale=angle_deg)), 0.0, 2.0 * angle_deg))
    turned = np.clip(np.cos(angle) * vector + np.sin(angle) * direction, 0.01, None)
    unit: NDArray[np.float64] = turned / np.linalg.norm(turned)
    return unit
