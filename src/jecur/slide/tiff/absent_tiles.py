"""Tiles that a TIFF does not store: empty glass, or tissue that was lost.

Writers of sparse files leave out tiles of glass, and readers show them white. A tile that a smaller copy of
the same slide shows as tissue was no glass: white in its place would be scored as what it is not, so it is
damage. Scanners' own formats are left to OpenSlide, which fills such tiles as their software does.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.source import AroundSource, Source, damaged
from jecur.slide.tiff.layout import Page
from jecur.slide.tiff.orientation import UPRIGHT
from jecur.slide.tiff.pages import is_copy, orientation_of, page_size
from jecur.slide.tiff.reader_tifffile import DECODE_ERRORS

__all__ = ["TilesAccountedFor", "with_tiles_accounted_for"]

_VENDORS = frozenset({"generic-tiff", "ome-tiff", "tiff"})
_DARK, _BLACK = 200, 40
"""Tissue has a channel below the one, and is not below the other in all: unscanned places may be black."""
_SHARE, _FEWEST_PX = 0.05, 4
"""Of the smaller copy of a tile that is dark, to be tissue; fixed before any slide was looked at."""
_BLEED_PX = 2
"""At the edge of a smaller copy neighbors shine in."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Which tiles of a level are not stored."""

    step: Size
    absent: NDArray[np.bool_]
    """(rows, columns)."""

    def within(self, left: int, top: int, width: int, height: int) -> Iterator[tuple[int, int]]:
        """Yield row and column of the absent tiles that a rectangle of the level touches."""
        first = top // self.step.height, left // self.step.width
        last = (top + height - 1) // self.step.height, (left + width - 1) // self.step.width
        part = self.absent[first[0] : last[0] + 1, first[1] : last[1] + 1]
        for row, column in np.argwhere(part).tolist():
            yield first[0] + row, first[1] + column


class TilesAccountedFor(AroundSource):
    """A source that refuses to show white where a tile is lost.

    Parameters
    ----------
    source
        Open source; closed with this one.
    path
        Its file.
    grids
        Of the levels that lack tiles.
    """

    def __init__(self, source: Source, path: Path, grids: Mapping[int, _Grid]) -> None:
        super().__init__(source)
        self._path, self._grids = path, grids
        self._lost: dict[tuple[int, int, int], bool] = {}

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level, (height, width, 3) uint8; tiles of glass that are absent are white."""
        if level in self._grids:
            for row, column in self._absent(level, left, top, width, height):
                if self._is_lost(level, row, column):
                    told = f"tile {row + 1}, {column + 1} of level {level} is not stored"
                    raise damaged(
                        self._path, ValueError(f"{told}, and a smaller copy shows tissue there")
                    )
        return self._source.read(level, left, top, width, height)

    def _absent(
        self, level: int, left: int, top: int, width: int, height: int
    ) -> Iterator[tuple[int, int]]:
        """Row and column, in the file, of the absent tiles below a rectangle of the readable bounds."""
        x, y = self._bounds_at(level)
        first = math.floor(left + x), math.floor(top + y)
        last = math.ceil(left + width + x), math.ceil(top + height + y)
        return self._grids[level].within(*first, last[0] - first[0], last[1] - first[1])

    def _bounds_at(self, level: int) -> tuple[float, float]:
        """Where the readable bounds begin on a level of the file, (x, y)."""
        x, y = self.canvas_offset
        return x / self.downsamples[level], y / self.downsamples[level]

    def _is_lost(self, level: int, row: int, column: int) -> bool:
        key = level, row, column
        if key not in self._lost:
            self._lost[key] = self._shown_as_tissue(level, row, column)
        return self._lost[key]

    def _shown_as_tissue(self, level: int, row: int, column: int) -> bool:
        """Ask the next smaller copy that stores the place and shows it in enough pixels."""
        grid, (offset_x, offset_y) = self._grids[level], self._bounds_at(level)
        left, top = column * grid.step.width - offset_x, row * grid.step.height - offset_y
        right, bottom = (
            min(left + grid.step.width, self.levels[level].width),
            min(top + grid.step.height, self.levels[level].height),
        )
        for coarser in range(level + 1, len(self.levels)):
            ratio = self.downsamples[coarser] / self.downsamples[level]
            x, y = (max(math.ceil(edge / ratio), 0) + _BLEED_PX for edge in (left, top))
            width, height = (
                math.floor(edge / ratio) - _BLEED_PX - start
                for edge, start in ((right, x), (bottom, y))
            )
            if min(width, height) < 1 or (
                coarser in self._grids and any(self._absent(coarser, x, y, width, height))
            ):
                continue
            try:
                return _is_tissue(self._source.read(coarser, x, y, width, height))
            except SlideError:
                self._source.reopen()
        return False


def with_tiles_accounted_for(source: Source, path: Path) -> Source:
    """Watch the tiles that a plain TIFF or OME-TIFF does not store, if there are any and smaller copies."""
    if source.vendor not in _VENDORS or len(source.levels) < 2:
        return source
    grids = _grids(path, source.downsamples)
    return TilesAccountedFor(source, path, grids) if grids else source


def _grids(path: Path, downsamples: Sequence[float]) -> dict[int, _Grid]:
    """Levels that lack tiles; one that several pages may be is left to its reader, and so are turned ones."""
    found = {}
    try:
        with tifffile.TiffFile(path) as file:
            chain: list[Page] = [page.aspage() for page in file.pages]
            pages = [*chain, *(below for page in chain for below in page.pages or ())]
            tiled = [p for p in pages if p.is_tiled and orientation_of(p) == UPRIGHT]
            full = max(map(page_size, tiled or chain), key=lambda size: size.width * size.height)
            for k, downsample in enumerate(downsamples):
                alike = [page for page in tiled if is_copy(full, page_size(page), downsample)]
                if len(alike) == 1 and not all(alike[0].databytecounts):
                    found[k] = _grid(alike[0])
    except DECODE_ERRORS:
        return {}
    return found


def _grid(page: Page) -> _Grid:
    step = Size(int(page.tilewidth), int(page.tilelength))
    rows, columns = (
        -(-int(side) // by)
        for side, by in ((page.imagelength, step.height), (page.imagewidth, step.width))
    )
    counts = np.asarray(page.databytecounts, dtype=np.int64)
    planes = int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1
    stored = counts[: planes * rows * columns].reshape(planes, rows, columns)
    return _Grid(step, (stored == 0).all(axis=0))


def _is_tissue(pixels: RGB) -> bool:
    dark = (pixels.min(axis=2) < _DARK) & (pixels.max(axis=2) > _BLACK)
    return bool(dark.sum() >= max(_FEWEST_PX, _SHARE * dark.size))
