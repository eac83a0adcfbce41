"""One level, patient or unit written in two ways: refused or told, whichever way it is written."""

import io

import numpy as np
import openpyxl
import pandas as pd
import pytest

from jecur.cohort.cohort import read_clinical
from jecur.cohort.excel import read_excel_rows
from jecur.cohort.plausible.words import alike, one_id, one_level
from jecur.cohort.table import read_table
from jecur.errors import TableError
from jecur.settings import CohortSettings, ColumnSettings, Covariate, EndpointSettings

ENDPOINT = EndpointSettings(
    kind="recurrence-free survival", unit="months", event_values=("1",), censored_values=("0",)
)
STAGE = Covariate(column="stage", kind="categorical")
N = 24
OTHERWISE = {
    "upper case": str.upper,
    "lower case": str.lower,
    "a blank that does not break": lambda t: t.replace(" ", "\u00a0"),
    "two blanks": lambda t: t.replace(" ", "  "),
    "no blank": lambda t: t.replace(" ", ""),
    "another dash": lambda t: t.replace("-", "\u2013"),
    "a dash that does not break": lambda t: t.replace("-", "\u2011"),
    "full width": lambda t: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in t),
    "Roman numerals of one letter": lambda t: t.replace("II", "\u2161"),
}


def _frame(levels):
    return pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(N)],
            "time": np.arange(N) + 20.5,
            "event": np.arange(N) % 2,
            "stage": np.resize(levels, N),
            "site": "A",
        }
    )


def _read(folder, frame, covariate=STAGE, site="", **changes):
    if isinstance(frame, pd.DataFrame):
        frame.to_csv(folder / "clinical.csv", index=False)
    settings = CohortSettings(
        endpoint=ENDPOINT,
        columns=ColumnSettings(role="", slide="", site=site),
        covariates=(covariate,) if covariate else (),
        **changes,
    )
    return read_clinical(settings, folder)


@pytest.mark.parametrize("way", OTHERWISE)
def test_a_level_in_two_spellings_is_refused_declared_or_not(tmp_path, way):
    level = "Stage II-b"
    frame = _frame(["Stage I", level])
    assert len({p.covariates["stage"] for p in _read(tmp_path, frame).patients}) == 2
    other = OTHERWISE[way](level)
    assert other != level
    frame.loc[7, "stage"] = other
    declared = Covariate(column="stage", kind="categorical", levels=("Stage I", level, other))
    for covariate in (STAGE, declared):
        with pytest.raises(
            TableError, match="column 'stage': expected each level in one"
        ) as caught:
            _read(tmp_path, frame, covariate)
        assert "row 9" in caught.value.message
        kept = _read(tmp_path, frame, covariate, implausible="warn")
        assert [d.code for d in kept.doubts] == ["levels-alike"]


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("2", "02"), ("0.5", ".5"), ("1", "+1")])
def test_a_number_in_two_spellings_is_one_level(tmp_path, one, other):
    with pytest.raises(TableError, match="one spelling"):
        _read(tmp_path, _frame([one, "3", other, "3", one, "4"]))


def test_other_levels_stay_other_levels():
    levels = [
        "+",
        "++",
        "-",
        "0",
        "1",
        "10",
        "<5",
        ">5",
        "I",
        "II",
        "III",
        "T1a",
        "T1b",
        "A/B",
        "AB",
    ]
    levels += ["1-2", "12", "yes", "no", "pT1", "T1", "N0", "N1", "m", "f", "R0", "R1", "é", "e"]
    assert alike(levels, one_level) == ()
    assert (
        alike([f"P{k}" for k in range(2000)] + [f"TCGA-AB-{k:04}" for k in range(2000)], one_id)
        == ()
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P007", "p007"),
        ("P007", "P7"),
        ("P007", "\uff30007"),
        ("P-007", "P 007"),
        ("P-007", "P_007-"),
        ("7", "007"),
        ("7", "7.0"),
    ],
)
@pytest.mark.parametrize("column", ["patient_id", "site"])
def test_patients_and_sites_in_two_spellings_are_told(tmp_path, column, one, other):
    frame = _frame(["I", "II"])
    frame[column] = [f"Q{k}" for k in range(N)]
    assert _read(tmp_path, frame, site="site").doubts == ()
    frame.loc[[3, 5], column] = [one, other]
    found = _read(tmp_path, frame, site="site")
    (told,) = found.doubts
    assert told.code == "names-alike"
    assert "in rows 5, 7" in told.message
    assert len(found.patients) == N


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_point_beside_decimal_commas_may_part_thousands(tmp_path, separator):
    rows = [["id", "afp", "size"], ["a", "1.234", "3,5"], ["b", "400", "2,25"]]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n")
    table = read_table(path)
    assert table.numbers("size", "covariate", ("",)).tolist() == [3.5, 2.25]
    with pytest.raises(TableError, match=r"clear decimal mark in column 'afp', found '1\.234'"):
        table.numbers("afp", "covariate", ("",))


