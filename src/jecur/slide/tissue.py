"""Where tissue is: pale and fatty tissue kept; glass, pen, black borders and dust left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import disk, remove_small_holes, remove_small_objects

from jecur.arrays import RGB, Mask, Vector
from jecur.errors import SlideError
from jecur.settings import TissueSettings
from jecur.slide import color
from jecur.slide.outline import mask_to_geojson
from jecur.slide.reader import Slide

__all__ = ["TissueMask", "find_tissue"]

_SMALLEST_INK_MM2 = 0.004
"""Ink-colored specks below this are pigment or dirt, not pen."""
_SMALLEST_OVERVIEW_PX = 4
_LEAST_HE_FRACTION = 0.5
_MICROMETERS2_IN_MM2 = 1e6


@dataclass(frozen=True, slots=True)
class TissueMask:
    """Tissue on the overview of a slide.

    Parameters
    ----------
    mask
        (h, w) bool, True on tissue.
    um_per_px
        Micrometers per mask pixel.
    mpp
        Micrometers per level-0 pixel of the slide it was made from.
    ink
        (h, w) bool, True on pen marks and black edges.
    glass
        (3,) color of empty glass, R, G, B.
    """

    mask: Mask
    um_per_px: float
    mpp: float
    ink: Mask
    glass: Vector

    @property
    def area_mm2(self) -> float:
        """Tissue area, square millimeters."""
        return float(self.mask.sum()) * self.um_per_px**2 / _MICROMETERS2_IN_MM2

    @property
    def ink_area_mm2(self) -> float:
        """Area under pen marks and black edges, square millimeters."""
        return float(self.ink.sum()) * self.um_per_px**2 / _MICROMETERS2_IN_MM2

    def fraction(
        self, x: NDArray[np.int64] | float, y: NDArray[np.int64] | float, side: float
    ) -> Vector:
        """Share of a square that is tissue, exact to the mask's pixel edges.

        Parameters
        ----------
        x, y
            (n,) upper left corners, level-0 pixels.
        side
            Level-0 pixels, above 0.

        Returns
        -------
        numpy.ndarray
            (n,) float64 in [0, 1]; what lies outside the slide is no tissue.
        """
        scale = self.mpp / self.um_per_px
        left, top = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
        sums = _integral(self.mask)
        columns = (left * scale, (left + side) * scale)
        rows = (top * scale, (top + side) * scale)
        covered = (
            _sum_before(sums, rows[1], columns[1])
            - _sum_before(sums, rows[0], columns[1])
            - _sum_before(sums, rows[1], columns[0])
            + _sum_before(sums, rows[0], columns[0])
        )
        return np.clip(covered / (side * scale) ** 2, 0.0, 1.0)

    def to_geojson(self) -> dict[str, object]:
        """Outline in level-0 pixels as a GeoJSON FeatureCollection that QuPath opens."""
        return mask_to_geojson(self.mask, self.um_per_px / self.mpp, label="Tissue")


def find_tissue(slide: Slide, settings: TissueSettings) -> TissueMask:
    """Find H&E tissue on the overview of a slide.

    A pixel is tissue if its magenta excess (see `jecur.slide.color`), smoothed over one overview
    pixel, exceeds Otsu's threshold kept within ``min_magenta`` and ``max_magenta``, and no pen or
    black edge lies within ``ink_margin_um``. Gaps up to ``closing_um`` are closed and holes up to
    ``max_hole_mm2`` filled, which keeps fat.

    Parameters
    ----------
    slide
        An open slide.
    settings
        Scales and limits.

    Raises
    ------
    SlideError
        "too-small" for a slide of a few overview pixels, "not-he" if the background is dark or
        most of what is stained has another stain's color, "no-tissue" if nothing is left.
    """
    step = settings.overview_um_per_px
    if min(slide.size.width, slide.size.height) * slide.mpp < _SMALLEST_OVERVIEW_PX * step:
        raise SlideError(
            f"{slide.path.name}: expected a slide larger than {_SMALLEST_OVERVIEW_PX * step:g} um, "
            f"found {slide.size.width} x {slide.size.height} px at {slide.mpp:.4g} um/px; "
            "check that the file is a whole slide and its micrometers per pixel are right",
            code="too-small",
        )
    overview, damage = slide.overview_and_damage(step)
    glass = color.estimate_glass(overview)
    od = color.optical_density(overview, glass)
    _require_he(overview, od, damage, slide.path.name)
    marks = _pen(od, settings)
    mask = _tissue(od, marks, damage, settings)
    if not mask.any():
        raise SlideError(
            f"{slide.path.name}: expected at least {settings.min_area_mm2:g} mm2 of H&E tissue, "
            "found none; look at the slide, or lower tissue.min_magenta or tissue.min_area_mm2",
            code="no-tissue",
        )
    return TissueMask(mask, step, slide.mpp, marks, glass)


def _require_he(overview: RGB, od: NDArray[np.float64], damage: Mask, name: str) -> None:
    if color.dark_background(overview[~damage]):
        raise SlideError(
            f"{name}: expected stained tissue on bright glass, found a dark background "
            "(fluorescence or an inverted image); give a bright-field H&E slide",
            code="not-he",
        )
    share, n_stained = color.he_fraction(od[~damage])
    if n_stained > 0.002 * damage.size and share < _LEAST_HE_FRACTION:
        raise SlideError(
            f"{name}: expected colors of hematoxylin and eosin, found them in {share:.0%} of what "
            "is stained (another stain, or wrong colors); give an H&E slide",
            code="not-he",
        )


def _pen(od: NDArray[np.float64], settings: TissueSettings) -> Mask:
    """Pen and black edges, (h, w), widened by the margin where ink fades."""
    specks = _pixels(_SMALLEST_INK_MM2, settings)
    marks = color.ink(od) | color.black(od)
    marks = remove_small_objects(marks, max_size=specks)
    radius = round(settings.ink_margin_um / settings.overview_um_per_px)
    if radius and marks.any():
        marks = ndimage.binary_dilation(marks, structure=disk(radius))
    return np.asarray(marks, dtype=np.bool_)


def _tissue(od: NDArray[np.float64], marks: Mask, damage: Mask, settings: TissueSettings) -> Mask:
    excess = ndimage.gaussian_filter(color.magenta(od), sigma=1.0, mode="nearest")
    usable = ~marks & ~damage
    threshold = settings.min_magenta
    if usable.any():
        split = threshold_otsu(np.clip(excess[usable], 0.0, 0.5))
        threshold = min(max(split, settings.min_magenta), settings.max_magenta)
    mask = (excess > threshold) & ~marks
    mask |= _touching(damage, mask)
    radius = round(settings.closing_um / settings.overview_um_per_px)
    if radius:
        padded = np.pad(mask, radius, mode="edge")
        closed = ndimage.binary_closing(padded, structure=disk(radius))
        mask = closed[radius:-radius, radius:-radius] & ~marks
    mask = ndimage.binary_opening(mask, structure=disk(1)) | (mask & damage)
    mask = remove_small_holes(mask, max_size=_pixels(settings.max_hole_mm2, settings)) & ~marks
    mask = remove_small_objects(mask, max_size=_pixels(settings.min_area_mm2, settings))
    return np.asarray(mask, dtype=np.bool_)


def _touching(damage: Mask, tissue: Mask) -> Mask:
    """Damaged places that border on tissue: unknown, so to be tried at full resolution."""
    if not damage.any():
        return damage
    near = ndimage.binary_dilation(tissue, iterations=2)
    labels, _ = ndimage.label(damage)
    return np.asarray(np.isin(labels, np.unique(labels[near & damage])) & damage)


def _pixels(area_mm2: float, settings: TissueSettings) -> int:
    return int(area_mm2 * _MICROMETERS2_IN_MM2 / settings.overview_um_per_px**2)


def _integral(mask: Mask) -> NDArray[np.float64]:
    """(h + 1, w + 1) sums of the mask above and left of each pixel corner."""
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    sums[1:, 1:] = mask.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return sums


def _sum_before(sums: NDArray[np.float64], row: Vector, column: Vector) -> Vector:
    """Area of the mask above ``row`` and left of ``column``, both (n,) and fractional."""
    row = np.clip(row, 0.0, sums.shape[0] - 1.0)
    column = np.clip(column, 0.0, sums.shape[1] - 1.0)
    r0, c0 = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    r1, c1 = np.minimum(r0 + 1, sums.shape[0] - 1), np.minimum(c0 + 1, sums.shape[1] - 1)
    dr, dc = row - r0, column - c0
    upper = sums[r0, c0] * (1.0 - dc) + sums[r0, c1] * dc
    lower = sums[r1, c0] * (1.0 - dc) + sums[r1, c1] * dc
    return np.asarray(upper * (1.0 - dr) + lower * dr, dtype=np.float64)
