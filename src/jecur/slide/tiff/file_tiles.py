"""What readers of tiled files share: a region put together from file tiles, and a cache of them."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from jecur.arrays import RGB
from jecur.geometry import Size

__all__ = ["TileCache", "assemble"]

_CACHE_BYTES = 96 * 2**20


class TileCache:
    """The file tiles decoded last, at most 96 MiB of them; several threads may use it."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[tuple[int, int], RGB] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, level: int, index: int, decode: Callable[[], RGB | None]) -> RGB | None:
        """Return a tile, decoding it if it is not here; None (nothing stored) is not kept."""
        key = (level, index)
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        tile = decode()
        if tile is not None:
            with self._lock:
                if key not in self._tiles:
                    self._tiles[key] = tile
                    self._bytes += tile.nbytes
                while self._bytes > _CACHE_BYTES and len(self._tiles) > 1:
                    self._bytes -= self._tiles.popitem(last=False)[1].nbytes
        return tile

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._tiles.clear()
            self._bytes = 0


def assemble(
    corner: tuple[int, int],
    size: Size,
    *,
    step: Size,
    columns: int,
    tile: Callable[[int], RGB | None],
) -> RGB:
    """Put a rectangle of a level together from its file tiles.

    Parameters
    ----------
    corner
        Left and top of the rectangle, pixels of the level.
    size
        Of the rectangle.
    step
        Size of a file tile; one may come back smaller at the right and the bottom.
    columns
        Tiles in a row of the level.
    tile
        Tile of an index, row by row; None where the file stores nothing.

    Returns
    -------
    RGB
        (height, width, 3) uint8, white where nothing is stored.
    """
    left, top = corner
    region = np.full((size.height, size.width, 3), 255, dtype=np.uint8)
    for row in range(top // step.height, (top + size.height - 1) // step.height + 1):
        for column in range(left // step.width, (left + size.width - 1) // step.width + 1):
            pixels = tile(row * columns + column)
            if pixels is None:
                continue
            dx, dy = column * step.width - left, row * step.height - top
            x0, y0 = max(dx, 0), max(dy, 0)
            x1 = min(dx + pixels.shape[1], size.width)
            y1 = min(dy + pixels.shape[0], size.height)
            region[y0:y1, x0:x1] = pixels[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    return region
