"""Open a slide of any scanner and read it in micrometers' terms.

OpenSlide comes first: it fails loudly where others return wrong pixels. tifffile reads what
OpenSlide cannot or sees one level of; Pillow reads plain images whose scale the user gives.
"""

import math
from numbers import Integral, Real
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from jecur.arrays import RGB, Mask
from jecur.errors import SettingsError, SlideError
from jecur.geometry import Size
from jecur.settings.arguments import checked
from jecur.slide.files import require_slide_file, slide_name
from jecur.slide.formats import open_source, refuse_bomb
from jecur.slide.resample import best_level, level_box, resize_box, with_edge
from jecur.slide.resolution import contradiction, overridden, resolve_mpp
from jecur.slide.source import MppSource, Note, Source

__all__ = ["Slide", "open_slide"]

_OVERVIEW_BLOCK_PX = 1024
"""Side of the blocks, in pixels of the level, that an overview is read by."""
_SMALLEST_BLOCK_PX = 128
"""An unreadable block is halved down to this side to save what lies around the damage."""

_MOST_AT_ONCE_PX = 2**26
"""Pixels of a level that are decoded at a time; many times those of any tile."""
_FINER_PX = 256
"""Side to which a part of so many pixels is reduced at most, before it becomes what was asked for."""
_MOST_OUTPUT_PX = 16_384
"""Side of a region, of 805 MB."""


