"""Runs with tiles to review, and reviewers whose answers are known."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jecur.explain.review import ReviewTile, key_folder, read_key, write_review_sheet
from jecur.reading.answers import ANSWERS, Answer, AnswerFile
from jecur.reading.order import open_order, reviewer_folder
from jecur.runs.folder import RunFolder, write_json
from jecur.runs.pictures import jpeg_bytes
from jecur.settings import PAPER_FEATURES, ReviewSettings
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_tile, write_slide

GOLDEN = Path(__file__).parents[1] / "golden"
WORDS = {1.0: "present", 0.0: "absent", -1.0: "cannot judge"}
Said = Mapping[str, Mapping[str, float]]
"""Patient's tile -> feature -> 1, 0 or -1."""


def golden_rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open() as stream:
        return list(csv.DictReader(stream))


def readings_of_r(reviewer: str) -> Said:
    """What R let a reviewer answer, by the slide of the tile."""
    return {
        f"S{row['tile']}": {f: float(row[f"{reviewer}.{f}"]) for f in PAPER_FEATURES}
        for row in golden_rows("review_readings.csv")
    }


def write_run_of_r(root: Path, settings: ReviewSettings | None = None) -> RunFolder:
    """A run folder whose tiles are those that R's reviewers judged."""
    run = RunFolder.open(root)
    tiles = [
        ReviewTile(
            b"jpg", row["patient"], f"S{row['tile']}", k, k, k * (1 if row["end"] == "high" else -1),
            row["end"], 256,
        )
        for k, row in enumerate(golden_rows("review_readings.csv"))
    ]  # fmt: skip
    write_review_sheet(tiles, root, settings or ReviewSettings())
    write_json(root / "statistics.json", {"study": "R's", "validation": {}})
    run.write_manifest({"study": {}, "command": "run"})
    return run


def answer_all(
    run: RunFolder,
    reviewer: str,
    said: Said,
    *,
    again: Said | None = None,
    stop_at: int | None = None,
) -> AnswerFile:
    """Answer every look as told; the second looks as ``again`` tells, if it does."""
    key = read_key(key_folder(run.root) / "key.csv")
    slide = {tile.name: tile.slide for tile in key}
    order = open_order(run.root, reviewer, key)
    features = tuple(next(iter(said.values())))
    file = AnswerFile(reviewer_folder(run.root, reviewer) / ANSWERS, order, features)
    for look in order.looks[: len(order.looks) if stop_at is None else stop_at]:
        told = (again if look.again and again else said)[slide[look.tile]]
        file.say(look.id, Answer({f: WORDS[v] for f, v in told.items()}, "", 2.5))
    return file


def write_run_with_slides(folder: Path, n_slides: int = 6) -> Path:
    """A run folder, ``folder/run``, of which the review needs all, beside its slides."""
    root, slides = folder / "run", folder / "slides"
    slides.mkdir()
    run = RunFolder.open(root)
    tiles, rows = [], ["slide,patient_id,mpp,mpp_source,path"]
    for k in range(n_slides):
        name = f"slide-of-{k:04d}"
        rng = np.random.default_rng(k)
        image = render_tile(TissueFeatures(*rng.uniform(0.1, 0.9, 4).tolist()), rng, size_px=768)
        write_slide(slides / f"{name}.tiff", image, um_per_px=0.5)
        rows.append(f"{name},patient-{k:04d},0.5,resolution-tag,{name}.tiff")
        for place, (x, y) in enumerate(((0, 0), (256, 256))):
            picture = jpeg_bytes(image[y : y + 256, x : x + 256])
            score = float(rng.normal(2.0 if place else -2.0))
            tiles.append(
                ReviewTile(
                    picture, f"patient-{k:04d}", name, x, y, score, "high" if place else "low", 256
                )
            )
    (root / "slides.csv").write_text("\n".join(rows) + "\n")
    run.log_slide_folder(slides)
    write_review_sheet(tiles, root, ReviewSettings())
    write_json(root / "statistics.json", {"study": "virtual", "validation": {}})
    run.write_manifest({"study": {"tiling": {"side_um": 128.0}}, "command": "run"})
    return root
