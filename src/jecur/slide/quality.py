"""What is worth scoring: each tile's focus, ink and tissue, and a verdict on the slide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jecur.arrays import RGB, BoolVector, RGBBatch, Vector
from jecur.settings import QualitySettings
from jecur.slide import color
from jecur.slide.reader import Slide
from jecur.slide.tiling import TileGrid, TileLoss
from jecur.slide.tissue import TissueMask

__all__ = ["SlideQuality", "TileQuality", "is_enlarged", "judge_slide", "measure_tiles"]

_GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_TISSUE_OD = 0.1
_LEAST_HE_FRACTION = 0.5
_LEAST_LEAN = -0.1
"""Median over the tiles; true H&E measured here lies above -0.05, exchanged channels below -0.15
where both stains show."""
_LEAN_STRIDE = 8
_BLOCKS_A_SIDE = 16
_LOW_RESOLUTION = 1.25
"""A slide whose pixels are this much coarser than the tiles' is enlarged, and says so."""

Status = Literal["ok", "flagged", "failed"]


@dataclass(frozen=True, slots=True, eq=False)
class TileQuality:
    """Measures of n tiles.

    Parameters
    ----------
    focus
        (n,) variance of the Laplacian of the gray image, gray levels squared; it falls with blur,
        and depends on the scale the tiles are read at.
    ink_fraction, black_fraction, tissue_fraction
        (n,) shares of the tile in [0, 1]: blocks of a sixteenth of the side in pen colors, or
        black; pixels denser than glass.
    he_fraction
        (n,) share of the stained pixels that H&E can color so, in [0, 1]; 1 if none is stained.
    nuclear_lean
        (n,) see `jecur.slide.color.nuclear_lean`; negative where red and blue look exchanged.
    """

    focus: Vector
    ink_fraction: Vector
    black_fraction: Vector
    tissue_fraction: Vector
    he_fraction: Vector
    nuclear_lean: Vector

    def __len__(self) -> int:
        return len(self.focus)

    def blurred(self, settings: QualitySettings) -> BoolVector:
        """Tiles out of focus, (n,) bool."""
        return np.asarray(self.focus < settings.min_focus)

    def inked(self, settings: QualitySettings) -> BoolVector:
        """Tiles under pen or black, (n,) bool."""
        return np.asarray(self.ink_fraction + self.black_fraction > settings.max_ink_fraction)

    def scorable(self, settings: QualitySettings, *, enlarged: bool) -> BoolVector:
        """Tiles worth scoring, (n,) bool: not inked and, unless ``enlarged``, not out of focus."""
        clean = ~self.inked(settings)
        return clean if enlarged or not settings.drop_blurred else clean & ~self.blurred(settings)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put the measures of several batches behind one another."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts] or [np.empty(0)])
                for name in cls.__slots__
            )
        )


@dataclass(frozen=True, slots=True)
class SlideQuality:
    """Verdict on a slide.

    Parameters
    ----------
    status
        "ok", "flagged" (scored, with a warning) or "failed" (not to be scored).
    code
        The gravest finding, kebab-case; "" if ok.
    reason
        One sentence on it; "" if ok.
    flags
        Every finding, gravest first.
    n_tiles, n_lost
        Tiles read, and tiles that could not be decoded.
    median_focus
        Median of the tiles' focus; NaN if none was measured.
    """

    status: Status
    code: str
    reason: str
    flags: tuple[str, ...]
    n_tiles: int
    n_lost: int
    median_focus: float


def measure_tiles(rgb: RGBBatch, glass: Vector = color.DEFAULT_GLASS) -> TileQuality:
    """Measure tiles.

    Parameters
    ----------
    rgb
        (n, h, w, 3) uint8, at least 3 x 3 pixels each.
    glass
        (3,) color of the slide's empty glass, as the tissue mask has it.

    Returns
    -------
    TileQuality
        n measures of each kind.
    """
    rows = [_measure(tile, glass) for tile in rgb]
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 6).T
    return TileQuality(*columns)


def judge_slide(
    slide: Slide,
    tissue: TissueMask,
    grid: TileGrid,
    tiles: TileQuality,
    loss: TileLoss,
    settings: QualitySettings,
) -> SlideQuality:
    """Judge a slide once its tiles have been read.

    Failed: "corrupt-tiles" (more than ``max_corrupt_fraction`` of the tiles lost), "too-few-tiles"
    (fewer than ``min_tiles`` left), "not-he" (half the tiles or more hold mostly other colors).
    Flagged: "some-tiles-lost", "blurred" and "ink" (more than ``max_bad_fraction`` of the tiles, or
    for ink of the area of tissue), "low-resolution", "mpp-from-objective".

    Parameters
    ----------
    slide, tissue, grid
        What was read.
    tiles
        Measures of the tiles read.
    loss
        Tiles that could not be decoded.
    settings
        Limits.
    """
    failures = _failures(grid, tiles, loss, settings)
    warnings = _warnings(slide, tissue, grid, tiles, loss, settings)
    findings = failures + warnings
    status: Status = "failed" if failures else "flagged" if warnings else "ok"
    code, reason = findings[0] if findings else ("", "")
    return SlideQuality(
        status=status,
        code=code,
        reason=reason,
        flags=tuple(name for name, _ in findings),
        n_tiles=len(tiles),
        n_lost=len(loss),
        median_focus=float(np.median(tiles.focus)) if len(tiles) else float("nan"),
    )


