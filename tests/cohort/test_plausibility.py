"""What cannot be true is refused with rows and a remedy, what is odd is told, true cohorts pass."""

import datetime
import json
import shutil

import msgspec
import numpy as np
import openpyxl
import pandas as pd
import pytest

from jecur.cli import OK, USER_ERROR, run
from jecur.cohort.cohort import read_clinical
from jecur.cohort.endpoint import DAYS_PER_MONTH
from jecur.cohort.plausible.numbers import codes_for_unknown
from jecur.cohort.plausible.words import means_unknown, unknown_among
from jecur.errors import TableError
from jecur.settings import CohortSettings, ColumnSettings, Covariate, DateSettings, EndpointSettings

N = 60
IN_MONTHS = {"days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1, "years": 12}
COLUMNS = ColumnSettings(role="", slide="")


def _frame(seed=0):
    """Follow-up in months with a median of about three years, ages, a laboratory value, a stage."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(N)],
            "time": np.round(np.minimum(rng.exponential(50, N) + 1, 140), 1),
            "event": rng.integers(0, 2, N),
            "age": rng.integers(30, 85, N),
            "afp": np.round(np.exp(rng.normal(3, 2, N)), 1),
            "stage": rng.choice(["I", "II", "III"], N),
        }
    )


def _read(tmp_path, frame, *covariates, unit="months", **changes):
    frame.to_csv(tmp_path / "clinical.csv", index=False)
    endpoint = EndpointSettings(
        kind="recurrence-free survival", unit=unit, event_values=("1",), censored_values=("0",)
    )
    settings = CohortSettings(endpoint=endpoint, columns=COLUMNS, covariates=covariates, **changes)
    return read_clinical(settings, tmp_path)


AGE, AFP = Covariate(column="age"), Covariate(column="afp")
STAGE = Covariate(column="stage", kind="categorical")


def test_a_plausible_table_raises_no_doubt(tmp_path):
    for seed in range(20):
        assert _read(tmp_path, _frame(seed), AGE, AFP, STAGE).doubts == ()


@pytest.mark.parametrize("true", IN_MONTHS)
@pytest.mark.parametrize("declared", IN_MONTHS)
def test_a_wrong_unit_is_told_in_every_direction(tmp_path, true, declared):
    frame = _frame()
    frame["time"] = frame["time"] / IN_MONTHS[true]
    if true == declared:
        assert _read(tmp_path, frame, unit=declared).doubts == ()
        return
    told = " ".join(_read(tmp_path, frame, unit=declared, implausible="warn").remarks)
    assert "'time'" in told
    assert f'unit = "{true}"' in told


def _cell(frame, column, row, value):
    changed = frame.astype({column: object})
    changed.loc[row - 2, column] = value
    return changed


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("age", 999),
        ("age", 150),
        ("age", -1),
        ("age", 1950),
        ("afp", -1),
        ("afp", -99.5),
        ("time", 1999),
    ],
)
def test_what_nobody_can_have_is_refused_with_row_and_remedy(tmp_path, column, value):
    frame = _cell(_frame(), column, 7, value)
    with pytest.raises(TableError) as caught:
        _read(tmp_path, frame, AGE, AFP)
    assert caught.value.code == "implausible-table"
    assert f"column '{column}'" in caught.value.message
    assert "in row 7;" in caught.value.message
    assert 'implausible = "warn"' in caught.value.message
    cohort = _read(tmp_path, frame, AGE, AFP, implausible="warn")
    assert len(cohort.patients) == N
    assert any("in row 7;" in text for text in cohort.remarks)


def test_everything_is_told_at_once(tmp_path):
    frame = _cell(_cell(_cell(_frame(), "age", 3, 999), "afp", 4, -1), "stage", 5, "n/a")
    with pytest.raises(TableError) as caught:
        _read(tmp_path, frame, AGE, AFP, STAGE)
    for place in ("row 3", "row 4", "row 5"):
        assert place in caught.value.message


@pytest.mark.parametrize("code", [999, 9999, 99999, -9, -99, -999, 9999.0])
def test_a_code_far_from_the_rest_is_told_and_kept(tmp_path, code):
    frame = _frame()
    frame["ki67"] = np.linspace(1, 90, N).round(1)
    frame = _cell(frame, "ki67", 9, code)
    cohort = _read(tmp_path, frame, Covariate(column="ki67"))
    (found,) = cohort.doubts
    assert (found.code, found.column) == ("code-for-unknown", "ki67")
    assert "in row 9;" in found.message
    assert f"'{code}'" in found.message
    assert cohort.patients[7].covariates["ki67"] == code


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([*range(20, 60), 99], ()),  # an age of 99
        ([1, 2, 3, 1, 2, 9] * 9, ()),  # nine nodules
        ([0, 1, -1] * 9, ()),  # an ordered score
        ([*np.linspace(1, 150, 40), 99], ()),  # a platelet count of 99
        ([*np.linspace(1, 150, 40), *[99] * 8], (99,)),
        ([*np.linspace(-3, 3, 40), -99], (-99,)),
        ([*np.linspace(-3, 3, 40), -1], ()),
        ([1.5, 2.5, 999], ()),  # too few to tell
        ([*np.linspace(0.4, 3000, 40), -1], (-1,)),
    ],
)
def test_codes_are_told_from_measurements(values, codes):
    assert codes_for_unknown(np.array(values, dtype=float)) == codes


def test_values_in_another_scale_are_no_impossible_measurements(tmp_path):
    frame = _frame()
    frame["log_afp"] = np.log10(frame["afp"])
    frame["albi_score"] = np.linspace(-3.4, -1.2, N).round(2)
    frame["age_z"] = (frame["age"] - 60) / 10
    frame["bilirubin"] = np.linspace(-1.5, 2.5, N).round(2)  # standardized, and not named so
    names = ("log_afp", "albi_score", "age_z", "bilirubin")
    assert _read(tmp_path, frame, *(Covariate(column=n) for n in names)).doubts == ()


def test_an_age_may_be_given_in_days(tmp_path):
    frame = _frame()
    frame["age_days"] = frame["age"] * 365
    assert _read(tmp_path, frame, Covariate(column="age_days")).doubts == ()
    frame["age"] = frame["age_days"]
    with pytest.raises(TableError, match="ages in days"):
        _read(tmp_path, frame, AGE)


def test_follow_up_cannot_outlast_the_age(tmp_path):
    frame = _cell(_cell(_frame(), "age", 5, 110), "time", 5, 300)
    with pytest.raises(TableError, match=r"an age \('age'\) of 135 at its end in row 5"):
        _read(tmp_path, frame, AGE)


def test_follow_up_cannot_outlast_the_time_since_surgery(tmp_path):
    frame = _frame()
    year = datetime.date.today().year
    frame["year_of_surgery"] = year - 20
    assert _read(tmp_path, frame).doubts == ()
    frame.loc[3, "year_of_surgery"], frame.loc[3, "time"] = year - 2, 100
    (found,) = _read(tmp_path, frame).doubts
    assert found.code == "follow-up-in-the-future"
    assert "in row 5;" in found.message


def test_a_unit_in_the_name_of_the_column_must_be_the_declared_one(tmp_path):
    frame = _frame().rename(columns={"time": "os_days"})
    columns = msgspec.structs.replace(COLUMNS, time="os_days")
    frame.to_csv(tmp_path / "clinical.csv", index=False)
    endpoint = EndpointSettings(kind="overall survival", unit="months", event_values=("1",),
                                censored_values=("0",))  # fmt: skip
    settings = CohortSettings(endpoint=endpoint, columns=columns)
    assert [d.code for d in read_clinical(settings, tmp_path).doubts] == ["wrong-unit"]


DATES = EndpointSettings(
    kind="overall survival", dates=DateSettings(surgery="op", last_contact="seen", death="died")
)


def _dated(tmp_path, name, rows):
    if name.endswith("xlsx"):
        book = openpyxl.Workbook()
        for row in (("patient_id", "op", "seen", "died"), *rows):
            book.active.append(row)
        book.save(tmp_path / name)
    else:
        frame = pd.DataFrame(rows, columns=["patient_id", "op", "seen", "died"])
        frame.to_csv(tmp_path / name, index=False)
    settings = CohortSettings(endpoint=DATES, columns=COLUMNS, table=name)
    return read_clinical(settings, tmp_path)


@pytest.mark.parametrize(
    ("op", "seen", "word"),
    [
        ("2015-01-01", "2999-12-31", "date-in-the-future"),
        ("1900-01-01", "2015-01-01", "from 1950 on"),
        ("1904-01-01", "2015-01-01", "from 1950 on"),
        ("1899-12-30", "2015-01-01", "from 1950 on"),
        ("41234", "2015-01-01", "number for 2012-11-21"),
        ("2015-01-01", "2014-01-01", "not before 'op'"),
    ],
)
def test_dates_that_cannot_be_are_refused_by_row(tmp_path, op, seen, word):
    rows = [("a", "2012-03-04", "2016-03-04", ""), ("b", op, seen, "")]
    with pytest.raises(TableError) as caught:
        _dated(tmp_path, "clinical.csv", rows)
    assert "row 3" in caught.value.message
    assert word in caught.value.message or word == "date-in-the-future"


def test_a_date_cell_with_a_time_of_day_is_its_day(tmp_path):
    at = datetime.datetime
    rows = [
        ("a", at(2012, 3, 4, 23, 59, 59), at(2016, 3, 4, 0, 0, 1), None),
        ("b", at(2012, 3, 4), at(2016, 3, 4, 12), at(2017, 3, 4, 7, 30)),
    ]
    cohort = _dated(tmp_path, "clinical.xlsx", rows)
    days = [p.months * DAYS_PER_MONTH for p in cohort.patients]
    assert days == pytest.approx([1461, 1826])
    assert [p.event for p in cohort.patients] == [False, True]


UNKNOWN = """Unknown|UNKNOWN|unk|n/a|N/A|N.A.|n. a.|not available|[Not Available]|[Not Applicable]|<NA>|#N/A
?|??|missing|Missing data|nd|N.D.|-|--|–|.|...|*|NaN|null|(null)|not_done|Not-Evaluated|ＵＮＫ
unknown (not tested)|Unknown/missing|k.A.|keine Angabe|unbekannt|nicht verfügbar|inconnu|non renseigné
desconocido|s/d|sconosciuto
não informado|onbekend|brak danych|неизвестно|н/д|不明|未知|알 수 없음|غير معروف|tbd|"?" """
LEVELS = """None|No|none|absent|negative|0|1|9|I|II-III|A/B|C/D|T1|TX|NX|GX|R0|+|++|Na+|NASH|HBV|Micro|UK
KA
unknown primary|indeterminate|<5|>=5|1.|ok|m|F|kein|keine|brak|Missed abortion|NO|N0|N1/N2|Hepatitis B"""


@pytest.mark.parametrize("text", UNKNOWN.replace("\n", "|").split("|"))
def test_texts_that_say_that_nobody_knows_are_asked_about(tmp_path, text):
    assert means_unknown(text.strip())
    frame = _cell(_frame(), "stage", 8, text.strip())
    with pytest.raises(TableError) as caught:
        _read(tmp_path, frame, STAGE)
    assert "row 8" in caught.value.message
    assert "missing_values = " in caught.value.message
    read = frame.loc[6, "stage"].strip()
    missing = msgspec.structs.replace(STAGE, missing_values=("", text.strip(), read))
    assert _read(tmp_path, frame, missing).patients[6].covariates["stage"] is None


@pytest.mark.parametrize("text", LEVELS.replace("\n", "|").split("|"))
def test_findings_are_no_unknowns(text):
    assert not means_unknown(text)


def test_a_minus_is_a_finding_beside_a_plus():
    assert unknown_among(["+", "-", "?"]) == ("?",)
    assert unknown_among(["I", "-"]) == ("-",)


def test_a_declared_level_is_a_level_whatever_it_says(tmp_path):
    frame = _cell(_frame(), "stage", 8, "unknown")
    declared = msgspec.structs.replace(STAGE, levels=("I", "II", "III", "unknown"))
    assert _read(tmp_path, frame, declared).doubts == ()


@pytest.mark.parametrize("code", ["9", "99", "999", "-1", "-9"])
def test_codes_among_undeclared_levels_are_told(tmp_path, code):
    frame = _frame()
    frame["grade"] = np.resize([1, 2, 3, 4], N)
    frame = _cell(frame, "grade", 6, int(code))
    (found,) = _read(tmp_path, frame, Covariate(column="grade", kind="categorical")).doubts
    assert "in row 6;" in found.message


# --------------------------------------------------------------------------- end to end


def _case(cases, tmp_path, *changes):
    for name in ("implausible.csv", "implausible.toml"):
        shutil.copyfile(cases / "tables" / name, tmp_path / name)
    study = tmp_path / "implausible.toml"
    text = study.read_text()
    for old, new in changes:
        text = text.replace(old, new)
    study.write_text(text)
    return tmp_path / "implausible.csv", study


def _evaluate(table, study, out):
    return run(["evaluate", "--scores", str(table), "--patient", "id", "--column", "score",
                "--higher", "worse", "--study", str(study), "--out", str(out)])  # fmt: skip


TOLD = ("'time'", "days", "999", "row 2;", "'-1.0'", "row 3;", "'9999.0'", "row 4;", "'unknown'",
        "'n/a'", "'?'")  # fmt: skip


def test_evaluate_doctor_and_run_refuse_the_implausible_table_alike(cases, tmp_path, capfd):
    table, study = _case(cases, tmp_path)
    (tmp_path / "slides").mkdir()
    said = []
    for command in (
        lambda: _evaluate(table, study, tmp_path / "out"),
        lambda: run(
            ["doctor", str(tmp_path / "slides"), "--table", str(table), "--study", str(study)]
        ),
        lambda: run(["run", str(study), "--out", str(tmp_path / "run")]),
    ):
        assert command() == USER_ERROR
        said.append(capfd.readouterr().err.strip())
    assert said[0] == said[1] == said[2]
    for word in TOLD:
        assert word in said[0]


@pytest.mark.slow
def test_what_is_declared_true_is_told_in_command_report_and_doctor(cases, tmp_path, capfd):
    missing = 'column = "g"\nmissing_values = ["", "unknown", "n/a", "?"]'
    table, study = _case(
        cases,
        tmp_path,
        ("[cohort]\n", '[cohort]\nimplausible = "warn"\n'),
        ('column = "g"', missing),
    )
    assert _evaluate(table, study, tmp_path / "out") == OK
    (tmp_path / "slides").mkdir()
    shown = capfd.readouterr().out
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())["remarks"]
    report = (tmp_path / "out" / "report.html").read_text()
    run(["doctor", str(tmp_path / "slides"), "--table", str(table), "--study", str(study)])
    doctor = capfd.readouterr().out
    for word in ("999", "9999", "are these days?", "in row 3;"):
        assert word in shown
        assert word in " ".join(found)
        assert word in report
        assert word in doctor


@pytest.mark.slow
def test_the_case_set_right_raises_no_doubt(cases, tmp_path):
    table, study = _case(
        cases, tmp_path, ('"months"', '"days"'), ('"age"', '"age"\nmissing_values = ["999"]'),
        ('"afp"', '"afp"\nmissing_values = ["-1.0", "9999.0"]'),
        ('column = "g"', 'column = "g"\nmissing_values = ["unknown", "n/a", "?"]'),
    )  # fmt: skip
    assert _evaluate(table, study, tmp_path / "out") == OK
    assert json.loads((tmp_path / "out" / "statistics.json").read_text())["remarks"] == []


ASAUR = ("Age", "ALT", "AST", "AFP", "Tumorsize", "CXCL17T", "CD4T", "CD8T", "CD57T", "CD68T", "Ki67",
         "CD34", "CD4NR", "CD20TR")  # fmt: skip
ASAUR_GROUPS = ("Gender", "HBsAg", "Cirrhosis", "ALT", "AST", "AFP", "TNM", "BCLC", "Capsulation",
                "Tumormultiplicity", "Vascularinvasion", "Tumordifferentiation")  # fmt: skip


@pytest.mark.parametrize(("time", "event"), [("OS", "Death"), ("RFS", "Recurrence")])
@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_a_true_cohort_raises_no_false_alarm(test_data, time, event, kind):
    endpoint = EndpointSettings(
        kind="overall survival", unit="months", event_values=("1",), censored_values=("0",)
    )
    columns = msgspec.structs.replace(COLUMNS, patient="Number", time=time, event=event)
    names = ASAUR if kind == "numeric" else ASAUR_GROUPS
    settings = CohortSettings(
        endpoint=endpoint, columns=columns, table="hepatoCellular.csv",
        covariates=tuple(Covariate(column=n, kind=kind) for n in names),
    )  # fmt: skip
    cohort = read_clinical(settings, test_data / "clinical" / "asaur_hepatoCellular")
    assert cohort.doubts == ()
