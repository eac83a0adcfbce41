import numpy as np

from jecur.stain import RUIFROK, builtin_reference
from jecur.stain.augmentation import augment_stain
from jecur.stain.optical_density import to_optical_density
from jecur.stain.separation import separate_stains

STAINS = builtin_reference().appearance.stains


def tiles_of(plant, n=2, side=48):
    _, pixels = plant(0, n=n * side * side)
    return pixels.reshape(n, side, side, 3)


def test_a_draw_of_nothing_gives_the_tiles_back(plant):
    tiles = tiles_of(plant)
    same = augment_stain(
        tiles, STAINS, scale=0.0, shift=0.0, turn_degrees=0.0, rng=np.random.default_rng(0)
    )
    np.testing.assert_array_equal(same, tiles)


def test_the_same_seed_gives_the_same_tiles_and_another_seed_others(plant):
    tiles = tiles_of(plant)
    a, b, c = (augment_stain(tiles, STAINS, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_tiles_are_drawn_apart_and_input_is_untouched(plant):
    one = tiles_of(plant, n=1)
    tiles = np.concatenate([one, one])
    before = tiles.copy()
    out = augment_stain(tiles, STAINS, rng=np.random.default_rng(0))
    assert (out[0] != out[1]).any()
    np.testing.assert_array_equal(tiles, before)


def test_white_and_black_stay_in_range():
    tiles = np.stack([np.full((8, 8, 3), v, np.uint8) for v in (255, 0)])
    out = augment_stain(tiles, STAINS, scale=0.5, shift=0.3, rng=np.random.default_rng(0))
    assert (out[0] == 255).all()
    assert out[1].max() < 60


def test_scale_bounds_the_change_of_concentration():
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.2, 0.8, size=(1_024, 2))
    tile = np.rint(255 * np.exp(-amounts @ RUIFROK.vectors)).astype(np.uint8).reshape(1, 32, 32, 3)
    out = augment_stain(tile, RUIFROK, scale=0.2, shift=0.0, turn_degrees=0.0, rng=rng)
    read = [separate_stains(to_optical_density(t.reshape(-1, 3)), RUIFROK) for t in (tile, out)]
    ratio = np.median(read[1] / read[0], axis=0)
    assert (ratio >= 0.78).all()
    assert (ratio <= 1.22).all()
    assert np.abs(ratio - 1.0).max() > 0.01