def test_points_are_decimals_in_tabs_without_a_comma(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("id\tafp\nx, y\t1.234\nb\t400\n")
    assert read_table(path).numbers("afp", "covariate", ("",)).tolist() == [1.234, 400.0]


def _workbook(path, rows, formats=(), merged=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, form in dict(formats).items():
        book.active[cell].number_format = form
    for area in merged:
        book.active.merge_cells(area)
    stream = io.BytesIO()
    book.save(stream)
    path.write_bytes(stream.getvalue())
    return read_table(path)


@pytest.mark.parametrize("form", ["0%", "0.00%", '0.0" "%', "#,##0%;-0%"])
def test_percent_beside_plain_numbers_are_two_units(tmp_path, form):
    rows = [["id", "x"], ["a", 0.85], ["b", 85], ["c", 0]]
    every = _workbook(tmp_path / "t.xlsx", rows[:2], {"B2": form})
    assert every.numbers("x", "covariate", ("",)).tolist() == [0.85]
    zero = _workbook(tmp_path / "t.xlsx", [rows[0], rows[1], rows[3]], {"B2": form})
    assert zero.numbers("x", "covariate", ("",)).tolist() == [0.85, 0.0]
    mixed = _workbook(tmp_path / "t.xlsx", rows, {"B2": form})
    with pytest.raises(TableError, match=r"one unit in column 'x'.* in row 2 and '85' in row 3"):
        mixed.numbers("x", "covariate", ("",))


@pytest.mark.parametrize("form", ['0"%"', r"0\%", "General", "0.00"])
def test_a_percent_sign_that_is_a_letter_changes_no_number(tmp_path, form):
    table = _workbook(tmp_path / "t.xlsx", [["id", "x"], ["a", 85], ["b", 80]], {"B2": form})
    assert table.numbers("x", "covariate", ("",)).tolist() == [85.0, 80.0]


AREAS = {
    "B2:B3": {"x"},
    "B4:C4": {"y"},
    "A2:A4": {"id"},
    "B2:C3": {"x", "y"},
    "A5:B6": {"id", "x"},
}


@pytest.mark.parametrize("area", AREAS)
def test_merged_cells_are_refused_where_a_column_is_used(tmp_path, area):
    rows = [["id", "x", "y"], *([f"P{k}", k, k] for k in range(5))]
    table = _workbook(tmp_path / "t.xlsx", rows, merged=[area])
    for name in ("id", "x", "y"):
        if name in AREAS[area]:
            with pytest.raises(TableError, match=f"column '{name}', found merged cells"):
                table.column(name, "covariate")
        else:
            assert len(table.column(name, "covariate")) == 5


def test_a_title_over_merged_cells_takes_nothing(tmp_path):
    rows = [["Our cohort"], [], ["id", "x"], ["a", 1], ["b", 2], ["a legend below"]]
    path = tmp_path / "t.xlsx"
    _workbook(path, [*rows[:1], *rows[2:5]], merged=["A1:B1"])
    form = CohortSettings(endpoint=ENDPOINT).format
    table = read_table(path, type(form)(heading_row=2))
    assert table.numbers("x", "covariate", ("",)).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("hidden", [(), (3,), (2, 4)])
def test_rows_that_a_sheet_hides_are_read_and_told(tmp_path, hidden):
    path = tmp_path / "t.xlsx"
    rows = [("patient", "months"), ("A", 3), ("B", 4), ("C", 5)]
    _workbook(path, rows)
    book = openpyxl.load_workbook(path)
    for row in hidden:
        book.active.row_dimensions[row].hidden = True
    book.save(path)
    found = read_excel_rows(path, "")
    assert [cells[0] for _, cells in found.rows] == ["patient", "A", "B", "C"]
    told = (
        f"{len(hidden)} hidden rows read like the others, row {min(hidden, default=0)} the first",
    )
    assert found.notes == (told if hidden else ())
    assert read_table(path).notes == tuple(f"t.xlsx: {note}" for note in found.notes)


@pytest.mark.parametrize("name", ["Total", "SUMME:", "mean", "n = 6", "Std. Dev.", "Gesamt"])
def test_a_row_that_sums_up_the_patients_is_none(tmp_path, name):
    frame = _frame(["I", "II"])
    frame.loc[4, "patient_id"] = name
    with pytest.raises(TableError, match=r"expected a patient in each row.* in row 6"):
        _read(tmp_path, frame)
    frame.loc[4, "patient_id"] = "SD"
    assert len(_read(tmp_path, frame).patients) == N
