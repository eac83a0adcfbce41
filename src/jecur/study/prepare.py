"""One slide from file to bag: tissue, tiles, normal colors, nuclei channel, and what was seen.

A `Recipe` is everything that decides the pixels the networks see. It is written into the model
file, so that a slide is prepared for scoring exactly as those the model was trained on.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

import jecur
from jecur.cohort.csv_text import csv_text
from jecur.errors import SlideError
from jecur.geometry import CorePlace
from jecur.mil.bag import BAG_OF_FORM, drop_bags, open_part, writing_bag
from jecur.mil.feature_file import FEATURE_SUFFIXES, write_feature_bag
from jecur.mil.looks import LOOKS_FILE, write_looks
from jecur.mil.tile_digest import DIGESTS_FILE, TileDigest, measure_digests, write_digests
from jecur.model.file import Bundle, read_bundle
from jecur.nuclei.segmentation import NucleiModel
from jecur.runs.device import Device, device_mark, devices_in_use
from jecur.runs.finished import damage
from jecur.runs.folder import (
    RunFolder,
    atomic_path,
    fingerprint,
    sha256_file,
    write_json,
    write_text,
)
from jecur.runs.leftovers import sweep
from jecur.runs.pictures import png_bytes
from jecur.settings import NucleiSettings, Recipe, StudySettings
from jecur.slide.content import content_digest
from jecur.slide.reader import Slide, open_slide
from jecur.stain.reference import builtin_reference
from jecur.study.slide_cache import keep_in_cache, take_from_cache
from jecur.study.slide_facts import SlideFacts, Status, unopened
from jecur.study.stream import KeepTiles
from jecur.study.survey import Survey, judge_tiles, lay_tiles

__all__ = [
    "PICTURE_FILES",
    "PreparedSlide",
    "Recipe",
    "SlideTask",
    "features_reader",
    "finished_slide",
    "nuclei_network",
    "prepare_slide",
    "recipe_of_bundle",
    "recipe_of_study",
    "write_slide",
    "write_slides_table",
]

THUMBNAIL_PX = 512
"""Longer side of the thumbnail, pixels."""


FEATURE_FILES = ("bag.npy", "quality.json", "tiles.parquet")
"""What is made of a file of features."""

PICTURE_FILES = ("quality.json", "tiles.parquet", "stain.json", "thumbnail.png", "tissue.geojson")
"""What is made of a slide beside its tiles."""


@dataclass(frozen=True, slots=True)
class SlideTask:
    """One slide to prepare; crosses process borders."""

    slide: str
    patient: str
    path: Path
    mpp: float | None
    recipe: Recipe
    run: RunFolder
    bundle: Path | None = None
    """Model file whose nuclei network to use; None uses the recipe's."""
    model_sha256: str = ""
    """Of that model, if it is to score the tiles as they pass by; "" keeps the tiles."""
    encoder: Path | None = None
    """Graph of an encoder that is not trained."""
    encoder_sha256: str = ""
    """Of that encoder, if it is to describe the tiles as they pass by."""
    packed: bool = False
    """Keep the tiles packed; they are the same."""
    threads: int = 1
    """Threads that share the slide."""
    core: CorePlace | None = None
    """The core of a tissue array to take for a slide."""
    annotation: Path | None = None
    """File of drawn regions."""
    cache: Path | None = None
    """Folder in which prepared slides are shared between studies."""
    named: str = ""
    """Path relative to the slide folder, as ``slides.csv`` has it."""
    device: Device = field(default_factory=lambda: devices_in_use().slides)
    """Where networks see it, whichever process prepares it."""

    @property
    def cache_key(self) -> str:
        """Fingerprint of the work whoever's slide it is: content, scale, recipe; no name."""
        drawn = self.annotation
        return fingerprint(
            content_digest(self.path),
            self.path.suffix.lower(),
            self.mpp,
            self.recipe,
            self.core,
            sha256_file(drawn) if drawn is not None and drawn.is_file() else "absent",
            jecur.__version__,
            *device_mark(self.device),
        )

    @property
    def mark(self) -> str:
        """Fingerprint of the work: the slide's content and name, scale, recipe and device."""
        parts: list[object] = [self.path.name, content_digest(self.path), self.mpp, self.recipe]
        if self.core is not None:
            parts.append(self.core)
        if self.annotation is not None:
            drawn = self.annotation
            parts.append(sha256_file(drawn) if drawn.is_file() else "absent")
        if self.model_sha256:
            parts.append(("scored", self.model_sha256))
        elif self.encoder_sha256:
            parts.append(("described", self.encoder_sha256))
        return fingerprint(*parts, *device_mark(self.device))


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
    training_distance: float | None = None
    """How far it lies from the model's training slides; None before a model looks at it."""
    path: str = ""
    """The file, relative to the slide folder that the manifest names under ``slides``."""

    @property
    def usable(self) -> bool:
        """Whether there is a bag to train on or to score."""
        return self.status != "failed" and self.n_tiles > 0

    def row(self) -> dict[str, Any]:
        """Values of the row, flags joined."""
        x, y = self.origin
        return asdict(self) | {"flags": ";".join(self.flags), "origin": f"{x:g} {y:g}"}

    @classmethod
    def failed(cls, order: SlideTask, error: SlideError | Exception, code: str) -> "PreparedSlide":
        """Return the row of a slide that could not be prepared."""
        return cls(order.slide, order.patient, "failed", code, str(error))

    @classmethod
    def of_facts(
        cls, order: SlideTask, facts: SlideFacts, *, thumbnail_um_per_px: float | None = None
    ) -> "PreparedSlide":
        """Return the row of a slide that was looked at, scored or not."""
        same = {name: getattr(facts, name) for name in _SAME_FACTS}
        return cls(
            slide=order.slide,
            patient_id=order.patient,
            core=order.core.core if order.core else "",
            thumbnail_um_per_px=thumbnail_um_per_px,
            **same,
        )


