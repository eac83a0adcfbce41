"""From a slide to its map of cores, and a picture of the map."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from jecur.arrays import RGB, Mask
from jecur.errors import SlideError
from jecur.geometry import Core, CoreMap
from jecur.settings import TissueArraySettings, TissueSettings
from jecur.slide.reader import Slide
from jecur.slide.tissue import find_tissue
from jecur.slide.tissue_array.finding import find_discs, measure_diameter
from jecur.slide.tissue_array.grid import lay_out

__all__ = ["FoundMap", "core_id", "draw_map", "map_cores", "map_mask"]

_PREVIEW_PX = 1400
_PRESENT, _MISSING = (0, 110, 80), (213, 94, 0)


@dataclass(frozen=True, slots=True)
class FoundMap:
    """A map of cores and what should be known of it.

    Parameters
    ----------
    cores
        Unit: pixels.
    diameter_um
        Given or measured.
    rotation_deg
        Of the rows, clockwise as seen.
    n_off_grid
        Pieces of tissue the size of a core that lie on no place of the grid; left out.
    notes
        What to look at.
    """

    cores: CoreMap
    diameter_um: float
    rotation_deg: float
    n_off_grid: int
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (max(c.row for c in self.cores.cores), max(c.column for c in self.cores.cores))


def core_id(row: int, column: int) -> str:
    """Name of a place: rows as letters, columns as numbers, ``B-3``.

    Parameters
    ----------
    row, column
        From 1.
    """
    letters = ""
    while row:
        row, rest = divmod(row - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}-{column}"


def map_cores(slide: Slide, settings: TissueArraySettings, tissue: TissueSettings) -> FoundMap:
    """Find the cores of a tissue array.

    Raises
    ------
    SlideError
        "no-cores" if there are none, or as `jecur.slide.tissue.find_tissue`.
    """
    mask = find_tissue(slide, tissue)
    try:
        return map_mask(mask.mask, mask.um_per_px, slide.mpp, settings)
    except SlideError as error:
        raise error.within(slide.path.name) from error


def map_mask(mask: Mask, um_per_px: float, mpp: float, settings: TissueArraySettings) -> FoundMap:
    """Find the cores on a tissue mask.

    Parameters
    ----------
    mask
        (h, w) tissue.
    um_per_px, mpp
        Micrometers per mask pixel and per level-0 pixel.
    settings
        What is known of the array.
    """
    given = settings.diameter_um / um_per_px
    limits = (settings.min_diameter_um / um_per_px, settings.max_diameter_um / um_per_px)
    diameter = given or measure_diameter(mask, smallest=limits[0], largest=limits[1])
    found = find_discs(mask, diameter, settings)
    if not len(found.centers):
        raise SlideError(
            f"expected cores of {diameter * um_per_px:.0f} um, found none; give the diameter of "
            "the cores (--diameter)",
            code="no-cores",
        )
    size = (settings.rows, settings.columns)
    layout = lay_out(
        found.centers, found.coverage, diameter=diameter, size=size, reach=settings.reach
    )
    of_cell = {(r, c): k for k, (r, c) in enumerate(layout.cells.tolist()) if r >= 0}
    scale = um_per_px / mpp
    cores = []
    for row, column in np.ndindex(layout.places.shape[:2]):
        index = of_cell.get((row, column))
        x, y = (layout.places[row, column] * scale).tolist()
        cores.append(
            Core(
                id=core_id(row + 1, column + 1),
                row=row + 1,
                column=column + 1,
                x=round(x, 1),
                y=round(y, 1),
                diameter=round(diameter * scale, 1),
                present=index is not None,
                coverage=0.0 if index is None else round(float(found.coverage[index]), 3),
            )
        )
    n_off = int((layout.cells[:, 0] < 0).sum())
    notes = _notes(of_cell, size, n_off)
    return FoundMap(CoreMap(tuple(cores)), diameter * um_per_px, layout.rotation_deg, n_off, notes)


def _notes(
    of_cell: dict[tuple[int, int], int], size: tuple[int, int], n_off: int
) -> tuple[str, ...]:
    notes = []
    for axis, name in enumerate(("rows", "columns")):
        n = max(cell[axis] for cell in of_cell) + 1
        if size[axis] and n < size[axis]:
            notes.append(
                f"expected {size[axis]} {name}, found {n}: the empty ones are put last; look "
                "whether they are first"
            )
    if n_off:
        notes.append(f"{n_off} pieces of tissue lie on no place of the grid and are left out")
    return tuple(notes)


def draw_map(slide: Slide, cores: CoreMap) -> RGB:
    """Thumbnail with a circle and the id at every core; missing ones are crossed."""
    um_per_px = max(slide.size.width, slide.size.height) * slide.mpp / _PREVIEW_PX
    image = Image.fromarray(slide.overview(max(um_per_px, slide.mpp)))
    draw = ImageDraw.Draw(image)
    scale = image.width / slide.size.width
    for core in cores.in_pixels(slide.mpp).cores:
        x, y, r = core.x * scale, core.y * scale, core.diameter / 2 * scale
        color = _PRESENT if core.present else _MISSING
        draw.ellipse((x - r, y - r, x + r, y + r), outline=color, width=2)
        if not core.present:
            draw.line((x - r / 2, y - r / 2, x + r / 2, y + r / 2), fill=color, width=2)
            draw.line((x - r / 2, y + r / 2, x + r / 2, y - r / 2), fill=color, width=2)
        draw.text((x - r, y - r - 4), core.id, fill=color)
    return np.asarray(image)
