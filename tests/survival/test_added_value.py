"""The clinical model with and without the score: R's numbers, and what must hold whatever the data."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jecur.report.tables.added_value import added_value_section
from jecur.settings import StatisticsSettings
from jecur.statistics.added_value import added_value
from jecur.statistics.results import CovariateColumn, EvaluationInput
from jecur.survival.brier import brier_score
from jecur.survival.fitted_pair import ModelData, fit_pair

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
SETTINGS = StatisticsSettings(horizons_months=(12.0, 24.0, 36.0), n_optimism=0)


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(GOLDEN / "added_value_patients.csv")


@pytest.fixture(scope="module")
def r():
    frame = pd.read_csv(GOLDEN / "added_value_r.csv")
    return {
        (row.world, row.quantity, None if np.isnan(row.months) else row.months): (row.value, row.se)
        for row in frame.itertuples()
    }


def _patients(table, *, competes=False, ties="efron"):
    score = table.score.to_numpy(float)
    return EvaluationInput(
        tuple(map(str, range(len(table)))),
        table.months.to_numpy(float),
        (table.status == 1).to_numpy(),
        score,
        score > 0.5,
        "time to recurrence",
        "to recurrence",
        (
            CovariateColumn("age", "Age", "numeric", tuple(table.age.astype(float))),
            CovariateColumn("stage", "Stage", "categorical", tuple(table.stage), levels=("I", "II", "III")),
        ),
        competing=(table.status == 2).to_numpy() if competes else None,
    )  # fmt: skip


def _half_width(reported):
    return (reported.upper - reported.lower) / 2 / 1.959963984540054


def _by(found):
    return {(m.name, m.months): m for m in found.measures}


@pytest.fixture(scope="module")
def censored(table):
    return added_value(_patients(table), SETTINGS)


def test_likelihood_ratio_and_concordance_are_those_of_r(censored, r):
    assert censored.likelihood_ratio.chi2 == pytest.approx(
        r["censored", "lrt_chi2", None][0], rel=1e-8
    )
    assert censored.likelihood_ratio.df == 1
    c = _by(censored)["Harrell’s C", None]
    for name in ("clinical", "with_score", "difference"):
        value, error = r["censored", f"c_{name}", None]
        assert getattr(c, name).estimate == pytest.approx(value, abs=1e-10)
    assert _half_width(c.difference) == pytest.approx(error, rel=1e-8)


@pytest.mark.parametrize("world", ["censored", "competing"])
def test_auc_and_its_difference_are_those_of_r(table, r, world):
    measures = _by(added_value(_patients(table, competes=world == "competing"), SETTINGS))
    for months in (12.0, 24.0, 36.0):
        m = measures["AUC", months]
        for name in ("clinical", "with_score", "difference"):
            value, error = r[world, f"auc_{name}", months]
            assert getattr(m, name).estimate == pytest.approx(value, abs=1e-9)
        # riskRegression's variance takes the hazard of being censored as small
        assert _half_width(m.difference) == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("world", ["censored", "competing"])
def test_brier_scores_are_those_of_r(table, r, world):
    patients = _patients(table, competes=world == "competing")
    other = patients.competing
    stages = np.stack([table.stage == "II", table.stage == "III"], axis=1).astype(float)
    x = np.column_stack([table.age, stages])
    names = ("age", "II", "III")
    pair = fit_pair(
        ModelData(
            x, np.column_stack([x, table.score]), (names, (*names, "score")),
            patients.months, patients.event, other, "efron",
        )
    )  # fmt: skip
    for name in ("clinical", "with_score"):
        model, columns = dict(zip(("clinical", "with_score"), pair.models(pair.data), strict=True))[
            name
        ]
        for months in (12.0, 24.0, 36.0):
            found = brier_score(
                model.probability(columns, np.array([months]))[:, 0], patients.months, patients.event, months,
                competing=other,
            )  # fmt: skip
            assert found.estimate == pytest.approx(r[world, f"brier_{name}", months][0], abs=2e-6)
    m = _by(added_value(patients, SETTINGS))["Integrated Brier score", 36.0]
    for name in ("clinical", "with_score"):
        value, _ = r[world, f"ibs_{name}", 36.0]
        assert getattr(m, name).estimate == pytest.approx(value, abs=2e-6)
    gain = r[world, "ibs_with_score", 36.0][0] - r[world, "ibs_clinical", 36.0][0]
    assert m.difference.estimate == pytest.approx(gain, abs=3e-6)
    assert m.difference.lower < gain < m.difference.upper


@pytest.mark.slow
def test_the_error_of_the_difference_of_integrated_brier_scores_is_that_of_the_jackknife(table):
    """Predictions held, patients left out one at a time."""
    from jecur.survival.brier import integrated_brier_score  # noqa: PLC0415

    part = table.iloc[:60]
    patients = _patients(part)
    m = _by(added_value(patients, SETTINGS))["Integrated Brier score", 36.0]
    stages = np.stack([part.stage == "II", part.stage == "III"], axis=1).astype(float)
    x = np.column_stack([part.age, stages])
    names = ("age", "II", "III")
    pair = fit_pair(
        ModelData(
            x, np.column_stack([x, part.score]), (names, (*names, "score")),
            patients.months, patients.event, None, "efron",
        )
    )  # fmt: skip

    def gain(keep):
        a, b = (
            integrated_brier_score(
                lambda t, model=model, x=x: model.probability(x[keep], np.array([t]))[:, 0],
                patients.months[keep], patients.event[keep], 36.0,
            ).estimate
            for model, x in pair.models(pair.data)
        )  # fmt: skip
        return b - a

    n = len(part)
    left = np.array([gain(np.arange(n) != k) for k in range(n)])
    jackknife = np.sqrt((n - 1) / n * np.sum((left - left.mean()) ** 2))
    assert _half_width(m.difference) == pytest.approx(jackknife, rel=0.05)


@pytest.mark.slow
def test_a_score_of_noise_adds_nothing_once_corrected():
    rng = np.random.default_rng(11)
    gains, corrected = [], []
    for _ in range(8):
        n = 70
        age = rng.normal(size=n)
        t, c = rng.exponential(30 * np.exp(-0.5 * age)), rng.uniform(10, 90, n)
        noise = rng.uniform(0.01, 0.99, n)
        patients = EvaluationInput(
            tuple(map(str, range(n))), np.minimum(t, c), t <= c, noise, noise > 0.5,
            "overall survival", "to death", (CovariateColumn("age", "Age", "numeric", tuple(age)),),
        )  # fmt: skip
        found = _by(added_value(patients, replace_settings(n_optimism=25)))[
            "Integrated Brier score", 36.0
        ]
        gains.append(found.difference.estimate)
        corrected.append(found.corrected_difference)
    assert np.mean(gains) < 0  # a smaller error, in the patients it was fitted to
    assert np.mean(corrected) > np.mean(gains)
    assert np.mean(corrected) > -0.001


def replace_settings(**more):
    import msgspec  # noqa: PLC0415

    return msgspec.structs.replace(SETTINGS, **more)


@pytest.mark.slow
def test_the_seed_settles_the_correction(table):
    patients = _patients(table)
    one, two = (added_value(patients, replace_settings(n_optimism=10, seed=s)) for s in (1, 1))
    other = added_value(patients, replace_settings(n_optimism=10, seed=2))
    assert one == two
    assert one.n_replicates == 10
    assert _by(one)["Harrell’s C", None].corrected_difference != (
        _by(other)["Harrell’s C", None].corrected_difference
    )


def test_nobody_asked_for_a_correction(censored):
    assert censored.n_replicates == 0
    assert all(m.corrected_difference is None for m in censored.measures)


def test_without_clinical_factors_there_is_nothing_to_add_to(table):
    assert added_value(replace(_patients(table), covariates=()), SETTINGS) is None


def test_factors_that_cannot_enter_cost_themselves_and_say_why(table):
    n = len(table)
    whole = _patients(table)
    odd = (
        CovariateColumn("flat", "Flat", "numeric", (3.0,) * n),
        CovariateColumn("gone", "Gone", "numeric", (None,) * n),
        CovariateColumn("age2", "Age again", "numeric", tuple(2 * table.age.astype(float) + 1)),
    )
    found = added_value(replace(whole, covariates=(*whole.covariates, *odd)), SETTINGS)
    assert found.factors == ("Age", "Stage")
    named = [re.split(r":| \(", text)[0] for text in found.left_out]
    assert named == ["Flat", "Gone", "Age again"]
    assert _by(found)["Harrell’s C", None].difference.estimate == pytest.approx(
        _by(added_value(whole, SETTINGS))["Harrell’s C", None].difference.estimate
    )
    none = added_value(replace(whole, covariates=odd[:2]), SETTINGS)
    assert none.likelihood_ratio.chi2 is None
    assert "clinical factor" in none.reason


def test_a_correction_that_most_draws_do_not_allow_is_said_not_to_be_one(table):
    part = table.iloc[:40]
    rare = tuple("yes" if k in (2, 5) else "no" for k in range(40))
    factor = CovariateColumn("rare", "Rare", "categorical", rare)
    patients = replace(_patients(part), covariates=(factor,))
    found = added_value(patients, replace_settings(n_optimism=20))
    assert found.likelihood_ratio.p is not None
    assert (found.n_replicates, found.n_requested) == (0, 20)
    section = added_value_section(found, 0.95, ())
    assert any("too few of 20 bootstrap samples" in note for note in section.notes)
    assert [t.name for t in section.tables] == ["added_value"]


def test_a_number_far_out_costs_no_probability(table):
    far = tuple(np.where(np.arange(len(table)) == 7, 1e9, table.age))
    whole = _patients(table, competes=True)
    covariates = (CovariateColumn("far", "Far", "numeric", far), *whole.covariates)
    measures = _by(added_value(replace(whole, covariates=covariates), SETTINGS))
    for measure in measures.values():
        for value in (measure.clinical, measure.with_score):
            assert value.estimate is None or 0 <= value.estimate <= 1
            assert "fault" not in (value.reason or "")
