"""The nuclei map of a whole image or slide, written tile by tile, with a picture to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from jecur.arrays import RGB
from jecur.cohort.output_names import claim_name
from jecur.errors import SlideError
from jecur.nuclei.segmentation import NucleiModel
from jecur.preview.view import SlideView
from jecur.runs.folder import atomic_path
from jecur.runs.progress import Progress
from jecur.settings import TilingSettings
from jecur.slide.reader import Slide
from jecur.slide.tiling import TileGrid
from jecur.stain.normalizer import Normalizer
from jecur.study.survey import Survey

__all__ = ["NucleiMap", "map_nuclei"]

_SIDE_UM = 128.0
_TIFF_SIDE = 16
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
    view: SlideView,
    out: Path,
    model: NucleiModel,
    *,
    follow_study: bool = False,
    normalize: bool = True,
    progress: Progress,
) -> NucleiMap:
    """Write ``<name>_nuclei.tiff`` and ``<name>_overlay.png``; two slides of one name stay apart.

    Parameters
    ----------
    view
        Slide, or PNG or JPEG with its scale given.
    out
        Folder.
    model
        The network.
    follow_study
        Map the very tiles that a run under the view's recipe would score, and no others. Else every
        tile with a little tissue is mapped, at the network's scale, and a slide whose stains are
        refused is mapped as scanned.
    normalize
        Bring colors to the reference first, as a run does.
    progress
        Draws the tiles.

    Raises
    ------
    SlideError
        If the file cannot be read, does not say its scale, or holds no tissue; of a study that is
        followed, whatever fails the slide there.
    """
    name = claim_name(out, view.path) + (f"__{view.core.core}" if view.core else "")
    canvas = _Canvas(out / f"{name}_nuclei.tiff", out / f"{name}_overlay.png", model, progress)
    if follow_study:
        with view.surveyed() as survey:
            if survey.status == "failed":
                raise SlideError(survey.reason, code=survey.code)
            return canvas.write(survey, survey.kept)
    with _every_tile(view, model, normalize=normalize).laid() as survey:
        if survey.grid is None or survey.normalizer is not None:
            every = range(_n_tiles(survey))
            return canvas.write(survey, every, "" if normalize else "not asked for")
        refused = f"{survey.reason} [{survey.code}]"
    with _every_tile(view, model, normalize=False).laid() as survey:
        return canvas.write(survey, range(_n_tiles(survey)), refused)


def _n_tiles(survey: Survey) -> int:
    grid = survey.require_walked().grid
    return 0 if grid is None else len(grid)


def _every_tile(view: SlideView, model: NucleiModel, *, normalize: bool) -> SlideView:
    """Return the view with tiles of the network's scale wherever there is a little tissue."""
    recipe = view.recipe
    tiling = TilingSettings(
        side_um=_SIDE_UM, output_px=round(_SIDE_UM / model.um_per_px), min_tissue_fraction=0.02
    )
    stain = recipe.stain if normalize else msgspec.structs.replace(recipe.stain, method="none")
    return replace(view, recipe=msgspec.structs.replace(recipe, tiling=tiling, stain=stain))


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Where a map and its overlay go, and what draws them."""

    map: Path
    overlay: Path
    model: NucleiModel
    progress: Progress

    def write(self, survey: Survey, tiles: Sequence[int], as_scanned: str = "") -> NucleiMap:
        """Write the map of some tiles of a survey; ``as_scanned`` says why colors are left alone."""
        grid, normalizer = survey.grid, survey.normalizer
        if grid is None or normalizer is None:
            raise ValueError("expected a survey that was not stopped")
        px = grid.output_px
        shape = (grid.n_rows * px, grid.n_cols * px)
        side = max(1, round(px * min(1.0, _OVERLAY_PX / max(shape))))
        overlay = np.full((grid.n_rows * side, grid.n_cols * side, 3), 255, np.uint8)
        n_nuclear = 0
        at = {(int(grid.rows[k]), int(grid.cols[k])): k for k in tiles}

        def pieces() -> Iterator[NDArray[np.uint8]]:
            nonlocal n_nuclear
            for row, column in np.ndindex(grid.n_rows, grid.n_cols):
                if (row, column) not in at:
                    yield np.zeros((px, px), np.uint8)
                    continue
                k = at[row, column]
                rgb, nuclei = _one(survey.slide, grid, k, normalizer, self.model)
                n_nuclear += int((nuclei >= 128).sum())
                top, left = row * side, column * side
                overlay[top : top + side, left : left + side] = _overlaid(rgb, nuclei, side)
                advance()
                yield nuclei

        with (
            self.progress.task("Nuclei", len(tiles)) as advance,
            atomic_path(self.map) as temporary,
        ):
            _write_tiff(temporary, pieces(), grid)
        with atomic_path(self.overlay) as temporary:
            Image.fromarray(overlay).save(temporary, "PNG")
        return NucleiMap(
            self.map,
            self.overlay,
            shape[1],
            shape[0],
            len(tiles),
            n_nuclear / (len(tiles) * px * px),
            "not-normalized" not in normalizer.flags,
            as_scanned or ", ".join(normalizer.flags),
        )


def _one(
    slide: Slide, grid: TileGrid, k: int, normalizer: Normalizer, model: NucleiModel
) -> tuple[RGB, NDArray[np.uint8]]:
    """Tile as scanned, and its nuclei as a run would write them."""
    x, y = grid.positions[k]
    rgb = slide.read_region(x, y, grid.side_px, grid.output_px)
    return rgb, model.map(normalizer.apply(rgb[None]))[0]


def _write_tiff(path: Path, pieces: Iterator[NDArray[np.uint8]], grid: TileGrid) -> None:
    """Write the pieces of a map, row by row, as a tiled TIFF that knows its scale."""
    px = grid.output_px
    shape = (grid.n_rows * px, grid.n_cols * px)
    data: Iterator[NDArray[np.uint8]] | NDArray[np.uint8] = pieces
    if px % _TIFF_SIDE:  # a TIFF has tiles of whole sixteens
        data = np.block([[next(pieces) for _ in range(grid.n_cols)] for _ in range(grid.n_rows)])
    tifffile.imwrite(
        path,
        data,
        shape=shape,
        dtype=np.uint8,
        tile=(256, 256) if px % _TIFF_SIDE else (px, px),
        compression="zlib",
        photometric="minisblack",
        resolution=(1e4 * px / grid.side_um,) * 2,
        resolutionunit="CENTIMETER",
        metadata=None,
        bigtiff=True,
    )


def _overlaid(rgb: RGB, nuclei: NDArray[np.uint8], side: int) -> RGB:
    """Tint nuclei green over the tile, in proportion to their probability."""
    weight = (nuclei.astype(np.float32) / 255.0 * 0.6)[..., None]
    tint = np.array([0.0, 170.0, 80.0], np.float32)
    mixed = (rgb * (1.0 - weight) + tint * weight).round().astype(np.uint8)
    return np.asarray(Image.fromarray(mixed).resize((side, side), Image.Resampling.BOX))