def _failures(
    grid: TileGrid, tiles: TileQuality, loss: TileLoss, settings: QualitySettings
) -> list[tuple[str, str]]:
    found = []
    if loss.fraction(grid) > settings.max_corrupt_fraction:
        found.append(
            (
                "corrupt-tiles",
                f"expected at most {settings.max_corrupt_fraction:.1%} of the tiles lost to read "
                f"errors, found {len(loss)} of {len(grid)}; copy the file again",
            )
        )
    if len(tiles) < settings.min_tiles:
        found.append(
            (
                "too-few-tiles",
                f"expected at least {settings.min_tiles} tiles, found {len(tiles)}; "
                "lower quality.min_tiles or leave the slide out",
            )
        )
    if len(tiles) and float(np.median(tiles.he_fraction)) < _LEAST_HE_FRACTION:
        found.append(
            (
                "not-he",
                "expected colors of hematoxylin and eosin, found other colors in most tiles; "
                "give an H&E slide",
            )
        )
    if len(tiles) and float(np.median(tiles.nuclear_lean)) < _LEAST_LEAN:
        found.append(
            (
                "not-he",
                "expected blue nuclei in pink tissue, found the reverse (red and blue exchanged?); "
                "convert the file again with its color order kept",
            )
        )
    return found


def _warnings(
    slide: Slide,
    tissue: TissueMask,
    grid: TileGrid,
    tiles: TileQuality,
    loss: TileLoss,
    settings: QualitySettings,
) -> list[tuple[str, str]]:
    found = list(slide.notes)
    if 0 < loss.fraction(grid) <= settings.max_corrupt_fraction:
        found.append(("some-tiles-lost", f"{len(loss)} of {len(grid)} tiles could not be decoded"))
    blurred = _share(tiles.blurred(settings))
    if blurred > settings.max_bad_fraction:
        found.append(("blurred", f"{blurred:.0%} of the tiles are out of focus"))
    inked = max(
        _share(tiles.inked(settings)),
        tissue.ink_area_mm2 / (tissue.ink_area_mm2 + tissue.area_mm2),
    )
    if inked > settings.max_bad_fraction:
        found.append(("ink", f"pen or black edges cover up to {inked:.0%} of the tissue"))
    wanted = grid.side_um / grid.output_px
    if is_enlarged(slide, grid):
        found.append(
            (
                "low-resolution",
                f"scanned at {slide.mpp:.3g} um/px, tiles need {wanted:.3g}; they are enlarged",
            )
        )
    if slide.mpp_source == "objective":
        found.append(
            ("mpp-from-objective", f"{slide.mpp:.3g} um/px inferred from {slide.objective:g}x")
        )
    return found


def is_enlarged(slide: Slide, grid: TileGrid) -> bool:
    """Whether the slide's pixels are much coarser than the tiles', which then look soft."""
    return slide.mpp > _LOW_RESOLUTION * grid.side_um / grid.output_px


def _share(values: BoolVector) -> float:
    return float(values.mean()) if len(values) else 0.0


def _measure(
    tile: NDArray[np.uint8], glass: Vector
) -> tuple[float, float, float, float, float, float]:
    """Focus; ink, black, tissue and H&E fractions; nuclear lean, of one (h, w, 3) tile."""
    od = color.optical_density(tile, glass)
    coarse = color.optical_density(_blocks(tile), glass)
    stained = color.stained(od)
    tissue = color.density(od) > _TISSUE_OD
    n_stained = np.count_nonzero(stained)
    he_share = np.count_nonzero(color.he_colored(od) & stained) / n_stained if n_stained else 1.0
    ink, black = color.ink(coarse), color.black(coarse)
    return (
        _laplacian_variance(tile),
        float(ink.mean()),
        float((black & ~ink).mean()),
        np.count_nonzero(tissue) / tissue.size,
        he_share,
        color.nuclear_lean(_thinned(od, tissue)),
    )


def _thinned(od: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Every eighth of the pixels chosen, (n, 3)."""
    planes = np.moveaxis(od, -1, 0).reshape(3, -1)  # as `color.optical_density` lays them: no copy
    return planes[:, np.flatnonzero(where)[::_LEAN_STRIDE]].T


def _blocks(tile: NDArray[np.uint8]) -> RGB:
    """Tile averaged in 16 x 16 blocks: single nuclei and blood cells can look like ink."""
    block = max(1, min(tile.shape[:2]) // _BLOCKS_A_SIDE)
    return np.asarray(Image.fromarray(tile).reduce(block))


def _laplacian_variance(tile: NDArray[np.uint8]) -> float:
    """Variance of the four-neighbor Laplacian of the gray image."""
    gray = tile.astype(np.float32) @ _GRAY_WEIGHTS
    inner = gray[1:-1, 1:-1]
    neighbors = gray[1:-1, :-2] + gray[1:-1, 2:] + gray[:-2, 1:-1] + gray[2:, 1:-1]
    return float((neighbors - 4.0 * inner).var())
