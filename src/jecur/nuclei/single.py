"""Measurements of every single nucleus: place, size, shape, direction, darkness, texture.

Moments, means and differences of all nuclei of an image are sums over its pixels, made in one pass;
only the convex hull is taken nucleus by nucleus.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from jecur.arrays import RGB, LabelImage, Matrix, Vector
from jecur.errors import NucleiModelError
from jecur.nuclei.features import red_optical_density

__all__ = ["SingleNuclei", "measure_each"]


@dataclass(frozen=True, slots=True, eq=False)
class SingleNuclei:
    """Nuclei, one element each, in the order of their labels."""

    x: Vector
    """Centroid, pixels from the image's left edge (a pixel's middle lies at .5)."""
    y: Vector
    """Centroid, pixels from the image's upper edge."""
    area_um2: Vector
    major_um: Vector
    """Long axis of the ellipse of equal second moments."""
    minor_um: Vector
    """Its short axis."""
    orientation: Vector
    """Direction of the long axis, radians in [0, pi): 0 along x, growing from x (right) to y (down)."""
    eccentricity: Vector
    """0 = circle, towards 1 = line."""
    solidity: Vector
    """Area over the area of the convex hull of its pixels, in (0, 1]."""
    density: Vector
    """Mean red optical density, base e: hematoxylin."""
    density_sd: Vector
    """Standard deviation of that over the nucleus's pixels."""
    texture: Vector
    """Mean difference of that between two pixels side by side in the nucleus: fine chromatin."""

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(field.name for field in fields(cls))

    def take(self, kept: NDArray[np.bool_]) -> "SingleNuclei":
        """Return some of them."""
        return SingleNuclei(*(getattr(self, name)[kept] for name in self.names()))


def measure_each(labels: LabelImage, rgb: RGB, *, um_per_px: float) -> SingleNuclei:
    """Measure outlined nuclei one by one.

    Parameters
    ----------
    labels
        (h, w), 0 = background, k = nucleus k; every number from 1 to the largest occurs.
    rgb
        (h, w, 3) uint8, color-normalized, or darkness compares scanners and not nuclei.
    um_per_px
        Scale of both.

    Raises
    ------
    NucleiModelError
        If labels and colors are not of one size.
    """
    if rgb.shape != (*labels.shape, 3):
        raise NucleiModelError(
            f"expected labels and colors of one size, found {labels.shape} and {rgb.shape}; "
            "pass the image that the labels were made on",
            code="bad-tiles",
        )
    density = red_optical_density(rgb)
    row, column = np.nonzero(labels)
    name = labels[row, column].astype(np.int64) - 1
    n = int(name.max(initial=-1)) + 1

    def total(values: NDArray[np.floating] | None = None) -> Vector:
        return np.bincount(name, values, minlength=n).astype(np.float64)

    area = total()
    x, y = total(column + 0.5) / area, total(row + 0.5) / area
    dx, dy = column + 0.5 - x[name], row + 0.5 - y[name]
    shape = _ellipse(total(dx * dx) / area, total(dy * dy) / area, total(dx * dy) / area)
    dark = density[row, column]
    mean = total(dark) / area
    spread = np.sqrt(total((dark - mean[name]) ** 2) / area)
    return SingleNuclei(
        x=x,
        y=y,
        area_um2=area * um_per_px**2,
        major_um=shape[0] * um_per_px,
        minor_um=shape[1] * um_per_px,
        orientation=shape[2],
        eccentricity=shape[3],
        solidity=area / _hull_areas(name, row, column, n),
        density=mean,
        density_sd=spread,
        texture=_texture(labels, density, n),
    )


def _ellipse(xx: Vector, yy: Vector, xy: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """Axes (pixels), direction and eccentricity of the ellipses of given central second moments."""
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    large, small = middle + half, np.maximum(middle - half, 0.0)
    direction = np.mod(0.5 * np.arctan2(2 * xy, xx - yy), np.pi)
    share = np.divide(small, large, out=np.ones_like(large), where=large > 0)
    return 4 * np.sqrt(large), 4 * np.sqrt(small), direction, np.sqrt(1 - share)


def _texture(labels: LabelImage, density: NDArray[np.float64], n: int) -> Vector:
    """(n,) mean absolute difference of neighboring pixels of one nucleus; 0 without two."""
    difference, pairs = np.zeros(n), np.zeros(n)
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        inside = (labels[first] == labels[second]) & (labels[first] > 0)
        name = labels[first][inside].astype(np.int64) - 1
        step = np.abs(density[first][inside] - density[second][inside])
        difference += np.bincount(name, step, minlength=n)
        pairs += np.bincount(name, minlength=n)
    return difference / np.maximum(pairs, 1)


def _hull_areas(
    name: NDArray[np.int64], row: NDArray[np.int64], column: NDArray[np.int64], n: int
) -> Vector:
    """(n,) area of the convex hull of each nucleus's pixels, corners and all, square pixels."""
    if not n:
        return np.empty(0)
    order = np.lexsort((column, row, name))
    name, row, column = name[order], row[order], column[order]
    new_row = np.ones(len(name), dtype=bool)
    new_row[1:] = (name[1:] != name[:-1]) | (row[1:] != row[:-1])
    first = np.flatnonzero(new_row)  # leftmost pixel of each row of each nucleus
    last = np.append(first[1:], len(name)) - 1
    left, right, top = column[first], column[last] + 1, row[first]
    ends = np.concatenate(
        [np.stack([x, y], axis=1) for x in (left, right) for y in (top, top + 1)]
    ).astype(np.float64)
    owner = np.tile(name[first], 4)
    by_owner = np.argsort(owner, kind="stable")
    parts = np.split(ends[by_owner], np.cumsum(np.bincount(owner, minlength=n))[:-1])
    return np.array([_hull_area(part) for part in parts if len(part)])


def _hull_area(corners: Matrix) -> float:
    return float(ConvexHull(corners).volume)  # in two dimensions the volume is the area
