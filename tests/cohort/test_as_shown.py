"""What a spreadsheet shows otherwise than it stores, days that it exchanged, and files of other programs."""

import gzip
from datetime import date, timedelta

import numpy as np
import openpyxl
import pandas as pd
import pytest
from openpyxl.styles import Font

from jecur.cohort.cohort import read_clinical, read_cohort
from jecur.cohort.table import read_table
from jecur.errors import TableError
from jecur.evaluation.given import ScoreFiles, evaluate_scores
from jecur.runs.folder import RunFolder
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    DateSettings,
    EndpointSettings,
    ScoreSettings,
    SplitSettings,
    StudySettings,
    TableFormat,
)

ROWS = [("patient_id", "time", "event"), *((f"P{k}", k + 9.5, k % 2) for k in range(12))]
ENDPOINT = EndpointSettings(
    kind="recurrence-free survival", unit="months", event_values=("1",), censored_values=("0",)
)
COLUMNS = ColumnSettings(role="", slide="")


def _book(path, *sheets, change=None):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, state in sheets or (("S", "visible"),):
        sheet = book.create_sheet(name)
        sheet.sheet_state = state
        for row in ROWS:
            sheet.append(row)
    book.active = next(k for k, one in enumerate(book) if one.sheet_state == "visible")
    if change:
        change(book.worksheets[0])
    book.save(path)
    return path


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_first_sheet_is_not_read_unless_it_is_named(tmp_path, state):
    path = _book(tmp_path / "t.xlsx", ("old", state), ("new", "visible"))
    with pytest.raises(TableError, match=r"the first is hidden.*'old', 'new'"):
        read_table(path)
    assert read_table(path, TableFormat(sheet="new")).notes == ()
    assert "is hidden" in read_table(path, TableFormat(sheet="old")).notes[0]


@pytest.mark.parametrize("others", [(), (("b", "visible"),), (("b", "visible"), ("c", "hidden"))])
def test_the_first_of_several_sheets_is_told(tmp_path, others):
    table = read_table(_book(tmp_path / "t.xlsx", ("a", "visible"), *others))
    assert len(table.notes) == bool(others)
    assert all(f"first of {len(others) + 1} sheets" in note for note in table.notes)


def _strike(sheet):
    for cell in sheet[4]:
        cell.font = Font(strike=True)


def _hide_column(sheet):
    sheet.column_dimensions["B"].hidden = True


def _hide_columns(sheet):
    sheet.column_dimensions.group("B", "D", hidden=True)


def _hide_row(sheet):
    sheet.row_dimensions[4].hidden = True


SHOWN = {
    "struck out, row 4": _strike, "columns read like the others: B": _hide_column,
    "columns read like the others: B, C": _hide_columns, "hidden rows read like the others, row 4": _hide_row,
}  # fmt: skip


@pytest.mark.parametrize("told", SHOWN)
def test_what_a_sheet_hides_or_strikes_out_is_told_where_a_result_is(tmp_path, told):
    path = _book(tmp_path / "clinical.xlsx", change=SHOWN[told])
    words = told.split(", ")[0] if "struck" in told else told
    settings = CohortSettings(endpoint=ENDPOINT, columns=COLUMNS, table=path.name)
    (note,) = read_clinical(settings, tmp_path).notes
    assert words in note
    assert "row 4" in note or "row" not in told
    assert read_clinical(settings, tmp_path).remarks == (note,)


def test_what_is_told_of_the_table_of_scores_is_told_of_the_evaluation(tmp_path):
    _book(tmp_path / "clinical.xlsx")
    scores = _book(tmp_path / "scores.xlsx", ("a", "visible"), ("b", "visible"))
    study = StudySettings(
        name="x", cohort=CohortSettings(endpoint=ENDPOINT, columns=COLUMNS, table="clinical.xlsx")
    )
    score = ScoreSettings(column="time", higher="better", cutoff=15.0)
    run = RunFolder.open(tmp_path / "out")
    found = evaluate_scores(ScoreFiles(scores), study, tmp_path, score, run)
    assert any("scores.xlsx: the first of 2 sheets" in remark for remark in found.remarks)


def test_an_encoding_that_was_guessed_is_told_and_a_declared_one_is_not(tmp_path):
    frame = pd.DataFrame(ROWS[1:], columns=[*ROWS[0]])
    frame["note"] = "M\u00fcnchen"
    frame.to_csv(tmp_path / "clinical.csv", index=False, encoding="cp1252")
    for encoding, n in (("", 1), ("cp1252", 0)):
        form = TableFormat(encoding=encoding)
        settings = CohortSettings(endpoint=ENDPOINT, columns=COLUMNS, format=form)
        assert len(read_clinical(settings, tmp_path).notes) == n


def _days(n, seed):
    rng = np.random.default_rng(seed)
    return [date(2010, 1, 1) + timedelta(int(k)) for k in rng.integers(0, 1800, n)]


