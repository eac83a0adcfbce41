"""Nuclear measurements on disks and ellipses whose values are known."""

import math

import numpy as np
import pytest

from jecur.errors import NucleiModelError
from jecur.nuclei.features import (
    NuclearFeatures,
    measure_nuclei,
    measure_tile,
    nuclear_feature_table,
)

SIDE = 128


def ellipses(*shapes: tuple[float, float, float, float]) -> np.ndarray:
    """Labels of ellipses (center y, center x, half-axis y, half-axis x)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), dtype=np.int32)
    for k, (cy, cx, a, b) in enumerate(shapes, start=1):
        labels[((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 <= 1] = k
    return labels


def colored(labels: np.ndarray, *reds: int, background: int = 255) -> np.ndarray:
    rgb = np.full((*labels.shape, 3), 200, dtype=np.uint8)
    rgb[..., 0] = np.array([background, *reds], dtype=np.uint8)[labels]
    return rgb


def test_count_area_and_density_are_in_micrometers():
    labels = ellipses((30, 30, 10, 10), (90, 90, 10, 10))
    found = measure_nuclei(labels, colored(labels, 80, 80), um_per_px=0.5)
    assert found.n_nuclei == 2
    assert found.area_um2 == pytest.approx(math.pi * 100 * 0.25, rel=0.02)
    assert found.density_per_mm2 == pytest.approx(2 / (64e-3) ** 2)
    assert found.nuclear_fraction == pytest.approx((labels > 0).mean())
    assert found.area_variation == pytest.approx(0.0, abs=1e-12)


def test_shape_of_a_circle_and_of_an_ellipse():
    circle, ellipse = ellipses((64, 64, 20, 20)), ellipses((64, 64, 12, 30))
    round_, long = (measure_nuclei(k, colored(k, 80)) for k in (circle, ellipse))
    assert round_.eccentricity < 0.1
    assert long.eccentricity == pytest.approx(math.sqrt(1 - (12 / 30) ** 2), abs=0.01)
    assert round_.solidity > 0.95
    dented = circle.copy()
    dented[:64, 60:68] = 0
    assert measure_nuclei(dented, colored(dented, 80)).solidity < round_.solidity - 0.03


def test_darkness_is_red_optical_density_and_each_nucleus_counts_once():
    labels = ellipses((30, 30, 6, 6), (90, 90, 20, 20))
    found = measure_nuclei(labels, colored(labels, 50, 100, background=200))
    small, large, outside = (-math.log(r / 255) for r in (50, 100, 200))
    assert found.darkness == pytest.approx((small + large) / 2)
    assert found.contrast == pytest.approx((small + large) / 2 - outside)
    assert found.darkness_variation == pytest.approx(np.std([small, large], ddof=1))


def test_black_pixels_have_a_finite_darkness():
    labels = ellipses((64, 64, 9, 9))
    assert measure_nuclei(labels, colored(labels, 0)).darkness == pytest.approx(math.log(255))


def test_an_empty_tile_has_counts_but_no_shapes():
    labels = np.zeros((SIDE, SIDE), dtype=np.int32)
    found = measure_nuclei(labels, colored(labels))
    assert (found.n_nuclei, found.density_per_mm2, found.nuclear_fraction) == (0, 0, 0)
    assert all(
        math.isnan(getattr(found, name))
        for name in NuclearFeatures.names()
        if name not in {"n_nuclei", "density_per_mm2", "nuclear_fraction"}
    )


def test_one_nucleus_has_no_variation():
    labels = ellipses((64, 64, 9, 9))
    found = measure_nuclei(labels, colored(labels, 80))
    assert math.isnan(found.area_variation)
    assert math.isnan(found.darkness_variation)
    assert found.area_um2 > 0


def test_a_bag_gives_a_row_a_tile_in_the_order_of_the_names():
    labels = ellipses((30, 30, 10, 10), (90, 90, 10, 14))
    nuclei = np.where(labels > 0, 255, 0).astype(np.uint8)
    full = np.dstack([colored(labels, 80, 60), nuclei])
    empty = np.dstack([colored(labels, 80, 60), np.zeros_like(nuclei)])
    table = nuclear_feature_table(np.stack([full, empty]))
    assert table.shape == (2, len(NuclearFeatures.names()))
    assert table[:, 0].tolist() == [2, 0]
    one = measure_tile(full)
    np.testing.assert_array_equal(
        table[0], [getattr(one, name) for name in NuclearFeatures.names()]
    )
    assert nuclear_feature_table(np.zeros((0, 32, 32, 4), np.uint8)).shape == (0, table.shape[1])


def test_labels_and_colors_of_different_size_are_refused():
    with pytest.raises(NucleiModelError, match="labels"):
        measure_nuclei(np.zeros((8, 8), np.int32), np.zeros((8, 9, 3), np.uint8))


def test_distances_are_between_centers_in_micrometers():
    labels = ellipses((20, 20, 6, 6), (20, 60, 6, 6), (100, 60, 6, 6))
    found = measure_nuclei(labels, colored(labels, 80, 80, 80), um_per_px=0.5)
    assert found.neighbor_um == pytest.approx((20 + 20 + 40) / 3, rel=0.01)
    assert found.neighbor_variation > 0.3


def test_bundles_have_less_entropy_of_direction_than_a_tangle():
    rows = [(15 + 20 * k, 30, 3, 12) for k in range(5)]
    bundle = ellipses(*rows)
    tangle = ellipses(*rows[:3], (30, 80, 12, 3), (60, 80, 12, 3), (95, 80, 12, 3))
    low = measure_nuclei(bundle, colored(bundle, *[80] * 5)).orientation_entropy
    high = measure_nuclei(tangle, colored(tangle, *[80] * 6)).orientation_entropy
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(math.log(2) / math.log(12))
    few = ellipses(*rows[:4])
    assert math.isnan(measure_nuclei(few, colored(few, *[80] * 4)).orientation_entropy)


def test_lymphocyte_like_nuclei_are_small_round_and_dark():
    labels = ellipses((20, 20, 5, 5), (20, 60, 5, 5), (80, 40, 18, 18), (100, 110, 3, 12))
    found = measure_nuclei(labels, colored(labels, 30, 200, 120, 30), um_per_px=0.571)
    assert found.lymphocyte_like == pytest.approx(1 / 4)  # small and pale, large, and long are not
