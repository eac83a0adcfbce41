"""CSV text that a spreadsheet shows and never runs.

A cell that starts with ``=``, ``+``, ``-`` or ``@`` is a formula to a spreadsheet, whoever wrote
it. On the way out such a text (never a number) gets an apostrophe in front, the spreadsheet's own
mark for text; on the way in `plain_text` takes it off, so that ids still match.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

import pandas as pd

__all__ = ["csv_rows", "csv_text", "plain_text", "safe_text"]

_RISKY = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def safe_text(value: object) -> object:
    """Return a cell to write: a risky text with an apostrophe in front, all else as it is."""
    if isinstance(value, str) and _RISKY.match(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def plain_text(cell: str) -> str:
    """Undo `safe_text`: ``'=A1`` is the text ``=A1``."""
    return cell[1:] if _MARKED.match(cell) else cell


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV, every cell and heading through `safe_text`; missing cells are empty.

    Parameters
    ----------
    frame
        Its index is not written.
    """
    safe = frame.map(safe_text)
    safe.columns = pd.Index([safe_text(c) for c in frame.columns])
    return str(safe.to_csv(index=False, lineterminator="\n"))


def csv_rows(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write rows as CSV, every cell through `safe_text`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([safe_text(cell) for cell in row] for row in (heading, *rows))
    return stream.getvalue()
