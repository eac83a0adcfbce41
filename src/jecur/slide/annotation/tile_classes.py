"""The class of a tile by the drawn regions that it lies in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jecur.arrays import IntVector, Positions, Vector
from jecur.errors import SettingsError
from jecur.slide.annotation.reading import Region
from jecur.slide.annotation.regions import region_mask

__all__ = ["DrawnTiles", "classes_of_tiles", "drawn_classes"]

_PARTS = 8
"""A tile is looked at in 8 x 8 squares: its cover is known to 1/64."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnTiles:
    """Tiles of a slide and what was drawn on them."""

    label: IntVector
    """(n,) number of each tile's class; -1 where it has none."""
    n_two: int
    """Left out: two classes cover more than is allowed of the tile."""
    n_partly: int
    """Left out: a class covers some of the tile, and not enough."""
    n_outside: int
    """Left out: no class covers any of it."""


def drawn_classes(regions: Sequence[Region]) -> tuple[str, ...]:
    """Names of the classes drawn, sorted.

    Regions without a class, and those that QuPath itself ignores (``Ignore*``, ``Region*``: a star at the
    end), are no class of tissue.
    """
    return tuple(sorted({r.name for r in regions if r.name and not r.name.endswith("*")}))


def classes_of_tiles(
    regions: Sequence[Region],
    classes: Sequence[str],
    positions: Positions,
    side_px: int,
    *,
    cover: float,
) -> DrawnTiles:
    """Say of which class each tile is.

    Parameters
    ----------
    regions
        Drawn on the slide, level-0 pixels of what was scanned.
    classes
        Names in the order of their numbers; regions of others are not looked at.
    positions
        (n, 2) upper left corners of the tiles, level-0 pixels.
    side_px
        Side of a tile, level-0 pixels.
    cover
        Share of a tile's area, in [0.5, 1]: a tile is of a class whose regions cover so much of it, if no
        other class covers more than ``1 - cover``.

    Raises
    ------
    SettingsError
        If ``cover`` or the side is out of range.
    AnnotationError
        As `jecur.slide.annotation.regions.region_mask`.
    """
    if not 0.5 <= cover <= 1.0 or side_px < _PARTS:
        raise SettingsError(
            f"expected a cover from 0.5 to 1 and tiles of {_PARTS} pixels or more, found {cover:g} and "
            f"{side_px}; correct them"
        )
    none = np.full(len(positions), -1, dtype=np.int64)
    if not len(positions):
        return DrawnTiles(none, 0, 0, 0)
    shares = np.stack(
        [_covered([r for r in regions if r.name == name], positions, side_px) for name in classes],
        axis=1,
    )
    ordered = np.sort(shares, axis=1)
    most = ordered[:, -1]
    second = ordered[:, -2] if len(classes) > 1 else np.zeros_like(most)
    two = (second > 1.0 - cover) & (most > 1.0 - cover)
    enough = (most >= cover) & ~two
    label = np.where(enough, shares.argmax(axis=1), none)
    outside = most == 0.0
    partly = ~(enough | two | outside)
    return DrawnTiles(label, int(two.sum()), int(partly.sum()), int(outside.sum()))


def _covered(regions: Sequence[Region], positions: Positions, side_px: int) -> Vector:
    """Share of each tile that lies in the regions of one class, (n,)."""
    if not regions:
        return np.zeros(len(positions))
    step = side_px / _PARTS
    corner = positions.min(axis=0)
    first = np.rint((positions - corner) / step).astype(np.int64)  # (n, 2) x, y in squares
    width, height = (first.max(axis=0) + _PARTS).tolist()
    mask = region_mask(regions, (height, width), 1.0 / step, (float(corner[0]), float(corner[1])))
    total = np.zeros((height + 1, width + 1), dtype=np.int64)
    total[1:, 1:] = mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    left, top = first.T
    right, bottom = left + _PARTS, top + _PARTS
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return np.asarray(inside / _PARTS**2)
