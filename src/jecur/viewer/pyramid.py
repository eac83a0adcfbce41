"""A slide as square tiles of halving levels, over our own readers: what was scored is what is seen.

Level ``last`` is the slide itself; each level before has half its side, down to one pixel (the
Deep Zoom layout). What cannot be decoded is hatched, never filled in.
"""

import math
from dataclasses import dataclass

import numpy as np

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.reader import Slide
from jecur.slide.resample import best_level, resize_box

__all__ = ["TILE_PX", "Overview", "Pyramid", "TilePlace", "hatched", "read_overview", "read_tile"]

TILE_PX = 256
_SMALLEST_PX = 32
"""A tile that cannot be read is halved down to this side to save what lies around the damage."""
_DIRECT_PX = 2048 * 2048
"""Pixels of the file that one tile may cost; above, the level is made once of the whole slide."""
_MOST_OVERVIEW_BYTES = 48 * 2**20
_HATCH_PX = 16


@dataclass(frozen=True, slots=True)
class TilePlace:
    """A tile: where it begins, level-0 pixels, how coarse it is, and its size in its own pixels."""

    x: float
    y: float
    step: int
    """Level-0 pixels per pixel of the tile."""
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """A slide read once, coarsely."""

    image: RGB
    step: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the image."""
        return self.image.nbytes


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Geometry of the tiles of one slide."""

    size: Size

    @property
    def last(self) -> int:
        """Number of the level that is the slide itself."""
        return math.ceil(math.log2(max(self.size.width, self.size.height, 1)))

    def step(self, level: int) -> int:
        """Level-0 pixels per pixel of a level."""
        return int(2 ** (self.last - level))

    def level_size(self, level: int) -> Size:
        """Pixels of a level."""
        step = self.step(level)
        return Size(-(-self.size.width // step), -(-self.size.height // step))

    def n_tiles(self, level: int) -> Size:
        """Columns and rows of a level."""
        size = self.level_size(level)
        return Size(-(-size.width // TILE_PX), -(-size.height // TILE_PX))

    def place(self, level: int, column: int, row: int) -> TilePlace:
        """Place of one tile; the last of a row or column is smaller."""
        size, step = self.level_size(level), self.step(level)
        return TilePlace(
            float(column * TILE_PX * step),
            float(row * TILE_PX * step),
            step,
            min(TILE_PX, size.width - column * TILE_PX),
            min(TILE_PX, size.height - row * TILE_PX),
        )

    def overview_step(self, slide: Slide) -> int:
        """Coarseness from which tiles come of an overview; 0 if the file's own levels serve all."""
        for level in range(self.last, -1, -1):
            step = self.step(level)
            if _file_pixels(slide, step) <= _DIRECT_PX:
                continue
            size = self.level_size(level)
            if size.width * size.height * 3 <= _MOST_OVERVIEW_BYTES:
                return step
        return 0


def _file_pixels(slide: Slide, step: int) -> float:
    """Pixels of the file that one whole tile of this coarseness is read from."""
    level = best_level(slide.downsamples, step)
    side = TILE_PX * step / slide.downsamples[level]
    size = slide.levels[level]
    return min(side, size.width) * min(side, size.height)


def read_overview(slide: Slide, step: int) -> Overview:
    """Read a whole slide once, ``step`` level-0 pixels a pixel, in blocks of bounded memory.

    Raises
    ------
    SlideError
        If nothing of it can be decoded.
    """
    image, damage = slide.overview_and_damage(step * slide.mpp)
    if damage.any():
        image[damage] = _hatch(*image.shape[:2])[damage]
    return Overview(image, step)


def read_tile(slide: Slide, place: TilePlace, overview: Overview | None = None) -> RGB:
    """Draw one tile, (height, width, 3) uint8.

    Parameters
    ----------
    slide
        Open.
    place
        Of `Pyramid.place`.
    overview
        Serves instead of the file if the tile is at least as coarse.
    """
    if overview is not None and place.step >= overview.step:
        return _of_overview(overview, place)
    side = max(place.width, place.height)
    x, y = round(place.x / place.step), round(place.y / place.step)
    return _square(slide, (x, y), place.step, side)[: place.height, : place.width]


def _of_overview(overview: Overview, place: TilePlace) -> RGB:
    height, width = overview.image.shape[:2]
    scale = place.step / overview.step
    left, top = place.x / overview.step, place.y / overview.step
    right = min(left + place.width * scale, float(width))
    bottom = min(top + place.height * scale, float(height))
    if right <= left or bottom <= top:  # a last sliver that the overview rounded away
        return np.full((place.height, place.width, 3), 255, np.uint8)
    return resize_box(overview.image, (left, top, right, bottom), Size(place.width, place.height))


def _square(slide: Slide, corner: tuple[int, int], step: int, side: int) -> RGB:
    """Read a square of ``side`` pixels at ``corner``, both in pixels of ``step``; damage is hatched."""
    x, y = corner
    try:
        return slide.read_region(x * step, y * step, side * step, side)
    except SlideError:
        if side <= _SMALLEST_PX:
            return hatched(corner, side)
    half = -(-side // 2)
    image = np.empty((2 * half, 2 * half, 3), np.uint8)
    for top in (0, half):
        for left in (0, half):
            image[top : top + half, left : left + half] = _square(
                slide, (x + left, y + top), step, half
            )
    return image[:side, :side]


def hatched(corner: tuple[int, int], side: int) -> RGB:
    """Stripes that say "damaged here": a square of a pattern that runs on from tile to tile."""
    x, y = corner[0] % _HATCH_PX, corner[1] % _HATCH_PX
    return np.ascontiguousarray(_hatch(side + y, side + x)[y:, x:])


def _hatch(height: int, width: int) -> RGB:
    rows, columns = np.indices((height, width))
    dark = ((rows + columns) % _HATCH_PX) < _HATCH_PX // 3
    image = np.full((height, width, 3), 225, np.uint8)
    image[dark] = (120, 120, 130)
    return image
