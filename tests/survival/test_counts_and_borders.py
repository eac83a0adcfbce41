"""Counts add up beside what is not estimable; a time that is a horizon but for rounding is that horizon."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jecur import survival as sv
from jecur.errors import NotEstimableError, TableError
from jecur.report.tables.survival import stratified_table
from jecur.settings import StatisticsSettings
from jecur.statistics.added_value import added_value
from jecur.statistics.compared import concordance_of_draws
from jecur.statistics.competing_risks import competing_risks
from jecur.statistics.cox_models import multivariable_model, univariable_table
from jecur.statistics.markers import auc_curves, marker_concordances
from jecur.statistics.results import CovariateColumn, EvaluationInput
from jecur.statistics.subgroups import describe_group, stratified_factor
from jecur.statistics.terms import horizons_tied
from jecur.survival.concordance_index import paired_difference
from jecur.survival.follow_up import label_codes

SETTINGS = StatisticsSettings(horizons_months=(12.0, 36.0), landmark_months=36.0)


def _patients(n=80, covariates=(), seed=4, months=None):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    time = np.ceil(rng.exponential(40, n)) if months is None else months
    return EvaluationInput(
        tuple(f"p{k}" for k in range(n)), time, rng.random(n) < 0.6, risk, risk > 0, "RFS", "d",
        covariates, meaning="score",
    )  # fmt: skip


def test_a_factor_that_no_model_takes_has_the_counts_of_who_has_a_value():
    n = 80
    some = CovariateColumn("same", "Same", "numeric", (None,) * 10 + (1.0,) * 70)
    none = CovariateColumn("none", "None", "numeric", (None,) * n)
    text = CovariateColumn("many", "Many", "categorical", (*map(str, range(n - 1)), None))
    patients = _patients(n, (some, none, text))
    known = {"same": np.arange(n) >= 10, "none": np.zeros(n, bool), "many": np.arange(n) < n - 1}
    rows = {r.covariate: r for r in univariable_table(patients, SETTINGS)}
    curves = {c.marker: c for c in auc_curves(patients, SETTINGS)}
    markers = {m.marker: m for m in marker_concordances(patients, SETTINGS)}
    for name, here in known.items():
        want = int(here.sum()), int(patients.event[here].sum()), int(n - here.sum())
        ratio, curve, marker = rows[name].hazard_ratio, curves[name], markers[name]
        assert (ratio.n, ratio.events, rows[name].n_missing) == want
        assert (curve.n, curve.events, curve.n_missing) == want
        assert (marker.harrell.n, marker.harrell.events, marker.n_missing) == want
        cases = patients.event[here] & (patients.months[here] <= 36)
        assert curve.landmark.n_cases == cases.sum()
        assert curve.landmark.n_controls == np.sum(patients.months[here] > 36)


def test_levels_and_unknown_of_a_subgroup_table_add_up():
    stage = CovariateColumn("s", "Stage", "categorical", (None,) * 7 + ("I", "II") * 36 + ("I",))
    table = stratified_table((stratified_factor(stage, _patients(80), SETTINGS),), 0.95)
    keys = [c.key for c in table.columns]
    n = [row[keys.index("n")] for row in table.rows]
    assert sum(n) + table.rows[0][keys.index("n_missing")] == 80


@pytest.mark.parametrize("recipe", ["score", "timeroc"])
def test_added_value_counts_cases_as_its_auc_does(recipe):
    months = np.repeat([12.0, 24.0, 36.0, 48.0], 20)
    age = CovariateColumn("age", "Age", "numeric", tuple(np.arange(80.0) % 13))
    settings = StatisticsSettings(landmark_months=36.0, auc_recipe=recipe)
    patients = _patients(80, (age,), months=months)
    found = added_value(patients, settings)
    have = {m.months: m.n_cases for m in found.measures if m.name == "AUC"}
    want = auc_curves(patients, settings)[0]
    assert have[36.0] == want.landmark.n_cases


def test_survival_beyond_the_last_follow_up_is_no_number():
    patients = _patients(40, months=np.linspace(1, 20, 40))
    at = describe_group("all", np.ones(40, bool), patients, SETTINGS).survival
    assert at[0].survival is not None
    assert (at[1].survival, at[1].lower, at[1].upper, at[1].n_at_risk) == (None, None, None, 0)


def _spreadsheet_years():
    """Three years as a spreadsheet subtracts ages: 36 months, a little more, a little less."""
    start = np.round(np.arange(400, 700) / 10, 1)
    months = (np.round(start + 3, 1) - start) * 12
    assert (months > 36).any()
    assert (months < 36).any()
    return months


@pytest.mark.parametrize("side", [">", "<"])
def test_a_horizon_but_for_rounding_is_that_horizon(side):
    near = _spreadsheet_years()
    near = near[near > 36] if side == ">" else near[near < 36]
    months = np.concatenate([near[:4], [10.0, 20.0, 50.0, 60.0]])
    exact = np.concatenate([[36.0] * len(near[:4]), [10.0, 20.0, 50.0, 60.0]])
    event = np.arange(months.size) % 4 != 3
    marker = np.cos(np.arange(months.size))
    p = np.linspace(0.2, 0.8, months.size)
    for recipe in ("score", "timeroc"):
        a, b = (
            sv.time_dependent_auc(marker, t, event, [36], recipe=recipe) for t in (months, exact)
        )
        assert (a.n_cases, a.n_controls, a.n_at_risk) == (b.n_cases, b.n_controls, b.n_at_risk)
        assert a.estimate == b.estimate
    for time in (months, exact):
        curve = sv.kaplan_meier(time, event)
        assert curve.at(36) == sv.kaplan_meier(exact, event).at(36)
        assert curve.n_at_risk(36) == np.sum(exact >= 36)
    assert (
        sv.brier_score(p, months, event, 36).estimate
        == sv.brier_score(p, exact, event, 36).estimate
    )
    other = ~event
    a, b = (sv.cumulative_incidence(t, event, other).at(36) for t in (months, exact))
    assert a == b
    assert np.array_equal(horizons_tied(months, SETTINGS), exact)
    far = exact + np.where(exact == 36, 1e-5, 0)  # a second of follow-up is no rounding
    assert np.array_equal(horizons_tied(far, SETTINGS), far)


def test_draws_of_patients_tie_times_as_concordance_does():
    months = _spreadsheet_years()[:40]
    event, risk = np.arange(40) % 3 != 0, np.sin(np.arange(40.0))
    drawn = concordance_of_draws(risk, months, event, np.zeros(40, int), np.ones((40, 1)))
    assert drawn[0] == pytest.approx(sv.concordance(risk, months, event).estimate, abs=1e-12)


def test_a_difference_in_which_no_patient_matters_is_not_certain():
    months, event = np.arange(1.0, 9.0), np.ones(8, bool)
    found = sv.compare_concordance(-months, np.zeros(8), months, event)
    assert found.estimate == 0.5
    assert np.isnan([found.lower, found.upper, found.z, found.p]).all()
    same = sv.compare_concordance(-months, -months, months, event)
    assert (same.estimate, same.p, same.lower) == (0.0, 1.0, 0.0)
    assert paired_difference(-0.2, 0.1, 0.95, (8, 8), "x").z == pytest.approx(-2)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b", float("nan")],
        ("a", "b", None),
        np.ma.array(["a", "b", "c"], mask=[False, False, True]),
        np.ma.array([1, 2, 3], mask=[False, False, True]),
        [1, 1, "1"],
        pd.Series(["a", "b", None], dtype="category"),
    ],
)
def test_labels_that_are_missing_or_of_two_kinds_make_no_group(labels):
    with pytest.raises(TableError, match=r"missing|both"):
        label_codes(labels, 3)
    assert label_codes(["b", "a", "b"], 3)[0] == ("a", "b")


def test_a_ratio_is_named_after_a_reference_that_is_in_the_model():
    n = 120
    stage = np.resize(["I", "II", "III"], n)
    afp = np.where(stage == "I", np.nan, np.arange(n) % 17.0)  # nobody of the reference has it
    factors = (
        CovariateColumn("stage", "Stage", "categorical", tuple(stage), levels=("I", "II", "III")),
        CovariateColumn("afp", "AFP", "numeric", tuple(afp)),
    )
    patients = _patients(n, factors)
    settings = StatisticsSettings(multivariable="all")
    model = multivariable_model(patients, univariable_table(patients, settings), settings)
    found = {row.contrast: row.hazard_ratio for row in model.rows if row.covariate == "stage"}
    here = stage != "I"
    x = np.column_stack([patients.high_risk, stage == "III", afp])[here]
    want = sv.fit_cox(
        x, patients.months[here], patients.event[here], names=("r", "III", "afp")
    ).hazard_ratios()[1]
    assert found["III vs II"].estimate == pytest.approx(want.estimate, rel=1e-9)
    assert found["I vs II"].estimate is None
    assert "one value only" in found["I vs II"].reason
    assert model.n == here.sum()


def test_nothing_left_of_a_sandwich_variance_is_not_estimable():
    months, event = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1, 0, 1, 1, 0], bool)
    x = np.array([0.3, -1.0, 0.2, 0.9, -0.1])
    with pytest.raises(NotEstimableError, match="sandwich"):
        sv.fit_cox(x, months, event, names=("x",), robust_cluster=["one"] * 5)
    for seed in range(40):  # a handful of patients, one of whom competes
        rng = np.random.default_rng(seed)
        data = _patients(3, seed=seed, months=rng.choice([12.0, 36.0], 3))
        other = ~data.event & (rng.random(3) < 0.5)
        found = competing_risks(replace(data, competing=other), SETTINGS)
        for row in found.subdistribution:
            estimate = row.hazard_ratio.estimate
            assert estimate is None or row.hazard_ratio.standard_error > 0


def test_limits_of_a_slope_are_numbers_however_steep_it_is():
    p = np.full(15, 0.5)
    p[7] += 1e-8
    months = np.array([7.0, 57, 5, 2, 1, 5, 82, 23, 11, 17, 48, 70, 7, 1, 28])
    found = sv.calibration_slope(p, months, np.ones(15, bool))
    assert np.isfinite([found.lower, found.upper]).all()
    assert found.lower < found.estimate < found.upper


@pytest.mark.parametrize("sign", [1, -1])
def test_a_hazard_at_0_far_from_everybody_is_no_missing_number(sign):
    x = 1e9 + sign * np.cos(np.arange(12.0))
    event = np.arange(12) % 3 != 0  # none at the first time: the hazard starts at 0
    months = np.arange(1.0, 13)
    model = sv.fit_cox(x, months, event, names=("x",))
    assert not np.isnan(sv.baseline_hazard(model, x, months, event).cumulative).any()
