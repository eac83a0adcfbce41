"""Dice, AJI and PQ on cases small enough to count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jecur.errors import NucleiModelError
from jecur.nuclei.agreement import aji, dice, find_nuclei, measure_agreement, panoptic_quality

label_images = arrays(np.int32, (7, 9), elements=st.integers(0, 4))


def squares(*corners_and_sides: tuple[int, int, int], shape: tuple[int, int] = (20, 30)):
    labels = np.zeros(shape, dtype=np.int32)
    for k, (y, x, side) in enumerate(corners_and_sides, start=1):
        labels[y : y + side, x : x + side] = k
    return labels


def disks(*centers_and_radii: tuple[float, float, float], shape: tuple[int, int] = (64, 64)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, dtype=bool)
    for cy, cx, radius in centers_and_radii:
        inside |= (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
    return inside


def test_dice_by_hand():
    truth = squares((0, 0, 4)) > 0  # 16 pixels
    predicted = squares((0, 2, 4)) > 0  # 16 pixels, 8 of them shared
    assert dice(predicted, truth) == pytest.approx(2 * 8 / 32)


def test_two_empty_masks_agree_perfectly():
    empty = np.zeros((5, 5), dtype=bool)
    assert dice(empty, empty) == 1.0
    assert aji(empty.astype(int), empty.astype(int)) == 1.0
    assert panoptic_quality(empty.astype(int), empty.astype(int)) == (1.0, 1.0, 1.0)


def test_aji_by_hand():
    # True: 4x4 and 2x2. Found: the first shifted by one column (12 shared, union 20), a stray 3x3.
    truth = squares((0, 0, 4), (10, 10, 2))
    predicted = squares((0, 1, 4), (15, 20, 3))
    # above 12; below 20 (the pair) + 4 (missed) + 9 (stray)
    assert aji(predicted, truth) == pytest.approx(12 / 33)


def test_a_merged_nucleus_is_punished_by_aji_and_pq_but_not_by_dice():
    truth = squares((0, 0, 6), (0, 6, 6))
    merged = (truth > 0).astype(np.int32)
    assert dice(merged > 0, truth > 0) == 1.0
    # both true nuclei meet the merged one: above 36 + 36, below 72 + 72
    assert aji(merged, truth) == pytest.approx(0.5)
    assert panoptic_quality(merged, truth)[0] == 0.0  # IoU is exactly one half: no match


def test_panoptic_quality_by_hand():
    truth = squares((0, 0, 4), (10, 10, 2), (10, 20, 2))
    predicted = squares((0, 1, 4), (10, 10, 2))
    quality, detection, segmentation = panoptic_quality(predicted, truth)
    assert detection == pytest.approx(2 * 2 / (2 + 3))
    assert segmentation == pytest.approx((12 / 20 + 1.0) / 2)
    assert quality == pytest.approx(detection * segmentation)


def test_something_found_on_nothing_scores_zero():
    nothing, something = np.zeros((20, 30), dtype=int), squares((3, 3, 5))
    assert aji(something, nothing) == aji(nothing, something) == 0.0
    assert panoptic_quality(something, nothing)[0] == 0.0
    assert panoptic_quality(nothing, something)[0] == 0.0


@given(label_images)
def test_every_image_agrees_with_itself(labels):
    assert dice(labels > 0, labels > 0) == 1.0
    assert aji(labels, labels) == 1.0
    assert panoptic_quality(labels, labels)[0] == pytest.approx(1.0)


@given(label_images, label_images)
def test_measures_lie_between_zero_and_one_and_ignore_the_names_of_labels(predicted, truth):
    renamed = np.array([0, 70, 30, 900, 2])[predicted]
    for measure in (aji, lambda p, t: panoptic_quality(p, t)[0]):
        value = measure(predicted, truth)
        assert 0.0 <= value <= 1.0
        assert measure(renamed, truth) == pytest.approx(value)


@given(label_images, label_images)
def test_dice_and_panoptic_quality_do_not_care_which_is_the_truth(a, b):
    assert dice(a > 0, b > 0) == dice(b > 0, a > 0)
    assert panoptic_quality(a, b) == pytest.approx(panoptic_quality(b, a))


def test_images_of_different_size_are_refused():
    with pytest.raises(NucleiModelError, match=r"one size.*\(3, 3\).*\(3, 4\)"):
        dice(np.zeros((3, 3), bool), np.zeros((3, 4), bool))


def test_touching_nuclei_are_parted_at_their_waist():
    inside = disks((32, 20, 9), (32, 36, 9))
    labels = find_nuclei(inside.astype(np.float32), min_area_um2=0.0)
    assert labels.max() == 2
    assert labels[32, 20] != labels[32, 36]
    assert np.array_equal(labels > 0, inside)


def test_specks_are_dropped_and_the_rest_keeps_consecutive_numbers():
    inside = disks((10, 10, 6), (50, 50, 6))
    inside[30, 30] = True
    labels = find_nuclei(inside.astype(np.float32), um_per_px=0.5, min_area_um2=8.0)
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert labels[30, 30] == 0


def test_minimal_area_is_in_micrometers():
    inside = disks((32, 32, 4))  # 49 pixels
    assert find_nuclei(inside.astype(np.float32), um_per_px=0.5, min_area_um2=12.0).max() == 1
    assert find_nuclei(inside.astype(np.float32), um_per_px=0.25, min_area_um2=12.0).max() == 0


def test_a_uint8_map_gives_the_nuclei_of_the_float_map():
    probability = np.where(disks((20, 20, 7)), 0.8, 0.1).astype(np.float32)
    stored = np.rint(probability * 255).astype(np.uint8)
    assert np.array_equal(find_nuclei(probability), find_nuclei(stored))


@pytest.mark.parametrize("value", [0.0, 0.2])
def test_an_empty_map_holds_no_nuclei(value):
    assert find_nuclei(np.full((32, 32), value, dtype=np.float32)).max() == 0


def test_agreement_of_a_perfect_map():
    truth = np.zeros((64, 64), dtype=np.int32)
    truth[disks((16, 16, 8))] = 5
    truth[disks((45, 40, 7))] = 2
    agreement = measure_agreement((truth > 0).astype(np.float32), truth)
    assert agreement.dice == agreement.aji == agreement.panoptic_quality == 1.0
    assert agreement.precision == agreement.recall == 1.0
    assert (agreement.n_true, agreement.n_predicted) == (2, 2)


def test_agreement_counts_misses_in_recall_and_strays_in_precision():
    truth = np.zeros((64, 64), dtype=np.int32)
    truth[disks((16, 16, 8))] = 1
    truth[disks((45, 40, 8))] = 2
    found = disks((16, 16, 8), (16, 50, 8), (50, 12, 8))
    agreement = measure_agreement(found.astype(np.float32), truth)
    assert agreement.recall == pytest.approx(1 / 2)
    assert agreement.precision == pytest.approx(1 / 3)
    assert agreement.pixel_recall == pytest.approx(1 / 2)
    assert agreement.pixel_precision == pytest.approx(1 / 3)


def test_nuclei_that_touch_without_a_waist_part_where_the_map_dips():
    y, x = np.mgrid[:40, :60]
    inside = ((y - 20) / 12) ** 2 + ((x - 30) / 20) ** 2 < 1
    whole = np.where(inside, 0.95, 0.0).astype(np.float32)
    dipping = np.where(inside & (np.abs(x - 30) < 2), 0.6, whole).astype(np.float32)
    assert find_nuclei(whole).max() == 1
    parts = find_nuclei(dipping)
    assert parts.max() == 2
    assert set(np.unique(parts[20, 12:26])) == {parts[20, 15]}
    assert parts[20, 15] != parts[20, 45]
    assert ((parts > 0) == inside).mean() > 0.99  # nothing is lost by parting
