"""A color map that remembers: exact, fast and needing nothing but numpy.

Normalization looks at one color at a time, 8 bits a channel, and a slide holds far fewer colors
than pixels. The first time a color is met the plain map computes it; after that it is one lookup.
The answers are the plain map's own, bit for bit. See docs/color.md for the measurement that chose
this over compiled loops.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import Pixels, RGBBatch
from jecur.stain.color_map import ColorMap

__all__ = ["ColorTable"]

BLOCK = 16_384
"""Pixels at a time: small enough that the intermediates stay in cache."""
_KNOWN = np.uint32(0xFF000000)
"""Highest byte of an entry that has been computed; entries start at 0."""


class ColorTable:
    """Answers of one color map, computed on demand.

    Holds 2^24 entries of 4 bytes; the 64 MiB become real memory only where colors occur. Several
    threads may look up at once: an entry is written whole, and always with the same value.

    Parameters
    ----------
    color_map
        The plain map. Only it is copied or sent to another process, never the table.
    """

    def __init__(self, color_map: ColorMap) -> None:
        self.color_map = color_map
        self._table: NDArray[np.uint32] = np.zeros(1 << 24, dtype=np.uint32)

    def __reduce__(self) -> tuple[object, ...]:
        return (ColorTable, (self.color_map,))

    def apply(self, batch: RGBBatch, *, threads: int = 1) -> RGBBatch:
        """Map every pixel of (n, h, w, 3) uint8 into a new array of the same shape."""
        pixels = np.ascontiguousarray(batch).reshape(-1, 3)
        out = np.empty_like(pixels)
        starts = range(0, len(pixels), BLOCK)
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(lambda at: self._block(pixels, out, at), starts):
                    pass
        else:
            for at in starts:
                self._block(pixels, out, at)
        return out.reshape(batch.shape)

    def _block(self, pixels: Pixels, out: Pixels, at: int) -> None:
        source, target = pixels[at : at + BLOCK], out[at : at + BLOCK]
        index = source[:, 0].astype(np.intp)
        for channel in (1, 2):
            index <<= 8
            index |= source[:, channel]
        # Every index is below 2^24; "wrap" only spares numpy a separate check of that.
        packed = self._table.take(index, mode="wrap")
        if not packed.all():
            new = np.flatnonzero(packed == 0)
            packed[new] = self._compute(source[new])
            self._table[index[new]] = packed[new]
        target[:, 0] = packed >> 16
        target[:, 1] = packed >> 8
        target[:, 2] = packed

    def _compute(self, pixels: Pixels) -> NDArray[np.uint32]:
        r, g, b = self.color_map(pixels).T.astype(np.uint32)
        packed: NDArray[np.uint32] = _KNOWN | (r << 16) | (g << 8) | b
        return packed
