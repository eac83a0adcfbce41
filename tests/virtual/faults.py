"""Faults planted on a virtual slide, each with the mask of where it is.

Pen is laid over the tissue by Beer-Lambert's law, blur is a defocus disc, a coverslip edge is a
thin gray line that refracts, a fold is the tissue counted twice.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jecur.arrays import RGB, Mask
from jecur.errors import SimulationError

__all__ = ["INKS", "add_blur", "add_edge", "add_fold", "add_pen"]

INKS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "blue": (1.7, 0.9, 0.15),
        "green": (1.7, 0.45, 1.0),
        "red": (0.12, 1.7, 1.4),
        "black": (2.2, 2.2, 2.1),
    }
)
"""Optical density of a full stroke, R, G, B, base e: typical of marker pens on glass."""

_WHITE = 245.0


def add_pen(
    image: RGB, um_per_px: float, rng: np.random.Generator, *, color: str, width_um: float
) -> tuple[RGB, Mask]:
    """Draw one curved, streaky stroke of a marker across a slide.

    Parameters
    ----------
    image
        (h, w, 3) uint8.
    um_per_px
        Its scale.
    rng
        Draws course, strength (0.6 to 1.4 of a full stroke) and streaks.
    color
        A key of `INKS`.
    width_um
        Width of the stroke, micrometers.

    Returns
    -------
    tuple
        The marked image, and (h, w) bool where the stroke is.

    Raises
    ------
    SimulationError
        If the color is unknown.
    """
    if color not in INKS:
        raise SimulationError(f"expected one of {sorted(INKS)}, found ink {color!r}; choose one")
    distance, along = _from_curve(image.shape[:2], rng)
    half = width_um / um_per_px / 2
    stroke = distance < half
    streaks = ndimage.gaussian_filter1d(rng.normal(size=512), 3)
    profile = np.interp(distance[stroke] / half * 511, np.arange(512), streaks)
    strength = rng.uniform(0.6, 1.4) * (1 + 0.25 * profile / max(float(np.std(streaks)), 1e-9))
    fade = 1 + 0.15 * np.sin(along[stroke] * rng.uniform(2, 8))
    amount = np.clip(strength * fade, 0.35, 2.0)
    out = image.astype(np.float32)
    out[stroke] *= np.exp(-amount[:, None] * np.asarray(INKS[color]))
    return _to_uint8(out), stroke


def add_blur(
    image: RGB, um_per_px: float, rng: np.random.Generator, *, radius_um: float
) -> tuple[RGB, Mask]:
    """Put one half of a slide, on one side of a curve, out of focus.

    Parameters
    ----------
    image, um_per_px, rng
        As in `add_pen`.
    radius_um
        Radius of the defocus disc, micrometers.
    """
    distance, _ = _from_curve(image.shape[:2], rng, signed=True)
    region = distance > 0
    radius = max(1, round(radius_um / um_per_px))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x**2 + y**2 <= radius**2).astype(np.float32)
    soft = np.stack(
        [_filtered(image[..., c].astype(np.float32), disc / disc.sum()) for c in range(3)], axis=-1
    )
    out = image.astype(np.float32)
    out[region] = soft[region]
    return _to_uint8(out), region


def add_edge(
    image: RGB, um_per_px: float, rng: np.random.Generator, *, width_um: float
) -> tuple[RGB, Mask]:
    """Lay the edge of a coverslip across a slide: a dark gray line that fades to both sides."""
    distance, _ = _from_curve(image.shape[:2], rng, bend=0.05)
    half = width_um / um_per_px / 2
    edge = distance < half
    density = 2.4 * (1 - (distance[edge] / half) ** 4)
    out = image.astype(np.float32)
    out[edge] *= np.exp(-density)[:, None]
    return _to_uint8(out), edge


def add_fold(
    image: RGB, um_per_px: float, rng: np.random.Generator, *, width_um: float
) -> tuple[RGB, Mask]:
    """Fold the tissue over itself along a band: light passes it twice more."""
    distance, _ = _from_curve(image.shape[:2], rng)
    band = distance < width_um / um_per_px / 2
    shifted = np.roll(image, int(width_um / um_per_px), axis=1)
    light = image.astype(np.float32) / _WHITE
    out = image.astype(np.float32)
    out[band] = (light * (shifted / _WHITE) ** 2)[band] * _WHITE
    return _to_uint8(out), band


def _from_curve(
    shape: tuple[int, int], rng: np.random.Generator, *, bend: float = 0.25, signed: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance of each pixel from a bent line through the slide, pixels, and place along it."""
    height, width = shape
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = x - width * rng.uniform(0.35, 0.65)
    y = y - height * rng.uniform(0.35, 0.65)
    size = float(max(height, width))
    along = (x * np.cos(angle) + y * np.sin(angle)) / size
    across = -x * np.sin(angle) + y * np.cos(angle)
    across = across - rng.uniform(-bend, bend) * size * along**2
    return (across if signed else np.abs(across)).astype(np.float32), along.astype(np.float32)


def _filtered(plane: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.signal import oaconvolve  # noqa: PLC0415 - slow to import

    pad = kernel.shape[0] // 2
    padded = np.pad(plane, pad, mode="edge")
    return np.asarray(oaconvolve(padded, kernel, mode="valid"), dtype=np.float32)


def _to_uint8(values: NDArray[np.float32]) -> RGB:
    return np.asarray(np.clip(values + 0.5, 0, 255), dtype=np.uint8)
