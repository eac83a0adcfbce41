"""A blinded sheet for the pathologist: the most predictive tiles, shuffled, features to tick.

The paper recorded four features on the 200 highest and 200 lowest tiles. The reviewer must not
know which end a tile is from: ``review.csv`` holds only tile numbers, ``key.csv`` the rest.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jecur.cohort.csv_text import csv_rows, plain_text
from jecur.errors import TableError
from jecur.runs.folder import atomic_path, write_text

__all__ = ["FEATURES", "ReviewTile", "reviewed_features", "write_review_sheet"]

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
    text = csv_rows(("tile", "patient_id", "slide", "x", "y", "score", "end"), key)
    sheet = folder / "review.csv"
    if _is_begun(sheet):  # hours of a pathologist: kept, or put aside if the tiles are others now
        if _text(folder / "key.csv") == text:
            return sheet
        for name in ("review.csv", "key.csv"):
            (folder / name).replace(folder / f"earlier-{name}")
    write_text(folder / "key.csv", text)
    blank = [(name, *("" for _ in FEATURES), "") for name in names]
    return _write_csv(sheet, ("tile", *FEATURES, "comment"), blank)


def reviewed_features(folder: Path) -> Path | None:
    """Join a sheet that was filled in with its key: ``features.csv``, for Table 3; None before that.

    Raises
    ------
    TableError
        If the sheet names tiles that the key does not have, or has lost a column.
    """
    sheet, key = folder / "review.csv", folder / "key.csv"
    if not _is_begun(sheet) or not key.is_file():
        return None
    ends = {row["tile"]: row for row in _rows(key)}
    rows = _rows(sheet)
    strange = sorted({row.get("tile", "") for row in rows} - ends.keys())
    lacking = [name for name in FEATURES if name not in rows[0]]
    if strange or lacking:
        raise TableError(
            f"review.csv: expected the tiles of key.csv and the columns {', '.join(FEATURES)}, found "
            f"{', '.join(map(repr, (*strange[:3], *lacking)))} not to be so; fill in the sheet as it was "
            "written"
        )
    joined = [
        (tile, ends[tile]["patient_id"], ends[tile]["end"], *(row[f].strip() for f in FEATURES))
        for tile, row in ((row["tile"], row) for row in rows)
    ]
    return _write_csv(folder / "features.csv", ("tile", "patient_id", "end", *FEATURES), joined)


def _is_begun(sheet: Path) -> bool:
    """Whether somebody has ticked anything."""
    return sheet.is_file() and any(row.get(f, "").strip() for row in _rows(sheet) for f in FEATURES)


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a sheet that a spreadsheet may have written: commas or semicolons."""
    text = path.read_text(encoding="utf-8-sig")
    heading = text.partition("\n")[0]
    delimiter = ";" if heading.count(";") > heading.count(",") else ","
    read = csv.DictReader(io.StringIO(text), delimiter=delimiter, restval="")
    return [{str(k): plain_text(str(v)) for k, v in row.items()} for row in read]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _write_csv(path: Path, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    return write_text(path, csv_rows(heading, rows))