def _written(days, how, form):
    """Cells of a column of texts in ``form``, of which a spreadsheet of the other order took its part."""
    return [
        date(day.year, day.day, day.month)
        if how == "taken" and day.day <= 12
        else day.strftime(form)
        for day in days
    ]


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y"])
@pytest.mark.parametrize("how", ["taken", "texts", "cells"])
@pytest.mark.parametrize("seed", range(4))
def test_days_that_a_spreadsheet_exchanged_are_refused_and_no_others(tmp_path, form, how, seed):
    days = _days(40, seed)
    cells = days if how == "cells" else _written(days, how, form)
    book = openpyxl.Workbook()
    book.active.append(("patient_id", "op", "seen", "event"))
    for k, cell in enumerate(cells):
        book.active.append((f"P{k}", cell, date(2016, 1, 1) + timedelta(31 * k), str(k % 2)))
    book.save(tmp_path / "clinical.xlsx")
    endpoint = EndpointSettings(
        kind="recurrence-free survival", event_values=("1",), censored_values=("0",),
        dates=DateSettings(surgery="op", last_contact="seen", format=form),
    )  # fmt: skip
    settings = CohortSettings(endpoint=endpoint, columns=COLUMNS, table="clinical.xlsx")
    if how == "taken":
        with pytest.raises(
            TableError, match=r"column 'op': expected days written in one way.* rows? "
        ):
            read_clinical(settings, tmp_path)
    else:
        found = read_clinical(settings, tmp_path)
        assert [round(p.months * 365.25 / 12) for p in found.patients] == [
            (date(2016, 1, 1) + timedelta(31 * k) - day).days for k, day in enumerate(days)
        ]


SHOWN_IDS = {  # number format -> number -> what a spreadsheet shows
    "000": {7: "007", 1234: "1234"},
    '"P"000': {7: "P007", 1234: "P1234"},
    "\\P000": {7: "P007"},
    '"LIV-"0': {7: "LIV-7"},
    "000-00-0000": {123456789: "123-45-6789", 7: "000-00-0007"},
    "00\\-00": {1234: "12-34", 7: "00-07", 12345: "123-45"},
    '0000"/B"': {7: "0007/B"},
    "0": {7: "7"},
    "General": {7: "7"},
    "#,##0": {1234: "1234"},
}


@pytest.mark.parametrize("form", SHOWN_IDS)
def test_an_identifier_is_what_the_spreadsheet_shows(tmp_path, form):
    book = openpyxl.Workbook()
    book.active.append(("patient_id", "time"))
    for k, number in enumerate(SHOWN_IDS[form], 2):
        for column in (1, 2):
            book.active.cell(k, column).value = number
            book.active.cell(k, column).number_format = form
    book.save(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx")
    assert table.identifiers("patient_id", "patient").tolist() == list(SHOWN_IDS[form].values())
    assert table.numbers("time", "time", ()).tolist() == list(SHOWN_IDS[form])


@pytest.mark.parametrize("heading", ["Time", "time\u00a0", "t\u0456me", "ti me"])
def test_a_heading_that_is_nearly_the_one_asked_for_is_named(tmp_path, heading):
    frame = pd.DataFrame(ROWS[1:], columns=["patient_id", heading, "event"])
    frame.to_csv(tmp_path / "clinical.csv", index=False)
    settings = CohortSettings(endpoint=ENDPOINT, columns=COLUMNS)
    if heading.strip() == "time":
        assert len(read_clinical(settings, tmp_path).patients) == 12
        return
    with pytest.raises(
        TableError, match=r"column 'time' for the time.*\(there is .*another spelling\)"
    ):
        read_clinical(settings, tmp_path)


def test_days_that_divide_patients_are_looked_at_too(tmp_path):
    book = openpyxl.Workbook()
    book.active.append((*ROWS[0], "op"))
    for row, day in zip(ROWS[1:], _written(_days(12, 1), "taken", "%d/%m/%Y"), strict=True):
        book.active.append((*row, day))
    book.save(tmp_path / "clinical.xlsx")
    split = SplitSettings(
        by="date", date_column="op", date_format="%d/%m/%Y", validation_from="2012-01-01"
    )
    settings = CohortSettings(
        endpoint=ENDPOINT, columns=COLUMNS, table="clinical.xlsx", split=split
    )
    with pytest.raises(TableError, match="column 'op': expected days written in one way"):
        read_cohort(settings, tmp_path)


FILES = {
    "t.csv.gz": (gzip.compress(b"a,b\n1,2\n"), "gzip"),
    "t.rds": (gzip.compress(b"X\n"), "gzip"),
    "t.parquet": (b"PAR1\x15\x04", "Parquet"),
    "t.sav": (b"$FL2@(#) SPSS", "SPSS"),
    "t.dta": (b"<stata_dta><header>", "Stata"),
    "t.csv": (b"PK\x03\x04", "Excel file under another name"),
    "old.csv": (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel"),
    "t.ods": (b"PK\x03\x04", ".ods"),
    "t.pdf": (b"%PDF-1.7", "PDF"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_program_is_refused_by_its_name(tmp_path, name):
    raw, said = FILES[name]
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(TableError, match=f"found .*{said}.*; save it so"):
        read_table(tmp_path / name)
