"""What is said of a slide, by whoever asks: one walk from the slide to its tissue, tiles and stains.

Find tissue, cut it by drawings, lay tiles, fit stains, read and judge every tile. A run keeps the
tiles (`jecur.study.prepare`), an inspection draws them, a preview shows their colors and nuclei
(`jecur.preview`): tissue, tiles, colors and verdict come from here for all of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from jecur.arrays import RGB, BoolVector, Positions, RGBBatch
from jecur.errors import SlideError
from jecur.geometry import CorePlace
from jecur.runs.in_order import in_order
from jecur.settings import Recipe
from jecur.slide.annotation.regions import restrict_to_regions
from jecur.slide.quality import TileQuality, is_enlarged, judge_slide, measure_tiles
from jecur.slide.reader import Slide
from jecur.slide.tiling import TileBatch, TileGrid, TileLoss, read_tiles, sample_pixels, tile_tissue
from jecur.slide.tissue import TissueMask, find_tissue
from jecur.slide.tissue_array.core_slide import array_tiles, core_slide, restrict_to_core
from jecur.stain.appearance import SlideStain, StainReference
from jecur.stain.normalizer import Normalizer, fit_normalizer
from jecur.study.slide_facts import SlideFacts, Status

__all__ = [
    "Survey",
    "TileEnd",
    "clean_tiles",
    "judge_tiles",
    "lay_tiles",
    "survey_slide",
]

_AT_ONCE = 8
"""Tiles of a batch where threads share a slide: small enough that none of them waits long for its last."""

Seen = TypeVar("Seen")


class TileEnd(Protocol[Seen]):
    """Where clean tiles go: what is done with those of a batch, in threads, and how it is put together."""

    def look(self, normalizer: Normalizer, rgb: RGBBatch) -> Seen:
        """Work on (m, h, w, 3) tiles as scanned, m >= 1; called from any thread, in any order."""

    def take(self, seen: Seen) -> None:
        """Take up what was seen, batch by batch, in the grid's order."""


class _Nowhere:
    """Tiles are judged and forgotten."""

    def look(self, normalizer: Normalizer, rgb: RGBBatch) -> None:
        """Nothing."""

    def take(self, seen: None) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class _Judged(Generic[Seen]):
    """A batch of tiles, what was measured on them, which are clean, and what was made of those."""

    batch: TileBatch
    measured: TileQuality
    clean: BoolVector
    seen: Seen | None


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What was found on a slide, as far as the walk went; `survey_slide` makes it.

    Parameters
    ----------
    slide
        The slide, or the window of it that holds the core. It must stay open to be read from.
    recipe
        Settings the slide was seen with.
    status, code, reason
        "ok", "flagged" or "failed"; the gravest finding and what it is, "" if there is none.
    flags
        All findings that do not fail the slide, in kebab-case.
    stopped
        Whether the walk could not be walked to its end: there is nothing to score then.
    tissue
        Where the tissue is; None if none was found.
    grid
        Tiles over the tissue; None if there is none.
    normalizer
        Brings tiles to the reference; None if the stains were refused.
    clean
        (n,) whether each tile of ``grid`` is fit to be scored; None if they were not judged.
    sampled
        Tiles of ``grid`` that were read to fit the stains, so that nobody decodes them again.
    """

    slide: Slide
    recipe: Recipe
    status: Status = "ok"
    code: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    stopped: bool = False
    tissue: TissueMask | None = None
    grid: TileGrid | None = None
    normalizer: Normalizer | None = None
    clean: BoolVector | None = None
    sampled: Mapping[int, RGB] = field(default_factory=dict)

    @property
    def stain(self) -> SlideStain | None:
        """The slide's own stains; None if they were refused or not asked for."""
        return None if self.normalizer is None else self.normalizer.slide

    @property
    def tissue_mm2(self) -> float | None:
        """Area of tissue, square millimeters; None if none was found."""
        return None if self.tissue is None else round(self.tissue.area_mm2, 4)

    @property
    def kept(self) -> list[int]:
        """Numbers of the clean tiles in the grid."""
        return [] if self.clean is None else [int(k) for k in np.flatnonzero(self.clean)]

    @property
    def corners(self) -> Positions:
        """Upper left corners of the clean tiles in the file, level-0 pixels, (n, 2)."""
        if self.grid is None:
            return np.empty((0, 2), dtype=np.int64)
        return self.grid.positions[self.kept] + np.round(self.slide.origin).astype(np.int64)

    @property
    def n_tiles(self) -> int:
        """Number of clean tiles."""
        return len(self.kept)

    @property
    def n_tiles_left_out(self) -> int:
        """Number of tiles over tissue that are not scored; 0 if they were not judged."""
        return 0 if self.clean is None else len(self.clean) - self.n_tiles

    def require_walked(self) -> "Survey":
        """Return this survey, or raise what stopped it.

        Raises
        ------
        SlideError
            With the survey's code and reason.
        """
        if self.stopped:
            raise SlideError(self.reason, code=self.code)
        return self

    @property
    def facts(self) -> SlideFacts:
        """The same as a row of a table."""
        slide = self.slide
        return SlideFacts(
            status=self.status,
            code=self.code,
            reason=self.reason,
            flags=self.flags,
            reader=slide.reader,
            vendor=slide.vendor,
            width=slide.size.width,
            height=slide.size.height,
            levels=len(slide.levels),
            mpp=slide.mpp,
            mpp_source=slide.mpp_source,
            icc_profile=slide.icc_profile,
            tissue_mm2=self.tissue_mm2,
            n_tiles=self.n_tiles,
            n_tiles_left_out=self.n_tiles_left_out,
            origin=slide.origin,
        )

    def _stopped_by(self, error: SlideError) -> "Survey":
        return replace(self, status="failed", code=error.code, reason=error.message, stopped=True)


