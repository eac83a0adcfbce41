"""What is said of a slide, by whoever asks: one order of steps for a look and for a run.

Open, find tissue, cut it by drawings, lay tiles, fit stains, read and judge every tile. A run keeps
the tiles (`jecur.study.prepare`), an inspection draws them (`jecur.preview.slide`); status, code, flags,
scale and numbers of tiles come from here for both.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from jecur.arrays import BoolVector, RGBBatch
from jecur.errors import SlideError
from jecur.geometry import CorePlace
from jecur.settings import Recipe
from jecur.slide.annotation.regions import restrict_to_regions
from jecur.slide.files import require_slide_file
from jecur.slide.formats import open_source
from jecur.slide.quality import SlideQuality, TileQuality, is_enlarged, judge_slide, measure_tiles
from jecur.slide.reader import Slide, open_slide
from jecur.slide.tiling import TileGrid, TileLoss, read_tiles, sample_pixels, tile_tissue
from jecur.slide.tissue import TissueMask, find_tissue
from jecur.slide.tissue_array.core_slide import array_tiles, core_slide, restrict_to_core
from jecur.stain.appearance import StainReference
from jecur.stain.normalizer import Normalizer, fit_normalizer

__all__ = ["SlideFacts", "TileVerdicts", "judge_tiles", "look", "opened"]

Status = Literal["ok", "flagged", "failed"]
Take = Callable[[Normalizer, RGBBatch], None]
"""What is done with the clean tiles of a batch, (m, h, w, 3) as scanned."""


@dataclass(slots=True)
class TileVerdicts:
    """What was found on the way, as far as it went."""

    slide: Slide
    tissue: TissueMask
    grid: TileGrid
    scored: BoolVector
    """(n,) whether each tile of the grid is clean; all False until they are judged."""
    normalizer: Normalizer | None = None

    @property
    def kept(self) -> list[int]:
        """Numbers of the clean tiles."""
        return [int(k) for k in np.flatnonzero(self.scored)]


@dataclass(slots=True)
class SlideFacts:
    """What is known of a slide; filled step by step, so that a failure says what came before it.

    Parameters
    ----------
    status, code, reason, flags
        The verdict; ``code`` is the gravest finding, "" if there is none.
    """

    status: Status = "failed"
    code: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    reader: str = ""
    vendor: str = ""
    width: int = 0
    height: int = 0
    levels: int = 0
    mpp: float | None = None
    mpp_source: str = ""
    icc_profile: bool = False
    tissue_mm2: float | None = None
    n_tiles: int = 0
    n_tiles_left_out: int = 0
    origin: tuple[float, float] = (0.0, 0.0)
    seen: TileVerdicts | None = field(default=None, repr=False)

    def fail(self, error: SlideError) -> None:
        """Write down what went wrong; there is nothing to score then."""
        self.status, self.code, self.reason = "failed", error.code, error.message
        self.n_tiles = 0


@contextmanager
def opened(path: Path, mpp: float | None, facts: SlideFacts) -> Iterator[Slide]:
    """Open a slide and say what it is, also if its scale is not believed.

    Raises
    ------
    SlideError
        As `jecur.slide.reader.open_slide`.
    """
    try:
        slide = open_slide(path, mpp=mpp)
    except SlideError:
        _describe_unopened(path, facts)
        raise
    with slide:
        facts.reader, facts.vendor = slide.reader, slide.vendor
        facts.width, facts.height = slide.size.width, slide.size.height
        facts.levels, facts.icc_profile = len(slide.levels), slide.icc_profile
        facts.mpp, facts.mpp_source = slide.mpp, slide.mpp_source
        yield slide


def look(
    whole: Slide,
    recipe: Recipe,
    facts: SlideFacts,
    *,
    core: CorePlace | None = None,
    annotation: Path | None = None,
) -> TileVerdicts:
    """Find tissue and tiles of a slide or of one core of it, and fit its stains.

    Raises
    ------
    SlideError
        If there is no tissue, no tile, or the stains are refused.
    """
    slide = core_slide(whole, core, recipe.tiling) if core else whole
    facts.width, facts.height, facts.origin = slide.size.width, slide.size.height, slide.origin
    tissue = find_tissue(slide, recipe.tissue)
    if core:
        tissue = restrict_to_core(slide, tissue, core)
    tissue, drawing_flags = restrict_to_regions(slide, tissue, annotation, recipe.annotations)
    facts.flags, facts.tissue_mm2 = drawing_flags, round(tissue.area_mm2, 4)
    grid = tile_tissue(slide, tissue, recipe.tiling)
    seen = facts.seen = TileVerdicts(slide, tissue, grid, np.zeros(len(grid), dtype=np.bool_))
    # The cores of an array were stained together: one fit, from all of them.
    fit_on = (whole, array_tiles(whole, core, recipe.tiling)) if core else (slide, grid)
    rng = np.random.default_rng(recipe.stain.seed)
    pixels = sample_pixels(*fit_on, recipe.stain.n_pixels, rng)
    reference = StainReference.from_dict(recipe.stain_reference)
    seen.normalizer = fit_normalizer(pixels, recipe.stain, reference, tissue.glass)
    facts.flags = (*drawing_flags, *seen.normalizer.flags)
    return seen


def judge_tiles(
    seen: TileVerdicts, recipe: Recipe, facts: SlideFacts, take: Take | None = None
) -> None:
    """Read and judge every tile, hand on the clean ones, and complete the verdict.

    Raises
    ------
    SlideError
        With code ``no-clean-tiles`` if none is worth scoring.
    """
    slide, grid, loss = seen.slide, seen.grid, TileLoss()
    if seen.normalizer is None:
        raise ValueError("expected the stains to be fitted first")
    enlarged = is_enlarged(slide, grid)
    measured: list[TileQuality] = []
    for batch in read_tiles(slide, grid, recipe.tiling.batch_size, loss=loss):
        measured.append(measure_tiles(batch.rgb, seen.tissue.glass))
        clean = measured[-1].scorable(recipe.quality, enlarged=enlarged)
        seen.scored[batch.indices] = clean
        if take is not None and clean.any():
            take(seen.normalizer, batch.rgb[clean])
    tiles = TileQuality.join(measured)
    quality = judge_slide(slide, seen.tissue, grid, tiles, loss, recipe.quality)
    facts.status, facts.code, facts.flags = _final_status(quality, facts.flags)
    facts.reason = quality.reason
    facts.n_tiles = int(seen.scored.sum())
    facts.n_tiles_left_out = len(grid) - facts.n_tiles
    if quality.status != "failed" and not facts.n_tiles:
        message = f"expected clean tiles, found all {len(grid)} under pen, black or blurred; scan it again"
        raise SlideError(message, code="no-clean-tiles")


def _final_status(
    quality: SlideQuality, other_flags: tuple[str, ...]
) -> tuple[Status, str, tuple[str, ...]]:
    """Status, gravest code and all flags of a slide, from its tiles, drawings and stains."""
    flags = (*quality.flags, *other_flags)
    status: Status = "flagged" if quality.status == "ok" and other_flags else quality.status
    return status, quality.code or (other_flags[0] if other_flags else ""), flags


def _describe_unopened(path: Path, facts: SlideFacts) -> None:
    """Say what can be said of a file that opens but whose scale is not believed."""
    try:
        source = open_source(require_slide_file(path))
    except SlideError:
        return
    try:
        facts.reader, facts.vendor = source.reader, source.vendor
        facts.width, facts.height = source.levels[0].width, source.levels[0].height
        facts.levels = len(source.levels)
    finally:
        source.close()
