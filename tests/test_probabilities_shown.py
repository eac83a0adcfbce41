"""`jecur evaluate` to the end: what is computed of probabilities is shown, at R's values.

R 4.2.2: survfit, cuminc, riskRegression::Score(cause = 1), coxph on log(-log(1 - p)).
"""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest

from jecur.cli import OK, run


def evaluate(table, study, out, *, cutoff, column="prob", probability=True):
    said = ["--probability"] if probability else []
    code = run([
        "evaluate", "--scores", str(table), "--column", column, "--higher", "worse", *said,
        "--cutoff", cutoff, "--study", str(study), "--out", str(out),
    ])  # fmt: skip
    assert code == OK
    return json.loads((out / "statistics.json").read_text(encoding="utf-8"))["validation"]


def rows(out, name):
    with (out / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def page(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


@pytest.fixture(scope="module")
def competing(cases, tmp_path_factory):
    out = tmp_path_factory.mktemp("competing")
    folder = cases / "tables"
    found = evaluate(folder / "competing.csv", folder / "competing.toml", out, cutoff="0.3")
    return found, out


def test_competing_deaths_are_told_and_incidence_is_r_s(competing):
    found, out = competing
    assert found["competing"]["n_competing"] == 81
    text = page(out)
    assert "81 with death without recurrence (competing)" in text
    assert "45 % at high risk and 12 % at low risk" in text
    table = {(r["group"], float(r["months"])): r for r in rows(out, "cumulative_incidence")}
    want = {("High risk", 36): 0.446809, ("Low risk", 36): 0.115044}
    want |= {("High risk", 60): 0.468085, ("Low risk", 60): 0.158951}
    for key, value in want.items():
        row = table[key]
        assert float(row["incidence"]) == pytest.approx(value, abs=1e-6)
        total = sum(float(row[k]) for k in ("incidence", "competing", "event_free"))
        assert total == pytest.approx(1, abs=1e-9)
    gray = found["competing"]["gray"]
    assert gray["chi2"] == pytest.approx(19.94, abs=0.005)
    assert gray["p"] == pytest.approx(8.0e-6, rel=0.01)
    assert "Gray’s test" in text
    assert "Fine–Gray" in text
    figures = {p.name for p in (out / "figures").glob("*.svg")}
    assert {"cumulative_incidence.svg", "calibration.svg", "decision_curve.svg"} <= figures
    # curves that take the dead as censored are no probabilities of this world
    assert "kaplan_meier.svg" not in figures
    assert not (out / "tables" / "survival.csv").exists()


def test_auc_brier_and_calibration_are_those_of_competing_risks(competing):
    found, out = competing
    points = {float(r["months"]): r for r in rows(out, "auc") if "continuous" in r["marker"]}
    for month, value in ((12, 0.6345401), (36, 0.7668067), (60, 0.7417711)):
        assert float(points[month]["auc"]) == pytest.approx(value, abs=1e-6)
    brier = found["calibration"]["brier"]
    assert brier["estimate"] == pytest.approx(0.1407279, abs=1e-6)
    assert brier["null"] == pytest.approx(0.1673438, abs=1e-6)
    assert "0.141" in page(out)
    groups = rows(out, "calibration")
    frame_events = sum(int(r["events"]) for r in groups)
    assert frame_events == 34  # recurrences by month 36
    everybody = found["groups"]
    assert [g["n_competing"] for g in everybody] == [16, 65]
    assert found["decision"]["curve"]["method"].endswith("cumulative incidence among those treated")


def test_events_by_the_horizon_are_counted_by_the_horizon(cases, tmp_path):
    folder = cases / "tables"
    found = evaluate(
        folder / "calibration_events.csv",
        folder / "calibration_events.toml",
        tmp_path,
        cutoff="0.4",
    )
    assert [int(r["events"]) for r in rows(tmp_path, "calibration")] == [9, 5, 21, 28, 27]
    assert (tmp_path / "figures" / "decision_curve.svg").exists()
    assert (tmp_path / "figures" / "column" / "decision_curve.svg").exists()
    assert len(rows(tmp_path, "decision_curve")) == 99
    text = page(tmp_path)
    assert "Decision curve analysis" in text
    assert "Integrated Brier score" in text
    shown = {r["marker"]: r for r in rows(tmp_path, "concordance")}
    for row in found["concordances"]:
        assert float(shown[row["label"]]["harrell"]) == row["harrell"]["estimate"]
    assert float(shown["AFP"]["difference"]) == found["concordances"][-1]["difference"]["estimate"]


def test_a_perfect_model_has_slope_one(cases, tmp_path):
    folder = cases / "tables"
    found = evaluate(folder / "calibrated.csv", folder / "calibrated.toml", tmp_path, cutoff="0.5")
    slope = found["calibration"]["slope"]
    assert [slope[k] for k in ("estimate", "lower", "upper")] == pytest.approx(
        [0.92, 0.78, 1.06], abs=0.006
    )
    table = {r["statistic"]: r for r in rows(tmp_path, "calibration_summary")}
    assert float(table["Calibration slope"]["estimate"]) == slope["estimate"]
    ratio = table["Observed/expected at month 36"]
    assert float(ratio["estimate_lower"]) < 1 < float(ratio["estimate_upper"])
    curve = found["calibration"]["curve"]
    inside = np.array(curve["lower"]) <= np.array(curve["predicted"])
    inside &= np.array(curve["predicted"]) <= np.array(curve["upper"])
    assert inside.mean() > 0.9


STUDY = """
name = "A cohort"
[cohort]
table = "clinical.csv"
[cohort.columns]
patient = "patient_id"
time = "months"
event = "status"
role = ""
[cohort.endpoint]
kind = "time to recurrence"
unit = "months"
event_values = ["1"]
censored_values = ["0"]
competing_values = ["2"]
competing_death = "competes"
[[cohort.covariates]]
column = "stage"
kind = "categorical"
[statistics]
horizons_months = [12.0, 36.0, 120.0]
landmark_months = 36.0
"""


def drawn(folder, n, *, status=None, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.9, n).round(3)
    months = rng.exponential(30, n).clip(0.5, 90).round(1)
    cause = rng.choice(["0", "1", "2"], n) if status is None else np.full(n, status)
    if status is None:
        cause[months >= np.quantile(months, 0.8)] = "0"  # those followed longest are still free
    stage = rng.choice(["I", "II"], n)
    columns = {"patient_id": [f"P{k}" for k in range(n)], "months": months, "status": cause}
    pd.DataFrame(columns | {"stage": stage, "prob": p}).to_csv(folder / "clinical.csv", index=False)
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder / "clinical.csv", folder / "study.toml"


@pytest.mark.parametrize("probability", [True, False])
def test_nobody_followed_so_long_is_a_dash_and_no_number(tmp_path, probability):
    table, study = drawn(tmp_path, 60)
    out = tmp_path / "out"
    found = evaluate(table, study, out, cutoff="0.4", probability=probability)
    late = [r for r in rows(out, "cumulative_incidence") if float(r["months"]) == 120]
    assert len(late) == 3
    assert all(r["incidence"] == "" and r["n_at_risk"] == "0" for r in late)
    assert found["groups"][0]["incidence_at"][2]["incidence"] is None
    assert (out / "figures" / "decision_curve.svg").exists() == probability


@pytest.mark.parametrize("status", ["0", "1", "2"])
def test_one_kind_of_ending_alone_still_gives_a_report(tmp_path, status):
    table, study = drawn(tmp_path, 40, status=status)
    found = evaluate(table, study, tmp_path / "out", cutoff="0.4")
    assert found["competing"]["n_competing"] == (40 if status == "2" else 0)
    assert "Cumulative incidence" in page(tmp_path / "out")


def test_median_follow_up_does_not_take_deaths_for_losses(tmp_path):
    table, study = drawn(tmp_path, 80, seed=3)
    found = evaluate(table, study, tmp_path / "out", cutoff="0.4")
    frame = pd.read_csv(table, dtype={"status": str})
    # reverse Kaplan-Meier by hand: censoring is the event, both events censor it
    left, value = 1.0, None
    for month in sorted(frame["months"].unique()):
        at_risk = (frame["months"] >= month).sum()
        lost = ((frame["months"] == month) & (frame["status"] == "0")).sum()
        left *= 1 - lost / at_risk
        if value is None and left <= 0.5:
            value = month
    assert found["median_follow_up"]["estimate"] == pytest.approx(value, abs=1e-9)
