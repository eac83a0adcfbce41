"""A blinded sheet for the pathologist: the most predictive tiles, shuffled, features to tick.

The paper recorded four features on the 200 highest and 200 lowest tiles. The reviewer must not
know which end a tile is from: ``review.csv`` holds only tile numbers, ``key.csv`` the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jecur.cohort.csv_text import csv_rows
from jecur.runs.folder import atomic_path, write_text

__all__ = ["FEATURES", "ReviewTile", "write_review_sheet"]

FEATURES = (
    "presence_of_stroma",
    "high_cytological_atypia",
    "nuclear_hyperchromasia",
    "immune_infiltration",
)


@dataclass(frozen=True, slots=True)
class ReviewTile:
    """A tile to review and where it is from."""

    picture: bytes
    """JPEG."""
    patient: str
    slide: str
    x: int
    y: int
    score: float
    end: str


def write_review_sheet(
    tiles: Sequence[ReviewTile], folder: Path, *, rng: np.random.Generator
) -> Path:
    """Write ``tile-001.jpg`` ..., ``review.csv`` to fill in and ``key.csv`` to open afterwards.

    Returns
    -------
    Path
        The sheet to fill in: 1 present, 0 absent.
    """
    order = rng.permutation(len(tiles))
    names = [f"tile-{i:03d}.jpg" for i in range(1, len(tiles) + 1)]
    for name, index in zip(names, order, strict=True):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(tiles[index].picture)
    key = [
        (name, t.patient, t.slide, t.x, t.y, repr(t.score), t.end)
        for name, t in zip(names, (tiles[i] for i in order), strict=True)
    ]
    _write_csv(folder / "key.csv", ("tile", "patient_id", "slide", "x", "y", "score", "end"), key)
    blank = [(name, *("" for _ in FEATURES), "") for name in names]
    return _write_csv(folder / "review.csv", ("tile", *FEATURES, "comment"), blank)


def _write_csv(path: Path, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    return write_text(path, csv_rows(heading, rows))
