"""150 tables as they should not be: nothing recoded, nobody lost, every refusal names its place."""

import csv
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from tests.cohort.bad_tables import KINDS, cases

from jecur.cohort.cohort import read_clinical
from jecur.cohort.csv_text import csv_text
from jecur.cohort.table import read_table
from jecur.errors import JecurError
from jecur.settings import StatisticsSettings
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import CovariateColumn, EvaluationInput

NUMBER = re.compile(r"[+-]?[0-9.]+")
CASES = cases(150, seed=20261124)


def test_there_are_150_and_every_fault_and_layout_is_among_them():
    assert len(CASES) == 150
    assert {c.kind for c in CASES} == {k.__name__ for k in KINDS}
    assert len({c.layout for c in CASES}) == 10
    assert (
        min(sum(c.refused is None for c in CASES), sum(c.refused is not None for c in CASES)) > 30
    )


def _named_rows(message):
    found = re.findall(r"rows? ((?:\d+)(?:(?:, | and )\d+)*)", message)
    return {int(n) for text in found for n in re.findall(r"\d+", text)}


@pytest.mark.parametrize("case", CASES, ids=[f"{k}-{c.kind}" for k, c in enumerate(CASES)])
def test_a_bad_table_is_refused_by_name_or_read_as_it_was_meant(tmp_path, case):
    case.write(tmp_path)
    if case.refused is not None:
        column, rows = case.refused
        with pytest.raises(JecurError) as caught:
            read_clinical(case.settings(), tmp_path)
        message = caught.value.message
        assert "clinical" in message
        assert "expected" in message
        assert not column or f"'{column}'" in message
        assert set(rows) <= _named_rows(message)
        return
    cohort = read_clinical(case.settings(), tmp_path)
    read = {
        p.id: {
            "months": pytest.approx(p.months, rel=1e-12),
            "event": p.event,
            "age": p.covariates[case.column["age"]],
            "stage": p.covariates[case.column["stage"]],
        }
        for p in cohort.patients
    }
    assert case.truth == read
    assert case.excluded == {e.patient: e.reason for e in cohort.excluded}
    assert len(read) + len(cohort.excluded) == len(case.rows)
    guessed = [note for note in cohort.notes if "read as Windows-1252" in note]
    assert len(guessed) == (case.layout[1:3] == ("cp1252", ""))
    assert (len(cohort.notes) > len(guessed)) == case.note_expected
    assert cohort.source.startswith("clinical")


@pytest.mark.parametrize("kind", ["formula_like_id", "path_like_id"])
def test_ids_written_safely_are_read_back_the_same(tmp_path, kind):
    for k, case in enumerate(c for c in CASES if c.kind == kind):
        folder = tmp_path / str(k)
        folder.mkdir()
        case.write(folder)
        table = read_table(folder / case.settings().table, case.settings().format)
        text = csv_text(table.frame)
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert [c for c in cells if c[:1] in "=+-@" and c and not NUMBER.fullmatch(c)] == []
        (folder / "again.csv").write_text(text, encoding="utf-8")
        again = read_table(folder / "again.csv")
        assert again.frame.to_numpy().tolist() == table.frame.to_numpy().tolist()


def test_a_number_is_never_taken_for_a_formula():
    frame = pd.DataFrame({"x": [-1.5, np.nan], "t": ["-1.5", "-x"]})
    assert csv_text(frame) == "x,t\n-1.5,-1.5\n,'-x\n"


def _statistics(case, folder):
    case.write(folder)
    cohort = read_clinical(case.settings(), folder)
    rng = np.random.default_rng(len(cohort.patients))
    risk = rng.uniform(0.01, 0.99, len(cohort.patients))
    high = risk > (0.5 if case.groups == "two" else 1.0)
    columns = tuple(
        CovariateColumn(
            name=c.column,
            label=c.column,
            kind=c.kind,
            values=tuple(p.covariates[c.column] for p in cohort.patients),
            levels=c.levels,
        )
        for c in cohort.covariates
    )
    patients = EvaluationInput(
        patient_ids=tuple(p.id for p in cohort.patients),
        months=np.array([p.months for p in cohort.patients]),
        event=np.array([p.event for p in cohort.patients]),
        risk=risk,
        high_risk=high,
        endpoint_name="recurrence-free survival",
        endpoint_definition="as declared",
        covariates=columns,
    )
    return evaluate(patients, settings=StatisticsSettings(multivariable="all"))


def _pick(found, case, what):
    name, _, part = what.partition(":")
    if name == "univariable":
        rows = [r for r in found.univariable if r.covariate == case.column[part]]
        return [r.hazard_ratio for r in rows]
    if name == "group":
        return [g.median for g in found.groups if g.name == part]
    if name == "multivariable":
        return [r.hazard_ratio for r in found.multivariable.rows]
    return [found.overall.median if name == "median" else getattr(found, name)]


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.refused is None],
    ids=[f"{c.kind}-{k}" for k, c in enumerate(CASES) if c.refused is None],
)
def test_what_a_table_does_not_determine_is_said_not_to_be_estimable(tmp_path, case):
    found = _statistics(case, tmp_path)  # nothing raises, whatever the table
    for what in case.not_estimable:
        if what == "multivariable" and found.multivariable.left_out:
            # One of the two was not estimable alone: the other may then enter, and this is said.
            assert not {case.column["age"], case.column["stage"]} <= set(
                found.multivariable.covariates
            )
            continue
        picked = _pick(found, case, what)
        if what == "multivariable" and found.multivariable.reason is None:
            # What follows from the factors before it is refused alone; the others keep their numbers.
            picked = [r for r in picked if r.estimate is None]
        assert picked, what
        for value in picked:
            number = value.chi2 if hasattr(value, "chi2") else value.estimate
            assert number is None, (what, value)
            assert value.reason, what
    json.dumps(found.to_json_dict(), allow_nan=False)
