"""ICHE-style: centers, equalizes within limits, keeps white, and is restored from its record."""

import msgspec
import numpy as np
import pytest

from jecur.errors import JecurError
from jecur.settings import StainSettings
from jecur.stain import SlideStain, builtin_reference, fit_normalizer, restore_normalizer
from jecur.stain.iche import equalize
from jecur.stain.optical_density import from_optical_density

STAINS = np.array([[0.6, 0.7, 0.39], [0.2, 0.85, 0.49]])
METHODS = ["vahadane", "macenko", "reinhard", "iche"]


def tissue(n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(1.0, (0.8, 0.6), size=(n, 2))
    return from_optical_density(amounts @ STAINS / np.linalg.norm(STAINS, axis=1).mean())


def test_equalized_levels_never_fall_and_stay_in_range():
    rng = np.random.default_rng(1)
    for intensity in (rng.normal(120, 20, 5000), rng.uniform(0, 255, 5000), np.full(100, 90.0)):
        levels = equalize(np.clip(intensity, 0, 255))
        assert levels.shape == (256,)
        assert (np.diff(levels) >= 0).all()
        assert levels[0] >= 0
        assert levels[-1] <= 255


def test_equal_intensities_are_left_alone():
    np.testing.assert_array_equal(equalize(np.full(500, 77.0)), np.arange(256.0))


def test_a_peaked_histogram_is_spread():
    values = np.clip(np.random.default_rng(2).normal(120, 15, 20_000), 0, 255)
    spread = np.interp(values, np.arange(256.0), equalize(values))
    assert spread.std() > 1.05 * values.std()


@pytest.mark.parametrize("method", METHODS)
def test_the_stored_fit_gives_the_same_bits(method):
    settings = StainSettings(method=method)
    pixels = tissue()
    fitted = fit_normalizer(pixels, settings, builtin_reference())
    stored = msgspec.json.decode(msgspec.json.encode(fitted.slide.to_dict()))
    again = restore_normalizer(SlideStain.from_dict(stored), settings, builtin_reference())
    tiles = pixels[:10_000].reshape(1, 100, 100, 3)
    np.testing.assert_array_equal(fitted.apply(tiles), again.apply(tiles))
    white = np.full((1, 4, 4, 3), 255, np.uint8)
    np.testing.assert_array_equal(fitted.apply(white), white)


def hostile(rng):
    """One of many kinds of field that is no honest H&E, (224, 224, 3) uint8."""
    shape = (224, 224)
    kind = rng.integers(9)
    if kind == 0:
        return np.full((*shape, 3), 255, np.uint8)
    if kind == 1:
        return np.zeros((*shape, 3), np.uint8)
    if kind == 2:
        return np.broadcast_to(rng.integers(0, 256, 3), (*shape, 3)).astype(np.uint8)
    if kind == 3:
        return rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    amounts = rng.gamma(rng.uniform(0.3, 3), rng.uniform(0.1, 2), (*shape, 1))
    stain = rng.uniform(0, 1, 3)
    if kind == 4:  # one stain
        return from_optical_density(amounts * stain)
    if kind == 5:  # brown and blue
        brown = rng.gamma(1, 0.5, (*shape, 1)) * np.array([0.27, 0.57, 0.78])
        return from_optical_density(amounts * np.array([0.65, 0.7, 0.29]) + brown)
    if kind == 6:  # fluorescence
        light = np.zeros((*shape, 3))
        light[..., rng.integers(3)] = rng.gamma(0.5, 40, shape)
        return np.clip(light, 0, 255).astype(np.uint8)
    field = tissue(shape[0] * shape[1], seed=int(rng.integers(1000))).reshape(*shape, 3).copy()
    if kind == 7:  # pen over half
        field[:, : rng.integers(20, 220)] = rng.integers(0, 256, 3)
        return field
    return 255 - field  # inverted


@pytest.mark.parametrize("method", METHODS)
def test_hostile_fields_give_named_errors_or_whole_pictures(method):
    """125 fields a method, 500 in all."""
    rng = np.random.default_rng(METHODS.index(method))
    settings = StainSettings(method=method)
    codes = []
    for _ in range(125):
        field = hostile(rng)
        before = field.copy()
        try:
            with np.errstate(all="raise", under="ignore"):
                normalizer = fit_normalizer(field.reshape(-1, 3), settings, builtin_reference())
                out = normalizer.apply(field[None])
        except JecurError as error:
            codes.append(error.code)
        else:
            assert out.dtype == np.uint8
            assert out.shape == (1, 224, 224, 3)
            fit = normalizer.slide
            assert np.isfinite(fit.appearance.concentrations).all()
            assert np.isfinite(fit.stains.vectors).all()
        np.testing.assert_array_equal(field, before)
    assert all(codes)
    assert len(codes) >= 40  # white, black, constant and inverted fields at the least
