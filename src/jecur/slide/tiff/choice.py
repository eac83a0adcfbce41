"""Whether OpenSlide reads a plain TIFF right, and what neither reader may pass over in silence.

OpenSlide's generic reader leaves tiles to libtiff, which turns each tile for itself, takes an
unknown fourth sample for transparency, and believes a tag against the JPEG stream below it.
"""

import re
from pathlib import Path

import tifffile

from jecur.errors import SlideError
from jecur.slide.source import Note, damaged, several_scans
from jecur.slide.tiff.colors import JPEG, color_model, stream_model, why_unread
from jecur.slide.tiff.jpeg_streams import joined
from jecur.slide.tiff.layout import Page, directories_loop
from jecur.slide.tiff.ome import holds_ome
from jecur.slide.tiff.orientation import UPRIGHT
from jecur.slide.tiff.pages import orientation_of, other_images, page_size, rival_pages
from jecur.slide.tiff.reader_tifffile import (
    DECODE_ERRORS,
    LARGEST_SEGMENT_BYTES,
    segment_bytes,
    too_large_segments,
)

__all__ = [
    "has_missing_tiles",
    "notes_of_pages",
    "openslide_reads",
    "refuse_bad_grids",
    "refuse_crowds",
    "refuse_scanner",
]

PLAIN_TIFF_SCANNERS = frozenset({"aperio", "huron", "leica", "philips", "trestle", "ventana"})
"""Scanners whose files are tiled TIFF that OpenSlide leaves to libtiff and its own JPEG decoder."""
_OPENSLIDE_CODECS = frozenset({1, 5, JPEG, 8, 32773, 32946})
_NDPI_FOCUS = 65_424
_REDUCED = 1
_GRAY = 1
_LARGEST_STEP = 0.67
"""A level has at most this part of the area of the level before it; scanners take 1/4 to 1/16."""
_MOST_BELOW = 256
"""Directories below one page: levels, of which no pyramid has so many. Each is parsed into memory."""


def refuse_crowds(path: Path) -> None:
    """Refuse a TIFF whose directories have no end, or are too many below a page, before they are parsed.

    Raises
    ------
    SlideError
        With code "unreadable".
    """
    if directories_loop(path):
        raise damaged(path, ValueError("directories that lead back to one another"))
    try:
        with tifffile.TiffFile(path) as file:
            most = max(len(page.aspage().subifds or ()) for page in file.pages)
    except DECODE_ERRORS:
        return  # for the decoder to tell
    if most > _MOST_BELOW:
        raise damaged(path, ValueError(f"{most} directories below one page"))


def refuse_bad_grids(path: Path) -> None:
    """Refuse a TIFF whose tiles are not all listed, or claim more memory than any scanner's.

    OpenSlide shows tiles that are not listed as empty, and ends the process over huge ones.

    Raises
    ------
    SlideError
        With code "unreadable" or "too-large".
    """
    try:
        with tifffile.TiffFile(path) as file:
            chain: list[Page] = [page.aspage() for page in file.pages]
            pages = [page for page in chain if page.is_tiled]
            pages += [below for page in chain for below in page.pages or () if below.is_tiled]
            listed = [(page.index, _n_tiles(page), len(page.dataoffsets)) for page in pages]
            largest = max((segment_bytes(page) for page in pages), default=0)
    except DECODE_ERRORS:
        return
    if largest > LARGEST_SEGMENT_BYTES:
        raise too_large_segments(path.name)
    for number, n, found in listed:
        if found < n:
            told = f"page {number + 1} lists {found} of its {n} tiles"
            raise damaged(path, ValueError(told))


