"""Which pages of a TIFF are the slide: its largest image, level by level, plane by plane."""

import math
from dataclasses import dataclass

import numpy as np
import tifffile

from jecur.geometry import Size
from jecur.slide.resample import level_downsample
from jecur.slide.source import Note
from jecur.slide.tiff.layout import Page
from jecur.slide.tiff.ome import OmeImage

__all__ = [
    "Pyramid",
    "find_pyramid",
    "is_copy",
    "orientation_of",
    "other_images",
    "page_size",
    "rival_pages",
]

_LARGEST_REDUCTION = 2
"""A page of at least half the slide's area that is not marked as reduced is a scan of its own."""
_SMALL_BESIDE = 16
"""A page of less than this part of the slide's area is a label or a macro image."""
_REDUCED = 1
_SAME_SHAPE = 0.02
_ROUNDING_PX = 1.5


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Pages of one image.

    Parameters
    ----------
    levels
        One entry a level, full resolution first: the page, or the three pages of red, green, blue.
    focal_planes
        Planes of its stack; the middle one is in ``levels``.
    refusal
        Why it cannot be read as colors; "" if the layout is right.
    """

    levels: tuple[tuple[Page, ...], ...]
    focal_planes: int = 1
    refusal: str = ""

    @property
    def size(self) -> Size:
        """Stored size of level 0."""
        return page_size(self.levels[0][0])


def page_size(page: Page) -> Size:
    """Return the stored width and height of a page."""
    return Size(int(page.imagewidth), int(page.imagelength))


def orientation_of(page: Page) -> int:
    """TIFF Orientation of a page, 1 where the file is silent."""
    tag = page.tags.get("Orientation")
    return 1 if tag is None else int(tag.value)


def find_pyramid(file: tifffile.TiffFile, image: OmeImage | None = None) -> Pyramid | None:
    """Find the pages of the file's largest image; None if the file holds none.

    A small color preview beside a gray image is not the slide.

    Parameters
    ----------
    file
        Open TIFF.
    image
        What OME-XML says of the image, to tell whether three channels are colors.
    """
    if not file.series:
        return None
    largest = max(file.series, key=lambda series: math.prod(_plane(series)))
    axes = largest.axes
    channels, refusal = _layout(axes, tuple(largest.shape), image)
    if refusal:
        return Pyramid(((largest.keyframe,),), refusal=refusal)
    depth = largest.shape[axes.index("Z")] if "Z" in axes else 1
    levels = tuple(_plane_pages(level, axes, depth // 2, channels) for level in largest.levels)
    if len(levels) == channels == depth == 1 and levels[0][0] is not None:
        levels += tuple((page,) for page in _reduced_pages(file, levels[0][0]))
    return Pyramid(levels, focal_planes=depth)


def rival_pages(file: tifffile.TiffFile, read: Size) -> list[int]:
    """Directories that hold another full image beside the one that is read, by number.

    Parameters
    ----------
    file
        Open TIFF that is no OME-TIFF.
    read
        Stored size of the image that is read.
    """
    pages: list[Page] = [page.aspage() for page in file.pages]
    full = [
        k
        for k, page in enumerate(pages)
        if not int(page.subfiletype) & _REDUCED
        and _LARGEST_REDUCTION * page.imagewidth * page.imagelength >= read.width * read.height
    ]
    return full if len(full) > 1 else []


def other_images(file: tifffile.TiffFile, read: Size) -> tuple[Note, ...]:
    """Tell of color images that are neither read nor copies of what is read: tissue may lie in them.

    Parameters
    ----------
    file
        Open TIFF that no scanner wrote and that is no OME-TIFF.
    read
        Stored size of the image that is read.
    """
    area = read.width * read.height
    others = [
        page_size(page)
        for page in (page.aspage() for page in file.pages)
        if not int(page.subfiletype) & _REDUCED
        and int(page.samplesperpixel) >= 3
        and area <= _SMALL_BESIDE * page.imagewidth * page.imagelength
        and not _is_shaped(page_size(page), read)
    ]
    if not others:
        return ()
    sizes = ", ".join(f"{size.width} x {size.height}" for size in others)
    return (("images-not-read", f"of another shape than the largest: {sizes} px"),)


def _is_shaped(size: Size, like: Size) -> bool:
    ratio = size.width / like.width / (size.height / like.height)
    return abs(ratio - 1.0) < _SAME_SHAPE


def is_copy(full: Size, size: Size, step: float) -> bool:
    """Whether a page is the slide reduced by a step, its sides being rounded up or down."""
    off = size.width - full.width / step, size.height - full.height / step
    return max(map(abs, off)) < _ROUNDING_PX


def _reduced_pages(file: tifffile.TiffFile, first: Page) -> list[Page]:
    """Pages of the main chain and below the first that are marked as its smaller copies, in falling size."""
    chain: list[Page] = [page.aspage() for page in (*file.pages, *(first.pages or ()))]
    pages = [
        page
        for page in chain
        if int(page.subfiletype) & _REDUCED
        and page.is_tiled
        and page.imagewidth < first.imagewidth
        and (page.samplesperpixel, page.photometric) == (first.samplesperpixel, first.photometric)
        and is_copy(
            page_size(first), page_size(page), level_downsample(page_size(first), page_size(page))
        )
    ]
    return sorted(pages, key=lambda page: -int(page.imagewidth))


def _plane(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    return page_size(series.keyframe).width, page_size(series.keyframe).height


def _layout(axes: str, shape: tuple[int, ...], image: OmeImage | None) -> tuple[int, str]:
    """How many pages make a plane (1, or 3 for one a color), and why the layout is not read."""
    inner = axes.replace("Z", "")
    if inner in {"YXS", "SYX", "YX"}:
        return 1, ""
    if inner == "CYX" and shape[axes.index("C")] in {3, 4}:
        if image is not None and not image.channels_are_rgb:
            told = image.channels_told
            return 1, f"separate channels that are not red, green and blue ({told})"
        return 3, ""
    extra = "T" if "T" in inner else ""
    return 1, "a time series" if extra else f"images along the axes {axes}"


def _plane_pages(level: Page, axes: str, z: int, channels: int) -> tuple[Page, ...]:
    """Pages of one focal plane of a level."""
    pages = list(level.pages)
    shape = tuple(level.shape)
    inside = {"Y", "X", "S"} if len(pages) > 1 or channels == 1 else {"Y", "X", "S", "C"}
    if math.prod(n for axis, n in zip(axes, shape, strict=True) if axis not in inside) != len(
        pages
    ):
        inside = inside | {"C"}  # one planar page holds the three colors
    outer = [(axis, n) for axis, n in zip(axes, shape, strict=True) if axis not in inside]
    picks = range(channels) if any(axis == "C" for axis, _ in outer) else range(1)
    place = [{"Z": z, "C": None}.get(axis, 0) for axis, _ in outer]
    numbers = [
        int(
            np.ravel_multi_index(
                tuple(c if spot is None else spot for spot in place), tuple(n for _, n in outer)
            )
        )
        if outer
        else 0
        for c in picks
    ]
    found = [pages[number] for number in numbers]
    return tuple(None if page is None else page.aspage() for page in found)
