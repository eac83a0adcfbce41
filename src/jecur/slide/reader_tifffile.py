"""TIFF files that OpenSlide does not read whole: plain TIFF and OME-TIFF with SubIFD levels.

Only the file tiles (or strips) that a request touches are decoded, so memory is bounded by
the request and a small cache, never by the slide.
"""

import logging
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import tifffile

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.file_tiles import TileCache, assemble
from jecur.slide.source import MppSource, Scale, channels_to_rgb, damaged
from jecur.slide.tiff_layout import directories_leave_file

__all__ = ["TiffSource", "count_rgb_levels", "missing_bytes"]

logging.getLogger("tifffile").addHandler(logging.NullHandler())

_JPEG, _SOI, _END = 7, b"\xff\xd8", b"\xff\xd9"
_LARGEST_SEGMENT_BYTES = 512 * 2**20
"""A file tile or strip that decodes to more than this is refused."""
_DECODE_ERRORS = (
    tifffile.TiffFileError,
    OSError,
    RuntimeError,  # imagecodecs' own errors derive from it
    ValueError,
    TypeError,
    LookupError,
    struct.error,
    AttributeError,
)
_MICROMETERS = {
    "": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}
_TAG_UNITS = {2: 25_400.0, 3: 10_000.0}
"""Micrometers in one TIFF resolution unit: inch, centimeter."""


class TiffSource:
    """An 8-bit RGB pyramid behind tifffile.

    Parameters
    ----------
    path
        A TIFF file.

    Raises
    ------
    SlideError
        "unreadable" if the file cannot be parsed, "not-a-slide" if it holds no 8-bit RGB image,
        "too-large" if one of its segments would not fit in memory.
    """

    reader = "tifffile"
    canvas_offset = (0.0, 0.0)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cache = TileCache()
        self._file, self._pages = self._open()
        self.levels: tuple[Size, ...] = tuple(
            Size(int(page.imagewidth), int(page.imagelength)) for page in self._pages
        )
        full = self.levels[0]
        self.downsamples: tuple[float, ...] = tuple(
            (full.width / level.width + full.height / level.height) / 2.0 for level in self.levels
        )
        self.vendor = "ome-tiff" if self._file.is_ome else "tiff"
        self.icc_profile = 34675 in self._pages[0].tags
        self.scale = _scale(self._file, self._pages[0])

    def _open(self) -> tuple[Any, list[Any]]:
        try:
            file = tifffile.TiffFile(self._path)
        except _DECODE_ERRORS as error:
            raise damaged(self._path, error) from error
        try:
            pages = _rgb_pyramid(file)
        except _DECODE_ERRORS as error:
            file.close()
            raise damaged(self._path, error) from error
        if not pages:
            file.close()
            raise SlideError(
                f"{self._path.name}: expected an 8-bit RGB image, found none in this TIFF; "
                "export the bright-field image as 8-bit RGB",
                code="not-a-slide",
            )
        if max(_segment_bytes(page) for page in pages) > _LARGEST_SEGMENT_BYTES:
            file.close()
            raise SlideError(
                f"{self._path.name}: expected tiles or strips below "
                f"{_LARGEST_SEGMENT_BYTES // 2**20} MiB, found larger ones; "
                "convert the file to a tiled pyramid",
                code="too-large",
            )
        return file, pages

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level, (height, width, 3) uint8; absent tiles are white."""
        page = self._pages[level]
        step = Size(*_segment_size(page))
        return assemble(
            (left, top),
            Size(width, height),
            step=step,
            columns=-(-int(page.imagewidth) // step.width),
            tile=lambda index: self._cache.get(level, index, lambda: self._decoded(level, index)),
        )

    def _decoded(self, level: int, index: int) -> RGB | None:
        try:
            return _decode(self._file, self._pages[level], index)
        except _DECODE_ERRORS as error:
            raise damaged(self._path, error) from error

    def reopen(self) -> None:
        """Open the file again and forget what was decoded."""
        self.close()
        self._cache.clear()
        self._file, self._pages = self._open()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def count_rgb_levels(path: Path) -> int:
    """Levels that tifffile sees in the file's RGB pyramid; 0 if it cannot tell."""
    try:
        with tifffile.TiffFile(path) as file:
            return len(_rgb_pyramid(file))
    except _DECODE_ERRORS:
        return 0


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
    except _DECODE_ERRORS:
        return 0
    return max(end - length, 0)


