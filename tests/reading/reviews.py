"""Runs with tiles to review, and reviewers whose answers are known."""

import csv
from collections.abc import Mapping
from pathlib import Path

from jecur.explain.review import ReviewTile, key_folder, read_key, write_review_sheet
from jecur.reading.answers import ANSWERS, Answer, AnswerFile
from jecur.reading.order import open_order, reviewer_folder
from jecur.runs.folder import RunFolder, write_json
from jecur.settings import PAPER_FEATURES, ReviewSettings

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
