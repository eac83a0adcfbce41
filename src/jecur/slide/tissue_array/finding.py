"""Find discs of tissue: one matched filter over the tissue mask.

The filter rewards tissue inside the disc and, more sharply, a rim: tissue just inside the circle
and none just outside. A torn core lacks tissue but keeps part of its rim, which holds the center.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import oaconvolve

from jecur.arrays import Mask, Vector
from jecur.errors import SlideError
from jecur.settings import TissueArraySettings

__all__ = ["FoundCores", "find_discs", "measure_diameter"]

_DISC_PX = 36.0
"""Diameter of a core on the image that is searched, pixels."""
_NEIGHBOR = 0.8
"""Two cores are at least this many diameters apart, center to center."""
_RIM_WEIGHT = 0.5
_OUTSIDE_WEIGHT = 0.5
_SPREAD = 0.08
"""Relative width of the kernel by which diameters are counted."""

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FoundCores:
    """Discs of tissue, best first.

    Parameters
    ----------
    centers
        (n, 2) x, y in mask pixels.
    coverage
        (n,) share of each disc that is tissue, in [0, 1].
    diameter
        Of all of them, mask pixels.
    """

    centers: NDArray[np.float64]
    coverage: Vector
    diameter: float


def measure_diameter(mask: Mask, *, smallest: float, largest: float) -> float:
    """Diameter, in mask pixels, that the round pieces of tissue have in common.

    Raises
    ------
    SlideError
        With code "no-cores" if no piece is round.
    """
    filled = ndimage.binary_fill_holes(mask)
    labels, n = ndimage.label(filled)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:].astype(np.float64)
    boxes = ndimage.find_objects(labels)
    sides = np.array([[s.stop - s.start for s in box] for box in boxes], dtype=np.float64)
    sides = sides.reshape(-1, 2)
    diameters = 2.0 * np.sqrt(areas / np.pi)
    aspect = sides.max(axis=1) / np.maximum(sides.min(axis=1), 1.0)
    extent = areas / np.maximum(sides.prod(axis=1), 1.0)
    round_ = (aspect < 1.3) & (extent > 0.65) & (extent < 0.9)
    usable = round_ & (diameters > smallest) & (diameters < largest)
    if not usable.any():
        raise SlideError(
            f"expected round pieces of tissue, found none among {n}; give the diameter of the "
            "cores (--diameter), or check that the slide is a tissue array",
            code="no-cores",
        )
    log = np.log(diameters[usable])
    near = np.exp(-(((log[:, None] - log[None, :]) / _SPREAD) ** 2) / 2)
    middle = log[np.argmax(near @ areas[usable])]
    return float(np.exp(np.median(log[np.abs(log - middle) < 2 * _SPREAD])))


def find_discs(mask: Mask, diameter: float, settings: TissueArraySettings) -> FoundCores:
    """Find every disc of ``diameter`` mask pixels that holds enough tissue.

    Parameters
    ----------
    mask
        (h, w) tissue.
    diameter
        Mask pixels.
    settings
        ``min_coverage``.
    """
    zoom = _DISC_PX / diameter
    pad = int(_DISC_PX)
    plane = np.pad(_zoomed(mask, zoom), pad)
    inside, response = _filtered(plane, _DISC_PX / 2)
    reach = int(_NEIGHBOR * _DISC_PX / 2)
    peaks = response == ndimage.maximum_filter(response, size=2 * reach + 1)
    peaks &= (inside >= settings.min_coverage) & (response > 0)
    rows, columns = np.nonzero(peaks)
    order = np.argsort(-response[rows, columns], kind="stable")
    kept: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if all(np.hypot(row - r, column - c) >= _NEIGHBOR * _DISC_PX for r, c in kept):
            kept.append((row, column))
    refined = [_refined(response, row, column) for row, column in kept]
    centers = (np.array(refined, dtype=np.float64).reshape(-1, 2) - pad + 0.5) / zoom
    coverage = np.array([inside[row, column] for row, column in kept], dtype=np.float64)
    return FoundCores(centers, coverage.clip(0, 1), diameter)


def _zoomed(mask: Mask, zoom: float) -> Plane:
    """Share of tissue of each pixel of the mask scaled by ``zoom``."""
    plane = mask.astype(np.float32)
    if zoom < 1:
        plane = ndimage.gaussian_filter(plane, sigma=0.4 / zoom, mode="constant")
    shape = tuple(max(1, round(n * zoom)) for n in mask.shape)
    rows, columns = ((np.arange(n) + 0.5) / zoom - 0.5 for n in shape)
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.asarray(
        ndimage.map_coordinates(plane, grid, order=1, mode="constant"), dtype=np.float32
    )


def _filtered(plane: Plane, radius: float) -> tuple[Plane, Plane]:
    """Coverage of the disc around every pixel, and the whole filter's response."""
    half = int(np.ceil(radius * 1.3)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    distance = np.hypot(x, y)
    disc = np.clip(radius - distance + 0.5, 0, 1)
    wide = np.clip(1.25 * radius - distance + 0.5, 0, 1) - disc
    rim = 0.12 * radius
    inner = disc - np.clip(radius - rim - distance + 0.5, 0, 1)
    outer = np.clip(radius + rim - distance + 0.5, 0, 1) - disc
    kernel = disc / disc.sum() - _OUTSIDE_WEIGHT * wide / wide.sum()
    kernel += _RIM_WEIGHT * (inner / inner.sum() - outer / outer.sum())
    inside = oaconvolve(plane, (disc / disc.sum()).astype(np.float32), mode="same")
    response = oaconvolve(plane, kernel.astype(np.float32), mode="same")
    return inside.astype(np.float32), response.astype(np.float32)


def _refined(response: Plane, row: int, column: int) -> tuple[float, float]:
    """(x, y) of the top of a parabola through a peak and its neighbors."""

    def top(before: float, at: float, after: float) -> float:
        bend = before - 2 * at + after
        return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0

    last_row, last_column = response.shape[0] - 1, response.shape[1] - 1
    if not (0 < row < last_row and 0 < column < last_column):
        return float(column), float(row)
    dx = top(*(float(v) for v in response[row, column - 1 : column + 2]))
    dy = top(*(float(v) for v in response[row - 1 : row + 2, column]))
    return column + dx, row + dy
