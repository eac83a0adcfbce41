"""Level-0 pixels and micrometers, and the way between them; places on a slide."""

from dataclasses import dataclass, replace
from typing import Literal

from jecur.errors import SlideError

__all__ = ["Core", "CoreMap", "CorePlace", "Size", "side_in_pixels"]


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels of the level it is said of; level 0 unless named otherwise."""

    width: int
    height: int

    def area_mm2(self, mpp: float) -> float:
        """Area in square millimeters at ``mpp`` micrometers per pixel."""
        return self.width * self.height * (mpp / 1000.0) ** 2


def side_in_pixels(side_um: float, mpp: float) -> int:
    """Level-0 pixels that span ``side_um`` micrometers, rounded to the nearest pixel.

    Parameters
    ----------
    side_um
        Length in micrometers, above 0.
    mpp
        Micrometers per level-0 pixel, above 0.

    Raises
    ------
    SlideError
        If the length is less than one pixel.
    """
    pixels = round(side_um / mpp)
    if pixels < 1:
        raise SlideError(
            f"expected a tile side of at least one pixel, found {side_um} um at {mpp} um/px; "
            "raise side_um or correct the slide's micrometers per pixel",
            code="tile-too-small",
        )
    return pixels


@dataclass(frozen=True, slots=True)
class Core:
    """One core of a tissue array: a disc on the slide.

    Parameters
    ----------
    id
        Unique in its array, such as "B-3" (second row, third column).
    row, column
        Place on the grid, from 1.
    x, y
        Center, in the unit of the map, from the slide's upper left corner.
    diameter
        In the unit of the map.
    present
        False where the core is missing; its center is then where it should have been.
    coverage
        Share of the disc that is tissue, in [0, 1]; None if not measured.
    patient
        Whose tissue it is; "" if unknown or none.
    """

    id: str
    row: int
    column: int
    x: float
    y: float
    diameter: float
    present: bool = True
    coverage: float | None = None
    patient: str = ""


@dataclass(frozen=True, slots=True)
class CoreMap:
    """The cores of one slide, in the order of rows and columns.

    Parameters
    ----------
    cores
        Missing ones too.
    unit
        Of centers and diameters: level-0 pixels or micrometers.
    """

    cores: tuple[Core, ...]
    unit: Literal["px", "um"] = "px"

    @property
    def present(self) -> tuple[Core, ...]:
        """Cores that are there."""
        return tuple(core for core in self.cores if core.present)

    def in_pixels(self, mpp: float) -> "CoreMap":
        """Return the same map in level-0 pixels of a slide of ``mpp`` um/px."""
        if self.unit == "px":
            return self
        cores = (
            replace(core, x=core.x / mpp, y=core.y / mpp, diameter=core.diameter / mpp)
            for core in self.cores
        )
        return CoreMap(tuple(cores), "px")


@dataclass(frozen=True, slots=True)
class CorePlace:
    """One core among all of its array: what makes a slide of a core."""

    core: str
    """Id of the core."""
    array: CoreMap
