"""Rows of a file as they stand there: CSV, TSV or Excel; files of other programs are refused by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jecur.cohort.csv_text import one_spelling, plain_text
from jecur.cohort.excel import read_excel_rows
from jecur.cohort.text_file import read_text_rows
from jecur.errors import TableError
from jecur.settings import TableFormat

__all__ = ["RawTable", "read_raw_table"]

_EXCEL = {".xlsx", ".xlsm"}
_OLD_EXCEL = {".xls", ".xlsb", ".ods"}
_OTHER_FILES = {
    b"\x1f\x8b": "a file packed by gzip (R's .rds is one too)", b"PAR1": "Parquet", b"$FL": "a table of SPSS",
    b"<stata_dta>": "a table of Stata", b"\xd0\xcf\x11\xe0": "old Excel, or a workbook with a password",
    b"%PDF": "a PDF", b"{\\rtf": "a text of a word processor",
}  # fmt: skip
"""First bytes -> what they begin."""
_COMMA_DECIMALS = re.compile(r"[+-]?([0-9]+,([0-9]{1,2}|[0-9]{4,})|0,[0-9]+)")


@dataclass(frozen=True, slots=True)
class RawTable:
    """Rows of a file as they stand there, before one of them is taken for the heading.

    Parameters
    ----------
    rows
        Row number and cells, stripped; rows without any text are left out.
    kinds
        Excel: (row, column from 0) -> what the cell was, see `Table.kinds`.
    source
        One line: how the file was read.
    decimal
        As `Table.decimal`.
    notes
        As `Table.notes`.
    """

    rows: list[tuple[int, list[str]]]
    kinds: Mapping[tuple[int, int], str]
    source: str
    decimal: str
    notes: tuple[str, ...] = ()


def read_raw_table(path: Path, form: TableFormat) -> RawTable:
    """Read the rows of a CSV, TSV or Excel file; parameters and errors as `read_table`."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise TableError(f"expected a table at {path}, found {found}; correct its path")
    suffix = path.suffix.lower()
    _refuse_other_files(path, suffix)
    kinds: dict[tuple[int, int], str] = {}
    decimal: str = form.decimal
    if suffix in _EXCEL:
        excel = read_excel_rows(path, form.sheet)
        rows, kinds, source, notes = excel.rows, excel.kinds, excel.source, excel.notes
        decimal = decimal or "."
    else:
        text = read_text_rows(path, form)
        rows, source, notes = text.rows, text.source, text.notes
        commas = text.delimiter == ";" or (text.delimiter != "," and _has_comma_decimals(rows))
        decimal = decimal or ("" if commas else ".")
    rows = [(i, [plain_text(one_spelling(c)) for c in row]) for i, row in rows]
    return RawTable([(i, row) for i, row in rows if any(row)], kinds, source, decimal, notes)


def _refuse_other_files(path: Path, suffix: str) -> None:
    """Refuse files of other programs by name, whatever they are called."""
    with path.open("rb") as stream:
        head = stream.read(16)
    found = next((what for mark, what in _OTHER_FILES.items() if head.startswith(mark)), "")
    if head.startswith(b"PK") and suffix not in _EXCEL | _OLD_EXCEL:
        found = "a ZIP archive or an Excel file under another name"
    if suffix in _OLD_EXCEL or found:
        raise TableError(
            f"{path.name}: expected .xlsx, .csv or .tsv, found {found or suffix}; save it so"
        )


def _has_comma_decimals(rows: list[tuple[int, list[str]]]) -> bool:
    """Whether some number of a table has a decimal comma: then a point may part thousands elsewhere."""
    return any(_COMMA_DECIMALS.fullmatch(cell.strip()) for _, row in rows for cell in row)
