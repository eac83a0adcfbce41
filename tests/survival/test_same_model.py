"""What follows from a fitted model is asked of its own covariates, patients, strata and weights."""

import itertools

import numpy as np
import pandas as pd
import pytest

from jecur import survival as sv
from jecur.errors import NotEstimableError, SettingsError, TableError

N = 80
NAMES = ["age", "afp", "size"]


@pytest.fixture
def patients():
    rng = np.random.default_rng(9)
    table = pd.DataFrame(rng.normal(size=(N, 3)) * [9, 2, 4] + [60, 5, 6], columns=NAMES)
    return table, np.ceil(rng.exponential(30, N)), rng.random(N) < 0.6, rng.integers(0, 3, N)


@pytest.mark.parametrize("order", list(itertools.permutations(NAMES)))
def test_columns_of_a_frame_are_taken_by_name(patients, order):
    table, months, event, _ = patients
    model = sv.fit_cox(table, months, event)
    base = sv.baseline_hazard(model, table, months, event)
    other = table[list(order)].assign(unused=1.0)
    np.testing.assert_allclose(model.risk(other), model.risk(table.to_numpy()), rtol=1e-9)
    np.testing.assert_allclose(
        base.survival(other, [12, 36]), base.survival(table, [12, 36]), rtol=1e-9
    )
    again = sv.baseline_hazard(model, other, months, event)
    np.testing.assert_allclose(again.cumulative, base.cumulative, rtol=1e-9)
    tests = [
        [t.chi2 for t in sv.proportional_hazards_test(model, x, months, event).tests]
        for x in (table, other)
    ]
    np.testing.assert_allclose(*tests, rtol=1e-9)


@pytest.mark.parametrize(
    "change", [lambda t: t.drop(columns="afp"), lambda t: t.rename(columns={"afp": "x"})]
)
def test_a_frame_without_a_covariate_of_the_model_is_refused(patients, change):
    table, months, event, _ = patients
    model = sv.fit_cox(table, months, event)
    base = sv.baseline_hazard(model, table, months, event)
    for ask in (
        model.risk,
        lambda t: base.survival(t, [12]),
        lambda t: sv.baseline_hazard(model, t, months, event),
        lambda t: sv.proportional_hazards_test(model, t, months, event),
    ):
        with pytest.raises(TableError, match="expected the columns age, afp, size of the model"):
            ask(change(table))
    for width in (1, 2, 4):
        with pytest.raises(TableError, match="expected 3 covariates a patient"):
            base.survival(np.ones((5, width)), [12])


def test_another_fit_or_other_patients_are_refused(patients):
    table, months, event, stratum = patients
    plain = sv.fit_cox(table, months, event)
    strata = sv.fit_cox(table, months, event, strata=stratum)
    weights = sv.fit_cox(table, months, event, weights=1.0 + stratum)
    data = table, months, event
    half = table[:40], months[:40], event[:40]
    sv.proportional_hazards_test(strata, *data, strata=stratum)
    for model, given, more in (
        (strata, data, {}),
        (plain, data, {"strata": stratum}),
        (weights, data, {}),
        (plain, half, {}),
    ):
        with pytest.raises(NotEstimableError):
            sv.proportional_hazards_test(model, *given, **more)
        if not more:
            with pytest.raises(NotEstimableError):
                sv.baseline_hazard(model, *given)
    sv.likelihood_ratio_test(plain, sv.fit_cox(table[["age"]], months, event))
    for more in ({"strata": stratum}, {"weights": 1.0 + stratum}):
        with pytest.raises(NotEstimableError, match="same strata and weights"):
            sv.likelihood_ratio_test(plain, sv.fit_cox(table[["age"]], months, event, **more))


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1, True, "0.5", None, float("inf")])
def test_a_quantile_is_of_a_fraction(patients, bad):
    _, months, event, _ = patients
    with pytest.raises(SettingsError):
        sv.kaplan_meier(months, event).quantile(bad)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -5, 0, True, "3", None])
def test_a_mean_is_restricted_to_months_above_zero(patients, bad):
    _, months, event, _ = patients
    with pytest.raises(SettingsError, match="months above 0"):
        sv.kaplan_meier(months, event).restricted_mean(bad)


@pytest.mark.parametrize("bad", [0, -3, 2.5, True, "5", None])
def test_groups_of_calibration_are_counted(patients, bad):
    _, months, event, _ = patients
    with pytest.raises(SettingsError, match="n_groups"):
        sv.calibration_groups(np.full(N, 0.5), months, event, 12, n_groups=bad)


def test_no_horizon_is_no_question(patients):
    table, months, event, _ = patients
    with pytest.raises(SettingsError, match="horizons"):
        sv.time_dependent_auc(table["age"], months, event, [])
