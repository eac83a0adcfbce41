"""What the product sees in a slide before anything long is run: the verdict a study would give.

The very steps of `jecur.study.prepare` (`jecur.study.survey`), without the nuclei network and without keeping
a bag.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import CorePlace
from jecur.mil.feature_file import FEATURE_SUFFIXES, write_feature_bag
from jecur.preview.view import SlideView, default_recipe
from jecur.settings import Recipe
from jecur.slide.reader import open_slide
from jecur.study.slide_facts import SlideFacts, unopened
from jecur.study.slide_task import features_reader
from jecur.study.survey import Survey, survey_slide

__all__ = ["SlidePreview", "default_recipe", "draw_preview", "preview_slide", "preview_view"]

_PREVIEW_PX = 1200
_TISSUE, _SCORED, _REJECTED = (20, 110, 180), (0, 130, 90), (213, 94, 0)
"""Colors told apart by color-blind readers too; rejected tiles are crossed as well."""


@dataclass(frozen=True, slots=True)
class SlidePreview(SlideFacts):
    """One slide as the product sees it: what `slides.csv` of a run would say of it.

    Parameters
    ----------
    file
        Name of the file, without its folder.
    core
        Core of a tissue array, "" for a whole slide.
    """

    file: str = ""
    core: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        facts = asdict(self)
        last = {"flags": list(facts.pop("flags")), "core": facts.pop("core")}
        del facts["origin"]
        return {"file": facts.pop("file"), **facts, **last}


def preview_slide(
    path: Path,
    recipe: Recipe,
    *,
    mpp: float | None = None,
    preview: Path | None = None,
    annotation: Path | None = None,
    core: CorePlace | None = None,
) -> SlidePreview:
    """Look at one slide; what is wrong with it is in the answer, not raised.

    Parameters
    ----------
    path
        Slide file, or a folder that holds one DICOM slide.
    recipe
        Limits and settings of the study.
    mpp
        Micrometers per pixel in place of the file's own.
    preview
        PNG to draw: slide, tissue, tiles and rejected tiles. Not written if nothing can be read.
    annotation
        File of drawn regions, followed as the recipe's ``annotations`` say.
    core
        The core of a tissue array to look at, in place of the whole slide.
    """
    if path.suffix.lower() in FEATURE_SUFFIXES:
        facts = _survey_features(path, mpp)
    else:
        try:
            slide = open_slide(path, mpp=mpp)
        except SlideError as error:
            facts = unopened(path, error)
        else:
            with slide:
                survey = survey_slide(slide, recipe, core=core, annotation=annotation)
                facts = _drawn(survey, preview)
    same = {field.name: getattr(facts, field.name) for field in fields(facts)}
    return SlidePreview(**same, file=path.name, core=core.core if core else "")


def preview_view(view: SlideView, *, preview: Path | None = None) -> SlidePreview:
    """Look at one slide or core as a study would take it; see `preview_slide`."""
    return preview_slide(
        view.path,
        view.recipe,
        mpp=view.mpp,
        preview=preview,
        annotation=view.annotation,
        core=view.core,
    )


def _drawn(survey: Survey, preview: Path | None) -> SlideFacts:
    """Draw what was seen, also if the slide failed on the way, and say it."""
    if preview is not None:
        try:
            Image.fromarray(draw_preview(survey)).save(preview, "PNG")
        except SlideError as error:
            return survey.facts.failed(error)
    return survey.facts


def _survey_features(path: Path, mpp: float | None) -> SlideFacts:
    """Read a feature file as a run does, whole: a NaN in its last tile is found here too."""
    try:
        with TemporaryDirectory() as scratch:
            found = write_feature_bag(path, Path(scratch) / "bag.npy")
    except SlideError as error:
        return SlideFacts().failed(error)
    return SlideFacts(
        status="ok",
        n_tiles=len(found.positions),
        reader=features_reader(found.width),
        mpp=mpp,
        mpp_source="given" if mpp else "",
    )


def draw_preview(survey: Survey) -> RGB:
    """Thumbnail with the tissue outlined, tiles framed, and rejected tiles framed and crossed.

    The thumbnail is read from the pyramid: no label or macro image is ever touched.
    """
    slide, grid = survey.slide, survey.grid
    um_per_px = max(slide.size.width, slide.size.height) * slide.mpp / _PREVIEW_PX
    image = Image.fromarray(slide.overview(max(um_per_px, slide.mpp)))
    if survey.tissue is None or grid is None:
        return np.asarray(image)
    draw = ImageDraw.Draw(image)
    scale = image.width / slide.size.width
    features: Any = survey.tissue.to_geojson()["features"]
    for feature in features:
        shape = feature["geometry"]
        pieces = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
        for ring in (ring for piece in pieces for ring in piece):
            draw.line([(x * scale, y * scale) for x, y in ring], fill=_TISSUE, width=2)
    side = grid.side_px * scale
    clean = np.zeros(len(grid), dtype=np.bool_) if survey.clean is None else survey.clean
    for (x, y), scored in zip(grid.positions * scale, clean, strict=True):
        box = (x + 1, y + 1, x + side - 1, y + side - 1)
        draw.rectangle(box, outline=_SCORED if scored else _REJECTED)
        if not scored:
            draw.line(box, fill=_REJECTED)
            draw.line((box[0], box[3], box[2], box[1]), fill=_REJECTED)
    return np.asarray(image)
