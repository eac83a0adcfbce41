"""Codes for unknown, sites and columns that are there twice in other spellings; cells shown otherwise."""

import numpy as np
import openpyxl
import pandas as pd
import pytest
from openpyxl.comments import Comment

from jecur.cohort.cohort import Patient, read_clinical, read_cohort
from jecur.cohort.splits import split_patients
from jecur.errors import TableError
from jecur.scored.slide_table import read_slide_table
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    EndpointSettings,
    SplitSettings,
)

ENDPOINT = EndpointSettings(
    kind="recurrence-free survival", unit="months", event_values=("1",), censored_values=("0",)
)
N = 24


def _frame(**more):
    return pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(N)],
            "time": np.arange(N) + 20.5,
            "event": np.arange(N) % 2,
            **more,
        }
    )


def _settings(covariates=(), site="", **more):
    columns = ColumnSettings(role="", slide="", site=site)
    return CohortSettings(endpoint=ENDPOINT, columns=columns, covariates=covariates, **more)


def _read(folder, frame, covariates=(), **more):
    frame.to_csv(folder / "clinical.csv", index=False)
    return read_clinical(_settings(covariates, **more), folder)


@pytest.mark.parametrize(
    ("code", "cell"), [("-9", "-9.0"), ("999", "999.00"), ("99", "+99"), ("-1", "-1e0")]
)
def test_a_number_that_means_unknown_does_so_however_it_is_written(tmp_path, code, cell):
    value = Covariate(column="x", missing_values=("", code))
    frame = _frame(x=[str(10 + k) for k in range(N)])
    frame["time"] = frame["time"].map(str)
    frame.loc[3, "x"] = frame.loc[5, "time"] = cell
    found = _read(tmp_path, frame, (value,), missing_values=("", code), implausible="warn")
    assert {e.patient: e.reason for e in found.excluded} == {"P005": "time unknown"}
    assert [p.id for p in found.patients if p.covariates["x"] is None] == ["P003"]
    assert not found.doubts


def test_a_limit_of_the_laboratory_is_no_code(tmp_path):
    value = Covariate(column="x", missing_values=("", "999"), beyond_limit="limit")
    frame = _frame(x=[str(900 + k) for k in range(N)])
    frame.loc[3, "x"], frame.loc[4, "x"] = ">999", "999"
    found = _read(tmp_path, frame, (value,))
    assert [p.covariates["x"] for p in found.patients[3:5]] == [999.0, None]


@pytest.mark.parametrize(
    ("code", "cell"), [("9", "9.0"), ("X", "x"), ("not known to us", "Not known  to us")]
)
def test_a_level_that_is_nearly_a_text_for_unknown_is_refused(tmp_path, code, cell):
    grade = Covariate(column="grade", kind="categorical", missing_values=("", code))
    frame = _frame(grade=np.resize(["1", "2"], N).astype(object))
    frame.loc[7, "grade"] = code
    assert not _read(tmp_path, frame, (grade,)).doubts
    frame.loc[8, "grade"] = cell
    with pytest.raises(TableError, match=r"column 'grade'.*means unknown.* in row 10"):
        _read(tmp_path, frame, (grade,))


@pytest.mark.parametrize("other", ["mainz", "Mainz.", "MAINZ", "M\u0430inz"])
def test_one_site_does_not_train_and_validate_at_once(tmp_path, other):
    frame = _frame(site=np.resize(["Mainz", "Ulm", "Bern"], N))
    frame.loc[[3, 6], "site"] = other
    assert [d.code for d in _read(tmp_path, frame, site="site").doubts] == ["names-alike"]
    split = SplitSettings(by="site", validation_sites=("Mainz",))
    with pytest.raises(TableError, match="expected each site in one spelling"):
        read_cohort(_settings(site="site", split=split), tmp_path)
    patients = [
        Patient(p, "training", t, bool(e), s, (), {})
        for p, t, e, s in frame.itertuples(index=False)
    ]
    with pytest.raises(TableError, match="expected each site in one spelling"):
        split_patients(patients, n_folds=3, site_preserving=True, seed=0)
    assert split_patients(patients, n_folds=3, site_preserving=False, seed=0).n_folds == 3


@pytest.mark.parametrize("double", ["Event", "EVENT", "event.", "\u0435vent", "ev ent"])
def test_a_used_column_with_a_double_is_told_unless_it_holds_the_same(tmp_path, double):
    frame = _frame()
    frame[double] = frame["event"]
    assert not _read(tmp_path, frame).doubts
    frame.loc[2, double] = 1 - frame.loc[2, "event"]
    told = _read(tmp_path, frame).doubts
    assert [(d.code, d.column) for d in told] == (
        [("columns-alike", "event")] if double != "event." else []
    )
    assert all("row 4" in d.message for d in told)


def _book(folder, change):
    book = openpyxl.Workbook()
    book.active.append(["patient_id", "time", "event", "share"])
    for k in range(N):
        book.active.append([f"P{k}", 20.5 + k, k % 2, 0.01 * k])
    change(book.active)
    book.save(folder / "clinical.xlsx")
    settings = _settings((Covariate(column="share", unit="%"),), table="clinical.xlsx")
    return read_clinical(settings, folder)


def test_comments_and_percent_are_told(tmp_path):
    def comment(sheet):
        sheet["A7"].comment = Comment("withdrew consent", "x")

    def percent(sheet):
        for k in range(N):
            sheet.cell(k + 2, 4).number_format = "0%"

    assert _book(tmp_path, lambda sheet: None).notes == ()
    (note,) = _book(tmp_path, comment).notes
    assert "comments of cells are not read, the first in A7" in note
    (note,) = _book(tmp_path, percent).notes
    assert "column 'share' is shown in percent" in note


@pytest.mark.parametrize("text", ["unknown", "nan", "?", "n/a"])
def test_slides_of_nobody_are_not_pooled_as_one_patient(tmp_path, text):
    for k in range(6):
        (tmp_path / f"s{k}.tiff").touch()
    lines = [f"s{k},{text if k in (2, 4) else f'P{k}'}" for k in range(6)]
    (tmp_path / "t.csv").write_text("slide,patient\n" + "\n".join(lines) + "\n")
    with pytest.raises(TableError, match=r"a patient in every row.* in rows 4, 6"):
        read_slide_table(tmp_path / "t.csv", tmp_path)
