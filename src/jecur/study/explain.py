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
from jecur.mil.bag import Bag, open_bag
from jecur.runs.folder import LOG, RunFolder, atomic_path, sha256_file, write_text
from jecur.runs.log import read_events
from jecur.runs.pictures import jpeg_bytes, png_bytes
from jecur.runs.progress import Progress
from jecur.settings import ReviewSettings, ScoringSettings
from jecur.study.prepare import PreparedSlide
from jecur.study.score import ScoredPatient

__all__ = ["TopTilePicture", "top_tiles", "write_heatmaps", "write_top_tiles"]


@dataclass(frozen=True, slots=True)
class TopTilePicture:
    """One of the most predictive tiles, as a picture."""

    jpeg: bytes
    patient: str
    score: float
    end: str


def write_heatmaps(
    patients: Sequence[ScoredPatient],
    prepared: Mapping[str, PreparedSlide],
    run: RunFolder,
    *,
    cutoff: float,
    progress: Progress,
    scale: ScoreScale | None = None,
) -> ScoreScale | None:
    """Write ``heatmap.png``, ``overlay.png`` and ``tiles.geojson`` beside each slide's thumbnail.

    Parameters
    ----------
    patients, prepared, run
        Whose slides, and where their pictures lie.
    cutoff
        The colors turn at it.
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
    scale = scale or score_scale(np.concatenate([p.score.tile_scores for p in patients]), cutoff)
    n_slides = sum(len(p.slides) for p in patients)
    with progress.task("Heat maps", n_slides) as advance:
        for slide, scores, tiles in _by_slide(patients, run):
            _write_heatmap(prepared[slide], scores, tiles, run.slide_folder(slide), scale)
            advance()
    return scale


def _by_slide(
    patients: Sequence[ScoredPatient], run: RunFolder
) -> Iterator[tuple[str, Logits, pd.DataFrame]]:
    for patient in patients:
        start = 0
        for slide in patient.slides:
            tiles = pd.read_parquet(run.slide_folder(slide) / "tiles.parquet")
            yield slide, patient.score.tile_scores[start : start + len(tiles)], tiles
            start += len(tiles)


def _write_heatmap(
    slide: PreparedSlide, scores: Logits, tiles: pd.DataFrame, folder: Path, scale: ScoreScale
) -> None:
    if not len(scores) or slide.mpp is None or slide.thumbnail_um_per_px is None:
        return
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
    patients: Sequence[ScoredPatient], run: RunFolder, settings: ScoringSettings
) -> list[ReviewTile]:
    """Pick the most predictive tiles of both ends, all scored by one model; none of features."""
    if not patients or _bag_of(patients[0], run).holds_features:
        return []  # there are no pictures to show
    high, low = select_top_tiles(
        [p.score.tile_scores for p in patients],
        n_tiles=settings.n_top_tiles,
        max_per_patient=settings.max_tiles_per_patient,
    )
    found = []
    for top in (*high, *low):
        patient = patients[top.patient]
        jpeg = jpeg_bytes(_bag_of(patient, run).take([top.tile])[0, ..., :3])
        slide, x, y, side = _locate(patient, top.tile, run)
        found.append(ReviewTile(jpeg, patient.patient, slide, x, y, top.score, top.end, side))
    return found


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


def _bag_of(patient: ScoredPatient, run: RunFolder) -> Bag:
    return open_bag([run.slide_folder(slide) / "bag.npy" for slide in patient.slides])


def _locate(patient: ScoredPatient, tile: int, run: RunFolder) -> tuple[str, int, int, int]:
    for slide in patient.slides:
        tiles = pd.read_parquet(run.slide_folder(slide) / "tiles.parquet")
        if tile < len(tiles):
            x, y, side = (int(tiles[name].iloc[tile]) for name in ("x", "y", "side_px"))
            return slide, x, y, side
        tile -= len(tiles)
    raise IndexError(tile)
