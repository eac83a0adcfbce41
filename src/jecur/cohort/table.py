"""Read tables as people have them: every cell as text, nothing recoded.

CSV (comma or semicolon), TSV and Excel; UTF-8 with or without a mark, UTF-16, or Windows-1252.
Row numbers in messages are the file's own, the heading being row 1.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jecur.errors import TableError

__all__ = ["Table", "read_table"]

_EXCEL = {".xlsx", ".xlsm"}
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Parameters
    ----------
    name
        File name, for messages.
    frame
        Every cell a stripped string; the index is the row number in the file.
    decimal_comma
        Whether numbers may be written with a comma (semicolon-separated files).
    """

    name: str
    frame: pd.DataFrame
    decimal_comma: bool = False

    def column(self, name: str, purpose: str) -> pd.Series:
        """One column.

        Raises
        ------
        TableError
            If it is not there; names the columns that are.
        """
        if name not in self.frame.columns:
            found = ", ".join(map(str, self.frame.columns[:20]))
            raise TableError(
                f"{self.name}: expected a column '{name}' for the {purpose}, found: {found}; "
                "name yours in the study file"
            )
        return self.frame[name]

    def numbers(self, name: str, purpose: str, missing: tuple[str, ...]) -> pd.Series:
        """One column as float64, NaN where the text says unknown.

        Raises
        ------
        TableError
            If a cell is neither a number nor declared missing; names the rows.
        """
        text = self.column(name, purpose)
        given = text[~text.isin(missing)]
        plain = given.str.replace(",", ".", n=1, regex=False) if self.decimal_comma else given
        values = pd.to_numeric(plain, errors="coerce")
        bad = values[values.isna() | ~values.abs().lt(float("inf"))].index
        if len(bad):
            raise TableError(
                f"{self.name}: expected numbers in column '{name}', found {text[bad[0]]!r} in "
                f"{_rows(bad)}; correct them or declare the text as missing"
            )
        return values.reindex(text.index).astype("float64")


def read_table(path: Path, *, sheet: str | int = 0) -> Table:
    """Read a CSV, TSV or Excel file.

    Parameters
    ----------
    path
        The file.
    sheet
        Excel: name or number of the sheet.

    Raises
    ------
    TableError
        If the file is absent, empty, not a table, or two columns share a name.
    """
    if not path.is_file():
        raise TableError(
            f"expected a table at {path}, found none; correct `table` in the study file"
        )
    if path.suffix.lower() in _EXCEL:
        rows, delimiter = _excel_rows(path, sheet), ","
    else:
        text = _decode(path)
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text)
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    numbered = [(i, row) for i, row in enumerate(rows, 1) if any(cell.strip() for cell in row)]
    if len(numbered) < 2:
        raise TableError(
            f"{path.name}: expected a heading and at least one row, found {len(numbered)}"
        )
    heading = [cell.strip() for cell in numbered[0][1]]
    _check_shape(path.name, heading, numbered[1:])
    cells = [
        [cell.strip() for cell in row] + [""] * (len(heading) - len(row)) for _, row in numbered[1:]
    ]
    frame = pd.DataFrame(cells, columns=heading, index=[i for i, _ in numbered[1:]], dtype="object")
    return Table(path.name, frame, decimal_comma=delimiter == ";")


def _check_shape(name: str, heading: list[str], body: list[tuple[int, list[str]]]) -> None:
    repeated = sorted({c for c in heading if heading.count(c) > 1})
    if repeated:
        raise TableError(
            f"{name}: expected every column once, found several '{repeated[0]}'; rename them"
        )
    for row_number, row in body:
        if any(cell.strip() for cell in row[len(heading) :]):
            raise TableError(
                f"{name}: expected {len(heading)} cells in row {row_number}, found {len(row)}; "
                "quote cells that hold the separator"
            )


def _decode(path: Path) -> str:
    raw = path.read_bytes()
    marked = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ["utf-16"] if marked else ["utf-8-sig", "cp1252"]:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise TableError(
        f"{path.name}: expected text, found binary data; save the table as CSV in UTF-8"
    )


def _delimiter(text: str) -> str:
    heading = text.lstrip().split("\n", 1)[0]
    return max(_DELIMITERS, key=heading.count)


def _excel_rows(path: Path, sheet: str | int) -> list[list[str]]:
    try:
        frame = pd.read_excel(path, sheet_name=sheet, header=None, dtype=str, keep_default_na=False)
    except (ValueError, OSError, KeyError) as error:
        raise TableError(f"{path.name}: expected an Excel table, found: {error}") from error
    return [list(map(str, row)) for row in frame.itertuples(index=False)]


def _rows(index: pd.Index) -> str:
    shown = ", ".join(map(str, index[:5]))
    more = f" and {len(index) - 5} more" if len(index) > 5 else ""
    return f"row{'s' if len(index) > 1 else ''} {shown}{more}"
