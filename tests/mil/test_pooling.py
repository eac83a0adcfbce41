"""The signed generalized mean: Eq. 2 by hand, and what must hold for any bag."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.errors import BagError, BundleError
from jecur.mil.pooling import Pooling, pool_scores, risk_from_score

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
def test_contributions_share_out_the_bag(scores):
    weights = Pooling().contributions(scores)
    there = np.any(np.abs(scores) > 1e-12)
    assert np.abs(weights).sum() == pytest.approx(1.0 if there else 0.0, abs=1e-6) or not there
    assert (np.sign(weights) * np.sign(scores) >= 0).all()


@pytest.mark.parametrize("scores", [[], [np.nan], [np.inf, 1.0]])
def test_a_bag_that_cannot_be_pooled_is_refused(scores):
    with pytest.raises(BagError):
        pool_scores(np.array(scores, np.float32))


THREE = np.array([-1.0, 0.5, 2.0], np.float32)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (Pooling("mean"), 0.5),
        (Pooling("max"), 2.0),
        (Pooling("log-sum-exp"), np.log(np.mean(np.exp([-1.0, 0.5, 2.0])))),
        (Pooling("log-sum-exp", sharpness=1e-4), 0.5),
        (Pooling("log-sum-exp", sharpness=1e4), 2.0),
        # the logit of (0.26894 + 0.62246 + 0.88080) / 3
        (Pooling("tile-labels"), np.log(0.59073 / 0.40927)),
    ],
)
def test_each_pooling_by_hand(pooling, expected):
    assert pooling.pool(THREE) == pytest.approx(expected, abs=1e-3)


def test_noisy_and_turns_at_its_threshold():
    pooling = Pooling("noisy-and", parameters={"threshold": np.zeros(1, np.float32)})
    half = np.array([-30.0, 30.0], np.float32)  # half of the tiles positive, threshold a half
    assert pooling.pool(half) == pytest.approx(0.0, abs=1e-6)
    assert pooling.pool(np.array([30.0, 30.0, -30.0], np.float32)) > 1.0
    assert pooling.pool(np.array([-30.0, -30.0, 30.0], np.float32)) < -1.0


def test_attention_is_a_mean_weighted_by_the_gates():
    outputs = np.array([[1.0, 0.0], [3.0, np.log(3.0)]], np.float32)
    assert Pooling("attention").pool(outputs) == pytest.approx((1.0 + 3.0 * 3.0) / 4.0)


def test_top_bottom_sees_both_ends_in_order_and_repeats_the_last_tile_of_a_small_bag():
    parameters = {
        "hidden.weight": np.array([[1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3]], np.float32),
        "hidden.bias": np.zeros(1, np.float32),
        "out.weight": np.array([[1e3]], np.float32),
        "out.bias": np.ones(1, np.float32),
    }
    pooling = Pooling("top-bottom", ends=3, parameters=parameters)
    five = np.array([0.0, 3.0, -2.0, 1.0, 2.0], np.float32)
    ends = np.array([3.0, 2.0, 1.0, -2.0, 0.0, 1.0])
    assert pooling.pool(five) == pytest.approx(1.0 + ends @ [1, 2, 4, 8, 16, 32], rel=1e-2)
    two = np.array([3.0, -2.0], np.float32)
    ends = np.array([3.0, -2.0, -2.0, -2.0, 3.0, 3.0])
    assert pooling.pool(two) == pytest.approx(1.0 + ends @ [1, 2, 4, 8, 16, 32], rel=2e-2)


def test_a_pooling_without_its_trained_parameters_is_refused():
    with pytest.raises(BundleError, match="trained parameters"):
        Pooling("noisy-and")


_NETWORK = {
    "hidden.weight": np.linspace(-1, 1, 20, dtype=np.float32).reshape(2, 10),
    "hidden.bias": np.zeros(2, np.float32),
    "out.weight": np.ones((1, 2), np.float32),
    "out.bias": np.zeros(1, np.float32),
}


@pytest.mark.parametrize(
    "pooling",
    [
        *map(Pooling, ["generalized-mean", "mean", "max", "log-sum-exp", "attention"]),
        Pooling("noisy-and", parameters={"threshold": np.zeros(1, np.float32)}),
        Pooling("top-bottom", ends=5, parameters=_NETWORK),
        Pooling("tile-labels"),
    ],
    ids=lambda pooling: pooling.kind,
)
@pytest.mark.parametrize("n", [1, 7, 8, 37, 1000])
def test_where_numbers_lie_in_memory_changes_no_bit(pooling, n):
    """Outputs from the network, from a table's columns, from a slice: one risk, to the last bit."""
    plain = np.random.default_rng(n).normal(size=(n, 2)).astype(np.float32)
    wide = np.zeros((2 * n, 5), np.float32)
    wide[::2, 1:5:2] = plain
    turned = np.ascontiguousarray(plain[::-1, ::-1])[::-1, ::-1]
    layouts = [plain, np.asfortranarray(plain), wide[::2, 1:5:2], turned]
    if pooling.n_outputs == 1:
        layouts = [values[:, 0] for values in layouts] + [np.ascontiguousarray(plain[:, 0])]
    risks = {pooling.pool(values) for values in layouts}
    shares = {pooling.contributions(values).tobytes() for values in layouts}
    assert (len(risks), len(shares)) == (1, 1)


