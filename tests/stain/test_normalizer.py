"""What a user of the normalizer may rely on, and the slips of other tools as tests."""

import functools
import pickle

import msgspec
import numpy as np
import pytest

from jecur.errors import SettingsError, StainError
from jecur.settings import StainSettings
from jecur.stain import StainReference, builtin_reference, fit_normalizer, fit_slide_stain
from jecur.stain.optical_density import to_optical_density
from jecur.stain.separation import separate_stains

METHODS = ["vahadane", "macenko", "reinhard", "iche"]
REFERENCE = builtin_reference()


@functools.cache
def fitted(plant, method="vahadane", seed=0):
    _, pixels = plant(seed)
    return fit_normalizer(pixels, StainSettings(method=method), REFERENCE)


def tile_of(pixels, side=64):
    return pixels[: side * side].reshape(1, side, side, 3).copy()


def hostile_tiles():
    rng = np.random.default_rng(0)
    shape = (1, 32, 32, 3)
    return {
        "white": np.full(shape, 255, np.uint8),
        "black": np.zeros(shape, np.uint8),
        "constant": np.full(shape, 137, np.uint8),
        "noise": rng.integers(0, 256, shape, dtype=np.uint8),
        "nearly white": rng.integers(250, 256, shape, dtype=np.uint8),
        "pure blue": np.broadcast_to(np.array([0, 0, 255], np.uint8), shape),
        "empty": np.empty((0, 32, 32, 3), np.uint8),
    }


@pytest.mark.parametrize("method", [*METHODS, "none"])
@pytest.mark.parametrize("name", list(hostile_tiles()))
def test_hostile_tiles_pass_without_a_warning_and_equal_the_plain_form(plant, method, name):
    tiles = hostile_tiles()[name]
    normalizer = fitted(plant, method)
    out = normalizer.apply(tiles)
    assert out.shape == tiles.shape
    assert out.dtype == np.uint8
    plain = normalizer.color_map(tiles.reshape(-1, 3)).reshape(tiles.shape)
    np.testing.assert_array_equal(out, plain)


@pytest.mark.parametrize("method", METHODS)
def test_every_color_of_a_coarse_cube_equals_the_plain_form(plant, method):
    axis = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, len(axis), 3)
    normalizer = fitted(plant, method)
    once, twice = normalizer.apply(cube), normalizer.apply(cube)
    plain = normalizer.color_map(cube.reshape(-1, 3)).reshape(cube.shape)
    assert np.abs(once.astype(int) - plain).max() <= 1
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("method", METHODS)
def test_white_stays_white(plant, method):
    white = np.full((2, 16, 16, 3), 255, np.uint8)
    np.testing.assert_array_equal(fitted(plant, method).apply(white), white)


@pytest.mark.parametrize("method", [*METHODS, "none"])
def test_input_is_never_changed_nor_shared(plant, method):
    _, pixels = plant(0)
    tiles = tile_of(pixels)
    before = tiles.copy()
    tiles.setflags(write=False)
    normalizer = fitted(plant, method)
    out = normalizer.apply(tiles)
    np.testing.assert_array_equal(tiles, before)
    assert not np.shares_memory(out, tiles)
    pixels_before = pixels.copy()
    fit_slide_stain(pixels, StainSettings())
    np.testing.assert_array_equal(pixels, pixels_before)


def test_threads_change_nothing(plant):
    _, pixels = plant(0, n=120_000)
    tiles = pixels[:110_592].reshape(3, 192, 192, 3)
    one = fitted(plant).apply(tiles, threads=1)
    two = fitted(plant).apply(tiles, threads=2)
    np.testing.assert_array_equal(one, two)


def test_views_and_slices_are_read_right(plant):
    _, pixels = plant(0)
    tiles = np.concatenate([tile_of(pixels)] * 2)
    normalizer = fitted(plant)
    np.testing.assert_array_equal(
        normalizer.apply(tiles[:, ::2, ::-1]), normalizer.apply(tiles)[:, ::2, ::-1]
    )


def test_it_travels_to_another_process_small(plant):
    normalizer = fitted(plant)
    _, pixels = plant(1)
    sent = pickle.dumps(normalizer)
    assert len(sent) < 5_000
    back = pickle.loads(sent)  # noqa: S301 (made one line above)
    np.testing.assert_array_equal(back.apply(tile_of(pixels)), normalizer.apply(tile_of(pixels)))


@pytest.mark.parametrize("method", ["vahadane", "macenko"])
def test_two_stainings_of_one_tissue_come_together(plant, method):
    """The same amounts under two stainings look alike after normalization, unlike before."""
    rng = np.random.default_rng(0)
    (first, _), (second, _) = plant(1), plant(2)
    amounts = rng.gamma(2.0, [0.5, 0.3], size=(20_000, 2))
    part = rng.random(20_000)
    amounts[part < 0.3, 1] = 0.0
    amounts[(part >= 0.3) & (part < 0.6), 0] = 0.0
    shown = [
        np.rint(255 * np.exp(-(amounts * strength) @ stains.vectors)).astype(np.uint8)
        for stains, strength in ((first, 1.0), (second, [1.4, 0.8]))
    ]
    settings = StainSettings(method=method)
    made = [
        fit_normalizer(pixels, settings, REFERENCE).apply(pixels.reshape(1, 100, 200, 3))
        for pixels in shown
    ]
    before = np.abs(shown[0].astype(int) - shown[1]).mean()
    after = np.abs(made[0].astype(int) - made[1]).mean()
    assert after < before / 5


