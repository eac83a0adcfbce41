"""What normalization does to one color: the plain, exact form.

Every method here is a function of a pixel's own color alone, so a map takes loose pixels and
`jecur.stain.color_table` may remember its answers.
"""

from dataclasses import dataclass
from typing import Protocol

from jecur.arrays import Pixels, Vector
from jecur.stain.optical_density import (
    WHITE_POINT,
    Triple,
    from_optical_density,
    to_optical_density,
)
from jecur.stain.separation import separate_stains
from jecur.stain.stain_matrix import StainMatrix

__all__ = ["ColorMap", "KeepColor", "StainTransfer"]


class ColorMap(Protocol):
    """A pure function from colors to colors."""

    def __call__(self, pixels: Pixels) -> Pixels:
        """Map (n, 3) uint8 to a new (n, 3) uint8; white stays white."""


@dataclass(frozen=True, slots=True)
class KeepColor:
    """No normalization, chosen by name."""

    def __call__(self, pixels: Pixels) -> Pixels:
        """Copy (n, 3) uint8."""
        return pixels.copy()


@dataclass(frozen=True, slots=True, eq=False)
class StainTransfer:
    """Separate with the slide's stains, rescale, recompose with the reference's.

    Parameters
    ----------
    source
        Stains of the slide.
    target
        Stains of the reference.
    scale
        (2,) target over source concentration percentile, positive.
    sparsity
        L1 penalty of the separation, optical density.
    white
        R, G, B of the slide's empty glass, which becomes 255.
    """

    source: StainMatrix
    target: StainMatrix
    scale: Vector
    sparsity: float
    white: Triple = WHITE_POINT

    def __call__(self, pixels: Pixels) -> Pixels:
        """Map (n, 3) uint8; what two stains cannot explain is left out, as in the paper."""
        od = to_optical_density(pixels, self.white)
        concentrations = separate_stains(od, self.source, sparsity=self.sparsity)
        return from_optical_density((concentrations * self.scale) @ self.target.vectors)
