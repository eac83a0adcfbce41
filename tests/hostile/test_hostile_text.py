"""Text that would act: nothing runs in a spreadsheet, on a terminal or in a page."""

import csv
import io
import json
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markup import escape

from jecur.cli.console import SafeConsole
from jecur.cohort.csv_text import csv_rows, csv_text, plain_text, safe_text
from jecur.printable import is_printable, printable, printable_json, printable_line
from jecur.report.tables.table import Column, Table, table_csv
from jecur.runs.folder import write_json

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
LEADS = [
    "",
    " ",
    "\t",
    "\r",
    "\n",
    "\u00a0",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\u2060",
    "'",
    '"',
    "''",
]
LEADS += ["\u201c", "\uff07", " \u200b'", "\x00", "\x1b"]
ACTING = "\x00\x07\x08\x0d\x1b\x7f\x80\x9b\u00ad\u061c\u200b\u200e\u200f\u202a\u202e\u2028\u2066\u2069\ufeff"


def _spreadsheet_cells(text):
    """Cells of every spreadsheet: those that split at commas, and those that split at semicolons."""
    rows = [*csv.reader(io.StringIO(text)), *csv.reader(io.StringIO(text), delimiter=";")]
    return [cell for row in rows for cell in row]


def _runs(cell):
    bare = "".join(c for c in cell if unicodedata.category(c) not in {"Cc", "Cf"}).strip()
    bare = bare.strip('"\u201c')
    return bare[:1] in set(SIGNS) or cell[:1] in {"\t", "\r"}


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("lead", LEADS, ids=ascii)
def test_a_formula_in_any_spelling_runs_in_no_file_of_ours(lead, sign):
    cell = f"{lead}{sign}cmd|' /C calc'!A0"
    frame = pd.DataFrame({cell: [cell, f"a;{cell}"], "x": [1.0, 2.0]})
    column = Column("x", "x", "text", str)
    texts = (
        csv_text(frame),
        csv_rows([cell], [[cell], [f"a;{cell}"]]),
        table_csv(Table("t", "", (column,), ((cell,), (f"a;{cell}",)))),
    )
    for text in texts:
        assert not [c for c in _spreadsheet_cells(text) if _runs(c)]


@given(st.text(alphabet=st.sampled_from("=+-@\uff1d';\"\t ax1\u00e9"), max_size=8))
def test_what_is_marked_on_the_way_out_is_itself_on_the_way_in(text):
    assert plain_text(str(safe_text(text))) == text


@pytest.mark.parametrize("number", ["-1", "+1.5", "-.5e-3", "1", "-0"])
def test_numbers_stay_numbers(number):
    assert safe_text(number) == number
    assert csv_text(pd.DataFrame({"x": [-1.5]})) == "x\n-1.5\n"


@pytest.mark.parametrize("letter", ACTING, ids=ascii)
def test_no_letter_acts_anywhere(tmp_path, letter):
    text = f"a{letter}b"
    shown = printable(text)
    assert letter not in shown
    assert shown.startswith("a\\")
    assert not is_printable(text)
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=200)
    console.print(text)
    console.print_json(data={text: text})
    path = write_json(tmp_path / "x.json", {text: [text]})
    assert letter not in stream.getvalue().replace("\x1b[", "[")  # rich's own colors
    assert letter not in path.read_text()
    assert json.loads(path.read_text()) == {text: [text]}
    assert letter not in str(safe_text(text))


@given(st.text(max_size=30))
@pytest.mark.slow
def test_shown_text_holds_no_acting_letter_and_json_means_the_same(text):
    line = printable_line(text)
    assert not [c for c in line if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert printable_line(line) == line
    document = json.dumps([text], ensure_ascii=False)
    assert json.loads(printable_json(document)) == [text]


@pytest.mark.parametrize(
    "text", ["Müller", "肝细胞癌", "Печень", "كبد", "naïve – “x” ≥ µ", "a b\tc\nd"]
)
def test_ordinary_text_of_any_language_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize("text", [":smile:", "[bold]x[/]", "[link=file:///x]y[/link]"])
def test_text_is_no_markup(text):
    stream = io.StringIO()
    SafeConsole(file=stream, width=200).print(escape(text))
    assert stream.getvalue().strip() == text
