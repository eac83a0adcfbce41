"""Cut a tissue mask by drawn regions: included classes keep, excluded classes erase."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from jecur.arrays import Mask
from jecur.errors import AnnotationError
from jecur.settings import AnnotationSettings
from jecur.slide.annotation.reading import Region, Ring, class_name, read_regions
from jecur.slide.reader import Slide
from jecur.slide.resolution import scales_disagree
from jecur.slide.tissue import TissueMask

__all__ = ["fill_rings", "read_placed_regions", "region_mask", "restrict_to_regions"]

_EVERY = "*"
_MOST_WORK = 2_000_000_000
"""Steps (pixels of boxes, crossings of rows): some seconds. 10,000 regions that a person drew take a
twentieth of it."""
_STEPS_A_CROSSING = 20
_CROSSINGS_AT_ONCE = 2_000_000
"""Bounds memory."""


def restrict_to_regions(
    slide: Slide, tissue: TissueMask, path: Path | None, settings: AnnotationSettings
) -> tuple[TissueMask, tuple[str, ...]]:
    """Cut the tissue of a slide by its file of drawn regions.

    Parameters
    ----------
    slide, tissue
        A slide, or a window of one, and its tissue.
    path
        The file; None if the slide has none.
    settings
        Classes; nothing is done if none is named.

    Returns
    -------
    tuple
        The tissue left, and flags: "no-annotation" where a slide has no file,
        "drawing-off-tissue" where no region of a named class touches tissue, or one lies for the most
        part beyond the slide, "drawing-other-scale" where it was drawn at another scale.

    Raises
    ------
    AnnotationError
        As `read_regions`; "missing-annotation" if a file is required, "no-region" if no tissue is
        left: no region of an included class, or all of them elsewhere; "bad-annotation" if a class
        differs from one of ``settings`` in capital letters alone, or is told in another field.
    """
    if not (settings.include or settings.exclude):
        return tissue, ()
    if path is None:
        if settings.required:
            raise AnnotationError(
                f"{slide.path.name}: expected a file of drawn regions, found none; draw them, or "
                "set annotations.required = false",
                code="missing-annotation",
            )
        return tissue, ("no-annotation",)
    regions = read_placed_regions(path, slide.canvas_offset)
    _refuse_other_spellings(regions, (*settings.include, *settings.exclude), path.name)
    _refuse_other_fields(regions, (*settings.include, *settings.exclude), path.name)
    scale = tissue.mpp / tissue.um_per_px
    shape = tissue.mask.shape
    mask = tissue.mask
    include, exclude = _of(regions, settings.include), _of(regions, settings.exclude)
    if settings.include:
        mask = mask & region_mask(include, shape, scale, slide.origin)
    if exclude:
        mask = mask & ~region_mask(exclude, shape, scale, slide.origin)
    named = [_of(regions, (name,)) for name in (*settings.include, *settings.exclude)]
    masks = (region_mask(group, shape, scale, slide.origin) for group in named if group)
    # Judged on the whole slide: a core's drawings are those of its array.
    whole = slide.origin == (0.0, 0.0)
    astray = whole and (
        any(not (tissue.mask & own).any() for own in masks)
        or any(_is_beyond(region, slide) for group in named for region in group)
    )
    if not mask.any():
        classes = ", ".join(sorted({repr(region.name) for region in regions})) or "none"
        raise AnnotationError(
            f"{slide.path.name}: expected tissue inside the regions that {path.name} includes, "
            f"found none (classes there: {classes}); correct [annotations], or look whether the "
            "file belongs to this slide",
            code="no-region",
        )
    flags: tuple[str, ...] = ("drawing-off-tissue",) if astray else ()
    if any(_is_of_other_scale(region, slide) for group in named for region in group):
        flags += ("drawing-other-scale",)
    return replace(tissue, mask=mask), flags


def _is_beyond(region: Region, slide: Slide) -> bool:
    """Whether most of the box of a region lies outside of a whole slide."""
    low, high = region.rings[0].min(axis=0), region.rings[0].max(axis=0)
    size = np.array([slide.size.width, slide.size.height], dtype=np.float64)
    inside = np.clip(np.minimum(high, size) - np.maximum(low, 0.0), 0.0, None)
    return bool(2.0 * inside.prod() < (high - low).prod())


def _is_of_other_scale(region: Region, slide: Slide) -> bool:
    """Whether the file tells another scale than the slide: drawn on another scan, most likely."""
    if region.mpp is None or slide.mpp_source == "override":
        return False
    return scales_disagree(region.mpp, slide.mpp)


def read_placed_regions(path: Path, canvas_offset: tuple[float, float]) -> list[Region]:
    """Read a file of drawn regions, all in level-0 pixels of what was scanned; errors as `read_regions`.

    Parameters
    ----------
    path
        As `read_regions`.
    canvas_offset
        Of the slide: where what was scanned begins on the scanner's canvas.
    """
    return [_in_bounds(region, canvas_offset) for region in read_regions(path)]


def _in_bounds(region: Region, offset: tuple[float, float]) -> Region:
    """Move what was drawn on the whole canvas to what was scanned."""
    if not region.on_canvas or offset == (0.0, 0.0):
        return region
    return replace(region, rings=tuple(ring - offset for ring in region.rings), on_canvas=False)


def _of(regions: Iterable[Region], names: tuple[str, ...]) -> list[Region]:
    wanted = {class_name(name) for name in names}
    return [r for r in regions if _EVERY in wanted or wanted & {r.name, *r.within}]


def _refuse_other_spellings(regions: Iterable[Region], names: tuple[str, ...], file: str) -> None:
    """Refuse a class that is named in other letters: it would neither keep nor erase anything."""
    wanted = {class_name(name) for name in names}
    folded = {name.casefold(): name for name in wanted}
    for drawn in {name: None for region in regions for name in (region.name, *region.within)}:
        meant = folded.get(drawn.casefold())
        if meant is not None and drawn not in wanted:
            raise AnnotationError(
                f"{file}: expected class {meant!r} as [annotations] spells it, found {drawn!r}; spell it "
                "the same in both, or name both"
            )


def _refuse_other_fields(regions: Iterable[Region], names: tuple[str, ...], file: str) -> None:
    """Refuse a class that is told where QuPath or ASAP keep a name: it would neither keep nor erase."""
    wanted = {class_name(name).casefold() for name in names}
    for title in (title for region in regions for title in region.titles):
        if title and title.casefold() in wanted:
            raise AnnotationError(
                f"{file}: expected the class {title!r} as a region's classification, found a region "
                "without one that is called so; set its class, and export the regions again"
            )


def region_mask(
    regions: Iterable[Region],
    shape: tuple[int, ...],
    scale: float,
    origin: tuple[float, float] = (0.0, 0.0),
) -> Mask:
    """Pixels whose centers lie in a region and not in a negative one of the same class.

    Parameters
    ----------
    regions
        Polygons in level-0 pixels of the file; AnnotationError "large-annotation" where filling them
        would take minutes.
    shape
        (h, w) of the mask.
    scale
        Mask pixels per level-0 pixel.
    origin
        Level-0 pixels (x, y) of the mask's corner.
    """
    by_name: dict[str, list[Region]] = defaultdict(list)
    for region in regions:
        by_name[region.name].append(region)
    mask = np.zeros(shape, dtype=np.bool_)
    _refuse_labor(by_name, mask, scale)
    for named in by_name.values():
        own = np.zeros_like(mask)
        for region in sorted(named, key=lambda region: region.negative):
            rings = [(ring - origin) * scale for ring in region.rings]
            _fill_region(own, rings, value=not region.negative)
        mask |= own
    return mask


def _refuse_labor(by_name: Mapping[str, list[Region]], mask: Mask, scale: float) -> None:
    """Refuse regions whose filling would take minutes, before it begins."""
    steps = len(by_name) * mask.size
    for ring in (r for regions in by_name.values() for region in regions for r in region.rings):
        (x0, y0), (x1, y1) = ring.min(axis=0) * scale, ring.max(axis=0) * scale
        height = min(y1 - y0 + 1, mask.shape[0])
        steps += int(min(x1 - x0 + 1, mask.shape[1]) * height)
        steps += _STEPS_A_CROSSING * int(
            min(np.abs(np.diff(ring[:, 1])).sum() * scale, len(ring) * height)
        )
        if steps > _MOST_WORK:
            n = sum(map(len, by_name.values()))
            raise AnnotationError(
                f"expected regions drawn by a person, found {n} of {len(by_name)} classes that cross "
                "the slide again and again; draw them anew, or export them without the cells",
                code="large-annotation",
            )


def fill_rings(rings: Iterable[Ring], shape: tuple[int, int]) -> Mask:
    """Pixels whose centers lie inside an odd number of rings, (h, w).

    Parameters
    ----------
    rings
        (n, 2) x, y in pixels, closed or not; whatever lies outside the mask is cut off.
    shape
        (h, w).
    """
    mask = np.zeros(shape, dtype=np.bool_)
    _fill(mask, list(rings), value=True)
    return mask


def _fill_region(mask: Mask, rings: list[Ring], *, value: bool) -> None:
    """Set what lies in the first ring and in none of the others, in place.

    Holes that overlap or reach beyond their polygon (no program should write them) take away and add
    nothing.
    """
    if len(rings) == 1:
        _fill(mask, rings, value=value)
        return
    low = np.maximum(np.floor(rings[0].min(axis=0)), 0).astype(np.int64)
    high = np.minimum(np.ceil(rings[0].max(axis=0)), mask.shape[::-1]).astype(np.int64)
    if (high <= low).any():
        return
    box = mask[low[1] : high[1], low[0] : high[0]]
    own = np.zeros_like(box)
    _fill(own, [rings[0] - low], value=True)
    for hole in rings[1:]:
        _fill(own, [hole - low], value=False)
    box[own] = value


def _fill(mask: Mask, rings: list[Ring], *, value: bool) -> None:
    """Set the inside of a polygon, in place: scan lines through the centers of the pixels."""
    height, width = mask.shape
    top = max(0, int(np.floor(min(ring[:, 1].min() for ring in rings))))
    bottom = min(height, int(np.ceil(max(ring[:, 1].max() for ring in rings))))
    left = max(0, int(np.floor(min(ring[:, 0].min() for ring in rings))))
    right = min(width, int(np.ceil(max(ring[:, 0].max() for ring in rings))))
    if bottom <= top or right <= left:
        return
    toggles = np.zeros((bottom - top, right - left + 1), dtype=np.uint8)
    for ring in rings:
        _cross(toggles, ring - (left, top))
    inside = np.bitwise_xor.accumulate(toggles[:, :-1], axis=1).astype(np.bool_)
    mask[top:bottom, left:right][inside] = value


def _cross(toggles: np.ndarray[tuple[int, int], np.dtype[np.uint8]], ring: Ring) -> None:
    """Flip, in every row that an edge crosses, the first pixel whose center lies right of it."""
    start, stop = ring, np.roll(ring, -1, axis=0)
    rows = toggles.shape[0]
    # The centers y + 0.5 in [low, high): half open, so that a corner counts once.
    low = np.minimum(start[:, 1], stop[:, 1])
    high = np.maximum(start[:, 1], stop[:, 1])
    first = np.clip(np.ceil(low - 0.5), 0, rows).astype(np.int64)
    last = np.clip(np.ceil(high - 0.5), 0, rows).astype(np.int64)
    counts = last - first
    parts = np.cumsum(counts) // _CROSSINGS_AT_ONCE
    for part in np.unique(parts[counts > 0]):
        edges = np.flatnonzero((parts == part) & (counts > 0))
        n = counts[edges]
        edge = np.repeat(edges, n)
        row = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + first[edge]
        share = (row + 0.5 - start[edge, 1]) / (stop[edge, 1] - start[edge, 1])
        x = start[edge, 0] + share * (stop[edge, 0] - start[edge, 0])
        column = np.clip(np.ceil(x - 0.5), 0, toggles.shape[1] - 1).astype(np.int64)
        np.bitwise_xor.at(toggles, (row, column), 1)
