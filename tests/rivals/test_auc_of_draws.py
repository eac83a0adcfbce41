"""AUC of many draws at once is the plain estimator's, draw by draw; so are differences made of it."""

import time
from dataclasses import replace

import numpy as np
import pytest

from jecur.errors import SettingsError
from jecur.settings import StatisticsSettings
from jecur.statistics.auc_of_draws import auc_of_draws
from jecur.statistics.compared import ModelRisks, compare_models_of
from jecur.statistics.cross_validated import held_out_statistics
from jecur.statistics.results import EvaluationInput

HORIZONS = (6.0, 12.0, 18.0)


def _patients(seed, n=60, *, competes=False, events=0.5):
    """Whole months and nine markers: ties of every kind, also at a horizon."""
    rng = np.random.default_rng(seed)
    months, risk = rng.integers(1, 24, n).astype(float), rng.integers(0, 9, n).astype(float)
    what = rng.random(n)
    names = tuple(f"P{k}" for k in range(n))
    other = (what >= events) & (what < events + 0.2) if competes else None
    return EvaluationInput(names, months, what < events, risk, risk > 4, "x", "x", competing=other)


def _resampled(of, rows):
    return replace(
        of,
        patient_ids=tuple(f"Q{k}" for k in range(rows.size)),
        months=of.months[rows],
        event=of.event[rows],
        risk=of.risk[rows],
        high_risk=of.high_risk[rows],
        competing=None if of.competing is None else of.competing[rows],
    )


def _times(division, draws, seed):
    rng = np.random.default_rng(seed)
    times = np.ones((division.size, 1 + draws))
    for k in np.unique(division):
        rows = np.flatnonzero(division == k)
        times[rows, 1:] = rng.multinomial(rows.size, np.full(rows.size, 1 / rows.size), draws).T
    return times


def _of_draws(patients, division, times, recipe="score"):
    p = patients
    return auc_of_draws(
        p.risk, p.months, p.event, division, times, np.array(HORIZONS),
        competing=p.competing, recipe=recipe,
    )  # fmt: skip


def _plain(patients, division, recipe):
    """What the row of a model says: each fold's estimate, averaged over those that have one."""
    found = held_out_statistics(
        patients,
        repeat=np.ones(division.size, np.int64),
        fold=division,
        settings=StatisticsSettings(
            horizons_months=HORIZONS, landmark_months=12.0, auc_recipe=recipe
        ),
    )
    return [np.nan if p.estimate is None else p.estimate for p in found.auc.points]


@pytest.mark.parametrize("competes", [False, True])
@pytest.mark.parametrize(("recipe", "folds"), [("score", 1), ("timeroc", 1), ("score", 3)])
def test_a_draw_is_estimated_as_its_patients_would_be(recipe, folds, competes):
    patients = _patients(folds, competes=competes)
    division = np.arange(60) % folds + 1
    times = _times(division, 4, 7)
    found = _of_draws(patients, division, times, recipe)
    for column, values in zip(times.T, found.T, strict=True):
        rows = np.repeat(np.arange(60), column.astype(int))
        expected = _plain(_resampled(patients, rows), division[rows], recipe)
        np.testing.assert_allclose(values, expected, atol=1e-12)


@pytest.mark.slow
def test_folds_without_a_case_or_a_control_have_no_say_and_a_draw_of_such_folds_has_no_value():
    patients = _patients(3, n=24, events=0.15)
    division = np.arange(24) % 4 + 1
    times = _times(division, 30, 1)
    found = _of_draws(patients, division, times)
    expected = []
    for column in times.T:
        rows = np.repeat(np.arange(24), column.astype(int))
        expected.append(_plain(_resampled(patients, rows), division[rows], "score"))
    assert np.isnan(found).any()
    assert np.isfinite(found).any()
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-12)


def test_order_and_numbering_of_patients_and_a_rising_transformation_change_nothing():
    patients, division = _patients(5, competes=True), np.arange(60) % 2 + 1
    times, order = _times(division, 5, 2), np.random.default_rng(0).permutation(60)
    moved = _resampled(replace(patients, risk=np.exp(patients.risk)), order)
    np.testing.assert_allclose(
        _of_draws(moved, 9 - division[order], times[order]),
        _of_draws(patients, division, times),
        atol=1e-12,
    )


def test_an_unknown_recipe_is_refused():
    patients = _patients(0)
    with pytest.raises(SettingsError, match="recipe"):
        _of_draws(patients, np.ones(60, np.int64), np.ones((60, 1)), "other")


def _compared(patients, risks, division):
    models = [
        ModelRisks(name, name, replace(patients, risk=risk), None, "none asked for")
        for name, risk in risks.items()
    ]
    settings = StatisticsSettings(horizons_months=HORIZONS, landmark_months=12.0)
    found = compare_models_of(models, division, ["clinical"], settings=settings, n_bootstrap=200)
    return found, {(d.model, d.measure): d for d in found.differences}


def test_differences_of_auc_at_every_horizon_are_those_of_the_rows():
    patients = _patients(8, n=90)
    noise = np.random.default_rng(1).normal(size=90)
    risks = {"clinical": noise, "good": noise - patients.months, "same": 3 * noise + 1}
    found, differences = _compared(patients, risks, np.arange(90) % 2 + 1)
    rows = {m.name: m.statistics.auc.points for m in found.models}
    for k, t in enumerate(HORIZONS):
        good = differences["good", f"AUC at {t:g} months"].difference
        assert good.estimate == pytest.approx(
            rows["good"][k].estimate - rows["clinical"][k].estimate, abs=1e-12
        )
        assert 0 < good.lower < good.estimate < good.upper
        same = differences["same", f"AUC at {t:g} months"].difference
        assert (same.lower, same.estimate, same.upper) == pytest.approx((0, 0, 0), abs=1e-12)


def test_draws_without_an_estimate_are_counted_and_too_many_are_a_reason():
    months = np.array([3.0, 5.0] + [20.0] * 38)  # two cases by 6 months, then one
    event = np.array([True, True] + [False] * 38)
    patients = replace(_patients(0, n=40), months=months, event=event)
    risks = {"clinical": np.arange(40.0), "other": -np.arange(40.0)}
    _, found = _compared(patients, risks, np.ones(40, np.int64))
    without = found["other", "AUC at 6 months"]
    assert 10 < without.draws_without < 60  # a draw misses both with a chance of 0.13
    assert "90% of 200 draws" in without.difference.reason
    assert f"found it in {200 - without.draws_without}" in without.difference.reason
    assert found["other", "Brier score"].draws_without is None


def test_a_thousand_draws_take_no_two_seconds():
    patients, division = _patients(2, n=200), np.arange(200) % 5 + 1
    times = _times(division, 1000, 0)
    began = time.process_time()
    _of_draws(patients, division, times)
    assert time.process_time() - began < 2.0
