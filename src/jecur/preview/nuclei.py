"""The nuclei map of a whole image or slide, written tile by tile, with a picture to look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from jecur.arrays import RGB
from jecur.cohort.output_names import claim_name
from jecur.errors import StainError
from jecur.nuclei.segmentation import NucleiModel
from jecur.runs.folder import atomic_path
from jecur.runs.workers import Progress
from jecur.settings import StainSettings, TilingSettings, TissueSettings
from jecur.slide.reader import Slide, open_slide
from jecur.slide.tiling import TileGrid, sample_pixels, tile_tissue
from jecur.slide.tissue import find_tissue
from jecur.stain.normalizer import Normalizer, fit_normalizer
from jecur.stain.reference import builtin_reference

__all__ = ["NucleiMap", "map_nuclei"]

_SIDE_UM = 128.0
_OVERLAY_PX = 2_000
"""Longer side of the overlay."""


@dataclass(frozen=True, slots=True)
class NucleiMap:
    """What was written."""

    map: Path
    """TIFF, uint8, probability x 255, at the network's scale; 0 where there is no tissue."""
    overlay: Path
    width: int
    height: int
    n_tiles: int
    nuclear_fraction: float
    """Share of the mapped tiles at or above probability 1/2."""
    normalized: bool
    """Whether colors were brought to the reference before."""
    reason: str
    """Why not, if not."""


def map_nuclei(
    path: Path,
    out: Path,
    model: NucleiModel,
    *,
    mpp: float | None = None,
    normalize: bool = True,
    progress: Progress,
) -> NucleiMap:
    """Write ``<name>_nuclei.tiff`` and ``<name>_overlay.png``; two slides of one name stay apart.

    Parameters
    ----------
    path
        Slide, or PNG or JPEG with ``mpp`` given.
    out
        Folder.
    model
        The network.
    mpp
        Micrometers per pixel, in place of the file's own.
    normalize
        Bring colors to the built-in reference first, as a run does.
    progress
        Draws the tiles.

    Raises
    ------
    SlideError
        If the file cannot be read, does not say its scale, or holds no tissue.
    """
    with open_slide(path, mpp=mpp) as slide:
        tiling = TilingSettings(
            side_um=_SIDE_UM,
            output_px=round(_SIDE_UM / model.um_per_px),
            min_tissue_fraction=0.02,
        )
        grid = tile_tissue(slide, find_tissue(slide, TissueSettings()), tiling)
        normalizer, reason = _normalizer(slide, grid) if normalize else (None, "not asked for")
        shape = (grid.n_rows * grid.output_px, grid.n_cols * grid.output_px)
        scale = min(1.0, _OVERLAY_PX / max(shape))
        side = max(1, round(grid.output_px * scale))
        overlay = np.full((grid.n_rows * side, grid.n_cols * side, 3), 255, np.uint8)
        counted = np.zeros(2)
        name = claim_name(out, path)
        target = out / f"{name}_nuclei.tiff"
        with progress.task("Nuclei", len(grid)) as advance, atomic_path(target) as temporary:

            def tiles() -> Iterator[NDArray[np.uint8]]:
                at = {
                    (int(r), int(c)): k
                    for k, (r, c) in enumerate(zip(grid.rows, grid.cols, strict=True))
                }
                for row in range(grid.n_rows):
                    for column in range(grid.n_cols):
                        k = at.get((row, column))
                        if k is None:
                            yield np.zeros((grid.output_px, grid.output_px), np.uint8)
                            continue
                        rgb, nuclei = _one(slide, grid, k, normalizer, model)
                        counted[:] += (nuclei >= 128).sum(), nuclei.size
                        place = np.s_[
                            row * side : (row + 1) * side, column * side : (column + 1) * side
                        ]
                        overlay[place] = _overlaid(rgb, nuclei, side)
                        advance()
                        yield nuclei

            tifffile.imwrite(
                temporary,
                tiles(),
                shape=shape,
                dtype=np.uint8,
                tile=(grid.output_px, grid.output_px),
                compression="zlib",
                photometric="minisblack",
                resolution=(1e4 * grid.output_px / grid.side_um,) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
                bigtiff=True,
            )
        picture = out / f"{name}_overlay.png"
        with atomic_path(picture) as temporary:
            Image.fromarray(overlay).save(temporary, "PNG")
    fraction = float(counted[0] / counted[1])
    return NucleiMap(
        target, picture, shape[1], shape[0], len(grid), fraction, normalizer is not None, reason
    )


def _normalizer(slide: Slide, grid: TileGrid) -> tuple[Normalizer | None, str]:
    settings = StainSettings()
    pixels = sample_pixels(slide, grid, settings.n_pixels, np.random.default_rng(settings.seed))
    try:
        return fit_normalizer(pixels, settings, builtin_reference()), ""
    except StainError as refusal:
        return None, f"{refusal.message} [{refusal.code}]"


def _one(
    slide: Slide, grid: TileGrid, k: int, normalizer: Normalizer | None, model: NucleiModel
) -> tuple[RGB, NDArray[np.uint8]]:
    x, y = grid.positions[k]
    rgb = slide.read_region(float(x), float(y), grid.side_px, grid.output_px)
    seen = rgb[None] if normalizer is None else normalizer.apply(rgb[None])
    return rgb, model.map(seen)[0]


def _overlaid(rgb: RGB, nuclei: NDArray[np.uint8], side: int) -> RGB:
    """Tint nuclei green over the tile, in proportion to their probability."""
    weight = (nuclei.astype(np.float32) / 255.0 * 0.6)[..., None]
    tint = np.array([0.0, 170.0, 80.0], np.float32)
    mixed = (rgb * (1.0 - weight) + tint * weight).round().astype(np.uint8)
    return np.asarray(Image.fromarray(mixed).resize((side, side), Image.Resampling.BOX))
