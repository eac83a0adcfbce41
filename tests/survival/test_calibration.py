"""Brier score and calibration groups at a horizon."""

import numpy as np
import pytest

from jecur.errors import NotEstimableError, TableError
from jecur.survival.brier import brier_score
from jecur.survival.calibration import calibration_groups
from jecur.survival.survival_curve import kaplan_meier


def patients(rng, n, *, censored=True):
    """Risks that are the true probability of the event by t = 1."""
    p = rng.uniform(0.05, 0.9, n)
    time = rng.exponential(-1 / np.log(1 - p))
    limit = rng.exponential(2.0, n) if censored else np.full(n, 99.0)
    return p, np.minimum(time, limit), time <= limit


def test_without_censoring_it_is_the_mean_squared_error():
    p, time, event = patients(np.random.default_rng(0), 200, censored=False)
    have = brier_score(p, time, event, 1.0)
    assert have.estimate == pytest.approx(np.mean((p - (time <= 1)) ** 2), rel=1e-12)
    assert have.null == pytest.approx(np.mean(time <= 1) * np.mean(time > 1), rel=1e-10)


def test_weights_undo_censoring_and_the_error_is_the_spread():
    rng = np.random.default_rng(1)
    scores = [brier_score(*patients(rng, 200), 1.0) for _ in range(300)]
    estimates = np.array([s.estimate for s in scores])
    p = rng.uniform(0.05, 0.9, 200_000)
    truth = np.mean(p * (1 - p))
    assert estimates.mean() == pytest.approx(truth, abs=3 * estimates.std() / np.sqrt(300))
    errors = np.mean([s.standard_error for s in scores])
    assert errors == pytest.approx(estimates.std(), rel=0.12)
    assert np.mean([s.skill for s in scores]) > 0.1


def test_giving_everybody_the_average_has_no_skill():
    _, time, event = patients(np.random.default_rng(2), 100)
    average = 1 - kaplan_meier(time, event).at(1.0)[0]
    assert brier_score(np.full(100, average), time, event, 1.0).skill == pytest.approx(0)


def test_groups_of_true_probabilities_lie_on_the_diagonal():
    p, time, event = patients(np.random.default_rng(3), 5000)
    groups = calibration_groups(p, time, event, 1.0, n_groups=5)
    assert sum(g.n for g in groups) == 5000
    for g in groups:
        assert g.observed == pytest.approx(g.predicted, abs=0.06)
        assert g.lower <= g.observed <= g.upper


def test_equal_predictions_are_one_group():
    _, time, event = patients(np.random.default_rng(4), 50)
    assert len(calibration_groups(np.full(50, 0.5), time, event, 1.0)) == 1
    two = calibration_groups(np.repeat([0.2, 0.8], 25), time, event, 1.0)
    assert [g.n for g in two] == [25, 25]


def test_refusals():
    with pytest.raises(NotEstimableError, match="followed beyond"):
        brier_score([0.5, 0.5], [1.0, 2.0], [True, True], 5.0)
    with pytest.raises(TableError, match="probabilities"):
        brier_score([1.5, 0.5], [1.0, 2.0], [True, True], 1.0)
