import numpy as np
import pytest

from jecur.stain.optical_density import (
    from_optical_density,
    mean_optical_density,
    to_optical_density,
)

LEVELS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def test_white_is_zero_black_is_finite_and_darker_is_denser():
    od = to_optical_density(LEVELS)
    assert od[255].tolist() == [0.0, 0.0, 0.0]
    assert od[0, 0] == od[1, 0] == pytest.approx(np.log(255))
    assert (np.diff(od[1:], axis=0) < 0).all()


def test_every_level_but_zero_comes_back():
    back = from_optical_density(to_optical_density(LEVELS))
    np.testing.assert_array_equal(back[1:], LEVELS[1:])
    assert back[0].tolist() == [1, 1, 1]


def test_brighter_than_white_is_white_and_infinitely_dense_is_black():
    od = np.array([[-0.5, 0.0, np.inf]])
    assert from_optical_density(od).tolist() == [[255, 255, 0]]


def test_mean_is_over_channels_and_keeps_the_image_axes():
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_allclose(mean_optical_density(rgb), to_optical_density(rgb).mean(axis=-1))
