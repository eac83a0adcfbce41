"""Levels of a pyramid that are no smaller copies of its first one are not read.

A file's directories say which image is a level, and nobody checks it: a label kept as a tiled reduced
image, a level padded to whole tiles, the coarse level of another scan. OpenSlide takes each for a
level, and what is read from it lies elsewhere or is something else. Here every level is held against
the finer ones, by its shape and by its pixels; one that differs is left out, and read from a finer one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.reader_openslide import SIZED_VENDORS
from jecur.slide.source import AroundSource, Note, Source

__all__ = ["AgreeingLevels", "with_agreeing_levels"]

_ROUNDING_PX = 1.5
"""Pixels of a level: sides are rounded up or down, a chain of levels once a level."""
_SHAPED_VENDORS = SIZED_VENDORS | frozenset(["ome-tiff", "tiff"])
_Spot = tuple[float, float]
_SPOTS: tuple[_Spot, ...] = ((0.15, 0.15), (0.85, 0.15), (0.5, 0.5), (0.15, 0.85), (0.85, 0.85))
"""Where pixels are compared, of the width and of the height: what is shifted differs most far out."""
_PATCH_PX, _EDGE_PX, _CELLS = 64, 32, 8
"""Side of a compared patch on the coarse level, at the five places and at edges, and of the means that it
is reduced to."""
_N_EDGES, _MOST_LOOKED_AT_PX, _LARGEST_GRID = 6, 4_000_000, 128
"""Places compared beside the five, where the picture changes most: five places of a slide may all be
glass. They are looked for on the largest and the coarsest level of at most four million pixels."""
_LARGEST_FINE_PX = 1024
_LARGEST_DIFFERENCE = 16.0
"""Mean difference of a patch's means, of 255. Filters, sharpening and JPEG change single pixels, hardly
means; fixed before any slide was looked at."""


class AgreeingLevels(AroundSource):
    """A source without some of its levels.

    Parameters
    ----------
    source
        Open source; closed with this one.
    kept
        Numbers of the levels that are read, the first included.
    notes
        What is told of the others.
    """

    def __init__(self, source: Source, kept: Sequence[int], notes: tuple[Note, ...]) -> None:
        super().__init__(source)
        self._kept = tuple(kept)
        self.levels = tuple(source.levels[k] for k in kept)
        self.downsamples = tuple(source.downsamples[k] for k in kept)
        self.notes = source.notes + notes

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level that is kept, (height, width, 3) uint8."""
        return self._source.read(self._kept[level], left, top, width, height)


def with_agreeing_levels(source: Source) -> Source:
    """Leave out the levels that differ from finer ones in shape or in what they show."""
    kept, left_out = [0], list[int]()
    order = sorted(range(1, len(source.levels)), key=lambda level: source.downsamples[level])
    small = [k for k in order if _area(source.levels[k]) <= _MOST_LOOKED_AT_PX]
    looked_at = (
        sorted({small[0], small[-1]}) if small else []
    )  # what is blank on one is not on the other
    edges = [spot for level in looked_at for spot in _edges(source, level)]
    for level in order:
        agrees = _has_shape(source, level) and _shows_the_same(source, kept[-1], level, edges)
        (kept if agrees else left_out).append(level)
    if not left_out:
        return source
    sizes = ", ".join(
        f"{source.levels[k].width} x {source.levels[k].height}" for k in sorted(left_out)
    )
    told = f"{len(left_out)} of {len(source.levels)} not read, unlike the first: {sizes} px"
    return AgreeingLevels(source, sorted(kept), (("levels-disagree", told),))


def _edges(source: Source, level: int) -> list[_Spot]:
    """Where a small level changes most, of the width and of the height: borders of tissue."""
    size = source.levels[level]
    cell = max(_CELLS // 2, max(_pair(size)) // _LARGEST_GRID)
    columns, rows = size.width // cell, size.height // cell
    if min(columns, rows) < 2:
        return []
    try:
        pixels = source.read(level, 0, 0, columns * cell, rows * cell)
    except SlideError:
        source.reopen()
        return []
    means = np.asarray(Image.fromarray(pixels).convert("L").reduce(cell), dtype=np.float32)
    change = ndimage.maximum_filter(means, 3) - ndimage.minimum_filter(means, 3)
    change *= 255.0 - means  # on the tissue's side of its border
    found = list[_Spot]()
    for _ in range(_N_EDGES):
        row, column = np.unravel_index(int(change.argmax()), change.shape)
        if change[row, column] <= 0:
            break
        found.append(((column + 0.5) / columns, (row + 0.5) / rows))
        near = (
            slice(max(row - _CELLS, 0), row + _CELLS),
            slice(max(column - _CELLS, 0), column + _CELLS),
        )
        change[near] = 0.0
    return found


def _has_shape(source: Source, level: int) -> bool:
    """Whether width and height are reduced alike, where nothing but them tells the reduction."""
    if source.vendor not in _SHAPED_VENDORS:
        return True
    full, size, downsample = source.levels[0], source.levels[level], source.downsamples[level]
    off = abs(full.width / downsample - size.width), abs(full.height / downsample - size.height)
    return max(off) <= _ROUNDING_PX


def _shows_the_same(source: Source, fine: int, coarse: int, edges: Sequence[_Spot]) -> bool:
    """Whether patches of two levels have the same means; damage is passed over."""
    spots = [(spot, _PATCH_PX) for spot in _SPOTS] + [(spot, _EDGE_PX) for spot in edges]
    return all(_is_same(source, (fine, coarse), spot, patch) for spot, patch in spots)


def _is_same(source: Source, levels: tuple[int, int], spot: _Spot, patch: int) -> bool:
    fine, coarse = levels
    size = source.levels[coarse]
    ratio = source.downsamples[coarse] / source.downsamples[fine]
    side = min(patch, size.width, size.height, int(_LARGEST_FINE_PX / ratio))
    if side < _CELLS:
        return True
    left, top = (
        round(min(max(place * limit - side / 2, 0.0), limit - side))
        for place, limit in zip(spot, _pair(size), strict=True)
    )
    try:
        here = _means(source, coarse, (left, top), side)
        finer = _means(source, fine, (left * ratio, top * ratio), side * ratio)
    except SlideError:
        source.reopen()
        return True
    return float(np.abs(here - finer).mean()) <= _LARGEST_DIFFERENCE


def _means(
    source: Source, level: int, corner: tuple[float, float], side: float
) -> NDArray[np.float32]:
    """Means of a square of a level, (8, 8, 3); what lies beyond its edge is cut off."""
    size = source.levels[level]
    low = [min(int(start), limit - 1) for start, limit in zip(corner, _pair(size), strict=True)]
    high = [
        min(max(int(np.ceil(start + side)), first + 1), limit)
        for start, first, limit in zip(corner, low, _pair(size), strict=True)
    ]
    pixels = source.read(level, low[0], low[1], high[0] - low[0], high[1] - low[1])
    box = (
        max(corner[0] - low[0], 0.0),
        max(corner[1] - low[1], 0.0),
        min(corner[0] - low[0] + side, float(high[0] - low[0])),
        min(corner[1] - low[1] + side, float(high[1] - low[1])),
    )
    image = Image.fromarray(pixels).resize((_CELLS, _CELLS), Image.Resampling.BOX, box=box)
    return np.asarray(image, dtype=np.float32)


def _area(size: Size) -> int:
    return size.width * size.height


def _pair(size: Size) -> tuple[int, int]:
    return size.width, size.height
