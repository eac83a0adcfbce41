"""Read tables as people have them: every cell as text, nothing recoded.

CSV, TSV and Excel (see `text_file` and `excel` for encodings and kinds of cells). Cells lose the
blanks around them and the apostrophe that marks text before ``= + - @``; nothing else changes.
Row numbers in messages are the file's own, the heading being row 1.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from jecur.cohort.plausible.words import is_error_cell, one_level, spelled_out
from jecur.cohort.raw_table import read_raw_table
from jecur.errors import TableError
from jecur.printable import is_printable
from jecur.settings import TableFormat

__all__ = ["Table", "list_cells", "name_rows", "read_table"]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_THOUSANDS = {m: re.compile(rf"[+-]?[1-9][0-9]{{0,2}}({re.escape(m)}[0-9]{{3}})+") for m in ",."}
_LIMIT = re.compile(r"^\s*[<>\u2264\u2265]=?\s*(?=[0-9.,])")
_ROUNDED = re.compile(r"[0-9]([.,][0-9]+)?E\+[0-9]{2,3}", re.IGNORECASE)
_NAME_YOURS = (
    "say which one is meant: in the study file, by the command's option or as the argument"
)
_LONGEST_CELL = 20_000
"""Of a column that is used: the names of many slides."""
_EXACT_DIGITS = 15  # a spreadsheet keeps no more digits of a number


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Parameters
    ----------
    name
        File name, for messages.
    frame
        Every cell a stripped string; the index is the row number in the file.
    decimal
        Mark between units and tenths; "" finds it for each column and refuses what is ambiguous.
    kinds
        Excel: column -> row -> what the cell was, "number", "percent", "date", a format of zeros and
        letters (see `jecur.cohort.excel.ExcelRows`), or "merged" into another.
    source
        One line: how the file was read.
    notes
        What a spreadsheet shows otherwise than it was read, and an encoding that was guessed.
    fixed_headings
        Its columns have names that nobody can declare otherwise.
    """

    name: str
    frame: pd.DataFrame
    decimal: str = "."
    kinds: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    source: str = ""
    notes: tuple[str, ...] = ()
    fixed_headings: bool = False

    def column(self, name: str, purpose: str) -> pd.Series:
        """One column.

        Raises
        ------
        TableError
            If it is not there; names the columns that are. If a cell holds what cannot be seen and
            acts: control characters, marks of direction, line ends. If cells are merged: the value that
            a spreadsheet shows in all of them is stored in the first alone.
        """
        if name not in self.frame.columns:
            found = ", ".join(str(c)[:60] for c in self.frame.columns[:20])
            raise TableError(
                f"{self.name}: expected a column '{name}' for the {purpose}, found: {found}; "
                + ("give yours this heading" if self.fixed_headings else _NAME_YOURS)
                + _nearly(self.frame.columns, name)
            )
        cells = self.frame[name]
        long = cells[[len(text) > _LONGEST_CELL for text in cells]]
        if len(long):
            raise TableError(
                f"{self.name}: expected at most {_LONGEST_CELL} letters in column '{name}', found "
                f"{len(long.iloc[0])} in {name_rows(long.index)}; name another column or shorten them"
            )
        odd = cells[[not is_printable(text) for text in cells]]
        if len(odd):
            raise TableError(
                f"{self.name}: expected letters that can be seen in column '{name}', found "
                f"{odd.iloc[0][:40]!a} in {name_rows(odd.index)}; type these cells again"
            )
        merged = [row for row, kind in self.kinds.get(name, {}).items() if kind == "merged"]
        if merged:
            raise TableError(
                f"{self.name}: expected a cell for each patient in column '{name}', found merged cells, "
                f"of which only the first holds the value, in {name_rows(merged)}; unmerge them and "
                "fill in each"
            )
        return cells

    def identifiers(self, name: str, purpose: str) -> pd.Series:
        """One column of ids: text cells as they are, numeric Excel cells as they are displayed.

        Raises
        ------
        TableError
            If a spreadsheet has made a date, a fraction, a rounded number or an error of an id.
        """
        text = self.column(name, purpose).copy()
        spoilt = [row for row in text.index if _is_spoilt(text[row])]
        for row, kind in self.kinds.get(name, {}).items():
            digits = text[row].lstrip("-")
            if kind in {"date", "percent"} or not digits.isdigit() or len(digits) > _EXACT_DIGITS:
                spoilt.append(row)
            elif kind != "number":
                text[row] = _as_displayed(text[row], kind)
        if spoilt:
            raise TableError(
                f"{self.name}: expected ids in column '{name}', found {text[spoilt[0]]!r} in "
                f"{name_rows(spoilt)}, which the spreadsheet keeps as a date, a fraction, an error or a "
                "number too long for it; format the column as text and enter them again"
            )
        return text

    def n_numeric_ids(self, name: str) -> int:
        """Numeric Excel cells in a column of ids: zeros in front of them are already lost."""
        return sum(kind == "number" for kind in self.kinds.get(name, {}).values())

    def numbers(
        self, name: str, purpose: str, missing: tuple[str, ...], *, limits: bool = False
    ) -> pd.Series:
        """One column as float64, NaN where the text says unknown: ``-9`` says it of ``-9.0`` too.

        ``limits`` reads ``<2`` and ``>1000`` as 2 and 1000.

        Raises
        ------
        TableError
            If a cell is neither a number nor declared missing, or its decimal mark is not clear;
            names the rows.
        """
        text = self.column(name, purpose)
        given = text[~text.isin(missing)]
        if limits:
            given = given.map(lambda cell: _LIMIT.sub("", cell, count=1))
        typed = [self.kinds.get(name, {}).get(int(row)) for row in given.index]
        self._refuse_some_percent(name, given, typed)
        # A cell that is no number with either mark must not decide which mark is in use.
        marks = self.decimal or ",."
        readable = [
            any(np.isfinite(_number(cell, mark)) for mark in ("." if kind else marks))
            for cell, kind in zip(given, typed, strict=True)
        ]
        bad = given.index[~np.array(readable, dtype=np.bool_)]
        if len(bad):
            raise TableError(
                f"{self.name}: expected numbers{_with_mark(marks)} in column '{name}', found "
                f"{list_cells(text[bad])}; correct them or declare the text as missing"
                f"{_beyond(text[bad])}"
            )
        mark = self.decimal or self._mark(name, given)
        values = [_number(c, "." if k else mark) for c, k in zip(given, typed, strict=True)]
        found = pd.Series(values, index=given.index, dtype="float64")
        codes = [n for t in missing for m in {".", mark} if np.isfinite(n := _number(t, m))]
        at_limit = text[given.index].map(lambda cell: bool(_LIMIT.match(cell)))
        return found.mask(found.isin(codes) & ~at_limit).reindex(text.index)

    def _refuse_some_percent(self, name: str, given: pd.Series, typed: list[str | None]) -> None:
        """Refuse a column in which some cells show 0.85 as 85 % and others are 85."""
        percent = given.index[[kind == "percent" for kind in typed]]
        plain = given.index[
            [k != "percent" and cell != "0" for k, cell in zip(typed, given, strict=True)]
        ]
        if len(percent) and len(plain):
            raise TableError(
                f"{self.name}: expected one unit in column '{name}', found "
                f"{given[percent[0]]!r} shown as percent in {name_rows(percent)} and "
                f"{given[plain[0]]!r} in {name_rows(plain)}; give all cells one number format and "
                "correct the numbers"
            )

    def is_percent(self, name: str) -> bool:
        """Whether the spreadsheet shows a column in percent: 0.85 as 85 %."""
        return "percent" in self.kinds.get(name, {}).values()

    def beyond_limit(self, name: str, missing: tuple[str, ...]) -> pd.Index:
        """Rows of a column whose cell is a limit: ``<2``, ``> 1000``."""
        text = self.frame[name]
        return text.index[[bool(_LIMIT.match(t)) and t not in missing for t in text]]

    def _mark(self, name: str, given: pd.Series) -> str:
        """Find the decimal mark of a column where both are in use among people."""
        rows = {mark: given.index[given.str.contains(mark, regex=False)] for mark in ",."}
        if len(rows[","]) and len(rows["."]):
            raise TableError(
                f"{self.name}: expected one decimal mark in column '{name}', found a comma in "
                f"{name_rows(rows[','])} and a point in {name_rows(rows['.'])}; correct them, or "
                "declare decimal under [cohort.format]"
            )
        mark = "," if len(rows[","]) else "."
        cells = given[rows[mark]]
        if len(cells) and all(_THOUSANDS[mark].fullmatch(cell) for cell in cells):
            raise TableError(
                f"{self.name}: expected a clear decimal mark in column '{name}', found "
                f"{cells.iloc[0]!r} in {name_rows(rows[mark])}, thousands or decimals; declare "
                "decimal under [cohort.format]"
            )
        return mark


