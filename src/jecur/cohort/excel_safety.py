"""Whether an Excel file is one that can be opened: measured before anything in it is unfolded.

An ``.xlsx`` file is a ZIP of XML: a kilobyte of it can unfold to a gigabyte, define entities that do
so again, or name cells at the far end of a sheet. What is larger than a clinical table is refused.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from jecur.errors import TableError

__all__ = ["MOST_CELLS", "MOST_ROW", "Workbook", "check_workbook"]

MOST_CELLS = 200_000
"""Of a workbook, with a value or without."""
MOST_ROW = 1_048_576
"""A sheet has no further row."""
_MOST_BYTES = 64 * 2**20
_MOST_UNFOLDED = 48 * 2**20
"""XML of all parts together."""
_MOST_PARTS = 2000
_MOST_TAGS_OF_TABLES, _MOST_TAGS_OF_OTHERS = 2_000_000, 60_000
_BLOCK = 2**20
_PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_XML = (".xml", ".rels")
_DEFINES = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_CELL = re.compile(rb'<(?:\w+:)?c\s(?:[^>]*?\s)?r="([A-Za-z]{1,3})([0-9]{1,7})"')
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell[\s/>]")
_AREA = re.compile(
    rb"<(?:\w+:)?mergeCell\s(?:[^>]*?\s)?ref=[\"']([A-Za-z]{1,3})([0-9]{1,7}):([A-Za-z]{1,3})([0-9]{1,7})[\"']"
)
_HIDDEN_ROW = re.compile(rb"<(?:\w+:)?row\s(?:[^>]*?\s)?hidden=[\"'](?:1|true)[\"']")
_HIDDEN_COLUMN = re.compile(rb"<(?:\w+:)?col\s(?:[^>]*?\s)?hidden=[\"'](?:1|true)[\"']")
_STRUCK = re.compile(rb"<(?:\w+:)?strike(?:\s+val=[\"'](?:1|true)[\"'])?\s*/?>")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")


@dataclass(frozen=True, slots=True)
class Workbook:
    """What was measured."""

    formulas: bool
    """Some cell holds one."""
    merged: bool
    """Some cells are merged."""
    hidden: bool
    """Some rows or columns are not shown: taken away by a filter, or folded."""
    struck: bool
    """Some kind of letters is struck out."""
    comments: bool
    """Some cells have comments."""


def check_workbook(path: Path) -> Workbook:
    """Measure an Excel file.

    Parameters
    ----------
    path
        ``.xlsx`` or ``.xlsm``.

    Raises
    ------
    TableError
        If it is no such file, is encrypted, defines entities, unfolds beyond the limits, or names
        cells twice or out of order.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise _too_large(path, f"{path.stat().st_size >> 20} MiB")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = _checked_parts(path, archive.infolist())
            return _measured(path, archive, parts)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError,
            NotImplementedError) as error:  # fmt: skip
        raise TableError(
            f"{path.name}: expected an Excel table, found: {error}; save it again as .xlsx or CSV"
        ) from error


