"""Tables: full digits in the CSV, formulas disarmed, limits in one cell, reasons for gaps."""

import csv
import io
import math
import re
from operator import itemgetter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.report.tables.baseline import Factor, baseline_table
from jecur.report.tables.table import (
    Column,
    Table,
    page_headings,
    page_reasons,
    page_rows,
    table_csv,
    write_tables,
)

SHOWN = (
    ("factor", "Factor", "text"),
    ("hazard_ratio", "HR", "ratio"),
    ("lower", "", "lower"),
    ("upper", "", "upper"),
    ("p", "p", "p"),
    ("reason", "", "reason"),
)
COLUMNS = tuple(Column(*shown, itemgetter(i)) for i, shown in enumerate(SHOWN))


def table(*rows):
    return Table.of("t", "A table", COLUMNS, rows)


def read(text):
    return list(csv.reader(io.StringIO(text)))


def test_estimate_and_limits_share_a_cell_and_keep_the_raw_number():
    (cells,) = page_rows(table(("Stage", 2.40444, 1.6, 3.5555, 0.0004, None)))
    assert [c.text for c in cells] == ["Stage", "2.40 (1.60–3.56)", "< 0.001"]
    assert float(cells[1].value) == 2.40444
    assert [h for h, _ in page_headings(table())] == ["Factor", "HR", "p"]


def test_a_missing_estimate_shows_its_reason_and_no_number():
    (cells,) = page_rows(table(("Stage", math.nan, math.nan, math.nan, math.nan, "no events")))
    assert cells[1].text == "not estimable (a)"
    assert cells[1].value == ""
    assert page_reasons(table(("Stage", math.nan, None, None, None, "no events"))) == [
        ("a", "no events")
    ]
    assert cells[2].text == "–"


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1))
def test_csv_keeps_every_digit(ratio, p):
    row = read(table_csv(table(("x", ratio, 0.1, 0.2, p, None))))[1]
    assert float(row[1]) == ratio
    assert float(row[4]) == p
    assert row[5] == ""


@given(st.sampled_from(["=", "+", "-", "@", "\t=", "\r\n@"]), st.text(max_size=20))
def test_csv_text_never_starts_a_formula(first, rest):
    row = read(table_csv(table((first + rest, 1.0, 1.0, 1.0, 1.0, ""))))[1]
    a_number = re.fullmatch(r"[+-][0-9.]+(e[+-]?[0-9]+)?", row[0], flags=re.IGNORECASE)
    assert row[0][0] == "'" or a_number  # +0 is a number to a spreadsheet too


def test_numpy_numbers_are_written_as_numbers():
    row = read(table_csv(table(("x", np.float64(2.5), 1.0, 3.0, np.float64(0.5), None))))[1]
    assert row[1:5] == ["2.5", "1.0", "3.0", "0.5"]


def test_csv_negative_numbers_stay_numbers():
    assert read(table_csv(table(("x", -1.5, -2.0, -1.0, 0.5, None))))[1][1] == "-1.5"


def test_a_repeated_value_is_shown_once_and_written_always():
    columns = (
        Column("factor", "Factor", "text", itemgetter(0), once=True),
        Column("level", "Level", "text", itemgetter(1)),
    )
    twice = Table.of("t", "", columns, (("Stage", "I"), ("Stage", "II"), ("Sex", "m")))
    assert [r[0].text for r in page_rows(twice)] == ["Stage", "", "Sex"]
    assert [r[0] for r in read(table_csv(twice))[1:]] == ["Stage", "Stage", "Sex"]


def test_tables_are_written_by_name(tmp_path):
    (path,) = write_tables([table()], tmp_path / "tables")
    assert path.name == "t.csv"
    assert path.read_text(encoding="utf-8").startswith("factor,hazard_ratio,lower")


def test_baseline_counts_known_values_and_names_the_unknown():
    everyone = np.ones(4, dtype=bool)
    high = np.array([True, True, False, False])
    factors = [
        Factor("Sex", ["f", "m", "m", None], ("m", "f")),
        Factor("Age", [50.0, 60.0, 70.0, math.nan], unit="years"),
    ]
    rows = baseline_table(factors, {"All": everyone, "High risk": high}).rows
    assert rows[0] == ("Patients", "", "4", "2")
    assert rows[1] == ("Sex", "m", "2 (67\u00a0%)", "1 (50\u00a0%)")
    assert rows[2] == ("", "f", "1 (33\u00a0%)", "1 (50\u00a0%)")
    assert rows[3] == ("", "unknown", "1", "0")
    assert rows[4] == ("Age (years)", "", "60 (55–65)", "55 (52.5–57.5)")
    assert rows[5] == ("", "unknown", "1", "0")


@pytest.mark.parametrize(
    ("p", "shown"), [(0.0009, "< 0.001"), (0.0123, "0.012"), (0.099, "0.099"), (0.0996, "0.10")]
)
def test_p_values_are_rounded_as_printed(p, shown):
    (cells,) = page_rows(table(("x", 1.0, 0.5, 2.0, p, None)))
    assert cells[2].text == shown
