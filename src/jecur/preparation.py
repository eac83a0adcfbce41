"""One slide from file to bag: tissue, tiles, normal colors, nuclei channel, and what was seen.

A `Recipe` is everything that decides the pixels the networks see. It is written into the model
file, so that a slide is prepared for scoring exactly as those the model learnt from.
"""

import io
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from PIL import Image

from jecur.arrays import RGB
from jecur.artifacts import (
    RunFolder,
    atomic_path,
    fingerprint,
    sha256_file,
    write_json,
    write_text,
)
from jecur.bundle import Bundle, read_bundle
from jecur.errors import SlideError
from jecur.finished import damage
from jecur.geometry import CorePlace
from jecur.mil.bag import writing_bag
from jecur.mil.feature_file import FEATURE_SUFFIXES, write_feature_bag
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.settings import NucleiSettings, Recipe, StudySettings
from jecur.slide.annotation.regions import restrict_to_regions
from jecur.slide.quality import SlideQuality, TileQuality, is_enlarged, judge_slide, measure_tiles
from jecur.slide.reader import Slide, open_slide
from jecur.slide.tiling import TileGrid, TileLoss, read_tiles, sample_pixels, tile_tissue
from jecur.slide.tissue import TissueMask, find_tissue
from jecur.slide.tissue_array.core_slide import array_tiles, core_slide, restrict_to_core
from jecur.stain.appearance import StainReference
from jecur.stain.normalizer import Normalizer, fit_normalizer
from jecur.stain.reference import builtin_reference

__all__ = [
    "PreparedSlide",
    "Recipe",
    "SlideOrder",
    "final_status",
    "finished_slide",
    "png_bytes",
    "prepare_slide",
    "recipe_of_bundle",
    "recipe_of_study",
]

Status = Literal["ok", "flagged", "failed"]

THUMBNAIL_PX = 512
"""Longer side of the thumbnail, pixels."""


FEATURE_FILES = ("bag.npy", "quality.json", "tiles.parquet")
"""What is made of a file of features."""

SLIDE_FILES = (*FEATURE_FILES, "stain.json", "thumbnail.png", "tissue.geojson")
"""What is made of a slide."""


@dataclass(frozen=True, slots=True)
class SlideOrder:
    """One slide to prepare; crosses process borders."""

    slide: str
    patient: str
    path: Path
    mpp: float | None
    recipe: Recipe
    run: RunFolder
    bundle: Path | None = None
    """Model file whose nuclei network to use; None uses the recipe's."""
    core: CorePlace | None = None
    """The core of a tissue array to take for a slide."""
    annotation: Path | None = None
    """File of drawn regions."""

    @property
    def mark(self) -> str:
        """Fingerprint of the work: file, scale and recipe."""
        try:
            stat = self.path.stat()
            file = (stat.st_size, stat.st_mtime_ns)
        except OSError:
            file = (0, 0)
        parts: list[object] = [str(self.path.name), file, self.mpp, self.recipe]
        if self.core is not None:
            parts.append(self.core)
        if self.annotation is not None:
            drawn = self.annotation
            parts.append(sha256_file(drawn) if drawn.is_file() else "absent")
        return fingerprint(*parts)


@dataclass(frozen=True, slots=True)
class PreparedSlide:
    """What became of a slide: one row of ``slides.csv``."""

    slide: str
    patient_id: str
    status: Status
    code: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    n_tiles: int = 0
    n_tiles_left_out: int = 0
    mpp: float | None = None
    mpp_source: str = ""
    reader: str = ""
    vendor: str = ""
    width: int = 0
    height: int = 0
    tissue_mm2: float | None = None
    thumbnail_um_per_px: float | None = None
    core: str = ""
    """Core of a tissue array, "" for a whole slide."""
    origin: tuple[float, float] = (0.0, 0.0)
    """Where the thumbnail begins, level-0 pixels of the file (x, y)."""

    @property
    def usable(self) -> bool:
        """Whether there is a bag to learn from or to score."""
        return self.status != "failed" and self.n_tiles > 0

    def row(self) -> dict[str, Any]:
        """Values of the row, flags joined."""
        x, y = self.origin
        return asdict(self) | {"flags": ";".join(self.flags), "origin": f"{x:g} {y:g}"}

    @classmethod
    def failed(cls, order: SlideOrder, error: SlideError | Exception, code: str) -> "PreparedSlide":
        """Return the row of a slide that could not be prepared."""
        return cls(order.slide, order.patient, "failed", code, str(error))