def _checked_parts(path: Path, members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """Members that are XML, if the archive as a whole is one that a spreadsheet writes."""
    if len(members) > _MOST_PARTS or len({m.filename for m in members}) < len(members):
        raise TableError(
            f"{path.name}: expected an Excel table of parts that are there once, found "
            f"{len(members)} parts, some of them twice or too many; save it again"
        )
    if any(m.flag_bits & 1 for m in members):
        raise TableError(
            f"{path.name}: expected an Excel table without a password, found an encrypted one; "
            "save it without"
        )
    parts = [m for m in members if m.filename.lower().endswith(_XML)]
    if any(m.compress_type not in _PLAIN for m in parts):
        raise TableError(
            f"{path.name}: expected a plain Excel table, found other compression; save it again"
        )
    unfolded = sum(m.file_size for m in parts)
    if unfolded > _MOST_UNFOLDED:
        raise _too_large(path, f"{unfolded / 2**20:.0f} MiB unfolded")
    return parts


def _measured(path: Path, archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> Workbook:
    n_cells, left, formulas, merged, hidden, struck = 0, _MOST_UNFOLDED, False, 0, False, False
    comments = any("comments" in part.filename.lower() for part in parts)
    for part in parts:
        data = _unfold(path, archive, part, left)
        left -= len(data)
        sheet = "/worksheets/" in part.filename.lower()
        table = sheet or "sharedstrings" in part.filename.lower()
        _refuse_definitions(path, part.filename, data)
        tags, most = data.count(b"<"), _MOST_TAGS_OF_TABLES if table else _MOST_TAGS_OF_OTHERS
        if tags > most:
            raise _too_large(path, f"{tags} tags in {part.filename}")
        if sheet:
            n_cells += _checked_cells(path, data)
            formulas = formulas or bool(_FORMULA.search(data))
            hidden = hidden or bool(_HIDDEN_ROW.search(data) or _HIDDEN_COLUMN.search(data))
            merged += _checked_merges(path, data)
        struck = struck or bool(_STRUCK.search(data))
        if max(n_cells, merged) > MOST_CELLS:
            raise _too_large(path, f"{n_cells} cells, {merged} merged ones")
    return Workbook(formulas, merged > 0, hidden, struck, comments)


def _unfold(path: Path, archive: zipfile.ZipFile, part: zipfile.ZipInfo, most: int) -> bytes:
    """Bytes of a part, by blocks: its stated size may be a lie."""
    blocks, size = [], 0
    with archive.open(part) as stream:
        while block := stream.read(_BLOCK):
            blocks.append(block)
            size += len(block)
            if size > most:
                raise _too_large(path, f"more than {_MOST_UNFOLDED >> 20} MiB unfolded")
    return b"".join(blocks)


def _refuse_definitions(path: Path, name: str, data: bytes) -> None:
    if b"\0" in data[:64] or _DEFINES.search(data):
        raise TableError(
            f"{path.name}: expected plain XML in {name}, found a document type, an entity or "
            "another encoding; save the table again in a spreadsheet",
            code="unsafe-table",
        )


def _checked_cells(path: Path, sheet: bytes) -> int:
    """Count cells; each place once, in reading order."""
    before, n = (0, 0), 0
    for letters, digits in _CELL.findall(sheet):
        column = _column(letters)
        place = (int(digits), column)
        if place <= before or place[0] > MOST_ROW or column > 16_384:
            found = f"{letters.decode()}{digits.decode()} after row {before[0]}, column {before[1]}"
            raise TableError(
                f"{path.name}: expected each cell once and in order, found {found}; save the table "
                "again in a spreadsheet"
            )
        before, n = place, n + 1
        if n > MOST_CELLS:
            raise _too_large(path, f"more than {MOST_CELLS} cells")
    return n


def _checked_merges(path: Path, sheet: bytes) -> int:
    """Count the cells of merged areas: whoever opens the sheet makes an object of each."""
    areas = _AREA.findall(sheet)
    if len(areas) != len(_MERGED.findall(sheet)):
        raise TableError(
            f"{path.name}: expected merged cells as A1:B2, found others; unmerge them and save the "
            "table again"
        )
    return sum(
        (abs(_column(right) - _column(left)) + 1) * (abs(int(bottom) - int(top)) + 1)
        for left, top, right, bottom in areas
    )


def _column(letters: bytes) -> int:
    """Return the number of a column, A being 1."""
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - 64
    return number


def _too_large(path: Path, found: str) -> TableError:
    return TableError(
        f"{path.name}: expected a clinical table (at most {MOST_CELLS} cells, "
        f"{_MOST_UNFOLDED >> 20} MiB unfolded), found {found}; save the sheet alone, as CSV",
        code="large-table",
    )