@pytest.mark.parametrize("exponent", [0.5, 3.0, 10.0, 50.0, 100.0])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_generalized_mean_holds_for_scores_of_any_size(exponent, reduction):
    pooling = Pooling(exponent=exponent, reduction=reduction)
    shape = np.array([-0.4, 0.3, 0.9, 1.0])
    total = np.sum(np.sign(shape) * np.abs(shape) ** exponent)
    root = (total / (1 if reduction == "sum" else 4)) ** (1 / exponent)
    for size in (2.0, 9.0, 40.0, 1e3, 1e6):
        assert pooling.pool(size * shape) == pytest.approx(size * root, rel=1e-3)
        assert pooling.slopes(size * shape) @ shape == pytest.approx(root, rel=1e-3)  # Euler


@pytest.mark.parametrize("cutoff", [0.2, 0.4457, 0.8])
@pytest.mark.parametrize(
    "pooling",
    [
        Pooling(),
        Pooling(exponent=20.0),
        Pooling("attention"),
        Pooling("noisy-and", parameters={"threshold": np.full(1, -1.0, np.float32)}),
        Pooling(
            "top-bottom",
            ends=2,
            parameters={
                "hidden.weight": np.full((1, 4), 0.2, np.float32),
                "hidden.bias": np.full(1, 0.7, np.float32),
                "out.weight": np.full((1, 1), 3.0, np.float32),
                "out.bias": np.zeros(1, np.float32),
            },
        ),
    ],
    ids=lambda pooling: pooling.kind,
)
def test_a_tile_alone_reaches_the_cutoff_where_it_is_said_to(pooling, cutoff):
    turn = pooling.reached_at(cutoff)
    alone = np.zeros((1, pooling.n_outputs))
    alone[0, 0] = np.log(cutoff / (1 - cutoff)) if turn is None else turn
    assert risk_from_score(pooling.pool(alone)) == pytest.approx(cutoff, abs=0.005)


@pytest.mark.parametrize("shift", [9.0, -9.0])
def test_where_no_tile_alone_reaches_the_cutoff_or_every_one_does_that_is_said(shift):
    parameters = {
        "hidden.weight": np.full((1, 2), 0.5, np.float32),
        "hidden.bias": np.zeros(1, np.float32),
        "out.weight": np.ones((1, 1), np.float32),
        "out.bias": np.full(1, shift, np.float32),
    }
    pooling = Pooling("top-bottom", ends=1, parameters=parameters)
    assert pooling.reached_at(0.5) == -np.copysign(np.inf, shift)
