"""Where tissue is: pale and fatty tissue kept; glass, pen, black borders and dust left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import remove_small_holes, remove_small_objects

from jecur.arrays import RGB, Mask, Vector
from jecur.errors import SlideError
from jecur.settings import TissueSettings
from jecur.slide import color
from jecur.slide.outline import mask_to_geojson
from jecur.slide.reader import Slide

__all__ = ["TissueMask", "find_tissue"]

_SMALLEST_INK_MM2 = 0.004
"""Ink-colored specks below this are pigment or dirt, not pen."""
_FAINT_INK_REACH_UM = 240.0
_LEAST_RED_PIXELS = 60
"""Overview pixels of dense red ink, about 0.004 mm2, that show a red pen was used."""
_SMALLEST_OVERVIEW_PX = 4
_LEAST_HE_FRACTION = 0.5
_LEAST_STAINED = 0.002
"""A slide with less stained area than this is judged by its tissue alone."""
_BLACK_FRINGE_PX = 3
_STRIP_ROWS = 512
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

    def to_geojson(self, origin: tuple[float, float] = (0.0, 0.0)) -> dict[str, object]:
        """Outline in level-0 pixels as a GeoJSON FeatureCollection that QuPath opens.

        Parameters
        ----------
        origin
            Where the slide begins in its file, if it is a window of it.
        """
        scale = self.um_per_px / self.mpp
        return mask_to_geojson(self.mask, scale, label="Tissue", origin=origin)


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
    if color.dark_background(overview[~damage]):
        raise SlideError(
            f"{slide.path.name}: expected stained tissue on bright glass, found a dark background "
            "(fluorescence or an inverted image); give a bright-field H&E slide",
            code="not-he",
        )
    glass = color.estimate_glass(overview)
    planes = _planes(overview, glass)
    _require_he(planes, ~damage, slide.path.name)
    marks = _pen(planes, settings, overview, glass)
    mask = _tissue(planes.magenta, marks, damage, settings)
    if not mask.any():
        raise SlideError(
            f"{slide.path.name}: expected at least {settings.min_area_mm2:g} mm2 of H&E tissue, "
            "found none; look at the slide, or lower tissue.min_magenta or tissue.min_area_mm2",
            code="no-tissue",
        )
    return TissueMask(mask, step, slide.mpp, marks, glass)


@dataclass(frozen=True, slots=True, eq=False)
class _Planes:
    """What each overview pixel's color says, (h, w) each."""

    magenta: NDArray[np.float32]
    stained: Mask
    he_colored: Mask
    ink: Mask
    faint_ink: Mask
    black: Mask


