"""A slide as the product sees it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jecur.api.door import door
from jecur.arrays import RGB
from jecur.preview.slide import default_recipe, draw_preview
from jecur.runs.pictures import png_bytes
from jecur.settings import Recipe
from jecur.slide.reader import Slide, open_slide
from jecur.study.survey import Survey, survey_slide

__all__ = ["SlideSurvey", "open_slide", "survey"]


@dataclass(frozen=True, slots=True, eq=False)
class SlideSurvey:
    """What was found on a slide; a notebook shows it as a picture.

    Parameters
    ----------
    found
        Tissue, tiles, stains and verdict, see `jecur.study.survey.Survey`.
    """

    found: Survey

    @property
    def status(self) -> str:
        """Verdict: "ok", "flagged" or "failed"."""
        return self.found.status

    @property
    def reason(self) -> str:
        """What is wrong, in a sentence; "" if nothing is."""
        return self.found.reason

    @property
    def flags(self) -> tuple[str, ...]:
        """All findings that do not fail the slide."""
        return self.found.flags

    @property
    def tissue_mm2(self) -> float | None:
        """Area of tissue, square millimeters; None if none was found."""
        return self.found.tissue_mm2

    @property
    def stain(self) -> object:
        """The slide's own stains; None if they were refused."""
        return self.found.stain

    @property
    def tiles(self) -> pd.DataFrame:
        """One row a tile: ``x``, ``y`` (level-0 pixels), and whether it is ``scored``."""
        grid, clean = self.found.grid, self.found.clean
        if grid is None:
            return pd.DataFrame({"x": [], "y": [], "scored": []})
        scored = [False] * len(grid) if clean is None else clean.tolist()
        return pd.DataFrame(
            {"x": grid.positions[:, 0], "y": grid.positions[:, 1], "scored": scored}
        )

    def picture(self) -> RGB:
        """Slide with its tissue outlined and its tiles framed; the slide must still be open."""
        return draw_preview(self.found)

    def __repr__(self) -> str:
        n = self.found.n_tiles
        told = f"; {self.reason}" if self.reason else ""
        return f"Survey({self.found.slide.name!r}, {self.status}, {n} tiles{told})"

    def _repr_png_(self) -> bytes:
        return png_bytes(self.picture())


@door
def survey(
    slide: Slide, *, recipe: Recipe | None = None, annotation: str | Path | None = None
) -> SlideSurvey:
    """Find tissue, tiles and stains of an open slide, and say whether it can be scored.

    Parameters
    ----------
    slide
        Of `open_slide`; it stays open.
    recipe
        Settings; those of a study that changes none if left out. ``load_model(...).recipe`` is a
        model's.
    annotation
        File of drawn regions.

    Returns
    -------
    SlideSurvey
        What is wrong with the slide is in it, not raised.
    """
    drawn = None if annotation is None else Path(annotation)
    return SlideSurvey(survey_slide(slide, recipe or default_recipe(), annotation=drawn))
