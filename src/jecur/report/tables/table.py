"""Tables: raw values once, shown rounded in the page and in full in the CSV file.

A page shows an estimate and its two limits in one cell; the CSV file keeps them in three
columns. Where a statistic could not be computed the cell says so and the row gives the reason.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jecur.cohort.csv_text import safe_text
from jecur.printable import plain_number
from jecur.report.wording import (
    NO_NUMBER,
    format_limits,
    format_minutes,
    format_number,
    format_p,
    format_percent,
    format_ratio,
)
from jecur.runs.folder import write_text

__all__ = [
    "Cell",
    "Column",
    "Kind",
    "Table",
    "Value",
    "page_headings",
    "page_reasons",
    "page_rows",
    "table_csv",
    "write_tables",
]

Value = str | int | float | None
Kind = Literal[
    "text",
    "count",
    "ratio",
    "p",
    "months",
    "minutes",
    "percent",
    "score",
    "number",
    "lower",
    "upper",
    "reason",
]
_FORMATS: dict[Kind, Callable[[float], str]] = {
    "ratio": format_ratio,
    "p": format_p,
    "percent": format_percent,
    "score": lambda v: format_number(v, 3),
    "months": lambda v: format_number(v, 1),
    "minutes": format_minutes,
    "number": format_number,
    "count": plain_number,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Parameters
    ----------
    key
        Heading in the CSV file.
    heading
        Heading in the page.
    kind
        How values are shown. "lower" and "upper" are limits of the column before them and share
        its cell; "reason" says why a row's numbers are missing and stands, once, below the table.
    value
        Fetches the value from whatever a row of the table is about.
    """

    key: str
    heading: str
    kind: Kind
    value: Callable[[Any], Value]
    once: bool = False
    """Shown in the first row of those that share a first value; the CSV file repeats it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of raw values; one value a column in each row, NaN or None where unknown."""

    name: str
    """File name of the CSV without its ending."""
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        caption: str,
        columns: Sequence[Column],
        things: Iterable[object],
        note: str = "",
    ) -> "Table":
        """Tabulate things, one a row: every column fetches its value."""
        rows = tuple(tuple(column.value(thing) for column in columns) for thing in things)
        return cls(name, caption, tuple(columns), rows, note)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a page."""

    text: str
    value: str
    """The raw number in full; empty for text."""
    numeric: bool
    missing: bool = False


def page_rows(table: Table) -> list[list[Cell]]:
    """Return the cells that a page shows, row by row."""
    letters = {reason: letter for letter, reason in page_reasons(table)}
    before: tuple[Value, ...] = (None,)
    out = []
    for row in table.rows:
        repeated = row[0] == before[0] and isinstance(row[0], str)
        hidden = [repeated and column.once for column in table.columns]
        shown = tuple("" if gone else v for v, gone in zip(row, hidden, strict=True))
        out.append(_page_row(table.columns, shown, letters))
        before = row
    return out


def page_reasons(table: Table) -> list[tuple[str, str]]:
    """Return (letter, reason) of every reason why a number is missing, each once."""
    found = (_reason(table.columns, row) for row in table.rows)
    unique = list(dict.fromkeys(reason for reason in found if reason))
    return [(_letter(i), reason) for i, reason in enumerate(unique)]


def page_headings(table: Table) -> list[tuple[str, bool]]:
    """Return heading and whether its column is numeric, for the columns a page shows."""
    shown = [c for c in table.columns if c.kind not in {"lower", "upper", "reason"}]
    return [(c.heading, c.kind != "text") for c in shown]


def table_csv(table: Table) -> str:
    """Return a table as CSV text: all columns, numbers in full, formulas made harmless."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([c.key for c in table.columns])
    writer.writerows([[_csv_value(v) for v in row] for row in table.rows])
    return stream.getvalue()


def write_tables(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write each table as ``folder/<name>.csv``."""
    return [write_text(folder / f"{t.name}.csv", table_csv(t)) for t in tables]


def _reason(columns: Sequence[Column], row: Sequence[Value]) -> str:
    pairs = zip(columns, row, strict=True)
    return next((str(v) for c, v in pairs if c.kind == "reason" and v), "")


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"a{index}"


def _page_row(
    columns: Sequence[Column], row: Sequence[Value], letters: Mapping[str, str]
) -> list[Cell]:
    reason = _reason(columns, row)
    cells: list[Cell] = []
    for index, (column, value) in enumerate(zip(columns, row, strict=True)):
        if column.kind in {"lower", "upper", "reason"}:
            continue
        cell = _cell(column.kind, value)
        kinds = [c.kind for c in columns[index + 1 : index + 3]]
        limits = row[index + 1 : index + 3] if kinds == ["lower", "upper"] else ()
        if limits and not cell.missing:
            cell = Cell(
                f"{cell.text} {_ends(column.kind, value, limits)}", cell.value, numeric=True
            )
        if limits and cell.missing and reason:
            words = "not reached" if column.kind == "months" else "not estimable"
            cell = Cell(f"{words} ({letters[reason]})", "", numeric=True, missing=True)
        cells.append(cell)
    return cells


def _cell(kind: Kind, value: Value) -> Cell:
    missing = _unknown(value)
    raw = "" if missing or isinstance(value, str) else _digits(value)
    return Cell(_show(kind, value), raw, numeric=kind != "text", missing=missing)


def _show(kind: Kind, value: Value) -> str:
    if isinstance(value, str):
        return value
    if value is None or _unknown(value):
        return NO_NUMBER
    return _FORMATS[kind](value) if kind in _FORMATS else str(value)


def _ends(kind: Kind, value: Value, limits: Sequence[Value]) -> str:
    """Limits in brackets; a median whose limit the curve does not reach says so."""
    if all(_unknown(v) for v in limits):
        return "(no interval)"
    gap = "not reached" if kind == "months" else NO_NUMBER
    low, high = (gap if _unknown(v) else _show(kind, v) for v in limits)
    numbers = [v for v in (value, *limits) if isinstance(v, int | float) and not _unknown(v)]
    if kind == "ratio" and len(numbers) == 3:
        low, high = format_limits(*numbers)
    if kind == "percent":
        low, high = low.rstrip("%\u00a0"), high.rstrip("%\u00a0")
    between = " to " if "−" in low + high else "–"
    return f"({low}{between}{high})"


def _unknown(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _csv_value(value: Value) -> str:
    if value is None or _unknown(value):
        return ""
    if isinstance(value, str):
        return str(safe_text(re.sub(r"[\r\n\t]", " ", value)))
    return _digits(value)


def _digits(value: float | None) -> str:
    """Write a number so that reading it gives the same number; NumPy's own included."""
    return repr(float(value)) if isinstance(value, float) else str(value)
