"""Tables as people have them: every cell as text, every refusal with column and row."""

import pandas as pd
import pytest

from jecur.cohort.csv_text import one_spelling
from jecur.cohort.table import read_table
from jecur.errors import TableError

CONTENT = [["id", "age", "note"], ["007", "61", "Müller, A."], ["008", "", "None"]]


def _csv(path, separator, encoding):
    quoted = [separator.join(f'"{c}"' if separator in c else c for c in row) for row in CONTENT]
    path.write_bytes(("\n".join(quoted) + "\n").encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_every_encoding_and_separator_gives_the_same_text(tmp_path, encoding, separator):
    frame = read_table(_csv(tmp_path / "t.csv", separator, encoding)).frame
    assert frame.columns.tolist() == CONTENT[0]
    assert frame.to_numpy().tolist() == CONTENT[1:]
    assert frame.index.tolist() == [2, 3]  # row numbers of the file


def test_excel_keeps_text_and_empty_cells(tmp_path):
    path = tmp_path / "t.xlsx"
    pd.DataFrame(CONTENT[1:], columns=CONTENT[0]).to_excel(path, index=False)
    assert read_table(path).frame.to_numpy().tolist() == CONTENT[1:]


def test_numbers_with_decimal_comma_only_where_semicolons_separate(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id;t\na;1,5\nb;2\n")
    assert read_table(path).numbers("t", "time", ("",)).tolist() == [1.5, 2.0]
    path.write_text('id,t\na,"1,5"\nb,2\n')
    with pytest.raises(TableError, match=r"column 't', found '1,5' in row 2"):
        read_table(path).numbers("t", "time", ("",))


@pytest.mark.parametrize("bad", ["x", "nan", "inf", "1e999", "=1+1", "12 months"])
def test_what_is_no_number_is_named_with_its_row(tmp_path, bad):
    path = tmp_path / "t.csv"
    path.write_text(f"id,t\na,1\nb,{bad}\nc,\n")
    with pytest.raises(TableError, match="row 3"):
        read_table(path).numbers("t", "time", ("",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one row"),
        ("id,t\n", "at least one row"),
        ("id,id\na,b\n", "several 'id'"),
        ("id,t\na,1,2\n", "row 2"),
        ("id,t\na,\0\n", "binary"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        read_table(path)


def test_missing_file_and_missing_column_are_named(tmp_path):
    with pytest.raises(TableError, match="found none"):
        read_table(tmp_path / "no.csv")
    table = read_table(_csv(tmp_path / "t.csv", ",", "utf-8"))
    with pytest.raises(TableError, match=r"expected a column 'sex'.*found: id, age, note"):
        table.column("sex", "covariate")


@pytest.mark.parametrize(
    "cell",
    [
        "M\u00fcller",
        "Mu\u0308ller",
        "\u200bM\u00fcller",
        "M\u00fcller\u200b \ufeff",
        " \u2060 Mu\u0308ller",
    ],
)
def test_what_looks_the_same_is_spelled_the_same(tmp_path, cell):
    path = tmp_path / "t.csv"
    path.write_text(f"patient_id,{cell}\n{cell},1\n", encoding="utf-8")
    table = read_table(path)
    assert list(table.identifiers("patient_id", "patient")) == ["M\u00fcller"]
    assert list(table.frame.columns) == ["patient_id", "M\u00fcller"]


def test_a_cell_of_nothing_that_can_be_seen_is_empty():
    assert [one_spelling(c) for c in ("", " ", "\u200b", "\u200b \u200b", "\u00a0\ufeff")] == [
        ""
    ] * 5
