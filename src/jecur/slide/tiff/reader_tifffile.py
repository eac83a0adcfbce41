"""TIFF files that OpenSlide does not read whole or not right, behind tifffile.

OME-TIFF, strips, separate planes, palettes, transparency, turned pictures, and codecs that OpenSlide
lacks. Only the file tiles (or strips) that a request touches are decoded, so memory is bounded by
the request and a small cache, never by the slide.
"""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.resample import level_downsample
from jecur.slide.source import Note, Scale, damaged, several_scans
from jecur.slide.tiff.colors import (
    JPEG,
    JPEG_2000,
    ColorModel,
    color_model,
    palette_of,
    stream_model,
    to_rgb,
    why_undecoded,
    why_unread,
)
from jecur.slide.tiff.file_tiles import TileCache, assemble
from jecur.slide.tiff.jpeg_streams import decode_jpeg, joined, jpeg_header
from jecur.slide.tiff.layout import Page, directories_leave_file
from jecur.slide.tiff.ome import (
    OmeImage,
    absent_attributes,
    holds_ome,
    image_of,
    other_scans,
    parse_ome,
)
from jecur.slide.tiff.orientation import read_turned, turned
from jecur.slide.tiff.pages import (
    Pyramid,
    find_pyramid,
    orientation_of,
    other_images,
    page_size,
    rival_pages,
)
from jecur.slide.tiff.scale import is_aperio, scale_of

__all__ = [
    "DECODE_ERRORS",
    "LARGEST_SEGMENT_BYTES",
    "TiffSource",
    "missing_bytes",
    "refuse_layout",
    "segment_bytes",
    "too_large_segments",
]

logging.getLogger("tifffile").addHandler(logging.NullHandler())

