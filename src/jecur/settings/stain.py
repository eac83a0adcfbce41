"""Settings of color normalization."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from jecur.settings.base import Fraction, Positive, Seed, Stage, rising

__all__ = ["StainSettings"]


class StainSettings(Stage, frozen=True):
    """Color normalization. Thresholds and the measurements behind them: docs/color.md."""

    method: Literal["vahadane", "macenko", "reinhard", "iche", "none"] = "vahadane"
    """Vahadane is the paper's ref. 21; "iche" is in the style of its ref. 20 (abstract read only)."""
    sparsity: Annotated[float, Meta(ge=0)] = 0.005
    """L1 penalty on concentrations when the stains are fitted. The authors: 0.02, StainTools: 0.1; both
    draw the stains together where few pixels are pure (benchmarks/results/stain.md)."""
    separation_sparsity: Annotated[float, Meta(ge=0)] = 0.02
    """L1 penalty when concentrations are read with fitted stains. StainTools: 0.01."""
    n_pixels: Annotated[int, Meta(ge=1, le=20_000_000)] = 200_000
    """Tissue pixels sampled over the slide to fit its stains."""
    percentile: Annotated[float, Meta(gt=50, le=100)] = 99.0
    """Concentration percentile that is matched to the reference."""
    seed: Seed = 0
    """Seed of the sample."""
    on_refusal: Literal["fail", "reference"] = "fail"
    """A slide whose stains cannot be fitted: fail it, or use the reference's stains and flag it."""
    min_optical_density: Positive = 0.15
    """Pixels paler than this (mean over channels, base e) are glass."""
    max_optical_density: Positive = 3.0
    """Pixels darker than this in a channel (level 12 of 255) do not help to find the stains: 8 bits are
    too coarse there. If fewer than ``min_tissue_pixels`` are left, all are used."""
    white: Literal["255", "slide"] = "255"
    """What counts as empty glass for the stains: 255 in each channel, or the slide's own glass."""
    min_tissue_pixels: Annotated[int, Meta(ge=2)] = 1_000
    """Fewer stained pixels than this: ``too-little-tissue``."""
    max_dark_fraction: Fraction = 0.5
    """More nearly black pixels than this: ``inverted``."""
    max_saturated_fraction: Fraction = 0.25
    """More pixels with a channel at zero than this: ``saturated``."""
    min_color_spread: Fraction = 0.03
    """Second over first singular value of the optical densities; less: ``one-stain-only``."""
    min_concentration: Positive = 0.1
    """Percentile either stain must reach, optical density; less: ``one-stain-only``."""
    min_hematoxylin_ratio: Annotated[float, Meta(ge=0)] = 0.5
    """Percentile of hematoxylin over that of eosin; less: ``one-stain-only``. H&E: 0.79 to 2.6, a single
    purple stain read as two: 0.16 to 0.37."""
    min_separation_degrees: Annotated[float, Meta(ge=0, le=90)] = 8.0
    """Angle between the two stains; less: ``collinear-stains``."""
    max_hematoxylin_degrees: Annotated[float, Meta(ge=0, le=90)] = 30.0
    """Angle to Ruifrok's hematoxylin; more: ``not-hematoxylin-eosin``."""
    max_eosin_degrees: Annotated[float, Meta(ge=0, le=90)] = 40.0
    """Angle to Ruifrok's eosin; more: ``not-hematoxylin-eosin``."""

    def contradictions(self) -> Iterator[str]:
        """Yield limits that cross."""
        yield from rising(self, "min_optical_density", "max_optical_density")