def read_table(
    path: Path, form: TableFormat | None = None, *, fixed_headings: bool = False
) -> Table:
    """Read a CSV, TSV or Excel file.

    Parameters
    ----------
    path
        The file.
    form
        Encoding, separator, decimal mark, sheet; what is not declared is found, and told in
        `Table.source`.
    fixed_headings
        As of `Table`.

    Raises
    ------
    TableError
        If the file is absent, empty, not a table, or two columns share a name.
    """
    form = form or TableFormat()
    raw = read_raw_table(path, form)
    rows, kinds, source, decimal = raw.rows, raw.kinds, raw.source, raw.decimal
    rows, above = _below_the_heading(path.name, rows, form)
    if len(rows) < 2:
        raise TableError(f"{path.name}: expected a heading and at least one row, found {len(rows)}")
    heading, body = _heading(path.name, rows)
    index = [i for i, _ in body]
    frame = pd.DataFrame([row for _, row in body], columns=heading, index=index, dtype="object")
    if decimal == ",":
        source += ", decimal comma"
    if above or form.ignored_rows:
        source += f", heading in row {rows[0][0]}"
    if form.ignored_rows:
        source += f", not read: {name_rows(list(form.ignored_rows))}"
    by_column = _kinds_by_column(kinds, heading, set(index))
    notes = tuple(f"{path.name}: {note}" for note in raw.notes)
    return Table(path.name, frame, decimal, by_column, source, notes, fixed_headings)