def recipe_of_study(study: StudySettings) -> Recipe:
    """Recipe of a study that trains its own model, with the built-in stain reference.

    Raises
    ------
    NucleiModelError
        If the study's nuclei network cannot be used, or sees tissue at another scale.
    """
    network = NucleiModel.load(study.nuclei, threads=1)
    network.require_working_scale()
    return Recipe(
        tissue=study.tissue,
        tiling=study.tiling,
        quality=study.quality,
        stain=study.stain,
        stain_reference=builtin_reference().to_dict(),
        nuclei=study.nuclei,
        nuclei_sha256=network.sha256,
        annotations=study.annotations,
    )


def recipe_of_bundle(bundle: Bundle) -> Recipe:
    """Recipe that a model file demands."""
    return bundle.card.recipe


def finished_slide(order: SlideOrder) -> tuple[PreparedSlide | None, tuple[str, ...]]:
    """Take up the same work done before, if every byte of it is as it was written.

    Returns
    -------
    PreparedSlide or None
        None if it is to be done, or done anew.
    tuple of str
        Files that are missing or were changed.
    """
    finished = order.run.finished_slide(order.slide, order.mark)
    if finished is None:
        return None, ()
    folder = order.run.slide_folder(order.slide)
    damaged = damage(folder, finished)
    if damaged:
        return None, damaged
    try:
        text = (folder / "quality.json").read_bytes()
        return msgspec.json.decode(text, type=PreparedSlide), ()
    except (OSError, msgspec.DecodeError):
        return None, ("quality.json",)


def prepare_slide(order: SlideOrder) -> PreparedSlide:
    """Slide file -> bag, thumbnail, tissue outline, tile table and quality in the run folder.

    Does nothing if the same work was done before.

    Raises
    ------
    SlideError
        If the slide cannot be opened, has no tissue, or its stains are refused.
    """
    folder = order.run.slide_folder(order.slide)
    finished, _ = finished_slide(order)
    if finished is not None:
        return finished
    if order.path.suffix.lower() in FEATURE_SUFFIXES:
        return _prepare_features(order)
    recipe = order.recipe
    with open_slide(order.path, mpp=order.mpp) as whole:
        slide = core_slide(whole, order.core, recipe.tiling) if order.core else whole
        tissue = find_tissue(slide, recipe.tissue)
        if order.core:
            tissue = restrict_to_core(slide, tissue, order.core)
        tissue, drawing_flags = restrict_to_regions(
            slide, tissue, order.annotation, recipe.annotations
        )
        grid = tile_tissue(slide, tissue, recipe.tiling)
        rng = np.random.default_rng(recipe.stain.seed)
        # The cores of an array were stained together: one fit, from all of them.
        fit_on = (
            (whole, array_tiles(whole, order.core, recipe.tiling)) if order.core else (slide, grid)
        )
        pixels = sample_pixels(*fit_on, recipe.stain.n_pixels, rng)
        normalizer = fit_normalizer(
            pixels, recipe.stain, StainReference.from_dict(recipe.stain_reference), tissue.glass
        )
        quality, kept = _write_bag(slide, tissue, grid, normalizer, order)
        thumbnail_scale = _write_pictures(slide, tissue, folder)
        size, described = slide.size, slide
    status, code, flags = final_status(quality, (*drawing_flags, *normalizer.flags))
    prepared = PreparedSlide(
        slide=order.slide,
        patient_id=order.patient,
        status=status,
        code=code,
        reason=quality.reason,
        flags=flags,
        n_tiles=len(kept),
        n_tiles_left_out=len(grid) - len(kept),
        mpp=described.mpp,
        mpp_source=described.mpp_source,
        reader=described.reader,
        vendor=described.vendor,
        width=size.width,
        height=size.height,
        tissue_mm2=round(tissue.area_mm2, 4),
        thumbnail_um_per_px=thumbnail_scale,
        core=order.core.core if order.core else "",
        origin=described.origin,
    )
    _write_tables(folder, grid, kept, normalizer, prepared)
    order.run.mark_complete(order.slide, order.mark, SLIDE_FILES)
    return prepared


def _prepare_features(order: SlideOrder) -> PreparedSlide:
    """Take the features of a slide as they are: no pixels, no pictures, no judgment of quality."""
    folder = order.run.slide_folder(order.slide)
    facts = write_feature_bag(order.path, folder / "bag.npy")
    mpp = order.mpp
    frame = pd.DataFrame(facts.positions, columns=["x", "y"])
    frame["side_px"] = facts.side_px
    frame["side_um"] = facts.side_px * mpp if mpp and facts.side_px else float("nan")
    with atomic_path(folder / "tiles.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    prepared = PreparedSlide(
        slide=order.slide,
        patient_id=order.patient,
        status="ok",
        n_tiles=len(facts.positions),
        mpp=mpp,
        mpp_source="given" if mpp else "",
        reader=f"features, {facts.width} a tile",
    )
    write_text(folder / "quality.json", msgspec.json.encode(prepared).decode())
    order.run.mark_complete(order.slide, order.mark, FEATURE_FILES)
    return prepared