def _n_tiles(page: Page) -> int:
    across = -(-int(page.imagewidth) // int(page.tilewidth))
    down = -(-int(page.imagelength) // int(page.tilelength))
    return across * down * (int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1)


def openslide_reads(path: Path) -> bool:
    """Whether OpenSlide's generic reader sees all of a TIFF and reads its colors right.

    What tifffile cannot parse is left to OpenSlide to judge.
    """
    try:
        with tifffile.TiffFile(path) as file:
            pages: list[Page] = [page.aspage() for page in file.pages]
            if holds_ome(str(pages[0].description or "")) or rival_pages(file, page_size(pages[0])):
                return False
            if _area(pages[0]) < max(map(_area, pages)):
                return False  # the first page is OpenSlide's level 0, be it a preview
            used = [pages[0]] + [
                page for page in pages[1:] if page.is_tiled and int(page.subfiletype) & _REDUCED
            ]
            hidden = len(used) == 1 and bool(pages[0].pages)
            return not hidden and all(_is_plain(file, page) for page in used)
    except DECODE_ERRORS:
        return True


def refuse_scanner(path: Path, vendor: str) -> None:
    """Refuse a scanner's TIFF that OpenSlide would read to wrong colors, places or only in part.

    No other kind of file passes: those that are no plain TIFF are for OpenSlide to judge.

    Raises
    ------
    SlideError
        "not-a-slide", "unreadable" or "several-scans", naming the cause.
    """
    if vendor not in PLAIN_TIFF_SCANNERS:
        return
    try:
        with tifffile.TiffFile(path) as file:
            chain: list[Page] = list(file.pages)
            pages = [page for page in chain if page.is_tiled]
            cause = next(filter(None, (_why_scanner(page) for page in pages)), "")
            areas = [_area(page) for page in pages]
            # OpenSlide takes every tiled page of Aperio for a level, and can end the process over
            # equal ones; the others say in their description which page is what
            rivals = [
                int(pages[k + 1].index)
                for k in range(len(areas) - 1)
                if vendor == "aperio" and areas[k + 1] > _LARGEST_STEP * areas[k]
            ]
            for page in pages:
                contradiction = _jpeg_contradiction(file, page)
                if contradiction is not None:
                    raise damaged(path, contradiction)
    except DECODE_ERRORS:
        return
    if cause:
        raise SlideError(
            f"{path.name}: expected an 8-bit RGB image, found {cause}; "
            "export the bright-field image as 8-bit RGB",
            code="not-a-slide",
        )
    if rivals:
        raise several_scans(path.name, [f"page {number + 1}" for number in (0, *rivals)])


def notes_of_pages(path: Path, vendor: str) -> tuple[Note, ...]:
    """Tell of images beside the one that OpenSlide reads: others in plain TIFF, planes in NDPI and SCN."""
    if vendor not in {"generic-tiff", *_FOCAL_PLANES}:
        return ()
    try:
        with tifffile.TiffFile(path) as file:
            if vendor == "generic-tiff":
                return other_images(file, page_size(file.pages[0]))
            planes = _FOCAL_PLANES[vendor](file)
    except DECODE_ERRORS:
        return ()
    told = f"plane 0 of {', '.join(map(str, sorted(planes)))} is read"
    return (("focal-planes", told),) if len(planes) > 1 else ()


def _planes_of_ndpi(file: tifffile.TiffFile) -> set[int]:
    """Offsets from the plane in focus that the largest image is there in, nanometers."""
    pages: list[Page] = [page.aspage() for page in file.pages]
    size = page_size(pages[0])
    tags = [page.tags.get(_NDPI_FOCUS) for page in pages if page_size(page) == size]
    return {int(tag.value) for tag in tags if tag is not None}


def _planes_of_scn(file: tifffile.TiffFile) -> set[int]:
    """Numbers of the planes of its description."""
    text = str(file.pages[0].aspage().description or "")
    return {int(z) for z in re.findall(r"""<dimension\s[^>]*\bz=["'](\d{1,4})["']""", text)}


_FOCAL_PLANES = {"hamamatsu": _planes_of_ndpi, "leica": _planes_of_scn}


def has_missing_tiles(path: Path) -> bool:
    """Whether any tile of a TIFF is listed and not stored."""
    try:
        with tifffile.TiffFile(path) as file:
            return not all(all(page.databytecounts) for page in file.pages)
    except DECODE_ERRORS:
        return True


def _area(page: Page) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _is_plain(file: tifffile.TiffFile, page: Page) -> bool:
    """Whether libtiff and OpenSlide's own decoders give what is stored: color or gray, upright."""
    if int(page.compression) not in _OPENSLIDE_CODECS or orientation_of(page) != UPRIGHT:
        return False
    if int(page.photometric) <= _GRAY:
        return int(page.samplesperpixel) == 1 and page.bitspersample == 8
    return (
        not why_unread(page)
        and int(page.planarconfig) == 1
        and int(page.samplesperpixel) == 3
        and color_model(page) == "rgb"
        and _jpeg_contradiction(file, page) is None
    )


def _why_scanner(page: Page) -> str:
    turn = orientation_of(page)
    if turn != UPRIGHT:
        return f"Orientation {turn} in a scanner's file"
    if int(page.planarconfig) != 1:  # OpenSlide divides by zero over them
        return "separate color planes in a scanner's file"
    cause = why_unread(page)
    if not cause and color_model(page) == "rgb-and-unknown":  # OpenSlide takes it for opacity
        return "a fourth sample whose meaning the file does not say (ExtraSamples 0)"
    return cause


def _jpeg_contradiction(file: tifffile.TiffFile, page: Page) -> Exception | None:
    """Tell where the first, middle and last stored tiles contradict the page's tag."""
    if int(page.compression) != JPEG:
        return None
    stored = [k for k, count in enumerate(page.databytecounts) if count]
    tagged = "rgb" if int(page.photometric) == 2 else "ycbcr"
    for index in {stored[0], stored[len(stored) // 2], stored[-1]} if stored else ():
        file.filehandle.seek(page.dataoffsets[index])
        data = joined(file.filehandle.read(page.databytecounts[index]), page.jpegtables, rgb=False)
        try:
            held = stream_model(page, data)
        except ValueError as error:
            if "under a tag" in str(error):
                return error
            continue  # damage, for the decoder to tell
        if held != tagged:
            return NotImplementedError("JPEG streams of Y, Cb, Cr under a tag that says R, G, B")
    return None