def _below_the_heading(
    name: str, rows: list[tuple[int, list[str]]], form: TableFormat
) -> tuple[list[tuple[int, list[str]]], int]:
    """Rows from the heading on, less those declared to be no patients; and how many stood above."""
    numbers = {i for i, _ in rows}
    absent = [
        i for i in (*form.ignored_rows, *filter(None, [form.heading_row])) if i not in numbers
    ]
    early = [i for i in form.ignored_rows if form.heading_row and i <= form.heading_row]
    if absent or early:
        wrong = f"{name_rows(absent)}, empty or beyond its end"
        if not absent:
            wrong = f"{name_rows(early)}, not below the heading"
        raise TableError(
            f"{name}: expected heading_row and ignored_rows among the table's rows, found "
            f"{wrong}; correct them under [cohort.format]"
        )
    kept = [(i, row) for i, row in rows if i >= form.heading_row]
    return [(i, row) for i, row in kept if i not in form.ignored_rows], len(rows) - len(kept)


def _heading(
    name: str, rows: list[tuple[int, list[str]]]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Check that every row has a cell for every column; drop columns that hold nothing."""
    first, body = rows[0][1], rows[1:]
    width = len(first)
    longer = [i for i, row in body if any(row[width:])]
    shorter = [i for i, row in body if len(row) < width]
    if longer or shorter:
        row = (longer or shorter)[0]
        found = next(len(cells) for i, cells in body if i == row)
        raise TableError(
            f"{name}: expected {width} cells in every row, found {found} in "
            f"{name_rows(longer or shorter)}; quote cells that hold the separator, and give "
            "empty cells their separator"
        )
    heading = [cell or f"(column {k + 1})" for k, cell in enumerate(first)]
    repeated = sorted(c for c, n in Counter(heading).items() if n > 1)
    if repeated:
        raise TableError(
            f"{name}: expected every column once, found several '{repeated[0]}'; rename them"
        )
    return heading, [(i, row[:width]) for i, row in body]


def _kinds_by_column(
    kinds: Mapping[tuple[int, int], str], heading: list[str], rows: set[int]
) -> dict[str, dict[int, str]]:
    by_column: dict[str, dict[int, str]] = {}
    for (row, column), kind in kinds.items():
        if row in rows and column < len(heading):
            by_column.setdefault(heading[column], {})[row] = kind
    return by_column


def _as_displayed(digits: str, form: str) -> str:
    """Write a whole number in a format of zeros and letters: 7 in P000 is P007, 1234 in 00-00 is 12-34."""
    sign, rest = ("-", list(digits[1:])) if digits.startswith("-") else ("", list(digits))
    parts = re.findall(r"\\.|0", form)
    shown: list[str] = []
    for part in reversed(parts):
        shown.append(part[1:] if part != "0" else rest.pop() if rest else "0")
        if part == "0" and parts.index("0") == len(parts) - len(shown):
            shown += reversed(rest)  # digits beyond the zeros stand before the first
    return sign + "".join(reversed(shown))


def _nearly(columns: pd.Index, name: str) -> str:
    """Say how a heading differs that is the one asked for but for its spelling."""
    headings = [c for c in map(str, columns) if one_level(c) == one_level(name)]
    return f" (there is {spelled_out(headings)}: another spelling)" if headings else ""


def _is_spoilt(text: str) -> bool:
    """Whether an id is an error of a spreadsheet, or digits that it rounded: 1.23E+11."""
    return bool(_ROUNDED.fullmatch(text)) or is_error_cell(text)


def list_cells(cells: pd.Series) -> str:
    """Say each different text with its rows; of many, the first four."""
    distinct = list(dict.fromkeys(cells))
    said = [f"{_short(text)} in {name_rows(cells.index[cells == text])}" for text in distinct[:4]]
    more = f" and {len(distinct) - 4} texts more" if len(distinct) > 4 else ""
    return ", ".join(said) + more


def _beyond(cells: pd.Series) -> str:
    """Say how limits of a laboratory are read, if there are some."""
    if not any(_LIMIT.match(cell) for cell in cells):
        return ""
    return (
        '; for limits of the laboratory say beyond_limit = "limit" or "missing" for this covariate'
    )


def _short(cell: str) -> str:
    return repr(cell) if len(cell) <= 80 else f"{cell[:60]!r} and {len(cell) - 60} letters more"


def _number(cell: str, mark: str) -> float:
    """Read one number; NaN if the cell is none."""
    if mark == ",":
        if "." in cell:
            return float("nan")
        cell = cell.replace(",", ".")
    return float(cell) if _NUMBER.fullmatch(cell) else float("nan")


def _with_mark(mark: str) -> str:
    return " with a decimal comma" if mark == "," else ""


def name_rows(rows: "pd.Index | list[int]") -> str:
    """Name rows in a message: the first five and how many more."""
    shown = ", ".join(map(str, list(rows)[:5]))
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"