@pytest.mark.parametrize("method", METHODS[:3])  # iche equalizes: not even its own image stays
def test_the_reference_brought_to_itself_is_nearly_unchanged(plant, method):
    _, pixels = plant(3)
    settings = StainSettings(method=method)
    own = fit_slide_stain(pixels, settings).appearance
    reference = StainReference("itself", own, 99.0, 0.02)
    out = fit_normalizer(pixels, settings, reference).apply(tile_of(pixels))
    difference = np.abs(out.astype(int) - tile_of(pixels))
    assert np.median(difference) <= 3
    assert np.percentile(difference, 99) <= 16  # noise off the stains' plane is left out


def test_normalizing_twice_is_normalizing_once(plant):
    _, pixels = plant(4)
    once = fitted(plant, seed=4).apply(tile_of(pixels))
    again = fit_normalizer(once.reshape(-1, 3), StainSettings(), REFERENCE).apply(once)
    assert np.median(np.abs(again.astype(int) - once)) <= 4


def test_white_pixels_in_the_sample_do_not_move_the_fit(plant):
    """A percentile over glass would measure how much glass there is."""
    _, pixels = plant(5)
    glass = np.full((3 * len(pixels), 3), 250, np.uint8)
    settings = StainSettings()
    assert fit_slide_stain(np.concatenate([pixels, glass]), settings) == fit_slide_stain(
        pixels, settings
    )


def test_percentile_is_of_tissue_concentrations(plant):
    stains, pixels = plant(6)
    fit = fit_slide_stain(pixels, StainSettings(percentile=90.0))
    c = separate_stains(to_optical_density(pixels), stains, sparsity=0.02)
    od = to_optical_density(pixels).mean(axis=1)
    expected = np.percentile(c[od > 0.15], 90.0, axis=0)
    np.testing.assert_allclose(fit.appearance.concentrations, expected, rtol=0.05)


def test_hematoxylin_is_never_taken_for_eosin(plant):
    """Swapped stains would turn nuclei pink: dark blue must stay bluer than pink."""
    for seed in range(4):
        stains, _ = plant(seed)
        nucleus, stroma = np.rint(255 * np.exp(-1.2 * stains.vectors)).astype(np.uint8)
        tile = np.array([nucleus, stroma], np.uint8).reshape(1, 1, 2, 3)
        out = fitted(plant, seed=seed).apply(tile).astype(int)[0, 0]
        assert out[0, 0] < out[1, 0] - 40  # red: hematoxylin absorbs it, eosin hardly


def test_a_slide_of_few_pixels_more_than_the_cap_is_sampled_by_the_seed(plant):
    _, pixels = plant(7)
    small = StainSettings(n_pixels=2_500)
    fit = fit_slide_stain(pixels, small)
    assert fit.n_pixels == 2_500
    assert fit == fit_slide_stain(pixels, small)
    assert fit != fit_slide_stain(pixels, msgspec.structs.replace(small, seed=1))


class TestRefusal:
    glass = np.full((5_000, 3), 252, np.uint8)

    def test_fails_by_default(self):
        with pytest.raises(StainError) as refused:
            fit_normalizer(self.glass, StainSettings(), REFERENCE)
        assert refused.value.code == "too-little-tissue"

    @pytest.mark.parametrize("method", METHODS)
    def test_may_use_the_reference_and_says_so(self, plant, method):
        settings = StainSettings(method=method, on_refusal="reference")
        normalizer = fit_normalizer(self.glass, settings, REFERENCE)
        assert normalizer.slide is None
        assert normalizer.flags == ("stain-too-little-tissue", "reference-stains")
        _, pixels = plant(0)
        assert np.isfinite(normalizer.apply(tile_of(pixels))).all()

    def test_an_accepted_slide_carries_no_flag(self, plant):
        _, pixels = plant(0)
        settings = StainSettings(on_refusal="reference")
        assert fit_normalizer(pixels, settings, REFERENCE).flags == ()

    def test_no_normalization_is_said_aloud(self, plant):
        normalizer = fit_normalizer(self.glass, StainSettings(method="none"), REFERENCE)
        assert normalizer.flags == ("not-normalized",)
        np.testing.assert_array_equal(
            normalizer.apply(hostile_tiles()["noise"]), hostile_tiles()["noise"]
        )


def test_a_reference_measured_otherwise_is_refused(plant):
    _, pixels = plant(0)
    with pytest.raises(SettingsError, match="percentile"):
        fit_normalizer(pixels, StainSettings(percentile=95.0), REFERENCE)


@pytest.mark.parametrize(
    "tiles",
    [
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
        np.zeros((1, 8, 8, 3), np.float32),
    ],
)
def test_tiles_of_another_form_are_refused(plant, tiles):
    with pytest.raises(StainError) as refused:
        fitted(plant).apply(tiles)
    assert refused.value.code == "bad-tiles"