_SAME_FACTS = (
    "status", "code", "reason", "flags", "n_tiles", "n_tiles_left_out", "mpp", "mpp_source", "reader",
    "vendor", "width", "height", "tissue_mm2", "origin",
)  # fmt: skip


def recipe_of_study(study: StudySettings) -> Recipe:
    """Recipe of a study that trains its own model, with the built-in stain reference.

    Raises
    ------
    NucleiModelError
        If the study's nuclei network cannot be used, or sees tissue at another scale.
    """
    network = NucleiModel.load(study.nuclei, threads=1)
    network.require_working_scale()
    return msgspec.structs.replace(recipe_without_nuclei(study), nuclei_sha256=network.sha256)


def recipe_without_nuclei(study: StudySettings) -> Recipe:
    """Recipe of a study for what needs no nuclei network: colors, tissue, tiles and a verdict."""
    return Recipe(
        tissue=study.tissue,
        tiling=study.tiling,
        quality=study.quality,
        stain=study.stain,
        stain_reference=builtin_reference().to_dict(),
        nuclei=study.nuclei,
        nuclei_sha256="",
        annotations=study.annotations,
    )


def recipe_of_bundle(bundle: Bundle) -> Recipe:
    """Recipe that a model file demands."""
    return bundle.card.recipe


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


def write_slides_table(slides: Sequence[PreparedSlide], run: RunFolder) -> Path:
    """Write ``slides.csv``: one row a slide, whatever happened to it."""
    return write_text(
        run.root / "slides.csv", csv_text(pd.DataFrame([slide.row() for slide in slides]))
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
    )
    features = np.load(folder / "bag.npy", mmap_mode="r", allow_pickle=False)
    write_looks(folder, features, None)
    write_digests(folder, measure_digests(folder / "bag.npy"))
    write_text(folder / "quality.json", msgspec.json.encode(prepared).decode())
    order.run.mark_complete(order.slide, mark, (*FEATURE_FILES, DIGESTS_FILE, LOOKS_FILE))
    return prepared


def features_reader(width: int) -> str:
    """Name the reader of a slide that comes as features."""
    return f"features, {width} a tile"


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


def nuclei_network(order: SlideTask) -> NucleiModel:
    """Nuclei network that a slide is prepared with, opened once a process.

    Raises
    ------
    SlideError
        If it is not the one that the recipe names by its digest.
    """
    recipe = order.recipe
    network = _cached_network(recipe.nuclei, order.bundle, recipe.nuclei_sha256, order.device)
    if network.sha256 != recipe.nuclei_sha256:
        raise SlideError(
            "expected the nuclei network that the model was trained with, found another; "
            "restore it or train again",
            code="other-nuclei-network",
        )
    return network


@cache
def _cached_network(
    settings: NucleiSettings, bundle: Path | None, tried: str, device: Device
) -> NucleiModel:
    # One thread a process: the processes share the cores.
    held = None if bundle is None else read_bundle(bundle).nuclei_onnx
    if held is None:
        return NucleiModel.load(settings, threads=1, tried=tried, device=device)
    return NucleiModel.from_bytes(held, threads=1, device=device)
