"""The signed generalized mean: Eq. 2 by hand, and what must hold for any bag."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.errors import BagError
from jecur.mil.pooling import pool_scores, risk_from_score, tile_weights

bags = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40).map(
    lambda values: np.array(values, np.float32)
)


@pytest.mark.parametrize(
    ("scores", "exponent", "expected"),
    [
        ([2.0], 3, 2.0),
        ([-2.0], 3, -2.0),
        ([1.0, 3.0], 3, 14 ** (1 / 3)),  # ((1 + 27) / 2)^(1/3)
        ([-1.0, 3.0], 3, 13 ** (1 / 3)),
        ([-3.0, 1.0], 3, -(13 ** (1 / 3))),
        ([1.0, 3.0], 1, 2.0),
        ([1.0, 3.0], 2, 5**0.5),
    ],
)
def test_mean_form_by_hand(scores, exponent, expected):
    found = pool_scores(np.array(scores, np.float32), exponent=exponent)
    assert found == pytest.approx(expected, rel=1e-6)


def test_sum_form_grows_with_the_bag_by_the_root_of_n():
    scores = np.array([1.0, 3.0, -0.5, 2.0], np.float32)
    ratio = pool_scores(scores, reduction="sum") / pool_scores(scores)
    assert ratio == pytest.approx(4 ** (1 / 3), rel=1e-6)


@given(bags)
def test_order_does_not_matter_and_sign_flips_with_the_scores(scores):
    pooled = pool_scores(scores)
    assert pool_scores(scores[::-1]) == pytest.approx(pooled, rel=1e-9, abs=1e-9)
    assert pool_scores(-scores) == pytest.approx(-pooled, rel=1e-9, abs=1e-12)


@given(bags)
def test_pooled_score_lies_between_the_extremes(scores):
    pooled = pool_scores(scores)
    # The smoothed root moves S by up to 0.05 % where |S| > 0.3, toward 0.
    slack = 5e-4 * np.abs(scores).max()
    assert scores.min() - slack <= pooled <= scores.max() + slack or abs(pooled) < 0.3


@given(bags)
def test_repeating_a_bag_changes_the_mean_form_by_nothing(scores):
    assert pool_scores(np.tile(scores, 3)) == pytest.approx(pool_scores(scores), rel=1e-9, abs=1e-9)


@given(st.floats(-80, 80))
def test_risk_is_a_probability_and_rises_with_the_score(score):
    risk = risk_from_score(score)
    assert 0.0 < risk <= 1.0
    assert risk_from_score(score + 1e-3) >= risk
    assert risk_from_score(score) + risk_from_score(-score) == pytest.approx(1.0)


@given(bags)
def test_tile_weights_share_out_the_bag(scores):
    weights = tile_weights(scores)
    assert np.abs(weights).sum() == pytest.approx(1.0 if np.any(scores) else 0.0, abs=1e-6)
    assert (np.sign(weights) * np.sign(scores) >= 0).all()


@pytest.mark.parametrize("scores", [[], [np.nan], [np.inf, 1.0]])
def test_a_bag_that_cannot_be_pooled_is_refused(scores):
    with pytest.raises(BagError):
        pool_scores(np.array(scores, np.float32))
