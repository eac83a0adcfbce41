"""A core as a slide: a window of the array's slide, its tissue cut to the core's disc."""

import math
from dataclasses import replace

import numpy as np

from jecur.errors import SlideError
from jecur.geometry import Core, CorePlace, Size, side_in_pixels
from jecur.settings import TilingSettings
from jecur.slide.reader import Slide
from jecur.slide.tiling import TileGrid
from jecur.slide.tissue import TissueMask

__all__ = ["array_tiles", "core_slide", "restrict_to_core"]


def core_slide(slide: Slide, place: CorePlace, tiling: TilingSettings) -> Slide:
    """Window around one core: a whole number of tiles wide, so that the grid is centered on it.

    Raises
    ------
    SlideError
        "unknown-core" if the map has no such core, "core-missing" if it says that the core is not
        there, "core-outside" if its center lies off the slide.
    """
    core = _core(slide, place)
    side = side_in_pixels(tiling.side_um, slide.mpp)
    extent = math.ceil(core.diameter / side) * side
    left, top = round(core.x - extent / 2), round(core.y - extent / 2)
    return slide.window(left, top, Size(extent, extent))


def restrict_to_core(window: Slide, tissue: TissueMask, place: CorePlace) -> TissueMask:
    """Keep the tissue inside the core's disc and outside the discs of its neighbors.

    Raises
    ------
    SlideError
        With code "no-tissue" if nothing is left.
    """
    cores = place.array.in_pixels(window.mpp).present
    scale = tissue.mpp / tissue.um_per_px
    rows, columns = np.indices(tissue.mask.shape)
    x = (columns + 0.5) / scale + window.origin[0]
    y = (rows + 0.5) / scale + window.origin[1]
    core = next(c for c in cores if c.id == place.core)
    own = np.hypot(x - core.x, y - core.y)
    mask = tissue.mask & (own <= core.diameter / 2)
    for other in cores:
        if other.id != core.id and math.dist((other.x, other.y), (core.x, core.y)) < core.diameter:
            mask &= own <= np.hypot(x - other.x, y - other.y)
    if not mask.any():
        raise SlideError(
            f"{window.path.name}: expected tissue in core {core.id}, found none; correct the map "
            "or mark the core as missing",
            code="no-tissue",
        )
    return replace(tissue, mask=mask)


def array_tiles(slide: Slide, place: CorePlace, tiling: TilingSettings) -> TileGrid:
    """Four tiles around the center of every core that is there: what stains are fitted on."""
    side = side_in_pixels(tiling.side_um, slide.mpp)
    corners = [
        (round(core.x) + dx * side, round(core.y) + dy * side)
        for core in place.array.in_pixels(slide.mpp).present
        for dy in (-1, 0)
        for dx in (-1, 0)
    ]
    n = len(corners)
    return TileGrid(
        positions=np.array(corners, dtype=np.int64),
        rows=np.zeros(n, dtype=np.int64),
        cols=np.arange(n, dtype=np.int64),
        tissue_fraction=np.ones(n),
        side_px=side,
        side_um=tiling.side_um,
        output_px=tiling.output_px,
        n_rows=1,
        n_cols=n,
        n_candidates=n,
    )


def _core(slide: Slide, place: CorePlace) -> Core:
    cores = place.array.in_pixels(slide.mpp).cores
    core = next((c for c in cores if c.id == place.core), None)
    if core is None:
        raise SlideError(
            f"{slide.path.name}: expected core {place.core} in the map, found none of that name; "
            "correct the map",
            code="unknown-core",
        )
    if not core.present:
        raise SlideError(
            f"{slide.path.name}: expected core {core.id}, found it marked as missing in the map",
            code="core-missing",
        )
    if not (0 <= core.x < slide.size.width and 0 <= core.y < slide.size.height):
        raise SlideError(
            f"{slide.path.name}: expected core {core.id} on the slide, found its center at "
            f"{core.x:.0f}, {core.y:.0f} of {slide.size.width} x {slide.size.height} px; correct "
            "the map, or its unit",
            code="core-outside",
        )
    return core