_END = b"\xff\xd9"
_STRIP_PADDING_PX = 15
"""Rows that a JPEG strip may have beyond its own: it ends on a whole block."""
LARGEST_SEGMENT_BYTES = 512 * 2**20
"""A file tile or strip that decodes to more than this is refused."""
DECODE_ERRORS = (
    tifffile.TiffFileError,
    OSError,
    RuntimeError,  # imagecodecs' own errors derive from it
    ValueError,
    TypeError,
    LookupError,
    struct.error,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class _Level:
    """A level's page, or its three pages of red, green and blue, and what is needed to read it."""

    pages: tuple[Page, ...]
    size: Size
    step: Size
    columns: int
    per_plane: int
    model: ColorModel
    palette: RGB | None


class TiffSource:
    """An 8-bit color pyramid behind tifffile.

    Parameters
    ----------
    path
        A TIFF file.

    Raises
    ------
    SlideError
        "unreadable" if the file cannot be parsed or its compression is not supported,
        "not-a-slide" if it holds no 8-bit color image that can be read right, "several-scans" if
        it holds more than one, "too-large" if one of its segments would not fit in memory.
    """

    reader = "tifffile"
    canvas_offset = (0.0, 0.0)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cache = TileCache()
        self._file, found, image = self._open()
        self._tiled = tuple(_level(pages) for pages in found.levels)
        first = found.levels[0][0]
        self._orientation = orientation_of(first)
        self.levels: tuple[Size, ...] = tuple(
            turned(level.size, self._orientation) for level in self._tiled
        )
        self.downsamples: tuple[float, ...] = tuple(
            level_downsample(self.levels[0], level) for level in self.levels
        )
        plain = "aperio" if is_aperio(self._file.pages[0]) else "tiff"
        self.vendor = "ome-tiff" if self._file.is_ome or image else plain
        self.icc_profile = 34675 in first.tags
        self.scale: Scale = scale_of(first, image, ome=self.vendor == "ome-tiff")
        self.notes: tuple[Note, ...] = ()
        if found.focal_planes > 1:
            told = f"plane {found.focal_planes // 2 + 1} of {found.focal_planes} is read"
            self.notes = (("focal-planes", told),)
        if self.vendor == "tiff":
            self.notes += other_images(self._file, found.size)
        try:
            self._try_fourth_sample()
        except SlideError:
            self.close()
            raise

    def _open(self) -> tuple[tifffile.TiffFile, Pyramid, OmeImage | None]:
        try:
            file = tifffile.TiffFile(self._path)
        except DECODE_ERRORS as error:
            raise damaged(self._path, error) from error
        try:
            return file, *_slide_of(file, self._path)
        except DECODE_ERRORS as error:
            text = str(file.pages[0].aspage().description or "")
            absent = absent_attributes(text) if holds_ome(text) else ()
            file.close()
            if absent:
                raise SlideError(
                    f"{self._path.name}: expected OME-XML whose Pixels tell {', '.join(absent)}, "
                    "found none; export the file again",
                    code="unreadable",
                ) from error
            raise damaged(self._path, error) from error
        except SlideError:
            file.close()
            raise

    def _try_fourth_sample(self) -> None:
        """Refuse at once a fourth sample that may or may not be transparency."""
        level = self._tiled[-1]
        if level.model == "rgb-and-unknown":
            for index in {0, level.per_plane // 2, level.per_plane - 1}:
                self._decoded(len(self._tiled) - 1, index)

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level, (height, width, 3) uint8; absent tiles are white."""
        stored = self._tiled[level].size
        return read_turned(
            lambda *window: self._stored(level, *window),
            stored,
            self._orientation,
            (left, top, width, height),
        )

    def _stored(self, number: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle as it is stored, whatever its orientation."""
        level = self._tiled[number]
        return assemble(
            (left, top),
            Size(width, height),
            step=level.step,
            columns=level.columns,
            tile=lambda index: self._cache.get(number, index, lambda: self._decoded(number, index)),
        )

    def _decoded(self, number: int, index: int) -> RGB | None:
        try:
            return _decode(self._tiled[number], index)
        except DECODE_ERRORS as error:
            raise damaged(self._path, error) from error

    def reopen(self) -> None:
        """Open the file again and forget what was decoded."""
        self.close()
        self._cache.clear()
        self._file, found, _ = self._open()
        self._tiled = tuple(_level(pages) for pages in found.levels)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def missing_bytes(path: Path) -> int:
    """Bytes that the TIFF's directories point to beyond the end of the file; 0 if complete.

    A directory or value beyond the end counts as one byte. What tifffile cannot parse
    is left to the decoder to judge.
    """
    length = path.stat().st_size
    if directories_leave_file(path):
        return 1
    try:
        with tifffile.TiffFile(path) as file:
            pages = list(file.pages)
            for page in list(pages):
                pages.extend(page.pages or [])
            end = max(
                offset + count
                for page in pages
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
            )
    except DECODE_ERRORS:
        return 0
    return max(end - length, 0)


def _slide_of(file: tifffile.TiffFile, path: Path) -> tuple[Pyramid, OmeImage | None]:
    """Pages of the slide and what OME-XML says of it; refuses what cannot be read right."""
    first: Page = file.pages[0]
    text = str(first.description or "")
    # before tifffile parses it: nothing that defines entities is looked at further
    images = parse_ome(text, path.name) if holds_ome(text) else ()
    found = find_pyramid(file)
    image = image_of(images, found.size, int(found.levels[0][0].index)) if found else None
    if found is not None and image is not None:
        found = find_pyramid(file, image)
    numbers = rival_pages(file, found.size) if found and not images else []
    if numbers:
        raise several_scans(path.name, [f"page {number + 1}" for number in numbers])
    rivals = other_scans(images, image) if image else []
    if image and rivals:
        raise several_scans(path.name, [each.name or "unnamed" for each in (image, *rivals)])
    found = refuse_layout(found, path.name)
    return found, image


def refuse_layout(found: Pyramid | None, name: str) -> Pyramid:
    """Return a pyramid whose colors and codec are read right; refuse another.

    Raises
    ------
    SlideError
        "not-a-slide", "unreadable" (compression) or "too-large".
    """
    pages = [page for level in found.levels for page in level] if found else []
    cause = found.refusal if found else "no image in this TIFF"
    for page in pages:
        if page is None:
            cause = cause or "a plane that the file lacks"
        elif not page.imagewidth * page.imagelength:
            cause = cause or "a page without pixels"
        elif not cause:
            cause = why_unread(page, planes=len(found.levels[0]) if found else 1)
    turns = {orientation_of(page) for page in pages if page is not None}
    if not cause and (len(turns) > 1 or not turns <= set(range(1, 9))):
        cause = f"Orientation {', '.join(str(turn) for turn in sorted(turns))} in one pyramid"
    if cause or found is None:
        raise SlideError(
            f"{name}: expected an 8-bit RGB image, found {cause}; "
            "export the bright-field image as 8-bit RGB",
            code="not-a-slide",
        )
    unsupported = next(filter(None, (why_undecoded(page) for page in pages)), "")
    if unsupported:
        raise damaged(Path(name), NotImplementedError(unsupported))
    if max(segment_bytes(page) for page in pages) > LARGEST_SEGMENT_BYTES:
        raise too_large_segments(name)
    return found


def too_large_segments(name: str) -> SlideError:
    """Error for tiles or strips that would not fit in memory."""
    return SlideError(
        f"{name}: expected tiles or strips below {LARGEST_SEGMENT_BYTES // 2**20} MiB, found larger "
        "ones; convert the file to a tiled pyramid",
        code="too-large",
    )


def _level(pages: tuple[Page, ...]) -> _Level:
    page = pages[0]
    size, step = page_size(page), _segment_size(page)
    columns, rows = -(-size.width // step.width), -(-size.height // step.height)
    model: ColorModel = color_model(page) if len(pages) == 1 else "rgb"
    return _Level(pages, size, step, columns, columns * rows, model, palette_of(page))


def _segment_size(page: Page) -> Size:
    """Size of the file's tiles or strips, pixels."""
    if page.is_tiled:
        return Size(int(page.tilewidth), int(page.tilelength))
    rows = min(page.rowsperstrip or page.imagelength, page.imagelength)
    return Size(int(page.imagewidth), int(rows))


def segment_bytes(page: Page) -> int:
    """Bytes that one of a page's tiles or strips decodes to."""
    step = _segment_size(page)
    return step.width * step.height * int(page.samplesperpixel)


def _decode(level: _Level, index: int) -> RGB | None:
    """Decode one tile or strip, cut at the image's edge; None where the file stores nothing."""
    if len(level.pages) > 1:
        planes = [_samples(page, index) for page in level.pages]
    elif int(level.pages[0].planarconfig) == 2:
        n = int(level.pages[0].samplesperpixel)
        planes = [_samples(level.pages[0], index + k * level.per_plane) for k in range(n)]
    else:
        planes = [_samples(level.pages[0], index)]
    stored = [plane for plane in planes if plane is not None]
    if not stored:
        return None
    if len(stored) < len(planes):
        raise ValueError(f"segment {index} is stored in some colors only")
    row, column = divmod(index, level.columns)
    height = min(level.step.height, level.size.height - row * level.step.height)
    width = min(level.step.width, level.size.width - column * level.step.width)
    samples = np.concatenate(stored, axis=-1)[:height, :width]
    if samples.shape[:2] != (height, width) or samples.dtype != np.uint8:
        raise ValueError(f"segment {index} decodes to {samples.dtype} {samples.shape}")
    return to_rgb(samples, level.model, level.palette)


def _samples(page: Page, index: int) -> NDArray[np.uint8] | None:
    """Decode the samples of one segment of a page, (h, w, n); None if it is not stored."""
    if index >= len(page.databytecounts):
        raise ValueError(f"segment {index} is not listed: {len(page.databytecounts)} are")
    count = page.databytecounts[index]
    if count == 0:
        return None
    handle = page.parent.filehandle
    handle.seek(page.dataoffsets[index])
    data = handle.read(count)
    if len(data) < count:
        raise ValueError(f"segment {index} ends after {len(data)} of {count} bytes")
    if int(page.compression) == JPEG:
        return _jpeg(page, data, index)
    if int(page.compression) in JPEG_2000 and not data.rstrip(b"\0").endswith(_END):
        # OpenJPEG makes something up for what is lost
        raise ValueError(f"segment {index} has no end marker")
    segment, _, _ = page.decode(data, index)
    return None if segment is None else np.asarray(segment[0])


def _jpeg(page: Page, data: bytes, index: int) -> NDArray[np.uint8]:
    """Decode strictly; a stream may be smaller than its segment only at the image's edge."""
    step = _segment_size(page)
    stream = joined(data, page.jpegtables, rgb=False)
    width, height = jpeg_header(stream).size
    if width > step.width or height > step.height + _STRIP_PADDING_PX:
        told = f"{width} x {height} px in a grid of {step.width} x {step.height}"
        raise ValueError(f"segment {index} claims {told}")
    if int(page.samplesperpixel) == 1:
        return decode_jpeg(stream)[..., :1]
    return decode_jpeg(joined(stream, None, rgb=stream_model(page, stream) == "rgb"))
