"""File tiles of slides that OpenSlide opened, decoded here: the same pixels, faster, and strictly.

OpenSlide paints every tile into a canvas with transparency, which can cost more than decoding it,
and its JPEG decoder passes over damage that it can patch. Here a tile goes straight from the codec
into the region, and a tile with any complaint of the decoder is an error. OpenSlide stays in charge
of what the file is, and of every level whose pixels are not found to be the same.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg
import tifffile

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.file_tiles import TileCache, assemble
from jecur.slide.reader_openslide import OpenSlideSource
from jecur.slide.source import damaged

__all__ = ["FileTileSource", "with_file_tiles"]

_VENDORS = frozenset({"aperio", "generic-tiff", "philips", "ventana", "trestle", "huron"})
"""Vendors whose files are plain tiled TIFF."""
_LARGEST_TILE_PX = 4096**2
_JPEG, _JPEG_2000 = 7, (33003, 33005, 34712)
_RGB = 2
_SOI, _END = b"\xff\xd8", b"\xff\xd9"
_NOT_YCBCR = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe's marker: the three components are R, G, B as they are. TIFF says so in a tag of its own."""


@dataclass(frozen=True, slots=True)
class _Level:
    """Where the tiles of a level lie, JPEG or JPEG 2000."""

    size: Size
    tile: Size
    columns: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    start: bytes | None
    """Of every JPEG stream: its color space and the tables that all tiles share; None: JPEG 2000."""


class FileTileSource:
    """An OpenSlide source some of whose levels are decoded tile by tile.

    Parameters
    ----------
    source
        Open source; closed with this one.
    path
        Its file.
    levels
        One entry a level of the source; None where OpenSlide reads.
    """

    def __init__(
        self, source: OpenSlideSource, path: Path, levels: tuple[_Level | None, ...]
    ) -> None:
        self._source = source
        self._path = path
        self._tiled = levels
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._cache = TileCache()
        self.reader = source.reader
        self.vendor = source.vendor
        self.icc_profile = source.icc_profile
        self.levels = source.levels
        self.downsamples = source.downsamples
        self.scale = source.scale
        self.canvas_offset = source.canvas_offset

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level, (height, width, 3) uint8; absent tiles are white."""
        tiled = self._tiled[level]
        if tiled is None:
            return self._source.read(level, left, top, width, height)
        return assemble(
            (left, top),
            Size(width, height),
            step=tiled.tile,
            columns=tiled.columns,
            tile=lambda index: self._cache.get(level, index, lambda: self._decoded(tiled, index)),
        )

    def _decoded(self, tiled: _Level, index: int) -> RGB | None:
        try:
            return _decode(self._descriptor, tiled, index)
        except (OSError, ValueError, RuntimeError) as error:
            raise damaged(self._path, error) from error

    def reopen(self) -> None:
        """Open the file again and forget what was decoded."""
        self._cache.clear()
        os.close(self._descriptor)
        self._descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._source.reopen()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._source.close()


def with_file_tiles(source: OpenSlideSource, path: Path) -> OpenSlideSource | FileTileSource:
    """Decode those levels ourselves whose tiles give OpenSlide's very pixels.

    Each level is tried on one tile near its middle; where a pixel differs (a color space that only
    OpenSlide knows), or the decoder complains of sound files of that scanner, OpenSlide goes on.
    """
    if source.vendor not in _VENDORS or source.has_bounds or not hasattr(os, "pread"):
        return source
    try:
        found = _tiled_levels(path, source.levels)
    except Exception:  # noqa: BLE001 -- whatever tifffile makes of it, OpenSlide has opened the file
        return source
    if not any(found):
        return source
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        levels = tuple(
            level if level and _agrees(source, descriptor, k, level) else None
            for k, level in enumerate(found)
        )
    finally:
        os.close(descriptor)
    return FileTileSource(source, path, levels) if any(levels) else source


def _tiled_levels(path: Path, sizes: tuple[Size, ...]) -> list[_Level | None]:
    with tifffile.TiffFile(path) as file:
        pages: list[Any] = list(file.pages)
        for page in list(pages):
            pages.extend(page.pages or [])
        by_size = {
            Size(int(page.imagewidth), int(page.imagelength)): page
            for page in reversed(pages)
            if page.is_tiled
            and int(page.compression) in (_JPEG, *_JPEG_2000)
            and page.samplesperpixel == 3
        }
        return [_level(by_size[size], size) if size in by_size else None for size in sizes]


def _level(page: tifffile.TiffPage, size: Size) -> _Level | None:
    tile = Size(int(page.tilewidth), int(page.tilelength))
    columns, rows = -(-size.width // tile.width), -(-size.height // tile.height)
    offsets, counts = tuple(page.dataoffsets), tuple(page.databytecounts)
    if tile.width * tile.height > _LARGEST_TILE_PX or len(offsets) != columns * rows:
        return None
    if int(page.compression) != _JPEG:
        return _Level(size, tile, columns, offsets, counts, None)
    start = _SOI + (_NOT_YCBCR if int(page.photometric) == _RGB else b"")
    return _Level(size, tile, columns, offsets, counts, start + (page.jpegtables or b"")[2:-2])


def _decode(descriptor: int, level: _Level, index: int) -> RGB | None:
    """Decode one file tile; None where the file stores nothing."""
    count = level.counts[index]
    if count == 0:
        return None
    data = os.pread(descriptor, count, level.offsets[index])
    if len(data) < count:
        raise ValueError(f"tile {index} ends after {len(data)} of {count} bytes")
    wanted = (level.tile.width, level.tile.height)
    if level.start is None:
        told = _jpeg_2000_size(data)
        if not data.rstrip(b"\0").endswith(_END):  # OpenJPEG makes something up for what is lost
            raise ValueError(f"tile {index} has no end marker")
    else:
        data = level.start + data[2:]
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=True)
        told = (width, height)
    if told != wanted:  # before it takes the memory it claims
        raise ValueError(f"tile {index} claims {told} px in a grid of {wanted}")
    pixels: RGB = (
        imagecodecs.jpeg2k_decode(data)
        if level.start is None
        else simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    )
    if pixels.shape != (*wanted[::-1], 3) or pixels.dtype != np.uint8:
        raise ValueError(f"tile {index} decodes to {pixels.dtype} {pixels.shape}")
    return pixels


def _jpeg_2000_size(data: bytes) -> tuple[int, int]:
    """Width and height that a codestream's first segment (SIZ) claims; (0, 0) if it has none."""
    at = data[:512].find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 24:
        return 0, 0
    x1, y1, x0, y0 = struct.unpack(">4I", data[at + 8 : at + 24])
    return x1 - x0, y1 - y0


def _agrees(source: OpenSlideSource, descriptor: int, number: int, level: _Level) -> bool:
    """Whether a tile near the middle is decoded to the very pixels that OpenSlide gives."""
    stored = np.flatnonzero(np.array(level.counts) > 0)
    if not len(stored):
        return False
    index = int(stored[len(stored) // 2])
    row, column = divmod(index, level.columns)
    left, top = column * level.tile.width, row * level.tile.height
    width = min(level.tile.width, level.size.width - left)
    height = min(level.tile.height, level.size.height - top)
    try:
        tile = _decode(descriptor, level, index)
        expected = source.read(number, left, top, width, height)
    except SlideError:
        source.reopen()
        return False
    except (OSError, ValueError, RuntimeError):
        return False
    return tile is not None and np.array_equal(tile[:height, :width], expected)
