"""Level-0 pixels and micrometers, and the way between them."""

from dataclasses import dataclass

from jecur.errors import SlideError

__all__ = ["Size", "side_in_pixels"]


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
