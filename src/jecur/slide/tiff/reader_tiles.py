"""File tiles of slides that OpenSlide opened, decoded here: the same pixels, faster, and strictly.

OpenSlide paints every tile into a canvas with transparency, which can cost more than decoding it,
and its JPEG decoder passes over damage that it can patch. Here a tile goes straight from the codec
into the region, and a tile with any complaint of the decoder is an error. OpenSlide stays in charge
of what the file is, of every level whose pixels are not found to be the same, and of every level
with a tile that is not stored, on it or on a finer one: Aperio's are drawn from the finer levels, and
what is stored below them is mixed up (openslide-vendor-aperio.c).
"""

import os
import struct
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.reader_openslide import OpenSlideSource
from jecur.slide.source import AroundSource, damaged
from jecur.slide.tiff.file_tiles import TileCache, assemble
from jecur.slide.tiff.jpeg_streams import decode_jpeg, joined, jpeg_header
from jecur.slide.tiff.layout import Page

__all__ = ["FileTileSource", "with_file_tiles"]

_VENDORS = frozenset({"aperio", "generic-tiff", "philips", "ventana", "trestle", "huron"})
"""Vendors whose files are plain tiled TIFF."""
_LARGEST_TILE_PX = 4096**2
_JPEG, _JPEG_2000 = 7, (33003, 33005, 34712)
_RGB = 2
_END = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class _Level:
    """Where the tiles of a level lie, JPEG or JPEG 2000."""

    size: Size
    tile: Size
    columns: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    tables: bytes | None
    """Tables that all JPEG streams share, b"" if there are none; None: JPEG 2000."""
    rgb: bool
    """Whether JPEG streams hold R, G, B, as the TIFF says."""
    proven: set[Hashable] = field(default_factory=set)
    """Kinds of tiles, by their headers, that were found to give OpenSlide's very pixels."""


class FileTileSource(AroundSource):
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
        super().__init__(source)
        self._path = path
        self._tiled = levels
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._cache = TileCache()

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level, (height, width, 3) uint8; absent tiles are white."""
        tiled = self._tiled[level]
        if tiled is None:
            return super().read(level, left, top, width, height)
        return assemble(
            (left, top),
            Size(width, height),
            step=tiled.tile,
            columns=tiled.columns,
            tile=lambda index: self._cache.get(
                level, index, lambda: self._decoded(level, tiled, index)
            ),
        )

    def _decoded(self, number: int, tiled: _Level, index: int) -> RGB:
        """Decode a tile; one of a kind not met before is held against OpenSlide, which is right."""
        try:
            pixels, kind = _decode(self._descriptor, tiled, index)
        except (OSError, ValueError, RuntimeError) as error:
            raise damaged(self._path, error) from error
        if kind in tiled.proven:
            return pixels
        expected = self._source.read(number, *_place(tiled, index))
        if np.array_equal(_cut(pixels, expected), expected):
            tiled.proven.add(kind)
        return expected

    def reopen(self) -> None:
        """Open the file again and forget what was decoded."""
        self._cache.clear()
        self._close_descriptor()  # its number is somebody else's from here on, also if the file is gone
        self._descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        super().reopen()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._close_descriptor()
        super().close()

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def with_file_tiles(source: OpenSlideSource, path: Path) -> OpenSlideSource | FileTileSource:
    """Decode those levels ourselves whose tiles give OpenSlide's very pixels.

    Each level is tried on the tiles where readers come apart: first and last, the corners, the
    middle, the smallest and the largest. Where a pixel differs (a color space that only OpenSlide
    knows), or the decoder complains of sound files of that scanner, OpenSlide goes on.
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
    """Levels that can be read here, down to the first one with a tile that is not stored.

    A level that several pages may be, or none, is doubtful, and so is all that is coarser.
    """
    with tifffile.TiffFile(path) as file:
        pages: list[Page] = list(file.pages)
        for page in list(pages):
            pages.extend(page.pages or [])
        found: list[_Level | None] = []
        for size in sizes:
            alike = [
                page
                for page in pages
                if page.is_tiled and (int(page.imagewidth), int(page.imagelength)) == _pair(size)
            ]
            if len(alike) != 1 or not all(alike[0].databytecounts):
                break
            found.append(_level(alike[0], size))
        return found + [None] * (len(sizes) - len(found))


