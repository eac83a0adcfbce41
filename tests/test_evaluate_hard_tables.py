"""Small tables that are hard for arithmetic, through `jecur evaluate`, at the values R gives.

R 4.2.2, survival 3.5-3: coxph, survfit, survdiff, concordance; cuminc of cmprsk 2.2-11.
"""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from jecur.cli import OK, run


def evaluated(folder, out, name, study, *more, column="score"):
    scores = ["--scores", str(folder / f"{name}.csv"), "--column", column]
    place = ["--study", str(folder / study), "--out", str(out)]
    assert run(["evaluate", *scores, "--higher", "worse", *place, *more]) == OK
    return json.loads((out / "statistics.json").read_text())["validation"]


def of_factor(statistics, name):
    return next(row for row in statistics["univariable"] if row["covariate"] == name)


def test_a_skewed_laboratory_value_has_r_s_ratio(cases, tmp_path):
    row = of_factor(evaluated(cases / "tables", tmp_path, "afp_wrong_ratio", "afp.toml"), "afp")
    ratio = row["hazard_ratio"]
    assert ratio["estimate"] == pytest.approx(1.00810, abs=5e-6)
    assert ratio["lower"] == pytest.approx(1.00226, abs=5e-6)
    assert ratio["upper"] == pytest.approx(1.01397, abs=5e-6)
    assert ratio["p"] == pytest.approx(0.0065, abs=5e-5)
    assert row["term"]["p"] == pytest.approx(8.9e-5, abs=5e-7)


def with_clinical(cases, folder, name):
    """The table and its study in ``folder``."""
    for file in (f"{name}.csv", "afp.toml"):
        (folder / file).write_bytes((cases / "tables" / file).read_bytes())
    more = ["--clinical", str(folder / f"{name}.csv")]
    return evaluated(folder, folder / "out", name, "afp.toml", *more)


def test_a_value_of_millions_is_fitted(cases, tmp_path):
    ratio = of_factor(with_clinical(cases, tmp_path, "afp_crash"), "afp")["hazard_ratio"]
    assert ratio["estimate"] == pytest.approx(1.000054, abs=5e-7)
    assert ratio["lower"] == pytest.approx(1.000002, abs=5e-7)
    assert ratio["upper"] == pytest.approx(1.000107, abs=5e-7)
    assert ratio["p"] == pytest.approx(0.042, abs=5e-4)


def test_where_r_runs_out_of_iterations_the_maximum_is_found_and_the_factor_kept(cases, tmp_path):
    """R stops at a log-likelihood of -407.25, LRT p 0.0004, on its way to -406.18."""
    statistics = with_clinical(cases, tmp_path, "afp_p_is_one")
    row = of_factor(statistics, "afp")
    assert row["hazard_ratio"]["estimate"] == pytest.approx(0.99968798, abs=1e-8)
    assert row["term"]["p"] <= 0.0004
    assert row["term"]["chi2"] == pytest.approx(2 * (413.421938 - 406.180844), abs=1e-5)
    assert "afp" in statistics["multivariable"]["covariates"]


def test_times_of_a_spreadsheet_are_tied_as_in_r(cases, tmp_path):
    statistics = evaluated(
        cases / "tables",
        tmp_path,
        "float_ties",
        "float_ties.toml",
        "--patient",
        "id",
        "--cutoff",
        "4",
    )
    ratio = statistics["hazard_ratio"]
    assert ratio["estimate"] == pytest.approx(0.7528, abs=5e-5)
    assert ratio["lower"] == pytest.approx(0.3995, abs=5e-5)
    assert ratio["upper"] == pytest.approx(1.4187, abs=5e-5)
    assert statistics["logrank"]["chi2"] == pytest.approx(0.968, abs=5e-4)
    assert statistics["concordance"]["estimate"] == pytest.approx(0.43235, abs=5e-6)
    survival = {h["months"]: h["survival"] for h in statistics["overall"]["survival"]}
    assert survival[6.0] == pytest.approx(0.8536, abs=5e-5)
    assert survival[12.0] == pytest.approx(0.6449, abs=5e-5)


STUDY = """
name = "Invented"
[cohort]
table = "table.csv"
[cohort.columns]
patient = "patient_id"
time = "months"
event = "event"
role = ""
slide = ""
[cohort.endpoint]
kind = "recurrence-free survival"
unit = "months"
event_values = ["1"]
censored_values = ["0"]
[statistics]
multivariable = "all"
[[cohort.covariates]]
column = "afp"
[[cohort.covariates]]
column = "pivka"
[[cohort.covariates]]
column = "early"
"""


@pytest.mark.parametrize("seed", range(3))
def test_every_factor_is_shown_with_a_number_or_a_reason(tmp_path, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(25, 120))
    log = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.7], [0.0, 0.7]])
    months = np.minimum(rng.exponential(np.exp(-0.8 * log[:, 0])) * 24, 400.0)
    event = rng.random(n) < 0.6
    pd.DataFrame({
        "patient_id": [f"P{k}" for k in range(n)],
        "months": months.round(1),
        "event": event.astype(int),
        "score": rng.normal(size=n).round(4),
        "afp": np.exp(3.5 * log[:, 0]),
        "pivka": 1e6 + np.exp(2.5 * log[:, 1]),
        "early": ((months.round(1) <= np.median(months)) & event).astype(int),
    }).to_csv(tmp_path / "table.csv", index=False)  # fmt: skip
    (tmp_path / "study.toml").write_text(STUDY)
    statistics = evaluated(
        tmp_path, tmp_path / "out", "table", "study.toml", "--clinical", str(tmp_path / "table.csv")
    )
    for name in ("afp", "pivka"):
        row = of_factor(statistics, name)
        found = row["hazard_ratio"]
        assert found["lower"] < found["estimate"] < found["upper"]
        assert row["term"]["p"] == pytest.approx(chi2.sf(row["term"]["chi2"], 1))
        assert name in statistics["multivariable"]["covariates"]
    early = of_factor(statistics, "early")  # nobody without it ever has the event before
    assert early["hazard_ratio"]["p"] is None
    assert early["term"]["p"] is None
    assert "separates" in early["hazard_ratio"]["reason"]
    left = statistics["multivariable"]["left_out"]
    assert any("separates" in text for text in left)
