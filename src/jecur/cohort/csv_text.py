"""CSV text that a spreadsheet shows and never runs.

A cell that starts with ``=``, ``+``, ``-`` or ``@`` is a formula to a spreadsheet, whoever wrote
it; so are their full-width and small forms, also behind blanks, tabs, quotes and characters that
have no width, and behind a ``;`` where a spreadsheet splits there. On the way out such a text
(never a number) gets an apostrophe in front, the spreadsheet's own mark for text, and characters
that act on a terminal or turn the order of letters become escapes; on the way in `plain_text` takes
the apostrophe off, so that ids still match.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

import pandas as pd

from jecur.printable import printable

__all__ = ["csv_rows", "csv_text", "one_spelling", "plain_text", "safe_text"]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SIGNS = frozenset("=+-@")
_LEADERS = frozenset("'\"`\u00b4\u2018\u2019\u201c\u201d\uff07\uff02")
_RUNS_AT_ONCE = frozenset("\t\r")
_NO_WIDTH = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_PARTS = re.compile(r"([;\n])")
_SUSPECT = re.compile(r"[=+\-@\t\r]|[^\x20-\x7e]")


def safe_text(value: object) -> object:
    """Return a cell to write: a risky text with an apostrophe in front, all else as it is."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    if not _SUSPECT.search(value):
        return printable(value)
    return "".join(
        f"'{part}" if _risky(part) and not _NUMBER.fullmatch(part) else part
        for part in _PARTS.split(printable(value))
    )


def plain_text(cell: str) -> str:
    """Undo `safe_text`: ``'=A1`` is the text ``=A1``."""
    if "'" not in cell:
        return cell
    return "".join(
        part[1:] if part.startswith("'") and _risky(part[1:]) else part
        for part in _PARTS.split(cell)
    )


def one_spelling(cell: str) -> str:
    """Spell a text in one way: what looks the same is the same patient, level or name.

    Blanks, and characters without width, go from both ends. Letters with marks are one character each
    (NFC): macOS writes names of files in two.
    """
    cell = cell.strip()
    if cell.isascii():
        return cell
    cell = unicodedata.normalize("NFC", cell)
    while (bare := cell.strip(_NO_WIDTH).strip()) != cell:
        cell = bare
    return cell


def _risky(part: str) -> bool:
    """Whether a spreadsheet may take a text for a formula, whatever stands before the sign."""
    for letter in part:
        if letter in _RUNS_AT_ONCE:
            return True
        if letter in _LEADERS or letter.isspace() or unicodedata.category(letter) in {"Cf", "Cc"}:
            continue
        return unicodedata.normalize("NFKC", letter)[0] in _SIGNS
    return False


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