def final_status(
    quality: SlideQuality, stain_flags: tuple[str, ...]
) -> tuple[Status, str, tuple[str, ...]]:
    """Status, gravest code and all flags of a slide, from its tiles and its stains."""
    flags = (*quality.flags, *stain_flags)
    status: Status = "flagged" if quality.status == "ok" and stain_flags else quality.status
    return status, quality.code or (stain_flags[0] if stain_flags else ""), flags


def _write_bag(
    slide: Slide, tissue: TissueMask, grid: TileGrid, normalizer: Normalizer, order: SlideOrder
) -> tuple[SlideQuality, list[int]]:
    """Read, judge, normalize and write the tiles; inked and blurred ones are left out. Streams."""
    recipe, loss = order.recipe, TileLoss()
    network = _nuclei_network(order)
    measured: list[TileQuality] = []
    kept: list[int] = []
    enlarged = is_enlarged(slide, grid)
    path = order.run.slide_folder(order.slide) / "bag.npy"
    with writing_bag(path, grid.output_px) as bag:
        for batch in read_tiles(slide, grid, recipe.tiling.batch_size, loss=loss):
            measured.append(measure_tiles(batch.rgb, tissue.glass))
            clean = measured[-1].scorable(recipe.quality, enlarged=enlarged)
            if clean.any():
                bag.append(add_nuclei_channel(network, normalizer.apply(batch.rgb[clean])))
                kept += batch.indices[clean].tolist()
    tiles = TileQuality.join(measured)
    quality = judge_slide(slide, tissue, grid, tiles, loss, recipe.quality)
    if quality.status != "failed" and not kept:
        message = f"expected clean tiles, found all {len(grid)} under pen, black or blurred; scan it again"
        raise SlideError(message, code="no-clean-tiles")
    return quality, kept


def _write_pictures(slide: Slide, tissue: TissueMask, folder: Path) -> float:
    scale = max(slide.size.width, slide.size.height) * slide.mpp / THUMBNAIL_PX
    write_text(
        folder / "tissue.geojson", msgspec.json.encode(tissue.to_geojson(slide.origin)).decode()
    )
    with atomic_path(folder / "thumbnail.png") as temporary:
        temporary.write_bytes(png_bytes(slide.overview(scale)))
    return scale


def _write_tables(
    folder: Path, grid: TileGrid, kept: list[int], normalizer: Normalizer, prepared: PreparedSlide
) -> None:
    x, y = (grid.positions[kept] + np.round(prepared.origin).astype(np.int64)).T
    frame = pd.DataFrame(
        {
            "x": x,
            "y": y,
            "row": grid.rows[kept],
            "col": grid.cols[kept],
            "tissue_fraction": grid.tissue_fraction[kept],
            "side_px": grid.side_px,
            "side_um": grid.side_um,
        }
    )
    with atomic_path(folder / "tiles.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    fitted = normalizer.slide.to_dict() if normalizer.slide else None
    write_json(folder / "stain.json", {"slide": fitted, "flags": list(normalizer.flags)})
    write_text(folder / "quality.json", msgspec.json.encode(prepared).decode())


def png_bytes(image: RGB) -> bytes:
    """Encode an image as PNG, without metadata; fast rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _nuclei_network(order: SlideOrder) -> NucleiModel:
    network = _cached_network(order.recipe.nuclei, order.bundle, order.recipe.nuclei_sha256)
    if network.sha256 != order.recipe.nuclei_sha256:
        raise SlideError(
            "expected the nuclei network that the model was trained with, found another; "
            "restore it or train again",
            code="other-nuclei-network",
        )
    return network


@cache
def _cached_network(settings: NucleiSettings, bundle: Path | None, tried: str) -> NucleiModel:
    # One thread a process: the processes share the cores.
    if bundle is None:
        return NucleiModel.load(settings, threads=1, tried=tried)
    held = read_bundle(bundle).nuclei_onnx
    return (
        NucleiModel.load(settings, threads=1, tried=tried)
        if held is None
        else NucleiModel.from_bytes(held, threads=1)
    )
