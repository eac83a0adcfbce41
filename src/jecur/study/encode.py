"""Slides to features: the tiles of our quality-checked grid through an encoder, into files others read.

Slides are cut into tiles by processes, one after the other into a scratch file; this process runs the encoder
over whatever is cut. A finished file is not made again, and one bad slide never stops the rest.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

import jecur
from jecur.cohort.cohort import Cohort
from jecur.errors import SlideError
from jecur.mil.feature_output import (
    TilePlaces,
    magnification,
    require_h5py,
    write_corners,
    write_for_stamp,
    write_for_trident,
)
from jecur.runs.folder import RunFolder, fingerprint, write_json
from jecur.runs.progress import LoggedProgress, Progress
from jecur.runs.workers import Failure, run_all
from jecur.settings import StudySettings, TilingSettings
from jecur.study.cohort_slides import limit_of, slide_tasks, study_cohort
from jecur.study.cut import Colors, Cut, CutTask, cut_slide
from jecur.study.devices import settle_torch
from jecur.study.recipe import recipe_without_nuclei
from jecur.study.slide_task import PreparedSlide, SlideTask, write_slides_table
from jecur.study.torch_wing import needing_torch

if TYPE_CHECKING:
    from jecur.encoders.describe import TileDescriber

__all__ = ["Colors", "EncodeOrder", "EncodedCohort", "encode_study"]

_SCRATCH = ".tiles"
_LAYOUT = 2
"""Of the files: raised when what stands in them means something else."""


@dataclass(frozen=True, slots=True)
class EncodeOrder:
    """What is asked for.

    Parameters
    ----------
    encoder, weights, download
        As `jecur.encoders.load.load_encoder`.
    colors
        Tiles as scanned, or normalized as the study's settings say.
    mpp
        Micrometers per pixel of the tiles; 0 takes the encoder's own, or the study's if nobody says.
    batch_size, precision
        As `jecur.encoders.describe.TileDescriber`.
    stamp
        Write STAMP's layout too.
    """

    encoder: str
    weights: str = ""
    download: bool = False
    colors: Colors = "normalized"
    mpp: float = 0.0
    batch_size: int = 32
    precision: Literal["auto", "float32", "half"] = "auto"
    stamp: bool = False


@dataclass(frozen=True, slots=True)
class EncodedCohort:
    """What was made, and where it lies."""

    folder: Path
    """Of the files of features."""
    slides: tuple[PreparedSlide, ...]
    width: int
    """Features of a tile; 0 if no slide has any."""
    terms: str
    """Licence and gate of the encoder, where they are known."""

    @property
    def n_failed(self) -> int:
        """Slides without features."""
        return sum(slide.status == "failed" for slide in self.slides)


def encode_study(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    order: EncodeOrder,
    *,
    workers: int,
    progress: Progress,
) -> EncodedCohort:
    """Describe the tiles of every slide of a study by an encoder.

    Parameters
    ----------
    study, folder, workers, progress
        As `jecur.pipeline.run_study`; the table need not name roles.
    run
        Gets ``20x_224px_0px_overlap/features_NAME/*.h5`` (TRIDENT's folders) and ``patches``,
        ``slides.csv``, ``features.json``.
    order
        Encoder, colors, scale.

    Raises
    ------
    SettingsError, TrainingError, SlideError
        If the encoder or h5py is not to be had.
    RunFolderError
        If the folder holds the results of another command ("other-recipe").
    """
    run.refuse_other_command("features")
    require_h5py()
    device = settle_torch(run)
    describer = _describer(order)
    encoder = describer.encoder
    tiling = _tiling(study.tiling, encoder.px, order.mpp or encoder.mpp or 0.0)
    progress = LoggedProgress(progress, run.log)
    if encoder.terms:
        progress.say(encoder.terms)
    tasks = _slide_tasks(study, folder, run, tiling)
    mpp = tiling.side_um / tiling.output_px
    overlap = round(tiling.overlap_um / mpp)
    place = run.root / f"{magnification(mpp)}x_{tiling.output_px}px_{overlap}px_overlap"
    made_by = {
        "encoder": encoder.name,
        "encoder_sha256": encoder.digest,
        "colors": order.colors,
        "computed_in": describer.computed_in,
        **({} if device == "cpu" else {"computed_on": device}),
    }
    work = _Encoding(run, describer, place, made_by, tiling, order)
    done = _encode_all(work, tasks, study, workers, progress)
    slides = tuple(done[task.slide] for task in tasks)
    write_slides_table(slides, run)
    facts = {**made_by, "mpp": mpp, "px": tiling.output_px, "width": work.width}
    write_json(run.root / "features.json", {**facts, "terms": encoder.terms})
    run.write_manifest({"study": msgspec.to_builtins(study), "command": "features", **facts})
    return EncodedCohort(work.features, slides, work.width, encoder.terms)


def _describer(order: EncodeOrder) -> "TileDescriber":
    with needing_torch("an encoder"):
        from jecur.encoders.describe import TileDescriber  # noqa: PLC0415
        from jecur.encoders.load import load_encoder  # noqa: PLC0415
    encoder = load_encoder(order.encoder, order.weights, download=order.download)
    return TileDescriber(encoder, batch_size=order.batch_size, precision=order.precision)


def _tiling(tiling: TilingSettings, px: int, mpp: float) -> TilingSettings:
    """Lay tiles as the encoder wants them: its pixels, its scale or else the study's side."""
    side_um = round(px * mpp, 9) if mpp else tiling.side_um
    overlap = tiling.overlap_um * side_um / tiling.side_um
    return msgspec.structs.replace(tiling, output_px=px, side_um=side_um, overlap_um=overlap)


def _slide_tasks(
    study: StudySettings, folder: Path, run: RunFolder, tiling: TilingSettings
) -> list[SlideTask]:
    cohort: Cohort = study_cohort(study, folder, everybody=True)
    recipe = msgspec.structs.replace(recipe_without_nuclei(study), tiling=tiling)
    tasks = slide_tasks(study, folder, cohort.patients, recipe, run.root)
    return [replace(task, run=run, cache=None) for task in tasks]


@dataclass(slots=True)
class _Encoding:
    """One encoder at work: what it writes where."""

    run: RunFolder
    describer: "TileDescriber"
    place: Path
    made_by: dict[str, str]
    tiling: TilingSettings
    order: EncodeOrder
    width: int = 0

    @property
    def features(self) -> Path:
        """Folder of the files of features."""
        return self.place / f"features_{self.describer.encoder.name}"

    def files(self, slide: str) -> list[Path]:
        """Files of one slide."""
        found = [
            self.features / f"{slide}.h5",
            self.place / "patches" / f"{slide}_patches.h5",
            self.run.slide_folder(slide) / "features.json",
        ]
        return [*found, self.run.root / "stamp" / f"{slide}.h5"] if self.order.stamp else found

    def mark(self, task: SlideTask) -> str:
        """Fingerprint of the work on one slide."""
        return fingerprint(task.mark, self.made_by, self.order.stamp, jecur.__version__, _LAYOUT)

    def finished(self, task: SlideTask) -> PreparedSlide | None:
        """Take up what was made before, if every byte is as it was written."""
        if not self.run.is_finished(f"features-{task.slide}", self.mark(task)):
            return None
        path = self.files(task.slide)[2]
        try:
            width, prepared = msgspec.json.decode(path.read_bytes(), type=tuple[int, PreparedSlide])
        except (OSError, msgspec.DecodeError):
            return None
        self.width = width
        return prepared

    def drop(self, slide: str) -> None:
        """Delete what was made of a slide before, by other settings or of another file."""
        for path in self.files(slide):
            path.unlink(missing_ok=True)

    def encode(self, task: CutTask, cut: Cut) -> None:
        """Describe the tiles of a slide and write its files."""
        slide, px, prepared = task.order.slide, self.tiling.output_px, cut.prepared
        shape = (len(cut.positions), px, px, 3)
        tiles = np.memmap(task.tiles, dtype=np.uint8, mode="r", shape=shape)
        places = TilePlaces(
            slide,
            cut.positions,
            cut.side_level0,
            px,
            float(prepared.mpp or 0.0),
            self.tiling.side_um / px,
            prepared.width,
            prepared.height,
            round(self.tiling.overlap_um / (self.tiling.side_um / px)),
            cut.bounds,
        )
        paths = self.files(slide)
        self.width = write_for_trident(
            paths[0], self.describer.describe(tiles), places, self.made_by
        )
        write_corners(paths[1], places)
        write_json(paths[2], [self.width, msgspec.to_builtins(prepared)])
        if self.order.stamp:
            write_for_stamp(paths[3], paths[0], places, self.made_by)
        self.run.mark_stage(f"features-{slide}", self.mark(task.order), paths)


def _encode_all(
    work: _Encoding,
    tasks: Sequence[SlideTask],
    study: StudySettings,
    workers: int,
    progress: Progress,
) -> dict[str, PreparedSlide]:
    """Cut and encode every slide that is not finished."""
    done = {t.slide: found for t in tasks if (found := work.finished(t)) is not None}
    scratch = work.run.root / _SCRATCH
    missing = [CutTask(t, work.order.colors, scratch) for t in tasks if t.slide not in done]
    scratch.mkdir(exist_ok=True)
    try:
        for outcome in run_all(
            cut_slide,
            missing,
            workers=workers,
            progress=progress,
            title="Describing slides",
            limit_s=partial(_limit, study),
        ):
            task = outcome.item
            try:
                done[task.order.slide] = _encoded(work, task, outcome.result)
            except SlideError as error:
                done[task.order.slide] = PreparedSlide.failed(task.order, error, error.code)
            finally:
                with suppress(OSError):
                    task.tiles.unlink(missing_ok=True)
            said = done[task.order.slide]
            if not said.usable:
                work.drop(said.slide)
            if said.status == "failed":
                work.run.log("slide-failed", slide=said.slide, code=said.code)
                progress.say(f"{said.slide}: {said.reason} [{said.code}]")
    finally:
        for left in scratch.glob("*"):
            left.unlink(missing_ok=True)
        scratch.rmdir()
    return done


def _encoded(work: _Encoding, task: CutTask, result: "Cut | Failure") -> PreparedSlide:
    if isinstance(result, Failure):
        return PreparedSlide.failed(task.order, result.error, result.error.code)
    if result.prepared.usable:
        work.encode(task, result)
    return result.prepared


def _limit(study: StudySettings, task: CutTask) -> float:
    return limit_of(study.compute, task.order)
