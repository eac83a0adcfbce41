"""Every nucleus of a slide, once: read in overlapping blocks, streamed into one table.

Blocks lie on a lattice of the network's working scale that begins at the slide's corner. Each is read
with a margin wider than what the network sees around a pixel and than a nucleus is long, so a nucleus
comes out the same in whichever block it lies; it is kept by the block that its centroid lies in, if
that place is covered by a tile of the run. Nothing is cut, nothing counted twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import KDTree

from jecur.arrays import RGB, IntVector, Matrix, Positions
from jecur.errors import SlideError
from jecur.geometry import side_in_pixels
from jecur.nuclei.agreement import find_nuclei
from jecur.nuclei.segmentation import NucleiModel
from jecur.nuclei.single import SingleNuclei, measure_each
from jecur.runs.folder import atomic_path
from jecur.slide.reader import Slide
from jecur.stain.normalizer import Normalizer

__all__ = [
    "EACH_NUCLEUS",
    "Blocks",
    "CoveredTiles",
    "SegmentedSlide",
    "each_nucleus",
    "write_each_nucleus",
]

EACH_NUCLEUS = "each_nucleus.parquet"
"""Name of the table in a slide's folder."""

_CELL_UM, CELL_PX = 128.0, 224
"""Side of a cell of the lattice, micrometers and working pixels: that of the paper's tile."""

_READ_PX = CELL_PX * 11 // 16
"""Margin read: so many sixteenths of a cell that corners are whole sixteenths of a level-0 pixel, which
the resampling holds exactly. Any other margin would resample each block from another fraction."""

_MAPPED_PX = 144
"""Margin given to the network: a multiple of 16, or a block would meet its steps in another phase."""

_SEEN_PX = 104
"""How far the shipped network sees: what lies farther from a pixel changes nothing there."""

_CUT_PX = _MAPPED_PX - _SEEN_PX
"""Margin in which nuclei are cut, 23 um: more than a nucleus reaches to either side."""


