"""Elastic-net Cox: the plain model without penalty, nothing under a heavy one, the rest between."""

import numpy as np
import pytest

from jecur.errors import NotEstimableError
from jecur.survival.cox import fit_cox
from jecur.survival.elastic_net import fit_elastic_net, fit_elastic_net_by_folds
from jecur.survival.partial_likelihood import evaluate_likelihood
from jecur.survival.risk_sets import risk_sets


def _data(n=150, p=8, seed=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    months = rng.exponential(np.exp(-x[:, 0] + 0.7 * x[:, 1])) * 30 + 0.1
    censored = rng.exponential(60, n) + 0.1
    return x, np.ceil(np.minimum(months, censored)), months <= censored


def test_without_penalty_it_is_the_plain_cox_model():
    x, months, event = _data(p=3)
    found = fit_elastic_net(x, months, event, strength=0.0)
    plain = fit_cox(x, months, event, names=("a", "b", "c"))
    np.testing.assert_allclose(found.coefficients / found.spread, plain.coefficients, atol=1e-4)


def test_optimality_conditions_hold_at_the_solution():
    x, months, event = _data()
    strength, mix = 0.05, 0.5
    found = fit_elastic_net(x, months, event, strength=strength, mix=mix)
    sets = risk_sets(months, event, np.zeros(len(months), dtype=np.int64), "efron")
    scaled = ((x - found.mean) / found.spread)[sets.order]
    b = found.coefficients
    slope = evaluate_likelihood(b, scaled, sets).gradient / len(x) - strength * (1 - mix) * b
    used = b != 0
    assert used[:2].all()
    np.testing.assert_allclose(slope[used], strength * mix * np.sign(b[used]), atol=1e-5)
    assert np.all(np.abs(slope[~used]) <= strength * mix + 1e-6)


def test_folds_choose_a_strength_that_keeps_what_matters_and_little_else():
    x, months, event = _data(n=200, p=20)
    found = fit_elastic_net_by_folds(x, months, event, rng=np.random.default_rng(0))
    size = np.abs(found.coefficients)
    assert size[:2].min() > 3 * size[2:].max()


@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_a_column_that_only_rounding_moves_is_constant(mix):
    x, months, event = _data(p=3)
    rng = np.random.default_rng
    for one, other in ((0.3, 0.1 + 0.2), (1e9, np.nextafter(1e9, 2e9)), (0.0, 0.0)):
        moved = np.column_stack([x, np.where(np.arange(len(x)) % 2, one, other)])
        plain = fit_elastic_net_by_folds(x, months, event, rng=rng(0), mix=mix)
        found = fit_elastic_net_by_folds(moved, months, event, rng=rng(0), mix=mix)
        np.testing.assert_allclose(found.coefficients[:3], plain.coefficients, rtol=1e-9)
        unlike = np.array([[0.0, 0.0, 0.0, one + 0.5]])  # as nobody it was fitted to
        np.testing.assert_allclose(found.risk(unlike), plain.risk(unlike[:, :3]), atol=1e-6)


def test_no_event_is_not_estimable():
    x, months, _ = _data()
    with pytest.raises(NotEstimableError):
        fit_elastic_net(x, months, np.zeros(len(months), dtype=bool), strength=0.1)


@pytest.mark.slow
def test_many_covariates_that_say_the_same_come_to_rest():
    """A hundred measurements of fifteen things, more than patients: optimal at every strength."""
    rng = np.random.default_rng(0)
    things = rng.normal(size=(80, 15))
    x = things @ rng.normal(size=(15, 100)) + 0.2 * rng.normal(size=(80, 100))
    months = np.ceil(rng.exponential(20 * np.exp(-things[:, 0]))) + 0.5
    event = rng.uniform(size=80) < 0.7
    for strength in (0.3, 0.03, 0.003):
        found = fit_elastic_net(x, months, event, strength=strength)
        sets = risk_sets(months, event, np.zeros(80, dtype=np.int64), "efron")
        scaled = ((x - found.mean) / found.spread)[sets.order]
        b = found.coefficients
        slope = evaluate_likelihood(b, scaled, sets).gradient / 80 - strength / 2 * b
        used = b != 0
        np.testing.assert_allclose(slope[used], strength / 2 * np.sign(b[used]), atol=1e-5)
        assert np.all(np.abs(slope[~used]) <= strength / 2 + 1e-6)