def survey_slide(
    slide: Slide,
    recipe: Recipe,
    *,
    core: CorePlace | None = None,
    annotation: Path | None = None,
) -> Survey:
    """Walk over a slide once: tissue, tiles, stains, and a verdict on every tile.

    What is wrong with the slide is in the answer, not raised.

    Parameters
    ----------
    slide
        An open slide.
    recipe
        Settings of tissue, tiling, quality, stains and annotations.
    core
        The core of a tissue array to look at, in place of the whole slide.
    annotation
        File of drawn regions, followed as the recipe's ``annotations`` say.
    """
    return judge_tiles(lay_tiles(slide, recipe, core=core, annotation=annotation))


def lay_tiles(
    slide: Slide, recipe: Recipe, *, core: CorePlace | None = None, annotation: Path | None = None
) -> Survey:
    """Walk the first part of the way: tissue, tiles and stains, no tile judged.

    Parameters are those of `survey_slide`; reads a few hundred tiles at most.
    """
    found = Survey(slide, recipe)
    try:
        for found in _first_steps(slide, recipe, core, annotation):  # noqa: B007 - as far as it came
            pass
    except SlideError as error:
        return found._stopped_by(error)
    return found


def _first_steps(
    whole: Slide, recipe: Recipe, core: CorePlace | None, annotation: Path | None
) -> Iterator[Survey]:
    """Yield the survey after each step, so that a failure says what came before it."""
    slide = core_slide(whole, core, recipe.tiling) if core else whole
    found = Survey(slide, recipe)
    yield found
    tissue = find_tissue(slide, recipe.tissue)
    if core:
        tissue = restrict_to_core(slide, tissue, core)
    tissue, flags = restrict_to_regions(slide, tissue, annotation, recipe.annotations)
    found = replace(found, tissue=tissue, flags=flags)
    yield found
    grid = tile_tissue(slide, tissue, recipe.tiling)
    found = replace(found, grid=grid)
    yield found
    # The cores of an array were stained together: one fit, from all of them.
    fit_on = (whole, array_tiles(whole, core, recipe.tiling)) if core else (slide, grid)
    rng = np.random.default_rng(recipe.stain.seed)
    sampled: dict[int, RGB] = {}
    keep = sampled if fit_on[1] is grid else None
    pixels = sample_pixels(*fit_on, recipe.stain.n_pixels, rng, keep=keep)
    reference = StainReference.from_dict(recipe.stain_reference)
    normalizer = fit_normalizer(pixels, recipe.stain, reference, tissue.glass)
    flags = (*flags, *normalizer.flags)
    code = flags[0] if flags else ""
    status: Status = "flagged" if flags else "ok"
    yield replace(
        found, normalizer=normalizer, flags=flags, status=status, code=code, sampled=sampled
    )