@dataclass(frozen=True, slots=True, eq=False)
class CoveredTiles:
    """Where nuclei are wanted: the squares of a run's tiles."""

    positions: Positions
    """(n, 2) upper left corners x, y, level-0 pixels of the slide that is read."""
    side_px: int
    """Level-0 pixels."""

    def tile_of(self, xy: Matrix) -> IntVector:
        """Tile that each of (m, 2) points lies in, (m,); -1 where there is none."""
        if not len(self.positions) or not len(xy):
            return np.full(len(xy), -1, dtype=np.int64)
        half = self.side_px / 2
        distance, nearest = KDTree(self.positions + half).query(xy, p=np.inf)
        return np.where(distance <= half, nearest, -1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a slide is cut for reading; the table does not depend on it.

    Parameters
    ----------
    cells
        Cells of 128 um a side of a block, at least 1: memory grows with its square.
    offset
        Of the lattice's corner from the slide's, half cells (x, y).
    """

    cells: int = 6
    offset: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class SegmentedSlide:
    """What became of one slide."""

    table: Path
    n_nuclei: int
    n_tiles: int
    n_tiles_lost: int
    """Tiles near pixels that cannot be decoded; they hold no nuclei."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Nuclei of one square of the lattice, or a cell that could not be read."""

    nuclei: SingleNuclei | None
    tile: IntVector
    lost: tuple[float, float] | None = None
    """Corner of the cell."""


def write_each_nucleus(
    path: Path, slide: Slide, tiles: CoveredTiles, normalizer: Normalizer, network: NucleiModel
) -> SegmentedSlide:
    """Write one row a nucleus; memory does not grow with the slide.

    Parameters
    ----------
    path
        Parquet file, written whole or not at all.
    slide, tiles
        The slide that was tiled, and its tiles.
    normalizer, network
        What the run's tiles were made with.

    Returns
    -------
    SegmentedSlide
        Columns of the table: ``tile`` (row of ``tiles.parquet``), ``x``, ``y`` (level-0 pixels of the
        file), ``x_um``, ``y_um`` (micrometers from the corner of the slide, or of the core), and those
        of `SingleNuclei` but for its place.
    """
    n_nuclei, lost = 0, 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
        for found in each_nucleus(slide, tiles, normalizer, network):
            lost += _tiles_lost(tiles, found.lost, side_in_pixels(_CELL_UM, slide.mpp))
            if found.nuclei is not None and len(found.nuclei):
                writer.write_table(_rows(found.nuclei, found.tile, slide))
                n_nuclei += len(found.nuclei)
    return SegmentedSlide(path, n_nuclei, len(tiles.positions), lost)


def each_nucleus(
    slide: Slide,
    tiles: CoveredTiles,
    normalizer: Normalizer,
    network: NucleiModel,
    *,
    blocks: Blocks | None = None,
) -> Iterator[_Found]:
    """Yield the nuclei of a slide block by block; ``x`` and ``y`` in level-0 pixels of ``slide``."""
    blocks = blocks or Blocks()
    given = _Reading(slide, tiles, normalizer, network, side_in_pixels(_CELL_UM, slide.mpp))
    for corner, part in _corners(tiles, given.cell, blocks):
        yield from _reached(given, corner, part, blocks.cells)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    slide: Slide
    tiles: CoveredTiles
    normalizer: Normalizer
    network: NucleiModel
    cell: int
    """Level-0 pixels a side of a cell."""


@dataclass(slots=True)
class _Part:
    """Cells of a block that tiles reach into: the first and the one behind the last, (x, y)."""

    low: tuple[int, int]
    high: tuple[int, int]

    def square(self, cells: int) -> tuple[tuple[int, int], int]:
        """Return the smallest square of cells around them in a block: first cell (x, y) and side."""
        side = max(self.high[0] - self.low[0], self.high[1] - self.low[1])
        return (min(self.low[0], cells - side), min(self.low[1], cells - side)), side


def _corners(
    tiles: CoveredTiles, cell: int, blocks: Blocks
) -> Iterator[tuple[tuple[float, float], _Part]]:
    """Blocks that a tile reaches into, in row-major order: corner (x, y), level-0 pixels, and what of it."""
    n, offset = blocks.cells, np.array(blocks.offset) * cell / 2
    first = np.floor((tiles.positions - offset) / cell).astype(np.int64)
    last = np.ceil((tiles.positions + tiles.side_px - offset) / cell).astype(np.int64)
    reached: dict[tuple[int, int], _Part] = {}
    for (x, y), (right, bottom) in zip(first.tolist(), last.tolist(), strict=True):
        for row in range(y // n, -(-bottom // n)):
            for column in range(x // n, -(-right // n)):
                low = max(x - column * n, 0), max(y - row * n, 0)
                high = min(right - column * n, n), min(bottom - row * n, n)
                part = reached.setdefault((row, column), _Part(low, high))
                part.low = min(part.low[0], low[0]), min(part.low[1], low[1])
                part.high = max(part.high[0], high[0]), max(part.high[1], high[1])
    for row, column in sorted(reached):
        corner = column * n * cell + offset[0], row * n * cell + offset[1]
        yield corner, reached[row, column]


def _reached(
    given: _Reading, corner: tuple[float, float], part: _Part, cells: int
) -> Iterator[_Found]:
    """Read the part of a block that tiles reach into; where it cannot be read, all of it and in parts."""
    low, side = part.square(cells)
    at = corner[0] + low[0] * given.cell, corner[1] + low[1] * given.cell
    try:
        rgb = _read(given, at, side)
    except SlideError:
        yield from _block(given, corner, cells)
        return
    # A nucleus on the very edge of a tile is the tile's, and no other square of the block is read.
    yield _nuclei_of(given, rgb, at, side, closed=(low[0] + side < cells, low[1] + side < cells))


def _read(given: _Reading, corner: tuple[float, float], cells: int) -> RGB:
    """Read a square of cells with its margin."""
    margin = given.cell * _READ_PX / CELL_PX
    return given.slide.read_region(
        corner[0] - margin,
        corner[1] - margin,
        cells * given.cell + 2 * margin,
        cells * CELL_PX + 2 * _READ_PX,
    )


def _block(given: _Reading, corner: tuple[float, float], cells: int) -> Iterator[_Found]:
    """Read one square; where it cannot be read, read its parts, down to one cell."""
    try:
        rgb = _read(given, corner, cells)
    except SlideError:
        if cells == 1:
            yield _Found(None, np.empty(0, dtype=np.int64), corner)
            return
        part = next(n for n in range(cells // 2, 0, -1) if cells % n == 0)
        for row in range(0, cells, part):
            for column in range(0, cells, part):
                at = (corner[0] + column * given.cell, corner[1] + row * given.cell)
                yield from _block(given, at, part)
        return
    yield _nuclei_of(given, rgb, corner, cells)


def _nuclei_of(
    given: _Reading,
    scanned: RGB,
    corner: tuple[float, float],
    cells: int,
    closed: tuple[bool, bool] = (False, False),
) -> _Found:
    """Find, measure and claim the nuclei whose centroid lies in a square that was read with its margin.

    ``closed`` (x, y): its last edges belong to it as well.
    """
    rgb = given.normalizer.apply(_inner(scanned, _READ_PX - _MAPPED_PX)[None])
    probability = _inner(given.network.map(rgb)[0], _SEEN_PX)
    um_per_px = given.cell * given.slide.mpp / CELL_PX
    labels = find_nuclei(probability, um_per_px=um_per_px)
    nuclei = measure_each(labels, _inner(rgb[0], _SEEN_PX), um_per_px=um_per_px)
    at = np.column_stack([nuclei.x, nuclei.y]) - _CUT_PX
    end = cells * CELL_PX
    inside = ((at >= 0) & ((at < end) | (np.array(closed) & (at == end)))).all(axis=1)
    place = at * (given.cell / CELL_PX) + corner
    tile = given.tiles.tile_of(place)
    kept = inside & (tile >= 0)
    placed = replace(nuclei, x=place[:, 0], y=place[:, 1])
    return _Found(placed.take(kept), tile[kept])


def _inner(image: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    return image[margin:-margin, margin:-margin]


def _tiles_lost(tiles: CoveredTiles, corner: tuple[float, float] | None, cell: int) -> int:
    """Tiles whose middle lies in a cell that could not be read."""
    if corner is None:
        return 0
    offset = tiles.positions + tiles.side_px / 2 - corner
    return int(((offset >= 0) & (offset < cell)).all(axis=1).sum())


_MEASURED = tuple(name for name in SingleNuclei.names() if name not in {"x", "y"})
_SCHEMA = pa.schema(
    [("tile", pa.int32())]
    + [(name, pa.float64()) for name in ("x", "y", "x_um", "y_um")]
    + [(name, pa.float32()) for name in _MEASURED]
)


def _rows(nuclei: SingleNuclei, tile: IntVector, slide: Slide) -> pa.Table:
    columns = [tile.astype(np.int32), nuclei.x + slide.origin[0], nuclei.y + slide.origin[1]]
    columns += [nuclei.x * slide.mpp, nuclei.y * slide.mpp]
    columns += [getattr(nuclei, name).astype(np.float32) for name in _MEASURED]
    return pa.table([pa.array(column) for column in columns], schema=_SCHEMA)
