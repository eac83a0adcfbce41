"""Rows of cells out of an Excel file, each with what kind of cell it was.

A number is written as text the shortest way that reads back the same; a date cell as ISO; a
formula as the value the spreadsheet stored with it. A formula without a stored value is refused:
an empty cell in its place would be a silent loss.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from jecur.cohort.excel_safety import MOST_CELLS, MOST_ROW, check_workbook
from jecur.errors import TableError

__all__ = ["ExcelRows", "read_excel_rows", "sheet_names"]

_LITERAL = re.compile(r'"([^"]*)"|\\(.)|([- ()])')
_ZEROS = re.compile(rf"(?:{_LITERAL.pattern})*0(?:0|{_LITERAL.pattern})*")
_PERCENT = re.compile(r'^(?:[^"%\\]|"[^"]*"|\\.)*%')
"""A number format whose percent sign is no quoted letter: those do not multiply by 100."""


@dataclass(frozen=True, slots=True)
class ExcelRows:
    r"""Rows of cells, their kinds, and how they were read.

    Parameters
    ----------
    rows
        Each with its row number.
    kinds
        (row number, column number from 0) -> "number", "percent" (0.85 that is shown as 85 %), "date",
        a number format of zeros and letters such as ``000``, which shows 7 as 007, or ``\P000`` (P007),
        each letter behind a backslash, or "merged": a cell without a value of its own that shows
        another's. Cells of text are left out.
    source
        One line for the record.
    notes
        What a spreadsheet shows otherwise than it was read: sheets, rows and columns that it hides, cells
        that are struck out or have comments.
    """

    rows: list[tuple[int, list[str]]]
    kinds: dict[tuple[int, int], str]
    source: str
    notes: tuple[str, ...] = ()


def read_excel_rows(path: Path, sheet: str) -> ExcelRows:
    """Read one sheet.

    Parameters
    ----------
    path
        ``.xlsx`` or ``.xlsm``.
    sheet
        Its name; the first if empty.

    Raises
    ------
    TableError
        If it is no Excel file, has no such sheet, hides the first and none is named, or a formula has no
        stored value.
    """
    measured = check_workbook(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decorations it cannot keep; values are not touched
            found = _read(path, sheet, formulas=measured.formulas)
            otherwise = measured.merged or measured.hidden or measured.struck or measured.comments
            return _as_shown(path, sheet, found) if otherwise else found
    except (TableError, KeyboardInterrupt):
        raise
    except Exception as error:  # openpyxl lets every kind through for a file that is none
        raise TableError(
            f"{path.name}: expected an Excel table, found: {error or type(error).__name__}; save it "
            "again as .xlsx or CSV"
        ) from error


def sheet_names(path: Path, *, hidden: bool = True) -> tuple[str, ...]:
    """Sheets of an Excel file, those that it hides too if asked; none of a file that cannot be opened."""
    if path.suffix.lower() not in {".xlsx", ".xlsm"}:
        return ()
    check_workbook(path)
    try:
        with _open(path, data_only=True) as book:
            sheets = [one for one in book.worksheets if hidden or not _is_hidden(one)]
            return tuple(str(one.title) for one in sheets)
    except Exception:  # noqa: BLE001 - reading it says what is wrong
        return ()


def _read(path: Path, sheet: str, *, formulas: bool) -> ExcelRows:
    kinds: dict[tuple[int, int], str] = {}
    rows: list[tuple[int, list[str]]] = []
    with _open(path, data_only=True) as book:
        names = [one.title for one in book.worksheets]
        if not names or (sheet and sheet not in names):
            listed = ", ".join(map(repr, names)) or "no sheet with cells"
            raise TableError(
                f"{path.name}: expected a sheet {sheet!r}, found {listed}; "
                "correct sheet under [cohort.format]"
            )
        picked = sheet or names[0]
        notes = _notes_of_sheet(path, sheet, book)
        for number, row in _cells(path, book[picked]):
            cells = []
            for column, cell in enumerate(row):
                form = str(cell.number_format) if isinstance(cell.value, int | float) else ""
                text, kind = _text(cell.value, form)
                cells.append(text)
                if kind:
                    kinds[number, column] = kind
            if any(cells):
                rows.append((number, cells))
    if formulas:
        with _open(path, data_only=False) as book:
            _refuse_uncalculated(path, book[picked], dict(rows))
    width = max((len(cells) for _, cells in rows), default=0)
    others = f" of {len(names)}" if len(names) > 1 else ""
    return ExcelRows(
        [(number, cells + [""] * (width - len(cells))) for number, cells in rows],
        kinds,
        f"{path.name}: Excel, sheet {picked!r}{others}",
        notes,
    )


def _is_hidden(sheet: Any) -> bool:  # noqa: ANN401 - untyped
    return bool(sheet.sheet_state != "visible")


def _notes_of_sheet(path: Path, sheet: str, book: Any) -> tuple[str, ...]:  # noqa: ANN401 - untyped
    """Say which sheet was taken where nobody named one; one that nobody sees must be named."""
    first, n_sheets = book.worksheets[0], len(book.worksheets)
    names = ", ".join(repr(one.title) for one in book.worksheets[:8])
    if sheet:
        return (f"sheet {sheet!r} is hidden in the spreadsheet",) if _is_hidden(book[sheet]) else ()
    if _is_hidden(first):
        raise TableError(
            f"{path.name}: expected the name of the sheet to read where the first is hidden, found none "
            f"(there are {names}); say sheet under [cohort.format], or take the hidden one out"
        )
    return (f"the first of {n_sheets} sheets was read ({names})",) if n_sheets > 1 else ()


@contextmanager
def _open(path: Path, *, data_only: bool) -> Iterator[Any]:
    """Open a workbook as a stream, and the file so that it is closed whatever is in it."""
    import openpyxl  # type: ignore[import-untyped]  # noqa: PLC0415 - only Excel needs it

    with path.open("rb") as stream:
        book = openpyxl.load_workbook(stream, data_only=data_only, read_only=True, keep_links=False)
        try:
            yield book
        finally:
            book.close()


def _cells(path: Path, sheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:  # noqa: ANN401 - untyped
    """Row numbers and cells of a sheet, as far as a sheet can reach."""
    sheet.reset_dimensions()  # what a file says of its size is not what it holds
    n_cells = 0
    for number, row in enumerate(sheet.iter_rows(), 1):
        n_cells += len(row)
        if number > MOST_ROW or n_cells > MOST_CELLS:
            raise TableError(
                f"{path.name}: expected a table of at most {MOST_CELLS} cells in sheet "
                f"{sheet.title!r}, found more (a cell far out?); delete the empty rows and columns, "
                "or save the table as CSV",
                code="large-table",
            )
        yield number, row


def _refuse_uncalculated(path: Path, sheet: Any, values: dict[int, list[str]]) -> None:  # noqa: ANN401
    """Refuse a formula without a stored value."""
    for number, row in _cells(path, sheet):
        known = values.get(number, [])
        for column, cell in enumerate(row):
            if cell.data_type == "f" and not (column < len(known) and known[column]):
                raise TableError(
                    f"{path.name}: expected a value in cell {cell.coordinate} (row {number}), "
                    "found a formula that was never calculated; open and save it in a spreadsheet"
                )


def _kind_of_number(number_format: str) -> str:
    if _ZEROS.fullmatch(number_format) and number_format.count("0") > (number_format == "0"):
        return "".join(_LITERAL.sub(_escaped, number_format))
    return "percent" if _PERCENT.search(number_format) else "number"


def _escaped(found: re.Match[str]) -> str:
    letters: str = next(group for group in found.groups() if group is not None)
    return "".join(f"\\{letter}" for letter in letters)


def _as_shown(path: Path, sheet: str, found: ExcelRows) -> ExcelRows:
    """Add what a spreadsheet shows otherwise than it stores: merged and hidden cells, strokes, comments."""
    import openpyxl  # noqa: PLC0415 - only Excel needs it
    from openpyxl.utils import get_column_letter  # type: ignore[import-untyped]  # noqa: PLC0415

    book = openpyxl.load_workbook(path, keep_links=False)  # a stream does not tell
    shown = book[sheet or book.worksheets[0].title]
    covered: dict[tuple[int, int], str] = {}
    for area in shown.merged_cells.ranges:
        covered |= {(row, column - 1): "merged" for row, column in area.cells}
        del covered[area.min_row, area.min_col - 1]
    hidden = [row for row, _ in found.rows if shown.row_dimensions[row].hidden]
    filled = {k for _, cells in found.rows for k, text in enumerate(cells, 1) if text}
    columns = [get_column_letter(k) for k in sorted(filled) if _is_folded(shown, k)]
    struck = [
        row
        for row, cells in found.rows
        if any(text and shown.cell(row, k).font.strike for k, text in enumerate(cells, 1))
    ]
    said = [
        cell.coordinate
        for row, _ in found.rows
        for cell in shown[row]
        if cell.comment and cell.comment.text.strip()
    ]
    notes = (
        f"comments of cells are not read, the first in {said[0]}" if said else "",
        f"{len(hidden)} hidden rows read like the others, row {hidden[0]} the first"
        if hidden
        else "",
        f"hidden columns read like the others: {', '.join(columns[:8])}" if columns else "",
        f"{len(struck)} rows with cells that are struck out read like the others, row {struck[0]} the first"
        if struck
        else "",
    )
    return ExcelRows(
        found.rows,
        {**found.kinds, **covered},
        found.source,
        (*found.notes, *(note for note in notes if note)),
    )


def _is_folded(sheet: Any, column: int) -> bool:  # noqa: ANN401 - untyped
    """Whether a sheet hides a column, A being 1; a width may be told of many columns at once."""
    return any(
        part.hidden and (part.min or 0) <= column <= (part.max or 0)
        for part in sheet.column_dimensions.values()
    )


def _text(value: object, number_format: str) -> tuple[str, str]:
    if value is None:
        return "", ""
    if isinstance(value, bool):
        return str(value).upper(), ""
    if isinstance(value, int | float):
        plain = repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
        return plain, _kind_of_number(number_format)
    if isinstance(value, datetime):
        at_midnight = value.time() == time(0)
        return (value.date().isoformat() if at_midnight else value.isoformat(" ")), "date"
    if isinstance(value, date | time):
        return value.isoformat(), "date"
    return str(value), ""
