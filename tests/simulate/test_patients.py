"""Follow-up depends on the features as planted, and under the null not at all."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from jecur.errors import SettingsError, SimulationError
from jecur.settings import SimulationSettings
from jecur.simulate.patients import (
    FEATURE_MEAN,
    FEATURE_SD,
    VirtualPatients,
    concordance,
    draw_cohort,
)


def draw(seed: int = 0, **changed: object) -> VirtualPatients:
    settings = SimulationSettings(n_training=0, n_validation=4000, **changed)
    return draw_cohort(settings, np.random.default_rng(seed))


def outcome(patients: VirtualPatients) -> tuple[np.ndarray, np.ndarray]:
    table = patients.table
    return table["months"].to_numpy(float), table["recurrence"].to_numpy() == 1


def cox(covariates: np.ndarray, months: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, ...]:
    """Coefficients and standard errors by Newton's method (Breslow; hardly a tie)."""
    order = np.argsort(-months, kind="stable")
    x, event = covariates[order], event[order]
    beta = np.zeros(x.shape[1])
    for _ in range(20):
        weight = np.exp(x @ beta)
        s0 = np.cumsum(weight)
        s1 = np.cumsum(weight[:, None] * x, axis=0)
        s2 = np.cumsum(weight[:, None, None] * x[:, :, None] * x[:, None, :], axis=0)
        mean = s1 / s0[:, None]
        score = (x - mean)[event].sum(axis=0)
        information = (s2 / s0[:, None, None] - mean[:, :, None] * mean[:, None, :])[event].sum(
            axis=0
        )
        beta = beta + np.linalg.solve(information, score)
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


def test_cox_on_the_true_features_recovers_the_planted_effects() -> None:
    patients = draw()
    z = (patients.features - FEATURE_MEAN) / FEATURE_SD
    clinical = patients.log_hazard - patients.feature_log_hazard
    beta, error = cox(np.column_stack([z, clinical]), *outcome(patients))
    planted = np.array([*SimulationSettings().log_hazard_per_sd, 1.0])
    assert (np.abs(beta - planted) < 3.5 * error).all()
    assert (error[:4] < 0.04).all()
    assert (np.sign(beta) == np.sign(planted)).all()


def test_null_leaves_follow_up_independent_of_the_features() -> None:
    patients = draw(null=True)
    months, event = outcome(patients)
    assert (patients.betas == 0).all()
    beta, error = cox((patients.features - FEATURE_MEAN) / FEATURE_SD, months, event)
    assert (np.abs(beta) < 3.5 * error).all()
    for column in ("afp_ng_ml", "tumor_size_cm"):
        planted = patients.features @ np.array(SimulationSettings().log_hazard_per_sd)
        assert spearmanr(patients.table[column], planted).pvalue > 1e-3


def test_null_keeps_the_clinical_effects() -> None:
    patients = draw(null=True)
    months, event = outcome(patients)
    assert concordance(patients.log_hazard, months, event) > 0.58


def test_null_and_planted_share_the_features() -> None:
    np.testing.assert_array_equal(draw().features, draw(null=True).features)


def test_the_default_cohort_is_worth_studying() -> None:
    patients = draw()
    months, event = outcome(patients)
    assert 0.54 < event.mean() < 0.63
    assert 0.30 < (months >= 48).mean() < 0.45  # followed four years without recurrence
    assert (event & (months >= 48)).mean() < 0.1
    assert 0.30 < (event & (months < 19.2)).mean() < 0.45
    assert 0.77 < concordance(patients.log_hazard, months, event) < 0.81
    assert patients.feature_log_hazard.std() == pytest.approx(1.22, abs=0.06)


def test_covariates_are_plausible_and_lean_on_the_hazard() -> None:
    table = draw().table
    assert table["patient_id"].is_unique
    assert table["patient_id"].iloc[0] == "V-0001"
    assert table["months"].min() > 0
    assert set(table["recurrence"]) == {0, 1}
    assert set(table["stage"]) == {"I", "II", "III"}
    assert set(table["vascular_invasion"]) == {"none", "micro", "macro"}
    assert table["age"].between(18, 95).all()
    assert table["tumor_size_cm"].between(0.5, 25).all()
    early = table["months"] < 12
    assert (table["stage"][early] == "III").mean() > 1.3 * (table["stage"][~early] == "III").mean()


def test_the_table_keeps_the_secret() -> None:
    assert list(draw().table.columns) == [
        "patient_id",
        "site",
        "role",
        "months",
        "recurrence",
        "age",
        "sex",
        "afp_ng_ml",
        "stage",
        "vascular_invasion",
        "tumor_size_cm",
    ]


def test_sites_do_not_touch_the_outcome() -> None:
    patients = draw(seed=1)
    for k in range(4):
        mine = patients.site == k
        error = patients.log_hazard.std() / np.sqrt(mine.sum())
        assert abs(patients.log_hazard[mine].mean() - patients.log_hazard.mean()) < 4 * error


def test_concordance_counts_pairs() -> None:
    months = np.array([1.0, 2.0, 3.0, 3.0])
    event = np.array([True, False, True, False])
    # comparable: (1; 2, 3, 3) and (3 event; 3 censored)
    assert concordance(np.array([4.0, 3.0, 2.0, 1.0]), months, event) == 1.0
    assert concordance(np.array([1.0, 3.0, 2.0, 4.0]), months, event) == 0.0
    assert concordance(np.ones(4), months, event) == 0.5
    assert np.isnan(concordance(np.ones(4), months, np.zeros(4, bool)))


def test_impossible_cohorts_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(SimulationError, match="at least one patient"):
        draw_cohort(SimulationSettings(n_training=0, n_validation=0), rng)
    with pytest.raises(SettingsError, match="follow_up_months"):
        SimulationSettings(follow_up_months=(60.0, 20.0))