def _planes(overview: RGB, glass: Vector) -> _Planes:
    """Judge colors in strips: optical densities of a whole overview would be large."""
    shape = overview.shape[:2]
    planes = _Planes(
        np.empty(shape, dtype=np.float32), *(np.empty(shape, dtype=np.bool_) for _ in range(5))
    )
    for top in range(0, shape[0], _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        od = color.optical_density(overview[rows], glass)
        planes.magenta[rows] = color.magenta(od)
        planes.stained[rows] = color.stained(od)
        planes.he_colored[rows] = color.he_colored(od)
        planes.ink[rows] = color.ink(od)
        planes.faint_ink[rows] = color.faint_ink(od)
        planes.black[rows] = color.black(od)
    return planes


def _require_he(planes: _Planes, readable: Mask, name: str) -> None:
    """Refuse a slide most of whose color is not of H&E; colored pen counts against it."""
    judged = planes.stained & readable & ~_dilated(planes.black, _BLACK_FRINGE_PX)
    n_judged = int(judged.sum())
    share = float(planes.he_colored[judged].mean()) if n_judged else 1.0
    if n_judged > _LEAST_STAINED * judged.size and share < _LEAST_HE_FRACTION:
        raise SlideError(
            f"{name}: expected colors of hematoxylin and eosin, found them in {share:.0%} of what "
            "is stained (another stain, or wrong colors); give an H&E slide",
            code="not-he",
        )


def _pen(planes: _Planes, settings: TissueSettings, overview: RGB, glass: Vector) -> Mask:
    """Pen and black edges, (h, w), widened by the margin where ink fades.

    Thin red ink looks like strong eosin. It is believed within ``_FAINT_INK_REACH_UM`` of certain
    ink; and anywhere on a slide with dense red pen, where it is redder than the slide's own tissue.
    """
    step = settings.overview_um_per_px
    specks = _pixels(_SMALLEST_INK_MM2, settings)
    certain = remove_small_objects(_mostly(planes.ink) | planes.black, max_size=specks)
    marks = certain
    if certain.any() and planes.faint_ink.any():
        near = _dilated(certain & ~planes.black, round(_FAINT_INK_REACH_UM / step))
        marks = certain | (near & _mostly(planes.faint_ink | planes.ink))
    if certain.any():
        marks |= remove_small_objects(
            _mostly(_thin_red(planes, certain, overview, glass)), max_size=specks
        )
    return _dilated(marks, round(settings.ink_margin_um / step))


def _thin_red(planes: _Planes, certain: Mask, overview: RGB, glass: Vector) -> Mask:
    """Red of pen by comparison with the slide's tissue; nothing on a slide without dense red pen."""
    nothing = np.zeros_like(certain)
    dense = color.red_ink(color.optical_density(overview[certain & planes.ink], glass)).sum()
    tissue = planes.stained & planes.he_colored & ~_dilated(certain, _BLACK_FRINGE_PX)
    if dense < _LEAST_RED_PIXELS or not tissue.any():
        return nothing
    own = np.median(color.optical_density(overview[tissue], glass), axis=0)
    thin = nothing
    for top in range(0, len(thin), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        thin[rows] = color.redder_than_tissue(color.optical_density(overview[rows], glass), own)
    return thin | (planes.ink & ~planes.black)


def _mostly(mask: Mask) -> Mask:
    """Where at least two fifths of the 5 x 5 neighborhood are in the mask."""
    share = ndimage.uniform_filter(mask.astype(np.float32), size=5, mode="nearest")
    return np.asarray(share > 0.4)


def _tissue(
    magenta: NDArray[np.float32], marks: Mask, damage: Mask, settings: TissueSettings
) -> Mask:
    excess = ndimage.gaussian_filter(magenta, sigma=1.0, mode="nearest")
    usable = ~marks & ~damage
    threshold = settings.min_magenta
    if usable.any():
        split = float(_otsu(np.clip(excess[usable], 0.0, 0.5)))
        threshold = min(max(split, settings.min_magenta), settings.max_magenta)
    mask = (excess > threshold) & ~marks
    mask |= _touching(damage, mask)
    radius = round(settings.closing_um / settings.overview_um_per_px)
    if radius:
        padded = np.pad(mask, radius, mode="edge")
        closed = ~_dilated(~_dilated(padded, radius), radius)
        mask = closed[radius:-radius, radius:-radius] & ~marks
    mask = ndimage.binary_opening(mask, iterations=1) | (mask & damage)
    mask = remove_small_holes(mask, max_size=_pixels(settings.max_hole_mm2, settings)) & ~marks
    mask = remove_small_objects(mask, max_size=_pixels(settings.min_area_mm2, settings))
    return np.asarray(mask, dtype=np.bool_)


def _otsu(values: NDArray[np.float32]) -> float:
    """Threshold in the middle between two classes of values in [0, 0.5], by Otsu's criterion.

    References
    ----------
    .. [1] N. Otsu. A threshold selection method from gray-level histograms. IEEE Trans. Syst.
       Man Cybern. 9(1), 62-66, 1979.
    """
    counts, edges = np.histogram(values, bins=256, range=(0.0, 0.5))
    centers = (edges[:-1] + edges[1:]) / 2.0
    below = counts.cumsum()
    above = counts.sum() - below
    total = (counts * centers).cumsum()
    split = (below > 0) & (above > 0)
    if not split.any():
        return float(centers[counts.argmax()])
    gap = total[-1] / counts.sum() * below[split] - total[split]
    between = gap**2 / (below[split] * above[split].astype(np.float64))
    return float(edges[1:][split][between.argmax()])


def _dilated(mask: Mask, radius: int) -> Mask:
    """Mask widened by ``radius`` pixels in a square; separable, so fast at any radius."""
    if radius < 1:
        return mask
    wide = mask.astype(np.uint8)
    for axis in (0, 1):
        wide = ndimage.maximum_filter1d(wide, 2 * radius + 1, axis=axis, mode="constant")
    return np.asarray(wide, dtype=np.bool_)


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
