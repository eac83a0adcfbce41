"""Which library reads which file."""

from pathlib import Path

from jecur.errors import SlideError
from jecur.slide.dicom_checks import refuse_dicom, scale_notes
from jecur.slide.files import refuse_truncated_tiff
from jecur.slide.levels import with_agreeing_levels
from jecur.slide.reader_image import ImageSource, is_plain_image
from jecur.slide.reader_openslide import OpenSlideSource, refuse_unknown
from jecur.slide.source import Source
from jecur.slide.tiff.absent_tiles import with_tiles_accounted_for
from jecur.slide.tiff.choice import (
    has_missing_tiles,
    notes_of_pages,
    openslide_reads,
    refuse_bad_grids,
    refuse_crowds,
    refuse_scanner,
)
from jecur.slide.tiff.layout import is_tiff
from jecur.slide.tiff.reader_tifffile import TiffSource
from jecur.slide.tiff.reader_tiles import with_file_tiles

__all__ = ["LARGEST_COARSEST_LEVEL_BYTES", "open_source", "refuse_bomb"]

LARGEST_COARSEST_LEVEL_BYTES = 2 * 2**30
"""A slide whose coarsest level decodes to more than this is refused: no overview of it can be
had at a fair price, and a small file that claims it is a decompression bomb."""
_SELF_CHECKED_VENDORS = frozenset({"hamamatsu", "dicom", "mirax"})
"""Vendors whose files are not plain TIFF, or whose offsets only OpenSlide knows how to read."""


def open_source(path: Path) -> Source:
    """Open a file with the first reader that knows it; levels that differ from the first are left out.

    Raises
    ------
    SlideError
        "not-a-slide", "missing-file", "truncated", "unreadable", "several-scans" or "too-large".
    """
    source = _first_reader(path)
    try:
        return with_agreeing_levels(with_tiles_accounted_for(source, path))
    except BaseException:
        source.close()
        raise


def _first_reader(path: Path) -> Source:
    tiff = is_tiff(path)
    vendor = OpenSlideSource.detects(path)
    if tiff and vendor not in _SELF_CHECKED_VENDORS:
        refuse_crowds(path)
        refuse_truncated_tiff(path)
        refuse_bad_grids(path)
    if tiff and (vendor is None or (vendor == "generic-tiff" and not openslide_reads(path))):
        return TiffSource(path)
    if vendor is not None:
        return _open_with_openslide(path, vendor, tiff=tiff)
    if path.suffix.lower() == ".mrxs":
        raise SlideError(
            f"{path.name}: expected a folder {path.stem}/ with Slidedat.ini beside it, found none; "
            "copy the .mrxs file together with its folder",
            code="missing-file",
        )
    if is_plain_image(path):
        return ImageSource(path)
    raise refuse_unknown(path)


def _open_with_openslide(path: Path, vendor: str, *, tiff: bool) -> Source:
    if vendor == "dicom":
        refuse_dicom(path)
    refuse_scanner(path, vendor)
    try:
        source = OpenSlideSource(path)
    except SlideError:
        if vendor == "aperio" and not has_missing_tiles(path):
            return TiffSource(path)  # a codec that OpenSlide lacks, or damage, told there
        raise
    if vendor == "dicom":
        source.notes += scale_notes(path, source.scale.mpp_x)
    if tiff:
        source.notes += notes_of_pages(path, vendor)
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
