"""Rows of cells out of a text file, in whatever encoding and with whatever separator.

What the study file declares is taken; what it does not is found by a stated rule and told:
a byte-order mark, else UTF-8, else Windows-1252; the separator that cuts the heading into most
cells. Nothing is decoded with replacement characters.
"""

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from jecur.errors import TableError
from jecur.settings import TableFormat

__all__ = ["TextRows", "decode", "read_text_rows"]

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig", "UTF-8 with a mark"),
    (b"\xff\xfe", "utf-16", "UTF-16"),
    (b"\xfe\xff", "utf-16", "UTF-16"),
)
_GUESSED = "Windows-1252"
_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_UTF8_PAIR = re.compile(rb"[\xc3\xc4\xc5\xce\xd0][\x80-\xbf]|[\xe2-\xe9][\x80-\xbf]{2}")
_MOST_BYTES = 64 * 2**20
_MOST_CELLS, _MOST_COLUMNS = 2_000_000, 16_384
"""Of a clinical table; a spreadsheet has no further column."""
_NO_TABLES = {"punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape", "utf_7"}
"""Codecs that are no encoding of files, or whose time grows with the square of the length."""
_HINT = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextRows:
    """Rows of cells and how they were read.

    Parameters
    ----------
    rows
        Each with its row number as a spreadsheet shows it.
    delimiter
        What separated the cells.
    source
        One line: encoding and separator, for the record.
    notes
        An encoding that nothing but its letters can confirm.
    """

    rows: list[tuple[int, list[str]]]
    delimiter: str
    source: str
    notes: tuple[str, ...] = ()


def read_text_rows(path: Path, form: TableFormat) -> TextRows:
    """Read a CSV or TSV file.

    Raises
    ------
    TableError
        If it cannot be decoded, or quotes do not match: names the row.
    """
    text, encoding = decode(path, form.encoding)
    first = 1
    delimiter: str = form.delimiter
    if hint := _HINT.match(text):  # a line that some spreadsheets write and understand
        text, first = text[hint.end() :], 2
        delimiter = delimiter or hint.group(1)
    delimiter = delimiter or ("\t" if path.suffix.lower() == ".tsv" else _delimiter(path, text))
    _refuse_large(path, text, delimiter)
    rows = []
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, strict=True)
    while True:
        try:
            rows.append(next(reader))
        except StopIteration:
            break
        except csv.Error as error:
            raise TableError(
                f"{path.name}: expected quotes that match and cells of at most "
                f"{csv.field_size_limit()} letters, found an error in row {len(rows) + first} "
                f"({error}); correct that row"
            ) from error
    source = f"{path.name}: {encoding}, separated by {_NAMES[delimiter]}"
    notes = (f"read as {encoding}",) if encoding.startswith(_GUESSED) else ()
    return TextRows(list(enumerate(rows, first)), delimiter, source, notes)


def decode(path: Path, declared: str = "") -> tuple[str, str]:
    """Return a file's text and the name of its encoding.

    Raises
    ------
    TableError
        If it is not text in the declared encoding, or in any that is tried.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise _too_large(path, f"{path.stat().st_size / 2**20:.0f} MiB")
    raw = path.read_bytes()
    if declared:
        return _decode_as(path.name, raw, declared), declared
    for mark, encoding, name in _MARKS:
        if raw.startswith(mark):
            return _decode_as(path.name, raw, encoding), name
    if b"\0" in raw:
        raise TableError(
            f"{path.name}: expected text, found binary data; save the table as CSV in UTF-8, or "
            'declare encoding = "utf-16-le" if it is UTF-16 without a mark'
        )
    try:
        return raw.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
    if _UTF8_PAIR.search(raw):
        raise TableError(
            f"{path.name}: expected one encoding, found UTF-8 letters and, in row {row}, a byte "
            "that is none; save the table again in UTF-8, or declare its encoding"
        )
    name = f"{_GUESSED} (row {row} is no UTF-8; declare the encoding if letters are wrong)"
    return _decode_as(path.name, raw, "cp1252"), name


def _encoding_of_files(name: str) -> str:
    if codecs.lookup(name).name.replace("-", "_") in _NO_TABLES:
        raise LookupError(f"{name} is no encoding of files")
    return name


def _decode_as(name: str, raw: bytes, encoding: str) -> str:
    try:
        text = raw.decode(_encoding_of_files(encoding))
    except (ValueError, LookupError) as error:
        raise TableError(
            f"{name}: expected text in {encoding}, found: {error}; declare its encoding under "
            "[cohort.format]"
        ) from error
    if "\0" in text:
        raise TableError(f"{name}: expected text in {encoding}, found binary data")
    return text.removeprefix("\ufeff")


def _delimiter(path: Path, text: str) -> str:
    heading = text.lstrip("\r\n ").splitlines()[:1]
    found = {d: _n_cells(heading, d) for d in _DELIMITERS}
    most = max(found.values())
    best = [d for d, n in found.items() if n == most]
    if most > 1 and len(best) > 1:
        names = " and ".join(_NAMES[d] for d in best)
        raise TableError(
            f"{path.name}: expected one separator in the heading, found {names} equally often; "
            "declare delimiter under [cohort.format]"
        )
    return best[0]


def _n_cells(heading: list[str], delimiter: str) -> int:
    """Cells that a separator cuts the heading into; 1 where it leaves one too long to read."""
    try:
        return len(next(csv.reader(heading, delimiter=delimiter), []))
    except csv.Error:
        return 1


def _refuse_large(path: Path, text: str, delimiter: str) -> None:
    """Refuse what is larger than a clinical table before it is cut into cells."""
    heading, _, _ = text.lstrip("\r\n ").partition("\n")
    columns, cells = heading.count(delimiter) + 1, text.count(delimiter) + text.count("\n") + 1
    if columns > _MOST_COLUMNS:
        raise _too_large(path, f"{columns} columns")
    if cells > _MOST_CELLS:
        raise _too_large(path, f"{cells} cells")


def _too_large(path: Path, found: str) -> TableError:
    return TableError(
        f"{path.name}: expected a clinical table (at most {_MOST_BYTES >> 20} MiB, {_MOST_CELLS} "
        f"cells, {_MOST_COLUMNS} columns), found {found}; keep the columns that the study names",
        code="large-table",
    )
