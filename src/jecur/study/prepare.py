"""One slide from file to bag: tissue, tiles, normal colors, nuclei channel, and what was seen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.errors import SlideError
from jecur.mil.bag import BAG_OF_FORM, drop_bags, open_part, writing_bag
from jecur.mil.feature_file import FEATURE_SUFFIXES, write_feature_bag
from jecur.mil.looks import LOOKS_FILE, write_looks
from jecur.mil.tile_digest import DIGESTS_FILE, TileDigest, measure_digests, write_digests
from jecur.runs.finished import damage
from jecur.runs.folder import (
    atomic_path,
    write_json,
    write_text,
)
from jecur.runs.leftovers import sweep
from jecur.runs.pictures import png_bytes
from jecur.slide.content import content_digest
from jecur.slide.reader import Slide, open_slide
from jecur.study.measured import drop_measured
from jecur.study.recipe import nuclei_network
from jecur.study.slide_cache import keep_in_cache, take_from_cache
from jecur.study.slide_facts import SlideFacts, unopened
from jecur.study.slide_task import PreparedSlide, SlideTask, features_reader
from jecur.study.stream import KeepTiles
from jecur.study.survey import Survey, judge_tiles, lay_tiles

__all__ = ["PICTURE_FILES", "finished_slide", "prepare_slide", "rename_slide", "write_slide"]

THUMBNAIL_PX = 512
"""Longer side of the thumbnail, pixels."""


FEATURE_FILES = ("bag.npy", "quality.json", "tiles.parquet")
"""What is made of a file of features."""

PICTURE_FILES = ("quality.json", "tiles.parquet", "stain.json", "thumbnail.png", "tissue.geojson")
"""What is made of a slide beside its tiles."""


def finished_slide(order: SlideTask) -> tuple[PreparedSlide | None, tuple[str, ...]]:
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
    damaged = damage(folder, finished, order.run.proved)
    if damaged:
        return None, damaged
    try:
        text = (folder / "quality.json").read_bytes()
        return msgspec.json.decode(text, type=PreparedSlide), ()
    except (OSError, msgspec.DecodeError):
        return None, ("quality.json",)


def rename_slide(order: SlideTask, prepared: PreparedSlide) -> PreparedSlide:
    """Write the patient and the slide as they are called now into what was prepared before."""
    own = replace(prepared, slide=order.slide, patient_id=order.patient)
    if own != prepared:
        folder = order.run.slide_folder(order.slide)
        write_text(folder / "quality.json", msgspec.json.encode(own).decode())
        order.run.renew_file(order.slide, "quality.json")
    return own


def prepare_slide(order: SlideTask) -> PreparedSlide:
    """Slide file -> bag, thumbnail, tissue outline, tile table and quality in the run folder.

    Does nothing if the same work was done before. A slide that cannot be opened, has no tissue, whose
    stains are refused or that was replaced meanwhile comes back as failed, with all that is known of it.
    """
    mark = order.mark
    finished, _ = finished_slide(order)
    if finished is not None:
        return finished
    sweep(order.run.slide_folder(order.slide))  # of a process that died over this slide
    drop_measured(order)
    if order.cache is None:
        return _prepare(order, mark)
    taken = _take(order, order.cache, mark)
    if taken is not None:
        return taken
    prepared = _prepare(order, mark)
    done = order.run.finished_slide(order.slide, mark)
    if done is not None and prepared.status != "failed":
        keep_in_cache(order.cache, order.cache_key, order.run.slide_folder(order.slide), done)
    return prepared


def _take(order: SlideTask, cache: Path, mark: str) -> PreparedSlide | None:
    """Take up what another study prepared of the same file under the same recipe."""
    folder = order.run.slide_folder(order.slide)
    names = take_from_cache(cache, order.cache_key, folder, ())
    if "quality.json" not in names:
        return None
    try:
        kept = msgspec.json.decode((folder / "quality.json").read_bytes(), type=PreparedSlide)
    except (OSError, msgspec.DecodeError):
        return None
    drop_bags(folder, but=names)
    own = replace(kept, slide=order.slide, patient_id=order.patient)
    write_text(folder / "quality.json", msgspec.json.encode(own).decode())
    order.run.mark_complete(order.slide, mark, names)
    return own


def _prepare(order: SlideTask, mark: str) -> PreparedSlide:
    """Prepare a slide that nobody has prepared."""
    if order.path.suffix.lower() in FEATURE_SUFFIXES:
        try:
            return _prepare_features(order, mark)
        except SlideError as error:
            return PreparedSlide.of_facts(order, SlideFacts().failed(error))
    return write_slide(order, mark, _write_bag)


Walk = Callable[[SlideTask, Slide], tuple[Survey, tuple[str, ...]]]
"""Walks over a slide and writes what becomes of its tiles; says what it found and all files of the slide."""


def write_slide(order: SlideTask, mark: str, walk: Walk) -> PreparedSlide:
    """Walk over a slide and write all that is made of it, if there is anything to score or to look at."""
    try:
        whole = open_slide(order.path, mpp=order.mpp)
    except SlideError as error:
        return PreparedSlide.of_facts(order, unopened(order.path, error))
    with whole:
        return _write_opened(order, whole, mark, walk)


def _write_opened(order: SlideTask, whole: Slide, mark: str, walk: Walk) -> PreparedSlide:
    folder = order.run.slide_folder(order.slide)
    survey = Survey(whole, order.recipe)
    try:
        survey, files = walk(order, whole)
        survey.require_walked()
        scale = _write_pictures(survey, folder)
        _refuse_replaced(order, mark)
    except SlideError as error:
        return PreparedSlide.of_facts(order, survey.facts.failed(error))
    prepared = PreparedSlide.of_facts(order, survey.facts, thumbnail_um_per_px=scale)
    prepared = replace(prepared, content=content_digest(order.path))
    _write_tables(folder, survey, prepared)
    order.run.mark_complete(order.slide, mark, files)
    return prepared


def _write_bag(order: SlideTask, whole: Slide) -> tuple[Survey, tuple[str, ...]]:
    """Survey a slide and put its clean tiles, normalized, with their nuclei, into its bag."""
    recipe = order.recipe
    laid = lay_tiles(whole, recipe, core=order.core, annotation=order.annotation)
    if laid.stopped or laid.grid is None:
        return laid, ()
    network = nuclei_network(order)
    folder = order.run.slide_folder(order.slide)
    name = BAG_OF_FORM["jxl" if order.packed else "raw"]
    drop_bags(folder, but=[name])
    digest = TileDigest(recipe.tiling.output_px, len(laid.grid))
    with writing_bag(folder / name, recipe.tiling.output_px) as bag:
        survey = judge_tiles(laid, KeepTiles(network, digest, bag), threads=order.threads)
        if survey.stopped:
            bag.discard()
    if survey.stopped:
        return survey, ()
    digests = digest.digests()
    if not digests.bag_sha256:
        digests = measure_digests(folder / name)
    write_digests(folder, digests)
    files = (*PICTURE_FILES, name, DIGESTS_FILE)
    if not survey.kept:
        return survey, files
    stain = survey.stain.to_dict() if survey.stain else None
    write_looks(folder, open_part(folder / name), stain, threads=order.threads)
    return survey, (*files, LOOKS_FILE)


def _refuse_replaced(order: SlideTask, mark: str) -> None:
    """Refuse a bag whose slide is no longer what it was when the work began."""
    if order.mark != mark:
        raise SlideError(
            f"{order.path.name}: expected the slide to stay as it was while it was read, found it "
            "replaced; run again when it is copied whole",
            code="changed-while-read",
        )


def _prepare_features(order: SlideTask, mark: str) -> PreparedSlide:
    """Take the features of a slide as they are: no pixels, no pictures, no judgment of quality."""
    folder = order.run.slide_folder(order.slide)
    drop_bags(folder, but=["bag.npy"])
    facts = write_feature_bag(order.path, folder / "bag.npy")
    _refuse_replaced(order, mark)
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
        reader=features_reader(facts.width),
        content=content_digest(order.path),
    )
    features = np.load(folder / "bag.npy", mmap_mode="r", allow_pickle=False)
    write_looks(folder, features, None)
    write_digests(folder, measure_digests(folder / "bag.npy"))
    write_text(folder / "quality.json", msgspec.json.encode(prepared).decode())
    order.run.mark_complete(order.slide, mark, (*FEATURE_FILES, DIGESTS_FILE, LOOKS_FILE))
    return prepared


def _write_pictures(survey: Survey, folder: Path) -> float:
    """Write tissue outline and thumbnail; return the thumbnail's micrometers per pixel."""
    slide, tissue = survey.slide, survey.tissue
    if tissue is None:
        raise ValueError("expected a slide with tissue")
    scale = max(slide.size.width, slide.size.height) * slide.mpp / THUMBNAIL_PX
    write_text(
        folder / "tissue.geojson", msgspec.json.encode(tissue.to_geojson(slide.origin)).decode()
    )
    with atomic_path(folder / "thumbnail.png") as temporary:
        temporary.write_bytes(png_bytes(slide.overview(scale)))
    return scale


def _write_tables(folder: Path, survey: Survey, prepared: PreparedSlide) -> None:
    grid, kept, normalizer = survey.grid, survey.kept, survey.normalizer
    if grid is None:
        raise ValueError("expected a slide with tiles")
    x, y = survey.corners.T
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
    fitted = survey.stain.to_dict() if survey.stain else None
    flags = list(normalizer.flags) if normalizer else []
    write_json(folder / "stain.json", {"slide": fitted, "flags": flags})
    write_text(folder / "quality.json", msgspec.json.encode(prepared).decode())
