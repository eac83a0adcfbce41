"""Rows of cells out of an Excel file, each with what kind of cell it was.

A number is written as text the shortest way that reads back the same; a date cell as ISO; a
formula as the value the spreadsheet stored with it. A formula without a stored value is refused:
an empty cell in its place would be a silent loss.
"""

import re
import warnings
import zipfile
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from jecur.errors import TableError

__all__ = ["ExcelRows", "read_excel_rows"]

_ZEROS = re.compile(r"0{2,}")


@dataclass(frozen=True, slots=True)
class ExcelRows:
    """Rows of cells, their kinds, and how they were read.

    Parameters
    ----------
    rows
        Each with its row number.
    kinds
        (row number, column number from 0) -> "number", "date", or the zeros of a number format
        such as ``000``, which shows 7 as 007. Cells of text are left out.
    source
        One line for the record.
    """

    rows: list[tuple[int, list[str]]]
    kinds: dict[tuple[int, int], str]
    source: str


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
        If it is no Excel file, has no such sheet, or a formula has no stored value.
    """
    values, formulas = _open(path, data_only=True), _open(path, data_only=False)
    names = values.sheetnames
    if sheet and sheet not in names:
        raise TableError(
            f"{path.name}: expected a sheet {sheet!r}, found {', '.join(map(repr, names))}; "
            "correct sheet under [cohort.format]"
        )
    picked = sheet or names[0]
    rows: list[tuple[int, list[str]]] = []
    kinds: dict[tuple[int, int], str] = {}
    for number, (row, written) in enumerate(
        zip(values[picked].iter_rows(), formulas[picked].iter_rows(), strict=True), 1
    ):
        cells = []
        for column, (cell, source) in enumerate(zip(row, written, strict=True)):
            if source.data_type == "f" and cell.value is None:
                raise TableError(
                    f"{path.name}: expected a value in cell {source.coordinate} (row {number}), "
                    "found a formula that was never calculated; open and save it in a spreadsheet"
                )
            text, kind = _text(cell.value, str(cell.number_format))
            cells.append(text)
            if kind:
                kinds[number, column] = kind
        rows.append((number, cells))
    others = f" of {len(names)}" if len(names) > 1 else ""
    return ExcelRows(rows, kinds, f"{path.name}: Excel, sheet {picked!r}{others}")


def _open(path: Path, *, data_only: bool) -> Any:  # noqa: ANN401 - openpyxl is untyped
    import openpyxl  # type: ignore[import-untyped]  # noqa: PLC0415 - only Excel needs it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decorations it cannot keep; values are not touched
            return openpyxl.load_workbook(path, data_only=data_only)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile, TypeError) as error:
        raise TableError(
            f"{path.name}: expected an Excel table, found: {error}; save it again as .xlsx or CSV"
        ) from error


def _text(value: object, number_format: str) -> tuple[str, str]:
    if value is None:
        return "", ""
    if isinstance(value, bool):
        return str(value).upper(), ""
    if isinstance(value, int | float):
        plain = repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
        return plain, number_format if _ZEROS.fullmatch(number_format) else "number"
    if isinstance(value, datetime):
        at_midnight = value.time() == time(0)
        return (value.date().isoformat() if at_midnight else value.isoformat(" ")), "date"
    if isinstance(value, date | time):
        return value.isoformat(), "date"
    return str(value), ""