def clean_tiles(
    survey: Survey, grid: TileGrid | None = None, loss: TileLoss | None = None
) -> Iterator[tuple[TileBatch, TileQuality, BoolVector]]:
    """Read tiles and say of each whether it is fit to be scored.

    Parameters
    ----------
    survey
        Of `lay_tiles`, not stopped.
    grid
        Tiles to read; the survey's own if left out.
    loss
        Collects tiles that cannot be read.

    Yields
    ------
    tuple
        A batch of tiles as scanned, what was measured on them, and (m,) whether each is clean.
    """
    for judged in _judged(survey, _Nowhere(), grid=grid, loss=loss):
        yield judged.batch, judged.measured, judged.clean


def _judged(
    survey: Survey,
    end: TileEnd[Seen],
    *,
    grid: TileGrid | None = None,
    loss: TileLoss | None = None,
    threads: int = 1,
) -> Iterator[_Judged[Seen]]:
    """Read tiles here, judge them and let the end look at the clean ones in threads, in the grid's order."""
    tissue, normalizer, recipe = survey.tissue, survey.normalizer, survey.recipe
    own = survey.grid if grid is None else grid
    if tissue is None or own is None or normalizer is None:
        raise ValueError("expected tiles to be laid and stains to be fitted first")
    enlarged = is_enlarged(survey.slide, own)

    def judge(batch: TileBatch) -> _Judged[Seen]:
        measured = measure_tiles(batch.rgb, tissue.glass)
        fit = measured.scorable(recipe.quality, enlarged=enlarged)
        seen = end.look(normalizer, batch.rgb[fit]) if fit.any() else None
        return _Judged(batch, measured, fit, seen)

    size = recipe.tiling.batch_size
    known = survey.sampled if own is survey.grid else {}
    batches = read_tiles(
        survey.slide, own, min(size, _AT_ONCE) if threads > 1 else size, loss=loss, known=known
    )
    return in_order(judge, batches, threads=threads)


def judge_tiles(laid: Survey, end: TileEnd[Seen] | None = None, *, threads: int = 1) -> Survey:
    """Walk the second part of the way: read and judge every tile, and complete the verdict.

    Parameters
    ----------
    laid
        Of `lay_tiles`; one that was stopped is returned as it is.
    end
        Looks at the clean tiles of each batch and takes up what it saw, in the grid's order: who
        wants the pixels need not read them again.
    threads
        Threads that judge and look; the result is the same for any number.
    """
    if end is None:
        return judge_tiles(laid, _Nowhere(), threads=threads)
    if laid.stopped:
        return laid
    tissue, grid = laid.tissue, laid.grid
    if tissue is None or grid is None:
        raise ValueError("expected tiles to be laid and stains to be fitted first")
    loss, all_measured = TileLoss(), []
    clean = np.zeros(len(grid), dtype=np.bool_)
    try:
        for judged in _judged(laid, end, loss=loss, threads=threads):
            all_measured.append(judged.measured)
            clean[judged.batch.indices] = judged.clean
            if judged.seen is not None:
                end.take(judged.seen)
        tiles = TileQuality.join(all_measured)
        quality = judge_slide(laid.slide, tissue, grid, tiles, loss, laid.recipe.quality)
    except SlideError as error:
        return laid._stopped_by(error)
    found = replace(
        laid,
        status=laid.status if quality.status == "ok" else quality.status,
        code=quality.code or laid.code,
        reason=quality.reason,
        flags=(*quality.flags, *laid.flags),
        clean=clean,
        sampled={},
    )
    if quality.status != "failed" and not clean.any():
        message = f"expected clean tiles, found all {len(grid)} under pen, black or blurred; scan it again"
        return found._stopped_by(SlideError(message, code="no-clean-tiles"))
    return found
