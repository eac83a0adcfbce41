"""Heat maps in the right place and color; top tiles from the right ends; a blind review sheet."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.explain.heatmap import (
    heatmap_array,
    overlay_scores,
    qupath_geojson,
    score_scale,
    side_by_side,
)
from jecur.explain.top_tiles import select_top_tiles

SCORES = np.array([-2.0, 0.0, 3.0], np.float32)


def test_array_puts_scores_on_their_grid_and_nan_elsewhere():
    grid = heatmap_array(np.array([0, 1, 1]), np.array([2, 0, 1]), SCORES)
    assert grid.shape == (2, 3)
    assert grid[0, 2] == -2.0
    assert grid[1, 1] == 3.0
    assert np.isnan(grid).sum() == 3


def test_the_scale_turns_where_one_tile_reaches_the_cutoff():
    scale = score_scale(SCORES, 0.4457)
    assert 1 / (1 + np.exp(-scale.center)) == pytest.approx(0.4457)
    assert scale.place(
        np.array([scale.low, scale.center, scale.high], np.float32)
    ) == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)


@pytest.mark.parametrize(("turn", "sign"), [(np.inf, 1), (-np.inf, -1)])
def test_no_tile_lies_beyond_a_turn_that_none_reaches(turn, sign):
    """Not the outermost hundredth either: a tile that alone cannot reach the cut-off is not above it."""
    scores = np.concatenate([np.zeros(500), [sign * 7.0]]).astype(np.float32)
    scale = score_scale(scores, 0.4457, turn)
    assert (sign * (scores - scale.center)).max() <= 0
    assert (sign * (scale.place(scores) - 0.5)).max() <= 0


@pytest.mark.parametrize(("turn", "place"), [(1.0, 0.25), (-np.inf, 1.0), (np.inf, 0.0)])
def test_the_scale_turns_where_the_pooling_bends_it_to(turn, place):
    scores = np.linspace(-2.0, 2.0, 201).astype(np.float32)
    scale = score_scale(scores, 0.4457, turn)
    assert (scale.place(scores) > 0.5).mean() == pytest.approx(place, abs=0.03)
    assert scale.low < scale.center < scale.high


def test_all_scores_on_one_side_still_make_a_scale():
    scale = score_scale(np.full(5, 9.0, np.float32), 0.4457)
    assert scale.low < scale.center < scale.high


def test_high_tiles_are_orange_low_ones_violet_and_the_rest_is_untouched():
    thumbnail = np.full((40, 60, 3), 200, np.uint8)
    overlay = overlay_scores(
        thumbnail,
        np.array([[0.0, 0.0], [20.0, 20.0]]),
        np.array([3.0, -3.0], np.float32),
        side_px=10.0,
        scale=score_scale(np.array([-3.0, 3.0], np.float32), 0.5),
    )
    assert overlay[5, 5, 0] > overlay[5, 5, 2] + 40  # red above blue
    assert overlay[25, 25, 2] > overlay[25, 25, 0] + 10  # blue above red
    assert (overlay[:, 40:] == 200).all()
    assert (thumbnail == 200).all()
    sheet = side_by_side(thumbnail, overlay, score_scale(SCORES, 0.5))
    assert sheet.shape[1] > 120


def test_qupath_shapes_are_closed_squares_at_level_zero():
    shapes = json.loads(
        qupath_geojson(
            np.array([[100, 200], [356, 200]]),
            SCORES[:2],
            side_px=256,
            scale=score_scale(SCORES, 0.5),
        )
    )
    ring = shapes["features"][0]["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] == [100, 200]
    assert ring[2] == [356, 456]
    assert [f["properties"]["measurements"]["Jecur tile score"] for f in shapes["features"]] == [
        -2,
        0,
    ]


bags = st.lists(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=12).map(
        lambda v: np.array(v, np.float32)
    ),
    max_size=8,
)


@given(bags, st.integers(1, 10), st.integers(1, 4))
def test_top_tiles_are_extreme_capped_and_at_one_end_only(bags, n_tiles, cap):
    high, low = select_top_tiles(bags, n_tiles=n_tiles, max_per_patient=cap)
    for end in (high, low):
        assert len(end) <= n_tiles
        owners = [t.patient for t in end]
        assert all(owners.count(p) <= cap for p in owners)
        assert all(bags[t.patient][t.tile] == np.float32(t.score) for t in end)
    assert not {(t.patient, t.tile) for t in high} & {(t.patient, t.tile) for t in low}
    if high and low:
        assert min(t.score for t in high) >= max(t.score for t in low)
