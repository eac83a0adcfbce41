"""Tiles over the tissue: a grid in micrometers, read in batches, each tile resampled once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from jecur.arrays import RGB, IntVector, Pixels, Positions, RGBBatch, Vector
from jecur.errors import SlideError
from jecur.geometry import side_in_pixels
from jecur.settings import TilingSettings
from jecur.slide import color
from jecur.slide.reader import Slide
from jecur.slide.tissue import TissueMask

__all__ = ["TileBatch", "TileGrid", "TileLoss", "read_tiles", "sample_pixels", "tile_tissue"]

MAX_SAMPLED_TILES = 60
"""Tiles read, at most, to sample the pixels of a slide."""
_GLASS_OD = 0.1
"""Pixels with a mean optical density below this are glass."""

_ROUNDING = 1e-9
"""Of a share of tissue: sums of parts of pixels differ from the share itself by less."""


@dataclass(frozen=True, slots=True, eq=False)
class TileGrid:
    """Square tiles on a slide, in row-major order; coordinates only.

    Parameters
    ----------
    positions
        (n, 2) int64 upper left corners x, y, level-0 pixels.
    rows, cols
        (n,) int64 places on the grid, in [0, n_rows) and [0, n_cols).
    tissue_fraction
        (n,) share of each tile that is tissue, in [0, 1].
    side_px
        Side of a tile, level-0 pixels.
    side_um
        Side of a tile, micrometers, as asked.
    output_px
        Side of a tile once read, pixels.
    n_rows, n_cols
        Extent of the full grid over the slide.
    n_candidates
        Tiles with enough tissue, before any were drawn by lot.
    """

    positions: Positions
    rows: IntVector
    cols: IntVector
    tissue_fraction: Vector
    side_px: int
    side_um: float
    output_px: int
    n_rows: int
    n_cols: int
    n_candidates: int

    def __len__(self) -> int:
        return len(self.positions)

    def part(self, chosen: IntVector) -> "TileGrid":
        """Return the tiles with these numbers alone, in this order."""
        return replace(
            self,
            positions=self.positions[chosen],
            rows=self.rows[chosen],
            cols=self.cols[chosen],
            tissue_fraction=self.tissue_fraction[chosen],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON or the columns of a table."""
        return {
            "x": self.positions[:, 0].tolist(),
            "y": self.positions[:, 1].tolist(),
            "row": self.rows.tolist(),
            "col": self.cols.tolist(),
            "tissue_fraction": self.tissue_fraction.tolist(),
            "side_px": self.side_px,
            "side_um": self.side_um,
            "output_px": self.output_px,
            "n_rows": self.n_rows,
            "n_cols": self.n_cols,
            "n_candidates": self.n_candidates,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the grid that `to_dict` wrote."""
        return cls(
            positions=np.column_stack([values["x"], values["y"]]).astype(np.int64).reshape(-1, 2),
            rows=np.asarray(values["row"], dtype=np.int64),
            cols=np.asarray(values["col"], dtype=np.int64),
            tissue_fraction=np.asarray(values["tissue_fraction"], dtype=np.float64),
            side_px=int(values["side_px"]),
            side_um=float(values["side_um"]),
            output_px=int(values["output_px"]),
            n_rows=int(values["n_rows"]),
            n_cols=int(values["n_cols"]),
            n_candidates=int(values["n_candidates"]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class TileBatch:
    """Some tiles of a grid.

    Parameters
    ----------
    indices
        (b,) int64 positions of these tiles in the grid, increasing.
    rgb
        (b, output_px, output_px, 3) uint8.
    """

    indices: IntVector
    rgb: RGBBatch


@dataclass(slots=True)
class TileLoss:
    """Tiles that could not be decoded, counted while a grid is read.

    Parameters
    ----------
    indices
        Their positions in the grid.
    reason
        What the last of them said.
    """

    indices: list[int] = field(default_factory=list)
    reason: str = ""

    def __len__(self) -> int:
        return len(self.indices)

    def fraction(self, grid: TileGrid) -> float:
        """Share of the grid that was lost, in [0, 1]."""
        return len(self.indices) / len(grid) if len(grid) else 0.0


def tile_tissue(slide: Slide, tissue: TissueMask, settings: TilingSettings) -> TileGrid:
    """Lay tiles of ``side_um`` over the tissue.

    The grid starts at the slide's upper left corner and keeps every tile that lies wholly inside
    the slide and holds at least ``min_tissue_fraction`` tissue. If more than ``max_tiles`` remain,
    that many are drawn without replacement with ``seed``; the same slide and settings always give
    the same tiles.

    Raises
    ------
    SlideError
        "too-small" if no tile fits on the slide, "no-tiles" if none holds enough tissue.
    """
    side = side_in_pixels(settings.side_um, slide.mpp)
    step = max(1, side - round(settings.overlap_um / slide.mpp))
    n_cols = (slide.size.width - side) // step + 1 if slide.size.width >= side else 0
    n_rows = (slide.size.height - side) // step + 1 if slide.size.height >= side else 0
    if not n_cols or not n_rows:
        raise SlideError(
            f"{slide.path.name}: expected room for a tile of {settings.side_um:g} um, found "
            f"{slide.size.width} x {slide.size.height} px at {slide.mpp:.4g} um/px; "
            "check the micrometers per pixel",
            code="too-small",
        )
    rows, cols = (index.ravel() for index in np.indices((n_rows, n_cols)))
    fraction = tissue.fraction(cols * step, rows * step, side)
    kept = np.flatnonzero(fraction >= settings.min_tissue_fraction - _ROUNDING)
    if not len(kept):
        raise SlideError(
            f"{slide.path.name}: expected tiles of {settings.side_um:g} um with at least "
            f"{settings.min_tissue_fraction:.0%} tissue, found none "
            f"(best {fraction.max():.0%}); lower tiling.min_tissue_fraction or leave the slide out",
            code="no-tiles",
        )
    n_candidates = len(kept)
    if settings.max_tiles and n_candidates > settings.max_tiles:
        rng = np.random.default_rng(settings.seed)
        kept = np.sort(rng.choice(kept, size=settings.max_tiles, replace=False))
    return TileGrid(
        positions=np.column_stack([cols[kept], rows[kept]]).astype(np.int64) * step,
        rows=rows[kept].astype(np.int64),
        cols=cols[kept].astype(np.int64),
        tissue_fraction=fraction[kept],
        side_px=side,
        side_um=settings.side_um,
        output_px=settings.output_px,
        n_rows=n_rows,
        n_cols=n_cols,
        n_candidates=n_candidates,
    )


def read_tiles(
    slide: Slide,
    grid: TileGrid,
    batch_size: int,
    *,
    loss: TileLoss | None = None,
    known: Mapping[int, RGB] | None = None,
) -> Iterator[TileBatch]:
    """Read a grid in order; tiles that cannot be decoded are left out.

    Parameters
    ----------
    slide
        The slide the grid was made for.
    grid
        Tiles to read.
    batch_size
        Tiles a batch, at least 1; the memory this takes is one batch.
    loss
        Collects the tiles left out. `jecur.slide.quality.judge_slide` judges how many are too many.
    known
        Tiles of this grid that were read before, as `sample_pixels` keeps them: number -> pixels.

    Yields
    ------
    TileBatch
        Up to ``batch_size`` tiles; never empty.
    """
    if batch_size < 1:
        raise ValueError("batch_size must be at least 1")
    loss = TileLoss() if loss is None else loss
    known = known or {}
    side = grid.output_px
    for start in range(0, len(grid), batch_size):
        stop = min(start + batch_size, len(grid))
        rgb = np.empty((stop - start, side, side, 3), dtype=np.uint8)
        indices: list[int] = []
        for index in range(start, stop):
            x, y = grid.positions[index]
            try:
                rgb[len(indices)] = (
                    known[index] if index in known else slide.read_region(x, y, grid.side_px, side)
                )
            except SlideError as error:
                loss.indices.append(index)
                loss.reason = error.message
                continue
            indices.append(index)
        if indices:
            yield TileBatch(np.array(indices, dtype=np.int64), rgb[: len(indices)])


def sample_pixels(
    slide: Slide,
    grid: TileGrid,
    n_pixels: int,
    rng: np.random.Generator,
    *,
    keep: dict[int, RGB] | None = None,
) -> Pixels:
    """Draw tissue pixels from tiles spread evenly over the slide.

    At most `MAX_SAMPLED_TILES` tiles are read, every k-th of the grid from a random start, and each
    gives the same number of pixels at most. Glass, pen and black pixels are left out.

    Parameters
    ----------
    slide, grid
        A slide and its tiles.
    n_pixels
        Pixels wanted, at least 1.
    rng
        Draws the start and the pixels.
    keep
        Takes up the tiles that were read, so that `read_tiles` need not decode them again.

    Returns
    -------
    numpy.ndarray
        (m, 3) uint8, m at most ``n_pixels``; fewer where the slide holds little tissue, none if
        it holds nothing but glass.

    Raises
    ------
    SlideError
        With code "corrupt-tiles" if none of the chosen tiles can be decoded.
    """
    n_tiles = min(len(grid), MAX_SAMPLED_TILES)
    spacing = len(grid) / n_tiles
    chosen = np.floor(rng.uniform(0.0, spacing) + spacing * np.arange(n_tiles)).astype(np.int64)
    quota = -(-n_pixels // n_tiles)
    parts: list[Pixels] = []
    for index in np.minimum(chosen, len(grid) - 1):
        x, y = grid.positions[index]
        try:
            tile = slide.read_region(x, y, grid.side_px, grid.output_px)
        except SlideError:
            continue
        if keep is not None:
            keep[int(index)] = tile
        parts.append(_tissue_pixels(tile.reshape(-1, 3), quota, rng))
    if not parts:
        raise SlideError(
            f"{slide.path.name}: expected readable tiles, found {n_tiles} of {n_tiles} damaged; "
            "copy the file again from the scanner or archive",
            code="corrupt-tiles",
        )
    pixels = np.concatenate(parts)
    if len(pixels) > n_pixels:
        pixels = pixels[rng.choice(len(pixels), size=n_pixels, replace=False)]
    return pixels


def _tissue_pixels(pixels: Pixels, quota: int, rng: np.random.Generator) -> Pixels:
    od = color.optical_density(pixels, color.DEFAULT_GLASS)
    inside: Pixels = pixels[(color.density(od) > _GLASS_OD) & ~color.ink(od) & ~color.black(od)]
    if len(inside) > quota:
        inside = inside[rng.choice(len(inside), size=quota, replace=False)]
    return inside
