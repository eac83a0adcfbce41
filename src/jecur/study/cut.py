"""A slide to tiles in a scratch file: what an encoder of others is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from jecur.arrays import Positions, RGBBatch
from jecur.errors import SlideError
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.runs.folder import fingerprint
from jecur.slide.reader import open_slide
from jecur.stain.normalizer import Normalizer
from jecur.study.slide_facts import unopened
from jecur.study.slide_task import PreparedSlide, SlideTask
from jecur.study.survey import Survey, judge_tiles, lay_tiles

__all__ = ["Colors", "Cut", "CutTask", "cut_slide"]

Colors = Literal["raw", "normalized"]


@dataclass(frozen=True, slots=True)
class CutTask:
    """One slide to cut; crosses process borders."""

    order: SlideTask
    colors: Colors
    scratch: Path

    @property
    def tiles(self) -> Path:
        """File of its tiles, (n, px, px, 3) uint8 and no header."""
        return self.scratch / f"{fingerprint(self.order.slide)}.rgb"


@dataclass(frozen=True, slots=True)
class Cut:
    """A slide that was cut: what is said of it, and where its tiles lie."""

    prepared: PreparedSlide
    positions: Positions
    side_level0: int = 0
    bounds: tuple[int, int] = (0, 0)
    """Where the slide begins on the scanner's canvas, level-0 pixels (x, y)."""


def cut_slide(task: CutTask) -> Cut:
    """Survey a slide and put its clean tiles into the scratch file; what is wrong is in the answer."""
    order, nowhere = task.order, np.empty((0, 2), dtype=np.int64)
    if order.path.suffix.lower() in FEATURE_SUFFIXES:
        error = SlideError(
            f"{order.path.name}: expected a slide, found a file of features; name the slide itself",
            code="not-a-slide",
        )
        return Cut(PreparedSlide.failed(order, error, error.code), nowhere)
    try:
        whole = open_slide(order.path, mpp=order.mpp)
    except SlideError as error:
        return Cut(PreparedSlide.of_facts(order, unopened(order.path, error)), nowhere)
    with whole:
        laid = lay_tiles(whole, order.recipe, core=order.core, annotation=order.annotation)
        survey = _write_tiles(laid, task)
        prepared = PreparedSlide.of_facts(order, survey.facts)
        if not prepared.usable or survey.grid is None:
            return Cut(prepared, nowhere)
        left, top = map(round, whole.canvas_offset)
        return Cut(prepared, survey.corners, int(survey.grid.side_px), (left, top))


def _write_tiles(laid: Survey, task: CutTask) -> Survey:
    if laid.stopped:
        return laid
    with task.tiles.open("wb") as stream:
        return judge_tiles(laid, _ToFile(stream, task.colors == "normalized"))


@dataclass(frozen=True, slots=True)
class _ToFile:
    """Clean tiles, normalized or as scanned, go into a file."""

    stream: BinaryIO
    normalized: bool

    def look(self, normalizer: Normalizer, rgb: RGBBatch) -> RGBBatch:
        """Give them the colors asked for."""
        return normalizer.apply(rgb) if self.normalized else rgb

    def take(self, seen: RGBBatch) -> None:
        """Append them."""
        self.stream.write(np.ascontiguousarray(seen).data)
