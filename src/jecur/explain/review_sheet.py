"""Read a review sheet that was filled in on paper or in a spreadsheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jecur.arrays import Vector
from jecur.cohort.csv_text import plain_text
from jecur.cohort.table import name_rows, read_table
from jecur.errors import TableError

__all__ = ["CANNOT_JUDGE", "is_begun", "read_comments", "read_sheet"]

CANNOT_JUDGE = -1.0
"""Of a feature that the reviewer could not judge in a tile."""
_ANSWERS = {
    "1": 1.0,
    "present": 1.0,
    "0": 0.0,
    "absent": 0.0,
    "?": CANNOT_JUDGE,
    "cannot judge": CANNOT_JUDGE,
    "": np.nan,
    "na": np.nan,
}


def is_begun(sheet: Path, *, comments: bool = False) -> bool:
    """Whether somebody has ticked anything; a sheet that cannot be read counts, and is refused when it is.

    With ``comments`` a sheet that holds nothing else is begun too: it is not to be written over.
    """
    if not sheet.is_file():
        return False
    try:
        frame = read_table(sheet).frame
    except TableError:
        return True
    others = ("tile",) if comments else ("tile", "comment")
    ticks = frame.drop(columns=[name for name in others if name in frame.columns])
    return any(plain_text(str(cell)).strip() for column in ticks for cell in ticks[column])


def read_sheet(path: Path, tiles: Sequence[str], features: Sequence[str]) -> dict[str, Vector]:
    """Read a filled sheet: 1 or present, 0 or absent, ? or cannot judge; an empty cell was not judged.

    Parameters
    ----------
    path
        CSV, TSV or Excel, as it was written and filled in.
    tiles
        Pictures, in the order of the key.
    features
        Columns.

    Returns
    -------
    dict
        Feature -> (n,) 1, 0, `CANNOT_JUDGE` or NaN, in the order of ``tiles``.

    Raises
    ------
    TableError
        If the sheet is not of these tiles, has lost a column, or a cell holds something else.
    """
    table = read_table(path, fixed_headings=True)
    names = [str(name) for name in table.column("tile", "picture")]
    strange = sorted(set(names) - set(tiles))
    if strange and not set(names) & set(tiles):
        raise TableError(
            f"{table.name}: expected tiles of the key, found none of them ({strange[0]!r} and others): a "
            "sheet of another run, or handed over before the tiles were drawn anew; put it back into its "
            "own run, or name its key with --tile-key (also private/review-earlier-1/key.csv)"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    lacking = [feature for feature in features if feature not in table.frame.columns]
    if strange or twice or lacking:
        odd_ones = ", ".join(map(repr, (*strange[:3], *twice[:3], *lacking)))
        raise TableError(
            f"{table.name}: expected each tile of the key at most once and the columns "
            f"{', '.join(features)}, found {odd_ones} not to be so; fill in the sheet as it was written"
        )
    row = {name: k for k, name in enumerate(names)}
    place = np.array([row.get(name, -1) for name in tiles])
    found = {}
    for feature in features:
        cells = table.column(feature, "feature of the review").astype(str).str.strip()
        known = cells.str.lower().map(_ANSWERS)
        odd = cells[known.isna() & ~cells.str.lower().isin(("", "na"))]
        if len(odd):
            raise TableError(
                f"{table.name}: expected 1 (present), 0 (absent), ? (cannot judge) or nothing in column "
                f"'{feature}', found {odd.iloc[0]!r} in {name_rows(odd.index)}"
            )
        values = np.append(known.to_numpy(dtype=np.float64), np.nan)
        found[feature] = values[place]
    return found


def read_comments(path: Path) -> dict[str, str]:
    """Read what was written beside the answers: tile -> comment, of those that have one."""
    frame = read_table(path).frame
    if "comment" not in frame.columns:
        return {}
    said = zip(frame["tile"].astype(str), frame["comment"].astype(str).str.strip(), strict=True)
    return {tile: comment for tile, comment in said if comment}
