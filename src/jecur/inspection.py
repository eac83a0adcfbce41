"""What the product sees in a slide before anything long is run: the verdict a study would give.

The same tissue, tiles, stain fit and quality limits as in `jecur.preparation`, without the nuclei
network and without writing a bag.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from jecur.arrays import RGB, BoolVector
from jecur.errors import SlideError
from jecur.preparation import Recipe, final_status
from jecur.settings import (
    NucleiSettings,
    QualitySettings,
    StainSettings,
    TilingSettings,
    TissueSettings,
)
from jecur.slide.annotation.regions import restrict_to_regions
from jecur.slide.files import require_slide_file
from jecur.slide.formats import open_source
from jecur.slide.quality import TileQuality, is_enlarged, judge_slide, measure_tiles
from jecur.slide.reader import Slide, open_slide
from jecur.slide.tiling import TileGrid, TileLoss, read_tiles, sample_pixels, tile_tissue
from jecur.slide.tissue import TissueMask, find_tissue
from jecur.stain.appearance import StainReference
from jecur.stain.normalizer import fit_normalizer
from jecur.stain.reference import builtin_reference

__all__ = ["Inspection", "default_recipe", "draw_preview", "inspect_slide"]

_PREVIEW_PX = 1200
_TISSUE, _SCORED, _REJECTED = (20, 110, 180), (0, 130, 90), (213, 94, 0)
"""Colors told apart by color-blind readers too; rejected tiles are crossed as well."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a preview draws."""

    tissue: TissueMask
    grid: TileGrid
    scored: BoolVector
    """(n,) whether each tile of the grid would be scored."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """One slide as the product sees it.

    Parameters
    ----------
    file
        Name of the file, without its folder.
    status, code, reason, flags
        As a run would write to ``slides.csv``; ``code`` is the gravest finding, "" if there is none.
    reader, vendor
        Library that decodes, scanner family; "" if nothing could be opened.
    width, height, levels
        Level-0 pixels, and the number of levels; 0 if nothing could be opened.
    mpp, mpp_source
        Micrometers per pixel, and where they come from: "file", "objective", "resolution-tag",
        "override"; None and "" if unknown.
    icc_profile
        Whether the file embeds a color profile; it is not applied.
    tissue_mm2
        Area of tissue, square millimeters; None if it was not looked for.
    n_tiles, n_tiles_left_out
        Tiles that would be scored, and tiles over tissue that would not be.
    """

    file: str
    status: Literal["ok", "flagged", "failed"]
    code: str = ""
    reason: str = ""
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
    flags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"flags": list(self.flags)}


def inspect_slide(
    path: Path,
    recipe: Recipe,
    *,
    mpp: float | None = None,
    preview: Path | None = None,
    annotation: Path | None = None,
) -> Inspection:
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
    """
    try:
        slide = open_slide(path, mpp=mpp)
    except SlideError as error:
        facts = _unopened(path)
        return Inspection(path.name, "failed", error.code, error.message, **facts)
    with slide:
        facts = {
            "reader": slide.reader,
            "vendor": slide.vendor,
            "width": slide.size.width,
            "height": slide.size.height,
            "levels": len(slide.levels),
            "mpp": slide.mpp,
            "mpp_source": slide.mpp_source,
            "icc_profile": slide.icc_profile,
        }
        try:
            tissue, drawing_flags = restrict_to_regions(
                slide, find_tissue(slide, recipe.tissue), annotation, recipe.annotations
            )
            facts["tissue_mm2"] = round(tissue.area_mm2, 4)
            verdict, seen = _judge(slide, tissue, recipe, drawing_flags)
        except SlideError as error:
            verdict = {"status": "failed", "code": error.code, "reason": error.message}
            seen = None
        if preview is not None:
            Image.fromarray(draw_preview(slide, seen)).save(preview, "PNG")
    return Inspection(path.name, **(facts | verdict))


def draw_preview(slide: Slide, seen: Seen | None) -> RGB:
    """Thumbnail with the tissue outlined, tiles framed, and rejected tiles framed and crossed.

    The thumbnail is read from the pyramid: no label or macro image is ever touched.
    """
    um_per_px = max(slide.size.width, slide.size.height) * slide.mpp / _PREVIEW_PX
    image = Image.fromarray(slide.overview(max(um_per_px, slide.mpp)))
    if seen is None:
        return np.asarray(image)
    draw = ImageDraw.Draw(image)
    scale = image.width / slide.size.width
    features: Any = seen.tissue.to_geojson()["features"]
    for feature in features:
        shape = feature["geometry"]
        pieces = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
        for ring in (ring for piece in pieces for ring in piece):
            draw.line([(x * scale, y * scale) for x, y in ring], fill=_TISSUE, width=2)
    side = seen.grid.side_px * scale
    for (x, y), scored in zip(seen.grid.positions * scale, seen.scored, strict=True):
        box = (x + 1, y + 1, x + side - 1, y + side - 1)
        draw.rectangle(box, outline=_SCORED if scored else _REJECTED)
        if not scored:
            draw.line(box, fill=_REJECTED)
            draw.line((box[0], box[3], box[2], box[1]), fill=_REJECTED)
    return np.asarray(image)


def _judge(
    slide: Slide, tissue: TissueMask, recipe: Recipe, drawing_flags: tuple[str, ...]
) -> tuple[dict[str, Any], Seen]:
    grid = tile_tissue(slide, tissue, recipe.tiling)
    pixels = sample_pixels(
        slide, grid, recipe.stain.n_pixels, np.random.default_rng(recipe.stain.seed)
    )
    reference = StainReference.from_dict(recipe.stain_reference)
    loss, measured = TileLoss(), []
    scored = np.zeros(len(grid), dtype=np.bool_)
    for batch in read_tiles(slide, grid, recipe.tiling.batch_size, loss=loss):
        measured.append(measure_tiles(batch.rgb, tissue.glass))
        scored[batch.indices] = measured[-1].scorable(
            recipe.quality, enlarged=is_enlarged(slide, grid)
        )
    seen = Seen(tissue, grid, scored)
    counts = {"n_tiles": int(scored.sum()), "n_tiles_left_out": int((~scored).sum())}
    try:
        stain_flags = fit_normalizer(pixels, recipe.stain, reference, tissue.glass).flags
    except SlideError as error:
        return {"status": "failed", "code": error.code, "reason": error.message} | counts, seen
    quality = judge_slide(slide, tissue, grid, TileQuality.join(measured), loss, recipe.quality)
    status, code, flags = final_status(quality, (*drawing_flags, *stain_flags))
    verdict = {"status": status, "code": code, "reason": quality.reason, "flags": flags}
    if status != "failed" and not scored.any():
        verdict |= {"status": "failed", "code": "no-clean-tiles", "reason": "no clean tile"}
    return verdict | counts, seen


def _unopened(path: Path) -> dict[str, Any]:
    """Say what can be said of a file that opens but whose scale is not believed."""
    try:
        source = open_source(require_slide_file(path))
    except SlideError:
        return {}
    try:
        size = source.levels[0]
        return {
            "reader": source.reader,
            "vendor": source.vendor,
            "width": size.width,
            "height": size.height,
            "levels": len(source.levels),
        }
    finally:
        source.close()


def default_recipe() -> Recipe:
    """Return the settings of a study that changes none; a verdict needs no nuclei network."""
    return Recipe(
        tissue=TissueSettings(),
        tiling=TilingSettings(),
        quality=QualitySettings(),
        stain=StainSettings(),
        stain_reference=builtin_reference().to_dict(),
        nuclei=NucleiSettings(),
        nuclei_sha256="",
    )
