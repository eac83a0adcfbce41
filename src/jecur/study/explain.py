"""Heat maps and the most predictive tiles of scored patients."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from jecur.arrays import Logits
from jecur.explain.heatmap import (
    ScoreScale,
    overlay_scores,
    qupath_geojson,
    score_scale,
    side_by_side,
)
from jecur.explain.review import KEY, ReviewTile, key_folder, write_review_sheet
from jecur.explain.top_tiles import select_top_tiles
from jecur.mil.bag import bag_file, open_bag
from jecur.runs.folder import LOG, RunFolder, atomic_path, sha256_file, write_text
from jecur.runs.log import read_events
from jecur.runs.pictures import jpeg_bytes, png_bytes
from jecur.runs.progress import Progress
from jecur.runs.workers import Failure, run_all
from jecur.settings import ReviewSettings, ScoringSettings
from jecur.study.score import ScoredPatient
from jecur.study.slide_task import PreparedSlide, SlideTask
from jecur.study.stream import OUTPUTS_FILE
from jecur.study.tile_pictures import tiles_again

__all__ = ["HEATMAP_FILES", "TopTilePicture", "top_tiles", "write_heatmaps", "write_top_tiles"]


HEATMAP_FILES = ("overlay.png", "heatmap.png", "tiles.geojson")
"""What is drawn of each slide."""


@dataclass(frozen=True, slots=True)
class TopTilePicture:
    """One of the most predictive tiles, as a picture."""

    jpeg: bytes
    patient: str
    score: float
    end: str


def write_heatmaps(  # noqa: PLR0913 -- whose, where, in which colors, by how many
    patients: Sequence[ScoredPatient],
    prepared: Mapping[str, PreparedSlide],
    run: RunFolder,
    *,
    cutoff: float,
    workers: int,
    progress: Progress,
    scale: ScoreScale | None = None,
) -> ScoreScale | None:
    """Write ``heatmap.png``, ``overlay.png`` and ``tiles.geojson`` beside each slide's thumbnail.

    They are drawn where slides are prepared: in processes, or by a cluster. One that cannot be drawn is said
    and logged, its files are taken away, and the others are drawn.

    Parameters
    ----------
    patients, prepared, run
        Whose slides, and where their pictures lie.
    cutoff
        The colors turn at it.
    workers
        Processes.
    progress
        Draws a bar.
    scale
        Colors of heat maps drawn before, for these to be like them.

    Returns
    -------
    ScoreScale or None
        The color scale shared by all; without patients the one given.
    """
    if not patients:
        return scale
    scale = scale or score_scale(
        np.concatenate([p.score.tile_scores for p in patients]), cutoff, patients[0].turn
    )
    drawings = [
        _Drawing(prepared[slide], scores, run.slide_folder(slide), scale)
        for slide, scores in _by_slide(patients, prepared)
    ]
    for outcome in run_all(_draw, drawings, workers=workers, progress=progress, title="Heat maps"):
        drawing, result = outcome.item, outcome.result
        if isinstance(result, Failure):
            for name in HEATMAP_FILES:  # of other scores
                (drawing.folder / name).unlink(missing_ok=True)
            name, error = drawing.slide.slide, result.error
            run.log("heatmap-failed", slide=name, code=error.code, trace=result.trace)
            progress.say(f"{name}: no heat map: {error.message} [{error.code}]")
    return scale


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Heat map of one slide that is to be drawn."""

    slide: PreparedSlide
    scores: Logits
    folder: Path
    scale: ScoreScale


def _by_slide(
    patients: Sequence[ScoredPatient], prepared: Mapping[str, PreparedSlide]
) -> Iterator[tuple[str, Logits]]:
    for patient in patients:
        start = 0
        for slide in patient.slides:
            n = prepared[slide].n_tiles
            yield slide, patient.score.tile_scores[start : start + n]
            start += n


def _draw(drawing: _Drawing) -> None:
    slide, scores, folder, scale = drawing.slide, drawing.scores, drawing.folder, drawing.scale
    if not len(scores) or slide.mpp is None or slide.thumbnail_um_per_px is None:
        return
    tiles = pd.read_parquet(folder / "tiles.parquet")
    positions = tiles[["x", "y"]].to_numpy(np.int64)
    side_px = int(tiles["side_px"].iloc[0])
    step = slide.mpp / slide.thumbnail_um_per_px
    with Image.open(folder / "thumbnail.png") as picture:
        thumbnail = np.asarray(picture.convert("RGB"))
    overlay = overlay_scores(
        thumbnail, (positions - slide.origin) * step, scores, side_px=side_px * step, scale=scale
    )
    for name, image in (
        ("overlay.png", overlay),
        ("heatmap.png", side_by_side(thumbnail, overlay, scale)),
    ):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(png_bytes(image))
    shapes = qupath_geojson(positions, scores, side_px=side_px, scale=scale)
    write_text(folder / "tiles.geojson", shapes)