def _rgb_pyramid(file: tifffile.TiffFile) -> list[Any]:
    """Pages of the file's largest image, full resolution first; empty if it is not 8-bit RGB.

    A small color preview beside a gray image is not the slide.
    """
    if not file.series:
        return []
    largest = max(file.series, key=lambda series: int(np.prod(_plane(series))))
    rgb = (
        largest.axes == "YXS"
        and largest.dtype == np.uint8
        and largest.shape[2] in (3, 4)
        and largest.ndim == 3
    )
    pages: list[Any] = [level.pages[0] for level in largest.levels] if rgb else []
    return pages if all(page.planarconfig == 1 for page in pages) else []


def _plane(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    """Width and height of a series' first page."""
    page: Any = series.pages[0]
    return int(page.imagewidth), int(page.imagelength)


def _segment_size(page: tifffile.TiffPage) -> tuple[int, int]:
    """Width and height of the file's tiles or strips, pixels."""
    if page.is_tiled:
        return int(page.tilewidth), int(page.tilelength)
    return int(page.imagewidth), int(min(page.rowsperstrip or page.imagelength, page.imagelength))


def _segment_bytes(page: tifffile.TiffPage) -> int:
    width, height = _segment_size(page)
    return width * height * int(page.samplesperpixel)


def _decode(file: tifffile.TiffFile, page: tifffile.TiffPage, index: int) -> RGB | None:
    """Decode one tile or strip, cut at the image's edge; None where the file stores nothing."""
    count = page.databytecounts[index]
    if count == 0:
        return None
    handle = file.filehandle
    handle.seek(page.dataoffsets[index])
    data = handle.read(count)
    if len(data) < count:
        raise ValueError(f"segment {index} ends after {len(data)} of {count} bytes")
    if int(page.compression) == _JPEG:
        # page.decode passes over damage that this one complains of
        simplejpeg.decode_jpeg((page.jpegtables or _SOI + _END)[:-2] + data[2:], strict=True)
    segment, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
    if segment is None:
        return None
    return channels_to_rgb(segment[0, : shape[1], : shape[2]])


def _scale(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Scale:
    """Scale from OME-XML, the Aperio description or the resolution tags, in that order."""
    text = str((file.ome_metadata if file.is_ome else page.description) or "")
    magnification = _attribute(text, "NominalMagnification")
    if file.is_ome:
        sizes = [_ome_micrometers(text, axis) for axis in "XY"]
        if None not in sizes:
            return Scale(sizes[0], sizes[1], "file", magnification)
    aperio = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", text)
    if aperio:
        value = _float(aperio[1])
        return Scale(value, value, "file", magnification)
    source: MppSource = "resolution-tag"
    return Scale(
        _tag_micrometers(page, "XResolution"),
        _tag_micrometers(page, "YResolution"),
        source,
        magnification,
    )


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _attribute(text: str, name: str) -> float | None:
    match = re.search(rf'\b{name}="([^"]*)"', text)
    return _float(match[1]) if match else None


def _ome_micrometers(text: str, axis: str) -> float | None:
    """Physical size of a pixel along an axis, from the first Pixels element."""
    value = _attribute(text, f"PhysicalSize{axis}")
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]*)"', text)
    factor = _MICROMETERS.get(unit[1] if unit else "")
    return None if value is None or factor is None else value * factor


def _tag_micrometers(page: tifffile.TiffPage, name: str) -> float | None:
    tag, unit = page.tags.get(name), page.tags.get("ResolutionUnit")
    factor = _TAG_UNITS.get(int(unit.value)) if unit is not None else None
    if tag is None or factor is None or not isinstance(tag.value, tuple):
        return None
    numerator, denominator = tag.value
    return factor * denominator / numerator if numerator and denominator else None
