"""Slides that OpenSlide reads: Aperio, Hamamatsu, Leica, MIRAX, Philips, Ventana, DICOM, TIFF.

A canvas can be far larger than what was scanned (MIRAX, Leica SCN); the bounds the file
declares become the slide, and the empty canvas around them does not exist for callers.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openslide

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.resample import level_downsample
from jecur.slide.source import Note, Scale, channels_to_rgb, damaged

__all__ = ["SIZED_VENDORS", "OpenSlideSource"]

_CACHE_BYTES = 96 * 2**20
"""Decoded tiles kept by OpenSlide: one row of neighbors shares its file tiles."""
SIZED_VENDORS = frozenset({"aperio", "dicom", "generic-tiff"})
"""Whose steps are told by the levels' sizes alone; others pad levels and say so."""
_TAG_UNITS = {"inch": 25_400.0, "centimeter": 10_000.0}
"""Micrometers in one TIFF resolution unit, as OpenSlide names it."""


class OpenSlideSource:
    """A slide behind an OpenSlide handle.

    Parameters
    ----------
    path
        A file that OpenSlide detects.

    Raises
    ------
    SlideError
        With code "unreadable" if OpenSlide cannot open the file.
    """

    reader = "openslide"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = self._open()
        properties = self._handle.properties
        self.vendor: str = properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        self.icc_profile = "openslide.icc-size" in properties
        self._told: tuple[float, ...] = tuple(self._handle.level_downsamples)
        """By which OpenSlide takes a place to a level."""
        self.downsamples = _downsamples(self._handle, self.vendor)
        canvas = Size(*self._handle.dimensions)
        self._offset, bounds = _bounds(properties, canvas)
        self.levels: tuple[Size, ...] = tuple(
            Size(width, height)
            if bounds == canvas
            else _within(bounds, downsample, (width, height))
            for downsample, (width, height) in zip(
                self.downsamples, self._handle.level_dimensions, strict=True
            )
        )
        self.scale = _scale(properties, self.vendor)
        self.notes: tuple[Note, ...] = ()

    @property
    def has_bounds(self) -> bool:
        """Whether the slide is a part of a larger canvas."""
        return self._offset != (0, 0) or self.levels[0] != Size(*self._handle.dimensions)

    @property
    def canvas_offset(self) -> tuple[float, float]:
        """Where the readable bounds begin on the scanner's canvas, level-0 pixels (x, y)."""
        return float(self._offset[0]), float(self._offset[1])

    def _open(self) -> openslide.OpenSlide:
        try:
            handle = openslide.OpenSlide(str(self._path))
        except (openslide.OpenSlideError, OSError) as error:
            raise damaged(self._path, error) from error
        handle.set_cache(openslide.OpenSlideCache(_CACHE_BYTES))
        return handle

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level, (height, width, 3) uint8; absent tiles are white."""
        downsample = self._told[level]
        location = (
            self._offset[0] + round(left * downsample),
            self._offset[1] + round(top * downsample),
        )
        try:
            region = self._handle.read_region(location, level, (width, height))
        except (openslide.OpenSlideError, OSError) as error:
            raise damaged(self._path, error) from error
        return channels_to_rgb(np.asarray(region))

    def reopen(self) -> None:
        """Replace the handle: after an error OpenSlide refuses every further call."""
        self._handle.close()
        self._handle = self._open()

    def close(self) -> None:
        """Close the handle."""
        self._handle.close()

    @staticmethod
    def detects(path: Path) -> str | None:
        """Vendor that OpenSlide takes the file for; None if it does not know the kind."""
        vendor: str | None = openslide.OpenSlide.detect_format(str(path))
        return vendor


def _downsamples(handle: openslide.OpenSlide, vendor: str) -> tuple[float, ...]:
    """Step of each level; where OpenSlide takes the mean of width and height, what their rounding leaves."""
    if vendor not in SIZED_VENDORS:
        return tuple(handle.level_downsamples)
    full = Size(*handle.dimensions)
    return tuple(level_downsample(full, Size(*size)) for size in handle.level_dimensions)


def _number(properties: Mapping[str, str], name: str) -> float | None:
    try:
        return float(properties[name])
    except (KeyError, ValueError):
        return None


def _bounds(properties: Mapping[str, str], canvas: Size) -> tuple[tuple[int, int], Size]:
    """Offset on the canvas and size of what was scanned, in level-0 pixels."""
    values = [
        _number(properties, name)
        for name in (
            openslide.PROPERTY_NAME_BOUNDS_X,
            openslide.PROPERTY_NAME_BOUNDS_Y,
            openslide.PROPERTY_NAME_BOUNDS_WIDTH,
            openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
        )
    ]
    x, y, width, height = (None if value is None else int(value) for value in values)
    if x is None or y is None or width is None or height is None:
        return (0, 0), canvas
    width, height = min(width, canvas.width - x), min(height, canvas.height - y)
    if x < 0 or y < 0 or width < 1 or height < 1:
        return (0, 0), canvas
    return (x, y), Size(width, height)


def _within(bounds: Size, downsample: float, level: tuple[int, int]) -> Size:
    """Size of the bounds on a level of the canvas."""
    width, height = level
    return Size(
        max(1, min(round(bounds.width / downsample), width)),
        max(1, min(round(bounds.height / downsample), height)),
    )


def _scale(properties: Mapping[str, str], vendor: str) -> Scale:
    """Scale as declared; generic TIFF has nothing but its resolution tags, Aperio may have them beside."""
    per_unit = _number(properties, "tiff.XResolution") if vendor == "aperio" else None
    unit = _TAG_UNITS.get(properties.get("tiff.ResolutionUnit", "inch"))
    return Scale(
        mpp_x=_number(properties, openslide.PROPERTY_NAME_MPP_X),
        mpp_y=_number(properties, openslide.PROPERTY_NAME_MPP_Y),
        source="resolution-tag" if vendor == "generic-tiff" else "file",
        objective=_number(properties, openslide.PROPERTY_NAME_OBJECTIVE_POWER),
        tag_mpp=unit / per_unit if unit and per_unit else None,
    )


def refuse_unknown(path: Path) -> SlideError:
    """Error for a file that no reader knows."""
    return SlideError(
        f"{path.name}: expected a whole-slide image (.svs, .ndpi, .mrxs, .scn, .tiff, .bif, .dcm) "
        "or an 8-bit RGB PNG or JPEG, found none of these; check the slide table's path",
        code="not-a-slide",
    )
