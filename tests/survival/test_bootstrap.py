"""Bootstrap by patient."""

import numpy as np
import pytest

from jecur.errors import NotEstimableError
from jecur.survival.bootstrap import bootstrap_interval


def test_interval_of_a_mean_is_the_normal_one():
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    have = bootstrap_interval(lambda rows: values[rows].mean(), 400, rng=rng, n_replicates=3000)
    error = values.std() / 20
    assert have.estimate == values.mean()
    assert have.standard_error == pytest.approx(error, rel=0.06)
    assert have.upper - have.lower == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_the_seed_makes_it_repeatable():
    values = np.arange(30.0)
    a, b = (
        bootstrap_interval(
            lambda rows: np.median(values[rows]), 30, rng=np.random.default_rng(7), n_replicates=50
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.replicates, b.replicates)


def test_counts_draws_that_fail_and_refuses_too_many():
    def often(rows):
        if not (rows < 5).any():
            raise NotEstimableError("none")
        return rows.mean()

    have = bootstrap_interval(often, 20, rng=np.random.default_rng(1), n_replicates=500)
    assert 0 < have.n_failed < 50
    with pytest.raises(NotEstimableError, match="too few events"):
        bootstrap_interval(
            lambda rows: np.nan if rows[0] != 0 else 1.0,
            20,
            rng=np.random.default_rng(1),
            n_replicates=100,
        )