class Slide:
    """An open slide. Close it, or use it as a context manager.

    Parameters
    ----------
    source
        Pyramid behind one library.
    path
        File as the user named it.
    mpp
        Micrometers per level-0 pixel.
    mpp_source
        Where ``mpp`` comes from.
    notes
        What was found while opening, as flags with a phrase each.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        mpp: float,
        mpp_source: MppSource,
        notes: tuple[Note, ...] = (),
    ) -> None:
        self._source = source
        self.path = path
        self.mpp = mpp
        self.mpp_source = mpp_source
        self.notes = notes
        """Flags that the file itself earns, for example ("focal-planes", "plane 2 of 3 is read")."""
        self.name: str = slide_name(path)
        self.reader: str = source.reader
        self.vendor: str = source.vendor
        self.icc_profile: bool = source.icc_profile
        self.levels: tuple[Size, ...] = source.levels
        self.downsamples: tuple[float, ...] = source.downsamples
        self.objective: float | None = source.scale.objective
        self.origin: tuple[float, float] = (0.0, 0.0)
        """Where this slide, or window of one, begins in the file, level-0 pixels (x, y)."""
        self.canvas_offset: tuple[float, float] = source.canvas_offset
        """Where the readable bounds begin on the scanner's canvas, level-0 pixels (x, y)."""
        self._size = source.levels[0]

    @property
    def size(self) -> Size:
        """Width and height of the readable bounds, level-0 pixels."""
        return self._size

    def window(self, x: float, y: float, size: Size) -> "Slide":
        """Return a part of the slide as a slide: coordinates begin at (``x``, ``y``).

        It may reach beyond the slide, where it is white. The file is shared; closing either closes both.
        """
        part = Slide(self._source, self.path, self.mpp, self.mpp_source, self.notes)
        part.origin = (self.origin[0] + x, self.origin[1] + y)
        part._size = size
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Slide({self.path.name!r}, {self.size.width} x {self.size.height}, {self.mpp:.4g})"

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def read_region(self, x: float, y: float, size_px_level0: float, output_px: int) -> RGB:
        """Read a square, resampled once from the best level.

        The best level is the coarsest whose resolution is still at least the wanted one. What
        lies outside the slide, and what the scanner left out, is white.

        Parameters
        ----------
        x, y
            Upper left corner, level-0 pixels, x right and y down from the readable bounds.
        size_px_level0
            Side in level-0 pixels, above 0.
        output_px
            Side of the result, from 1 to 16,384.

        Returns
        -------
        numpy.ndarray
            (output_px, output_px, 3) uint8. However large the square, at most some 64 million pixels
            of the slide are in memory at a time.

        Raises
        ------
        SettingsError
            If one of the four is no finite number, or out of its range.
        SlideError
            With code "unreadable" if the pixels cannot be decoded, after one retry on a
            reopened file.
        """
        _check_region(x, y, size_px_level0, output_px)
        side = (float(size_px_level0), float(size_px_level0))
        return self._read((float(x), float(y)), side, Size(output_px, output_px))

    def overview(self, um_per_px: float) -> RGB:
        """Read the whole slide at ``um_per_px``, (h, w, 3) uint8; damaged places are white.

        Raises
        ------
        SlideError
            With code "unreadable" if nothing of the slide can be decoded.
        """
        return self.overview_and_damage(um_per_px)[0]

    def overview_and_damage(self, um_per_px: float) -> tuple[RGB, Mask]:
        """Read the whole slide at ``um_per_px`` in blocks of bounded memory.

        Returns
        -------
        tuple of numpy.ndarray
            (h, w, 3) uint8 image and (h, w) bool mask, True where pixels could not be decoded
            (the image is white there). Output pixel (column, row) covers ``um_per_px / mpp``
            level-0 pixels from ``column * um_per_px / mpp``.
        """
        step = um_per_px / self.mpp
        shape = (
            max(1, math.floor(self.size.height / step)),
            max(1, math.floor(self.size.width / step)),
        )
        image = np.full((*shape, 3), 255, dtype=np.uint8)
        damage = np.zeros(shape, dtype=np.bool_)
        downsample = self.downsamples[best_level(self.downsamples, step)]
        block = max(1, round(_OVERVIEW_BLOCK_PX * downsample / step))
        smallest = max(1, round(_SMALLEST_BLOCK_PX * downsample / step))
        for row in range(0, shape[0], block):
            for column in range(0, shape[1], block):
                window = (
                    slice(row, min(row + block, shape[0])),
                    slice(column, min(column + block, shape[1])),
                )
                self._fill(image, damage, window, step, smallest)
        if bool(damage.all()):
            raise SlideError(
                f"{self.path.name}: expected pixels, found none that can be decoded; "
                "copy the file again from the scanner or archive",
                code="unreadable",
            )
        return image, damage

    def _fill(
        self,
        image: RGB,
        damage: Mask,
        window: tuple[slice, slice],
        step: float,
        smallest: int,
    ) -> None:
        """Read one window of an overview in place; halve it around damage."""
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        try:
            image[rows, columns] = self._read(
                (columns.start * step, rows.start * step),
                (width * step, height * step),
                Size(width, height),
            )
        except SlideError:
            if max(height, width) <= smallest:
                damage[rows, columns] = True
                return
            for part_rows in _halves(rows):
                for part_columns in _halves(columns):
                    self._fill(image, damage, (part_rows, part_columns), step, smallest)

    def _read(self, corner: tuple[float, float], extent: tuple[float, float], output: Size) -> RGB:
        """Read a rectangle of level-0 pixels, white outside the slide."""
        file = self.levels[0]  # a window may reach beyond it
        inside = [
            (max(0.0, -begin, start), min(float(limit), whole - begin, start + length))
            for start, length, limit, whole, begin in zip(
                corner,
                extent,
                (self.size.width, self.size.height),
                (file.width, file.height),
                self.origin,
                strict=True,
            )
        ]
        steps = (extent[0] / output.width, extent[1] / output.height)
        spans = [
            (
                max(0, round((low - start) / step)),
                min(pixels, round((high - start) / step)),
            )
            for (low, high), start, step, pixels in zip(
                inside, corner, steps, (output.width, output.height), strict=True
            )
        ]
        (x0, x1), (y0, y1) = spans
        if x1 <= x0 or y1 <= y0:
            return np.full((output.height, output.width, 3), 255, dtype=np.uint8)
        origin = (corner[0] + x0 * steps[0], corner[1] + y0 * steps[1])
        part = self._read_inside(
            origin, ((x1 - x0) * steps[0], (y1 - y0) * steps[1]), Size(x1 - x0, y1 - y0)
        )
        if (x1 - x0, y1 - y0) == (output.width, output.height):
            return part
        canvas = np.full((output.height, output.width, 3), 255, dtype=np.uint8)
        canvas[y0:y1, x0:x1] = part
        return canvas

    def _read_inside(
        self, corner: tuple[float, float], extent: tuple[float, float], output: Size
    ) -> RGB:
        level = best_level(self.downsamples, extent[0] / output.width)
        downsample = self.downsamples[level]
        start = (corner[0] + self.origin[0], corner[1] + self.origin[1])
        place = level_box(
            (start[0] / downsample, start[1] / downsample),
            (extent[0] / downsample, extent[1] / downsample),
            output,
            self.levels[level],
        )
        if place.width * place.height > _MOST_AT_ONCE_PX:
            return self._read_large(corner, extent, output, downsample)
        window = (level, place.left, place.top, place.width, place.height)
        try:
            pixels = self._source.read(*window)
        except SlideError:
            self._source.reopen()
            try:
                pixels = self._source.read(*window)
            except SlideError:
                self._source.reopen()
                raise
        return resize_box(with_edge(pixels, place.lacking), place.box, output)

    def _read_large(
        self,
        corner: tuple[float, float],
        extent: tuple[float, float],
        output: Size,
        downsample: float,
    ) -> RGB:
        """Read a rectangle in parts; a slide of one level may be asked for as a whole.

        What becomes few pixels passes through a finer image, as the filter would need the surroundings of
        each of them.
        """
        fewer = downsample * math.sqrt(_MOST_AT_ONCE_PX) / _FINER_PX  # what a part is reduced by
        finer = Size(*(max(1, round(length / fewer)) for length in extent))
        if finer.width * finer.height > 4 * output.width * output.height:
            whole = self._read_inside(corner, extent, finer)
            return resize_box(whole, (0.0, 0.0, float(finer.width), float(finer.height)), output)
        side = 0 if extent[0] >= extent[1] else 1  # what is cut: columns, or rows
        pixels = (output.width, output.height)[side]
        step = extent[side] / pixels
        parts = []
        for first, last in ((0, pixels // 2), (pixels // 2, pixels)):
            start, length, size = list(corner), list(extent), [output.width, output.height]
            start[side] += first * step
            length[side], size[side] = (last - first) * step, last - first
            parts.append(
                self._read_inside((start[0], start[1]), (length[0], length[1]), Size(*size))
            )
        return np.concatenate(parts, axis=1 - side)


def _check_region(x: float, y: float, size_px_level0: float, output_px: int) -> None:
    for name, value in (("x", x), ("y", y), ("size_px_level0", size_px_level0)):
        real = isinstance(value, Real) and not isinstance(value, bool)
        if not real or not math.isfinite(value) or (name == "size_px_level0" and value <= 0):
            above = " above 0" if name == "size_px_level0" else ""
            raise SettingsError(
                f"{name}: expected a finite number of level-0 pixels{above}, found {value!r}"
            )
    whole = isinstance(output_px, Integral) and not isinstance(output_px, bool)
    if not whole or not 1 <= output_px <= _MOST_OUTPUT_PX:
        raise SettingsError(
            f"output_px: expected a whole number from 1 to {_MOST_OUTPUT_PX}, found {output_px!r}"
        )


@checked
def open_slide(path: Path | str, *, mpp: float | None = None) -> Slide:
    """Open a slide.

    Parameters
    ----------
    path
        A slide file, or a folder that holds one DICOM slide.
    mpp
        Micrometers per level-0 pixel, in place of the file's own.

    Returns
    -------
    Slide
        To be closed, or used in a ``with`` statement.

    Raises
    ------
    SettingsError
        If an argument is no path or no number.
    SlideError
        With one of the codes "missing-file", "not-a-slide", "truncated", "unreadable",
        "too-large", "several-scans", "no-mpp", "implausible-mpp", "scale-contradiction".
    """
    named = Path(path)
    file = require_slide_file(named)
    source = open_source(file)
    try:
        refuse_bomb(source, named.name)
        value, origin = resolve_mpp(source.scale, source.vendor, override=mpp, name=named.name)
        notes = source.notes + contradiction(source.scale, override=mpp, name=named.name)
        notes += overridden(source.scale, source.vendor, override=mpp, name=named.name)
    except SlideError:
        source.close()
        raise
    return Slide(source, named, value, origin, notes)


def _halves(span: slice) -> list[slice]:
    if span.stop - span.start < 2:
        return [span]
    middle = (span.start + span.stop) // 2
    return [slice(span.start, middle), slice(middle, span.stop)]
