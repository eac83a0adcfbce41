"""Settings of slides: tissue, tiles, quality."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from jecur.settings.base import Count, CountOrZero, Fraction, Positive, Seed, Stage, rising

__all__ = [
    "AnnotationSettings",
    "QualitySettings",
    "TilingSettings",
    "TissueArraySettings",
    "TissueSettings",
]


class TissueSettings(Stage, frozen=True):
    """Where tissue is, on an overview of the slide."""

    overview_um_per_px: Annotated[float, Meta(ge=0.5, le=200)] = 8.0
    """Scale of the overview, micrometers per pixel."""
    min_area_mm2: Annotated[float, Meta(ge=0)] = 0.01
    """Specks smaller than this are glass."""
    min_magenta: Annotated[float, Meta(ge=0)] = 0.04
    """Least green absorption above the mean of red and blue, base e, that can be tissue."""
    max_magenta: Positive = 0.08
    """Green excess above which a pixel is tissue whatever the rest of the slide."""
    closing_um: Annotated[float, Meta(ge=0)] = 24.0
    """Gaps up to twice this, micrometers, are closed: fat and sinusoids stay tissue."""
    max_hole_mm2: Annotated[float, Meta(ge=0)] = 0.02
    """Holes up to this area are filled."""
    ink_margin_um: Annotated[float, Meta(ge=0)] = 24.0
    """Strip around pen marks that is left out, micrometers."""

    def contradictions(self) -> Iterator[str]:
        """Yield limits that cross."""
        yield from rising(self, "min_magenta", "max_magenta")


class TilingSettings(Stage, frozen=True):
    """Square fields over the tissue. The paper: 512 px at 0.25 um/px, resized to 224 px."""

    side_um: Annotated[float, Meta(ge=1, le=10_000)] = 128.0
    """Side of a tile, micrometers."""
    output_px: Annotated[int, Meta(ge=32, le=2048)] = 224
    """Side of a tile given to the networks, pixels."""
    min_tissue_fraction: Fraction = 0.5
    """Tiles with less tissue are not made."""
    overlap_um: Annotated[float, Meta(ge=0)] = 0.0
    """Overlap of neighbors, micrometers."""
    max_tiles: CountOrZero = 0
    """At most this many tiles a slide, drawn with ``seed``; 0 keeps all."""
    seed: Seed = 0
    """Seed of the draw."""
    batch_size: Annotated[int, Meta(ge=1, le=4096)] = 32
    """Tiles read at a time."""

    def contradictions(self) -> Iterator[str]:
        """Yield what leaves no step between tiles."""
        if self.overlap_um >= self.side_um:
            yield f"expected overlap_um below side_um ({self.side_um:g}), found {self.overlap_um:g}"


class QualitySettings(Stage, frozen=True):
    """What is not worth scoring."""

    max_corrupt_fraction: Fraction = 0.01
    """A slide that loses more of its tiles than this to read errors fails."""
    min_tiles: Count = 1
    """A slide with fewer tiles fails."""
    min_focus: Annotated[float, Meta(ge=0)] = 30.0
    """Variance of the Laplacian below which a tile is out of focus, at the default tile scale."""
    drop_blurred: bool = True
    """Tiles out of focus are left out, as inked ones are; not on a slide scanned too coarsely for
    the limit to mean anything ("low-resolution"). Of 216 sharp real tiles none fell below it."""
    max_ink_fraction: Fraction = 0.2
    """A tile with more pen or black than this is inked."""
    max_bad_fraction: Fraction = 0.5
    """A slide with more blurred or inked tiles than this is flagged."""


class AnnotationSettings(Stage, frozen=True):
    """Which drawn regions of a slide count. Without a class named here, drawings are not read."""

    include: tuple[str, ...] = ()
    """Classes outside of which nothing is tissue; "*" names every class. Empty: the whole slide."""
    exclude: tuple[str, ...] = ()
    """Classes inside of which nothing is tissue; they win over ``include``."""
    required: bool = False
    """A slide without its file of drawings fails; else it is scored whole and flagged."""


class TissueArraySettings(Stage, frozen=True):
    """Finding the cores of a tissue array on an overview. 0 where unknown."""

    diameter_um: Annotated[float, Meta(ge=0)] = 0.0
    """Diameter of the cores, micrometers; 0 measures it on the round pieces of tissue."""
    rows: CountOrZero = 0
    """Rows of the array; 0 takes what is found."""
    columns: CountOrZero = 0
    """Columns of the array; 0 takes what is found."""
    min_diameter_um: Positive = 250.0
    """Least diameter tried; punches are 0.6 to 2 mm."""
    max_diameter_um: Positive = 3500.0
    """Largest diameter tried."""
    min_coverage: Fraction = 0.12
    """A core with less of its disc covered by tissue is missing."""
    reach: Annotated[float, Meta(gt=0, lt=0.5)] = 0.4
    """How far a core may lie off the place its neighbors predict, in pitches."""

    def contradictions(self) -> Iterator[str]:
        """Yield limits that cross."""
        yield from rising(self, "min_diameter_um", "max_diameter_um")