def _level(page: Page, size: Size) -> _Level | None:
    tile = Size(int(page.tilewidth), int(page.tilelength))
    columns, rows = -(-size.width // tile.width), -(-size.height // tile.height)
    offsets, counts = tuple(page.dataoffsets), tuple(page.databytecounts)
    compression = int(page.compression)
    if (
        compression not in (_JPEG, *_JPEG_2000)
        or page.samplesperpixel != 3
        or tile.width * tile.height > _LARGEST_TILE_PX
        or len(offsets) != columns * rows
    ):
        return None
    tables = (page.jpegtables or b"") if compression == _JPEG else None
    return _Level(size, tile, columns, offsets, counts, tables, int(page.photometric) == _RGB)


def _decode(descriptor: int, level: _Level, index: int) -> tuple[RGB, Hashable]:
    """Decode one file tile; also tell its kind: what its header says, but for the tables."""
    count = level.counts[index]
    data = os.pread(descriptor, count, level.offsets[index])
    if len(data) < count:
        raise ValueError(f"tile {index} ends after {len(data)} of {count} bytes")
    wanted = _pair(level.tile)
    kind: Hashable
    if level.tables is None:
        kind = _jpeg_2000_header(data)
        told = _jpeg_2000_size(data)
        if not data.rstrip(b"\0").endswith(_END):  # OpenJPEG makes something up for what is lost
            raise ValueError(f"tile {index} has no end marker")
    else:
        data = joined(data, level.tables, rgb=False)
        kind = header = jpeg_header(data)
        told = header.size
    if told != wanted:  # before it takes the memory it claims
        raise ValueError(f"tile {index} claims {told} px in a grid of {wanted}")
    pixels: RGB = (
        imagecodecs.jpeg2k_decode(data)
        if level.tables is None
        else decode_jpeg(joined(data, None, rgb=level.rgb))
    )
    if pixels.shape != (*wanted[::-1], 3) or pixels.dtype != np.uint8:
        raise ValueError(f"tile {index} decodes to {pixels.dtype} {pixels.shape}")
    return pixels, kind


def _jpeg_2000_header(data: bytes) -> bytes:
    """Bytes before the first tile part: boxes, sizes, components and coding style."""
    return data[: max(data[:4096].find(b"\xff\x90"), 0)]


def _jpeg_2000_size(data: bytes) -> tuple[int, int]:
    """Width and height that a codestream's first segment (SIZ) claims; (0, 0) if it has none."""
    at = data[:512].find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 24:
        return 0, 0
    x1, y1, x0, y0 = struct.unpack(">4I", data[at + 8 : at + 24])
    return x1 - x0, y1 - y0


def _doubtful(level: _Level) -> list[int]:
    """Tiles where readers come apart: corners, middle, and the smallest and largest stored."""
    n = len(level.counts)
    counts = np.array(level.counts)
    spots = {0, n - 1, level.columns - 1, n - level.columns, n // 2}
    return sorted(spots | {int(counts.argmin()), int(counts.argmax())})


def _agrees(source: OpenSlideSource, descriptor: int, number: int, level: _Level) -> bool:
    """Whether the doubtful tiles are decoded to the very pixels that OpenSlide gives."""
    doubtful, damaged_tiles = _doubtful(level), 0
    for index in doubtful:
        try:
            tile, kind = _decode(descriptor, level, index)
            expected = source.read(number, *_place(level, index))
        except SlideError:
            source.reopen()
            return False
        except (OSError, ValueError, RuntimeError):
            damaged_tiles += 1  # told when it is read; if it is most tiles, it is the scanner's way
            continue
        if not np.array_equal(_cut(tile, expected), expected):
            return False
        level.proven.add(kind)
    return 2 * damaged_tiles < len(doubtful)


def _place(level: _Level, index: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a tile, cut at the level's edge."""
    row, column = divmod(index, level.columns)
    left, top = column * level.tile.width, row * level.tile.height
    width = min(level.tile.width, level.size.width - left)
    return left, top, width, min(level.tile.height, level.size.height - top)


def _cut(tile: RGB, like: RGB) -> RGB:
    return tile[: like.shape[0], : like.shape[1]]


def _pair(size: Size) -> tuple[int, int]:
    return size.width, size.height
