"""A blinded sheet for the pathologist: the most predictive tiles in an order that nobody can guess.

The paper recorded four features on the 200 highest and 200 lowest tiles. The reviewer must not know
which end a tile is from. So the order is drawn by the system's own randomness, not by a seed; the
folder ``review`` holds numbered pictures and a sheet to fill in, and may be handed over as it is; the
key lies elsewhere, with the study's own secrets (``private/review``). Two runs of one study differ
in these two folders by design, and in nothing else.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jecur.cohort.csv_text import csv_rows
from jecur.cohort.table import read_table
from jecur.errors import RunFolderError, TableError
from jecur.explain.review_sheet import is_begun
from jecur.runs.files import fingerprint, write_private
from jecur.runs.folder import atomic_path, write_text
from jecur.settings import ReviewSettings, TableFormat

if TYPE_CHECKING:
    from jecur.statistics.reviewers import ClosedReview

__all__ = [
    "CLOSED",
    "KEY",
    "REVIEWERS",
    "KeyTile",
    "ReviewPlan",
    "ReviewTile",
    "begun_sheets",
    "key_folder",
    "read_closed",
    "read_key",
    "read_plan",
    "write_review_sheet",
]

SHEET_FOLDER = "review"
KEY, PLAN, CLOSED, REVIEWERS = "key.csv", "plan.json", "closed.json", "reviewers"
_HEADING = ("tile", "patient_id", "slide", "x", "y", "side_px", "score", "end")


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
    side_px: int = 0
    """Side of the tile, level-0 pixels; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class KeyTile:
    """One line of the key."""

    name: str
    """Of its picture in the folder ``review``."""
    patient: str
    slide: str
    x: int
    y: int
    side_px: int
    score: float
    end: str


class ReviewPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is stated before anybody looks; kept beside the key."""

    features: tuple[str, ...]
    consensus: str
    tiles: str
    """Fingerprint of the tiles, whatever their order."""


def key_folder(run: Path) -> Path:
    """Folder of the key and of what reviewers answered; never handed to a reviewer."""
    return run / "private" / SHEET_FOLDER


def write_review_sheet(tiles: Sequence[ReviewTile], run: Path, settings: ReviewSettings) -> Path:
    """Write ``review`` with ``tile-001-5c1f0a.jpg`` ... and ``review.csv`` to fill in, and the key elsewhere.

    The letters are drawn with the order, so that a sheet handed over before another draw, or of another
    run, names no tile of this key. A review of the same tiles that was begun is left as it is, with its
    order, its features and its rule; one of other tiles is put aside as ``private/review-earlier-1``
    (hours of a pathologist).

    Parameters
    ----------
    tiles
        Of both ends.
    run
        Root of the run folder.
    settings
        Features and rule of the consensus.

    Returns
    -------
    Path
        The sheet.
    """
    sheet = run / SHEET_FOLDER / "review.csv"
    _adopt_earlier_layout(run)
    begun = _has_begun(run)
    mark = _mark_of(_place(t.patient, t.slide, t.x, t.y, t.score, t.end) for t in tiles)
    known = _known_order(tiles, run, mark)
    if known is None and begun:
        _put_aside(run)
        begun = False
    names, order = known or _drawn_order(len(tiles))
    _take_away_pictures(run, names)
    for name, index in zip(names, order, strict=True):
        with atomic_path(sheet.parent / name) as temporary:
            temporary.write_bytes(tiles[index].picture)
    if begun:
        return sheet
    key = [
        KeyTile(name, t.patient, t.slide, t.x, t.y, t.side_px, t.score, t.end)
        for name, t in zip(names, (tiles[i] for i in order), strict=True)
    ]
    _write_key(key, mark, run, settings)
    blank = [(name, *("" for _ in settings.features), "") for name in names]
    return write_text(sheet, csv_rows(("tile", *settings.features, "comment"), blank))


def _write_key(key: Sequence[KeyTile], mark: str, run: Path, settings: ReviewSettings) -> None:
    (run / "private").mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [(k.name, k.patient, k.slide, k.x, k.y, k.side_px, repr(k.score), k.end) for k in key]
    write_private(key_folder(run) / KEY, csv_rows(_HEADING, rows))
    plan = ReviewPlan(features=settings.features, consensus=settings.consensus, tiles=mark)
    write_private(key_folder(run) / PLAN, msgspec.json.encode(plan).decode() + "\n")


def read_key(path: Path) -> tuple[KeyTile, ...]:
    """Read a key.

    Raises
    ------
    TableError
        If a column is absent or a cell is none of its kind.
    """
    table = read_table(path, TableFormat(decimal="."), fixed_headings=True)
    name = table.column("tile", "picture")
    columns = {c: table.column(c, "of the key") for c in ("patient_id", "slide", "end")}
    numbers = {c: table.numbers(c, "of the key", ()) for c in ("x", "y", "score")}
    side = table.numbers("side_px", "of the key", ()) if "side_px" in table.frame.columns else None
    if not columns["end"].isin(("high", "low")).all():
        raise TableError(f"{table.name}: expected 'high' or 'low' in column 'end', found others")
    return tuple(
        KeyTile(
            str(name.iloc[k]),
            str(columns["patient_id"].iloc[k]),
            str(columns["slide"].iloc[k]),
            int(numbers["x"].iloc[k]),
            int(numbers["y"].iloc[k]),
            0 if side is None else int(side.iloc[k]),
            float(numbers["score"].iloc[k]),
            str(columns["end"].iloc[k]),
        )
        for k in range(len(name))
    )


def read_plan(run: Path) -> ReviewPlan:
    """Read what was stated before the review.

    Raises
    ------
    RunFolderError
        With code ``no-review`` if the run has no tiles to review.
    """
    try:
        return msgspec.json.decode((key_folder(run) / PLAN).read_bytes(), type=ReviewPlan)
    except (OSError, msgspec.DecodeError) as error:
        raise RunFolderError(
            f"expected tiles to review in {run}, found no plan of a review that can be read; run the "
            "study's command again, or name the folder given as --out",
            code="no-review",
        ) from error


def read_closed(run: Path) -> "ClosedReview | None":
    """Read what a closed review found; None if it was not closed."""
    from jecur.statistics.reviewers import ClosedReview  # noqa: PLC0415 (scoring need not load statistics)

    path = key_folder(run) / CLOSED
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClosedReview)
    except msgspec.DecodeError as error:
        raise RunFolderError(
            f"expected a closed review in {path}, found other content ({error}); remove the file and "
            "close the review again",
            code="no-review",
        ) from error


def begun_sheets(run: Path) -> list[Path]:
    """Paper sheets in which somebody has ticked anything: ``review.csv``, ``review-AB.csv``, ``.xlsx``.

    Every table in the folder is one, whatever it is called: nothing else belongs there, and answers under
    a name that is not looked for would be lost.
    """
    return _begun(run, comments=False)


def _begun(run: Path, *, comments: bool) -> list[Path]:
    return [
        path
        for path in sorted((run / SHEET_FOLDER).glob("*"))
        if path.suffix.lower() in _SHEETS
        and path.name != KEY
        and not path.name.startswith((".", "~"))  # of a spreadsheet that has the file open
        and is_begun(path, comments=comments)
    ]


def _has_begun(run: Path) -> bool:
    folder = key_folder(run)
    answered = any((folder / REVIEWERS).glob("*"))
    return answered or (folder / CLOSED).exists() or bool(_begun(run, comments=True))


def _drawn_order(n: int) -> tuple[list[str], list[int]]:
    """Names of pictures, and the tile that each shows."""
    order = list(range(n))
    secrets.SystemRandom().shuffle(order)
    drawn = secrets.token_hex(3)
    return [f"tile-{k:03d}-{drawn}.jpg" for k in range(1, n + 1)], order


def _known_order(
    tiles: Sequence[ReviewTile], run: Path, mark: str
) -> tuple[list[str], list[int]] | None:
    """Names and order of the key that is there, if it is of these very tiles; else None."""
    path = key_folder(run) / KEY
    if not path.is_file():
        return None
    key = read_key(path)
    places = [_place(k.patient, k.slide, k.x, k.y, k.score, k.end) for k in key]
    names = [k.name for k in key]
    if _mark_of(places) != mark or len(set(names)) < len(tiles) or not all(map(_PICTURE, names)):
        return None
    index = {_place(t.patient, t.slide, t.x, t.y, t.score, t.end): k for k, t in enumerate(tiles)}
    return names, [index[place] for place in places]


_PICTURE = re.compile(r"tile-\d{1,9}(-[0-9a-f]{6})?\.jpg").fullmatch
"""Without letters up to version 0.2.0."""
_SHEETS = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"})
Place = tuple[str, str, int, int, str, str]


def _place(patient: str, slide: str, x: int, y: int, score: float, end: str) -> Place:
    return patient, slide, int(x), int(y), repr(float(score)), end


def _mark_of(places: Iterable[Place]) -> str:
    return fingerprint(sorted(places))


def _put_aside(run: Path) -> None:
    """Keep a review of other tiles where nothing reads or writes it."""
    private = run / "private"
    taken = (private / f"review-earlier-{k}" for k in range(1, 10_000))
    aside = next(path for path in taken if not path.exists())
    if key_folder(run).is_dir():
        key_folder(run).rename(aside)
    else:  # sheets whose key somebody took away
        aside.mkdir(mode=0o700, parents=True)
    for path in (*_begun(run, comments=True), *_pictures(run)):
        path.rename(aside / path.name)


def _pictures(run: Path) -> list[Path]:
    return [path for path in sorted((run / SHEET_FOLDER).glob("tile-*")) if _PICTURE(path.name)]


def _take_away_pictures(run: Path, names: Sequence[str]) -> None:
    """Take away pictures of an earlier draw; beside those of this one they would be reviewed too."""
    for path in _pictures(run):
        if path.name not in names:
            path.unlink()


def _adopt_earlier_layout(run: Path) -> None:
    """Take a key that lies beside its sheet, as earlier versions left it, away from there."""
    old = run / SHEET_FOLDER / KEY
    if not old.is_file():
        return
    if _begun(run, comments=True) and not key_folder(run).exists():
        (run / "private").mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(key_folder(run) / KEY, old.read_text(encoding="utf-8"))
    old.unlink()
