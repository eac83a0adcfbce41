"""Which library reads which file."""

from pathlib import Path

from jecur.errors import SlideError
from jecur.slide.files import refuse_truncated_tiff
from jecur.slide.reader_image import ImageSource, is_plain_image
from jecur.slide.reader_openslide import OpenSlideSource, refuse_unknown
from jecur.slide.reader_tifffile import TiffSource, count_rgb_levels
from jecur.slide.reader_tiles import with_file_tiles
from jecur.slide.source import Source
from jecur.slide.tiff_layout import is_tiff

__all__ = ["LARGEST_COARSEST_LEVEL_BYTES", "open_source", "refuse_bomb"]

LARGEST_COARSEST_LEVEL_BYTES = 2 * 2**30
"""A slide whose coarsest level decodes to more than this is refused: no overview of it can be
had at a fair price, and a small file that claims it is a decompression bomb."""
_SELF_CHECKED_VENDORS = frozenset({"hamamatsu", "dicom", "mirax"})
"""Vendors whose files are not plain TIFF, or whose offsets only OpenSlide knows how to read."""


def open_source(path: Path) -> Source:
    """Open a file with the first reader that knows it.

    Raises
    ------
    SlideError
        "not-a-slide", "missing-file", "truncated", "unreadable" or "too-large".
    """
    tiff = is_tiff(path)
    if OpenSlideSource.detects(path):
        return _open_with_openslide(path, tiff=tiff)
    if tiff:
        refuse_truncated_tiff(path)
        return TiffSource(path)
    if path.suffix.lower() == ".mrxs":
        raise SlideError(
            f"{path.name}: expected a folder {path.stem}/ with Slidedat.ini beside it, found none; "
            "copy the .mrxs file together with its folder",
            code="missing-file",
        )
    if is_plain_image(path):
        return ImageSource(path)
    raise refuse_unknown(path)


def _open_with_openslide(path: Path, *, tiff: bool) -> Source:
    try:
        source = OpenSlideSource(path)
    except SlideError:
        if tiff:
            refuse_truncated_tiff(path)
        raise
    checked = tiff and source.vendor not in _SELF_CHECKED_VENDORS
    try:
        if checked:
            refuse_truncated_tiff(path)
        more_levels = (
            tiff
            and source.vendor == "generic-tiff"
            and len(source.levels) == 1
            and count_rgb_levels(path) > 1
        )
    except SlideError:
        source.close()
        raise
    if more_levels:
        source.close()
        return TiffSource(path)
    return with_file_tiles(source, path) if tiff else source


def refuse_bomb(source: Source, name: str) -> None:
    """Refuse a slide whose coarsest level is too large to look at.

    Raises
    ------
    SlideError
        With code "too-large".
    """
    coarsest = source.levels[-1]
    decoded = coarsest.width * coarsest.height * 3
    if decoded > LARGEST_COARSEST_LEVEL_BYTES:
        raise SlideError(
            f"{name}: expected a pyramid or at most {LARGEST_COARSEST_LEVEL_BYTES // 2**30} GiB "
            f"of pixels, found {decoded / 2**30:.1f} GiB in its coarsest level; "
            "convert the file to a tiled pyramid",
            code="too-large",
        )
