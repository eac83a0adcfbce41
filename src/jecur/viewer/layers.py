"""What is laid over a slide: scored tiles, tissue outline, drawn regions, the tiles left out."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from jecur.cohort.annotation_files import annotations_in
from jecur.explain.heatmap import ScoreScale
from jecur.explain.top_tiles import select_top_tiles
from jecur.settings import Recipe, ScoringSettings
from jecur.slide.annotation.reading import read_regions
from jecur.slide.annotation.regions import restrict_to_regions
from jecur.slide.quality import is_enlarged, measure_tiles
from jecur.slide.reader import Slide
from jecur.slide.tiling import TileLoss, read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue
from jecur.viewer.run_slides import RunSlides
from jecur.viewer.run_tables import RunTables, SlideRow

__all__ = ["drawn_regions", "left_out_tiles", "scored_tiles", "tissue_outline", "top_tiles"]

_MOST_JUDGED = 4_000
"""Tiles left out that are read again to say why; beyond, they are shown without a reason."""


def scored_tiles(run: RunTables, row: SlideRow) -> dict[str, Any]:
    """Tiles of a slide with score and contribution, and the color scale of their run.

    Places are level-0 pixels of what is shown: of the core's window, where one was taken.
    """
    tiles = run.tile_scores(row)
    scale = run.scale(run.patients[row.patient].part)
    left, top = row.origin
    return {
        "side": run.tile_side(row),
        "x": (tiles["x"] - left).tolist(),
        "y": (tiles["y"] - top).tolist(),
        "score": tiles["score"].astype(float).round(4).tolist(),
        "contribution": tiles["contribution"].astype(float).tolist(),
        "scale": _scale(scale),
    }


def _scale(scale: ScoreScale | None) -> dict[str, float] | None:
    if scale is None:
        return None
    return {"low": scale.low, "center": scale.center, "high": scale.high}


def tissue_outline(run: RunTables, row: SlideRow) -> list[list[list[list[float]]]]:
    """Polygons of the tissue: rings of [x, y], the first of each the outer one."""
    path = run.folder(row) / "tissue.geojson"
    if row.status == "failed" or not path.is_file():
        return []
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    polygons = [feature["geometry"]["coordinates"] for feature in features]
    return [[_moved(ring, row) for ring in rings] for rings in polygons]


def _moved(ring: Any, row: SlideRow) -> list[list[float]]:  # noqa: ANN401 - n pairs of any kind
    moved: list[list[float]] = (np.asarray(ring, np.float64) - row.origin).round(2).tolist()
    return moved


def drawn_regions(slides: RunSlides, row: SlideRow, slide: Slide) -> list[dict[str, Any]]:
    """Regions that people drew on a slide: class and rings; none if the study has no such folder.

    Raises
    ------
    AnnotationError
        If the file cannot be read as declared.
    """
    file = drawing_of(slides, row)
    if file is None:
        return []
    found = []
    for region in read_regions(file):
        offset = slide.canvas_offset if region.on_canvas else (0.0, 0.0)
        rings = [_moved(ring - offset, row) for ring in region.rings]
        found.append({"name": region.name, "negative": region.negative, "rings": rings})
    return found


def drawing_of(slides: RunSlides, row: SlideRow) -> Path | None:
    """File of drawn regions of a slide, in the study's folder of drawings; None if it is not known."""
    facts = slides.run.facts
    cohort = facts.get("study", {}).get("cohort", {})
    folder = cohort.get("annotation_folder", "")
    if cohort.get("columns", {}).get("annotation", ""):
        return None  # the table names it, whatever bears the slide's name
    named = PurePosixPath(str(facts.get("slides", "")))
    if not folder or slides.folder is None or not row.path:
        return None
    study = slides.folder
    for part in reversed(named.parts):
        if part != study.name:
            return None  # the slides moved: nobody knows where the drawings are
        study = study.parent
    name = PurePosixPath(row.path)
    root = (study / folder).resolve()
    return annotations_in(root, [name]).get(name) if root.is_dir() else None


def left_out_tiles(
    slide: Slide, recipe: Recipe, drawing: Path | None, kept: set[tuple[int, int]]
) -> dict[str, Any]:
    """Tiles over tissue that were not scored, with the reason that the run had.

    Parameters
    ----------
    slide
        A whole slide.
    recipe
        Of the run.
    drawing
        File of drawn regions, or None.
    kept
        Corners of the tiles that were scored, level-0 pixels.

    Returns
    -------
    dict
        ``side``, and ``x``, ``y``, ``reason`` of each.
    """
    tissue = find_tissue(slide, recipe.tissue)
    tissue, _ = restrict_to_regions(slide, tissue, drawing, recipe.annotations)
    grid = tile_tissue(slide, tissue, recipe.tiling)
    others = np.array([tuple(place) not in kept for place in grid.positions.tolist()], dtype=bool)
    chosen = np.flatnonzero(others)
    reasons = ["not judged"] * len(chosen)
    part = grid.part(chosen[:_MOST_JUDGED])
    loss = TileLoss()
    for batch in read_tiles(slide, part, recipe.tiling.batch_size, loss=loss):
        measured = measure_tiles(batch.rgb, tissue.glass)
        inked, blurred = measured.inked(recipe.quality), measured.blurred(recipe.quality)
        may_blur = recipe.quality.drop_blurred and not is_enlarged(slide, grid)
        for k, index in enumerate(batch.indices.tolist()):
            if inked[k]:
                reasons[index] = "pen or black"
            elif blurred[k] and may_blur:
                reasons[index] = "out of focus"
            else:
                reasons[index] = "left out by lot"
    for index in loss.indices:
        reasons[index] = "damaged: cannot be decoded"
    x, y = grid.positions[chosen].T.tolist() if len(chosen) else ([], [])
    return {"side": grid.side_px, "x": x, "y": y, "reason": reasons}


def top_tiles(run: RunTables) -> list[dict[str, Any]]:
    """Most predictive tiles of both ends, as the report has them; of each model of a run its own."""
    settings = _scoring(run)
    number = {row.slide: row.number for row in run.slides}
    found = []
    parts = list(dict.fromkeys(p.part for p in run.patients if p.risk is not None))
    n_tiles = max(1, settings.n_top_tiles // max(1, len(parts)))
    for part in parts:
        table = run.scores_of_part(part)
        if not len(table):
            continue
        groups = [rows for _, rows in table.groupby("patient_id", sort=False)]
        ends = select_top_tiles(
            [rows["score"].to_numpy() for rows in groups],
            n_tiles=n_tiles,
            max_per_patient=settings.max_tiles_per_patient,
        )
        for top in (*ends[0], *ends[1]):
            tile = groups[top.patient].iloc[top.tile]
            row = run.slides[number[tile["slide"]]]
            found.append(
                {
                    "slide": row.number,
                    "patient": row.patient,
                    "x": float(tile["x"]) - row.origin[0],
                    "y": float(tile["y"]) - row.origin[1],
                    "side": run.tile_side(row),
                    "score": round(top.score, 4),
                    "end": top.end,
                }
            )
    return found


def _scoring(run: RunTables) -> ScoringSettings:
    held = run.facts.get("study", {}).get("scoring", {})
    return msgspec.convert(held, ScoringSettings, strict=False) if held else ScoringSettings()