def top_tiles(
    patients: Sequence[ScoredPatient],
    run: RunFolder,
    settings: ScoringSettings,
    orders: Sequence[SlideTask] = (),
    *,
    workers: int,
    progress: Progress,
) -> list[ReviewTile]:
    """Pick the most predictive tiles of both ends, all scored by one model; none of features.

    Their pictures are made where slides are prepared, as heat maps are, a slide at a time.

    Parameters
    ----------
    patients
        With their tile scores.
    run
        Where their slides are.
    settings
        How many tiles, and of how many patients.
    orders
        How slides were prepared: those whose tiles were not kept are read again.
    workers
        Processes.
    progress
        Draws a bar.

    Raises
    ------
    SlideError
        If such a slide cannot be read any more.
    """
    high, low = (
        select_top_tiles(
            [p.score.tile_scores for p in patients],
            n_tiles=settings.n_top_tiles,
            max_per_patient=settings.max_tiles_per_patient,
        )
        if patients
        else ((), ())
    )
    found = [(top, _locate(patients[top.patient], top.tile, run)) for top in (*high, *low)]
    wanted = _wanted([place for _, place in found], run, orders)
    if any(slide.order is None and open_bag([slide.bag]).holds_features for slide in wanted):
        return []  # there are no pictures to show
    pictures: dict[tuple[str, int], bytes] = {}
    for outcome in run_all(
        _pictures, wanted, workers=workers, progress=progress, title="Top tiles"
    ):
        if isinstance(outcome.result, Failure):
            raise outcome.result.error
        for place, jpeg in zip(outcome.item.places, outcome.result, strict=True):
            pictures[place.slide, place.tile] = jpeg
    return [
        ReviewTile(
            pictures[place.slide, place.tile], patients[top.patient].patient, place.slide,
            place.x, place.y, top.score, top.end, place.side_px,
        )
        for top, place in found
    ]  # fmt: skip


def write_top_tiles(
    tiles: Sequence[ReviewTile], run: RunFolder, settings: ReviewSettings
) -> list[TopTilePicture]:
    """Write the blinded review sheet of these tiles and its key; nothing without tiles."""
    key = key_folder(run.root) / KEY
    before = sha256_file(key) if key.is_file() else ""
    if tiles:
        write_review_sheet(tiles, run.root, settings)
        known = [*read_events(run.root / LOG, "review-key")]
        if sha256_file(key) != before or not known:
            run.log("review-key", sha256=sha256_file(key))
    return [TopTilePicture(t.picture, t.patient, t.score, t.end) for t in tiles]


@dataclass(frozen=True, slots=True)
class _Place:
    """A tile: its number on its slide, upper left corner and side, level-0 pixels."""

    slide: str
    tile: int
    x: int
    y: int
    side_px: int


@dataclass(frozen=True, slots=True)
class _WantedTiles:
    """Tiles of one slide whose pictures are wanted; crosses process borders."""

    places: tuple[_Place, ...]
    bag: Path
    order: SlideTask | None
    """How the slide was prepared, if its tiles were not kept."""


def _wanted(
    places: Sequence[_Place], run: RunFolder, orders: Sequence[SlideTask]
) -> list[_WantedTiles]:
    known = {order.slide: order for order in orders}
    return [
        _WantedTiles(
            tuple(place for place in places if place.slide == slide),
            bag_file(run.slide_folder(slide)),
            known.get(slide) if run.has_file(slide, OUTPUTS_FILE) else None,
        )
        for slide in dict.fromkeys(place.slide for place in places)
    ]


def _pictures(wanted: _WantedTiles) -> list[bytes]:
    """Tiles of a slide as the network saw them, from its bag or read again, as JPEG."""
    places, order = wanted.places, wanted.order
    if order is None:
        tiles = open_bag([wanted.bag]).take([p.tile for p in places])[..., :3]
        return [jpeg_bytes(tile) for tile in tiles]
    return [jpeg_bytes(t) for t in tiles_again(order, [(p.x, p.y, p.side_px) for p in places])]


def _locate(patient: ScoredPatient, tile: int, run: RunFolder) -> _Place:
    for slide in patient.slides:
        tiles = pd.read_parquet(run.slide_folder(slide) / "tiles.parquet")
        if tile < len(tiles):
            x, y, side = (int(tiles[name].iloc[tile]) for name in ("x", "y", "side_px"))
            return _Place(slide, tile, x, y, side)
        tile -= len(tiles)
    raise IndexError(tile)
