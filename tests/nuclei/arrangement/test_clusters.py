"""Clusters and lymphocytes on patterns made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nuclei.arrangement.motion import moved

from jecur.nuclei.arrangement.flock import flock_clusters, flock_measures
from jecur.nuclei.arrangement.lymphocytes import (
    lymphocyte_like,
    lymphocyte_measures,
    tumor_like,
)
from jecur.nuclei.arrangement.mean_shift import hulls, mean_shift
from jecur.nuclei.arrangement.pattern import NuclearPattern


def pattern(xy, area, density, eccentricity=0.4) -> NuclearPattern:
    n = len(xy)
    return NuclearPattern(
        np.asarray(xy, float),
        np.broadcast_to(np.asarray(area, float), n).copy(),
        np.broadcast_to(np.asarray(eccentricity, float), n).copy(),
        np.zeros(n),
        np.broadcast_to(np.asarray(density, float), n).copy(),
    )


def blobs(centers, n: int, spread: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([np.array(c) + rng.normal(scale=spread, size=(n, 2)) for c in centers])


def same_partition(a, b) -> bool:
    return (
        len(set(zip(a.tolist(), b.tolist(), strict=True)))
        == len(set(a.tolist()))
        == len(set(b.tolist()))
    )


def test_blobs_that_stand_apart_are_the_clusters():
    xy = blobs([(0, 0), (200, 0), (0, 300), (400, 400)], 25, 8.0)
    label = mean_shift(xy / 40.0)
    assert same_partition(label, np.repeat(np.arange(4), 25))


def test_scikit_learn_finds_the_same_clusters():
    cluster = pytest.importorskip("sklearn.cluster")
    xy = blobs([(0, 0), (3, 0), (0, 4), (5, 5), (9, 1)], 40, 0.3, 3)
    theirs = cluster.MeanShift(bandwidth=1.0, bin_seeding=False).fit(xy).labels_
    assert same_partition(mean_shift(xy), theirs)


def test_the_order_of_the_nuclei_does_not_matter():
    xy = np.random.default_rng(5).uniform(0, 12, (400, 2))
    order = np.random.default_rng(6).permutation(400)
    assert same_partition(mean_shift(xy)[order], mean_shift(xy[order]))


def test_hulls_of_squares_have_known_areas_and_hold_what_is_inside():
    square = np.array([(0, 0), (10, 0), (0, 10), (10, 10), (5, 5)], float)
    xy = np.concatenate([square, square + 100])
    groups = hulls(xy, np.repeat([0, 1], 5))
    np.testing.assert_allclose(groups.hull_area, 100.0)
    np.testing.assert_allclose(groups.size, 5)
    np.testing.assert_allclose(groups.center, [[5, 5], [105, 105]])
    np.testing.assert_allclose(groups.reach, np.sqrt(50))
    np.testing.assert_allclose(groups.spread, np.sqrt(4 * 50 / 5))
    cluster, point = groups.holding(np.array([[1.0, 1], [10.1, 5], [104, 109], [-1, -1]]))
    assert sorted(zip(cluster.tolist(), point.tolist(), strict=True)) == [(0, 0), (1, 2)]
    values = np.arange(10.0)
    np.testing.assert_allclose(groups.spread_of(values), np.std(np.arange(5), ddof=1))


def test_pairs_and_lines_are_no_clusters():
    xy = np.array([(0, 0), (1, 0), (50, 50), (51, 51), (52, 52)], float)
    groups = hulls(xy, np.array([0, 0, 1, 1, 1]))
    assert len(groups) == 0
    assert (groups.label == -1).all()


def test_flocks_part_nuclei_that_lie_together_but_look_different():
    xy = blobs([(0, 0), (300, 0)], 40, 10.0)
    alike = flock_clusters(pattern(xy, 60.0, 0.8))
    assert len(alike) == 2
    two_sizes = flock_clusters(pattern(xy, np.tile([30.0, 120.0], 40), 0.8))
    assert len(two_sizes) == 4
    apart, mixed = (
        flock_measures(pattern(xy, area, 0.8)) for area in (60.0, np.tile([30.0, 120.0], 40))
    )
    assert apart["flock_clusters_per_1000"] == pytest.approx(1000 * 2 / 80)
    several = np.tile(blobs([(0, 0), (300, 0), (0, 300)], 30, 10.0), (2, 1))
    apart = flock_measures(pattern(several, 60.0, 0.8))
    mixed = flock_measures(pattern(several, np.repeat([30.0, 120.0], 90), 0.8))
    assert np.isnan(apart["flock_strangers_mean"])  # three clusters are too few
    assert mixed["flock_strangers_mean"] == pytest.approx(0.5)  # the same places twice


def test_flocks_of_known_size_density_and_distance():
    ring = 10 * np.array([(np.cos(t), np.sin(t)) for t in np.arange(8) * np.pi / 4])
    centers = 400.0 * np.stack(np.meshgrid(np.arange(3), np.arange(3)), axis=-1).reshape(-1, 2)
    found = flock_measures(pattern((centers[:, None] + ring).reshape(-1, 2), 60.0, 0.8))
    octagon = 2 * np.sqrt(2) * 100
    assert found["flock_nuclei_mean"] == 8
    assert found["flock_hull_um2_mean"] == pytest.approx(octagon)
    assert found["flock_density_mean"] == pytest.approx(8e6 / (2 * np.pi * 100))
    assert found["flock_spread_um_mean"] == pytest.approx(10)
    assert found["flock_apart_um_mean"] == pytest.approx(400)
    assert found["flock_strangers_mean"] == 0
    assert found["flock_area_spread_mean"] == pytest.approx(0, abs=1e-9)
    assert found["flock_share_in_clusters"] == 1


def slide_of(near: bool, n: int = 400, seed: int = 0) -> NuclearPattern:
    """Tumor nuclei left, spindles right; lymphocytes among the one or the other."""
    rng = np.random.default_rng(seed)
    tumor = rng.uniform((0, 0), (500, 1000), (1500, 2))
    spindle = rng.uniform((600, 0), (1100, 1000), (600, 2))
    low = (0, 0) if near else (600, 0)
    til = rng.uniform(low, np.add(low, (500, 1000)), (n, 2))
    kinds = np.repeat([0, 1, 2], [1500, 600, n])
    return NuclearPattern(
        np.concatenate([tumor, spindle, til]),
        np.array([80.0, 45.0, 25.0])[kinds],
        np.array([0.5, 0.95, 0.4])[kinds],
        rng.uniform(0, np.pi, len(kinds)),
        np.array([0.6, 0.9, 1.1])[kinds],
    )


def test_who_is_lymphocyte_like_and_who_is_tumor_like():
    nuclei = pattern(
        np.zeros((6, 2)),
        [25, 25, 39.9, 90, 90, 25],
        [1.0, 0.4, 1.0, 0.6, 0.6, 1.0],
        [0.3, 0.3, 0.74, 0.5, 0.95, 0.9],
    )
    assert lymphocyte_like(nuclei).tolist() == [True, False, True, False, False, False]
    assert tumor_like(nuclei).tolist() == [False, False, False, True, False, False]


def test_the_percentage_says_how_many_and_the_arrangement_where():
    near, far = (lymphocyte_measures(slide_of(k)) for k in (True, False))
    assert near["til_percent"] == far["til_percent"] == pytest.approx(100 * 400 / 2500)
    assert near["til_per_tumor_nucleus"] == pytest.approx(400 / 1500)
    # Poisson points of 3000 a square millimeter: the nearest is 9.1 um away.
    assert near["til_to_tumor_um_mean"] == pytest.approx(500 / np.sqrt(3000), rel=0.1)
    assert far["til_to_tumor_um_mean"] > 100
    assert near["tumor_near_til_per_mm2_mean"] == pytest.approx(3000, rel=0.1)
    assert far["tumor_near_til_per_mm2_mean"] == 0
    assert near["til_group_mixed_mean"] > 0.3
    assert far["til_group_mixed_mean"] == 0
    assert far["tumor_group_mixed_mean"] == 0


@settings(max_examples=6, deadline=None)
@given(angle=st.floats(0, 6.3), shift=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)))
def test_turning_and_moving_a_slide_changes_nothing(angle, shift):
    nuclei = slide_of(True, n=200)
    for measures in (flock_measures, lymphocyte_measures):
        before, after = measures(nuclei), measures(moved(nuclei, angle, np.array(shift)))
        for name, value in before.items():
            # A nucleus at the very edge of a ball may fall in or out by rounding.
            assert after[name] == pytest.approx(value, rel=0.02, abs=1e-3, nan_ok=True), name


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_too_few_nuclei_say_nothing_and_stop_nothing(n):
    nuclei = pattern(np.arange(2.0 * n).reshape(n, 2), 60.0, 0.8)
    full = slide_of(True)
    for measures in (flock_measures, lymphocyte_measures):
        assert set(measures(nuclei)) == set(measures(full))


def test_a_slide_without_lymphocytes_has_a_percentage_of_none_and_no_arrangement():
    found = lymphocyte_measures(pattern(blobs([(0, 0)], 60, 40.0), 80.0, 0.6))
    assert found["til_percent"] == 0
    assert np.isnan(found["til_to_tumor_um_mean"])
