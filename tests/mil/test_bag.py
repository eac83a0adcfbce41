"""Bags on disk: what goes in comes out, whole or not at all."""

import numpy as np
import pytest

from jecur.errors import BagError
from jecur.mil.bag import open_bag, writing_bag, writing_features


def _tiles(n, side=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 4), dtype=np.uint8)


def _append_all(writer, batches):
    for batch in batches:
        writer.append(batch)


def _write(path, tiles, batch=3):
    with writing_bag(path, tiles.shape[1]) as writer:
        for start in range(0, len(tiles), batch):
            writer.append(tiles[start : start + batch])
    return path


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 101])
def test_round_trip_and_plain_numpy_reads_it(tmp_path, n):
    tiles = _tiles(n)
    path = _write(tmp_path / "bag.npy", tiles)
    assert np.array_equal(np.load(path, allow_pickle=False), tiles)
    assert np.array_equal(open_bag([path]).take(np.arange(n)), tiles)


def test_slides_of_a_patient_are_one_bag_in_order(tmp_path):
    parts = [_tiles(3, seed=1), _tiles(5, seed=2), _tiles(2, seed=3)]
    bag = open_bag([_write(tmp_path / f"{i}.npy", part) for i, part in enumerate(parts)])
    whole = np.concatenate(parts)
    assert len(bag) == 10
    assert np.array_equal(np.concatenate(list(bag.batches(4))), whole)
    wanted = [9, 0, 3, 3, 7]
    assert np.array_equal(bag.take(wanted), whole[wanted])


def test_an_interrupted_write_leaves_nothing(tmp_path):
    path = tmp_path / "bag.npy"
    halfway = np.zeros((2, 16, 16, 3), np.uint8)
    with pytest.raises(BagError), writing_bag(path, 16) as writer:
        _append_all(writer, [_tiles(2), halfway])
    assert list(tmp_path.iterdir()) == []


def test_wrong_tiles_missing_damaged_and_empty_files_are_refused(tmp_path):
    with (
        pytest.raises(BagError, match="expected uint8 tiles"),
        writing_bag(tmp_path / "a.npy", 16) as w,
    ):
        w.append(_tiles(1, side=8))
    with pytest.raises(BagError, match="expected a file of tiles"):
        open_bag([tmp_path / "none.npy"])
    path = _write(tmp_path / "b.npy", _tiles(4))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BagError, match="expected a file of tiles"):
        open_bag([path])
    with pytest.raises(BagError) as caught:
        open_bag([_write(tmp_path / "c.npy", _tiles(0))])
    assert caught.value.code == "empty-bag"


def test_an_index_outside_the_bag_is_refused(tmp_path):
    bag = open_bag([_write(tmp_path / "bag.npy", _tiles(4))])
    with pytest.raises(BagError):
        bag.take([4])
    with pytest.raises(BagError):
        bag.take([-1])


def test_features_are_the_bytes_that_numpy_writes(tmp_path):
    features = np.random.default_rng(5).normal(size=(11, 7)).astype(np.float32)
    with writing_features(tmp_path / "bag.npy", 11, 7) as append:
        for start in range(0, 11, 4):
            append(features[start : start + 4])
    np.save(tmp_path / "numpy.npy", features)
    assert (tmp_path / "bag.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    mapped = np.lib.format.open_memmap(tmp_path / "mapped.npy", "w+", np.float32, (11, 7))
    mapped[:] = features
    mapped.flush()
    assert (tmp_path / "bag.npy").read_bytes() == (tmp_path / "mapped.npy").read_bytes()


def _write_zeros(path, blocks):
    with writing_features(path, 4, 7) as append:
        for shape in blocks:
            append(np.zeros(shape, np.float32))


@pytest.mark.parametrize("blocks", [[(3, 7)], [(4, 7), (1, 7)], [(4, 6)]])
def test_features_of_another_shape_leave_no_file(tmp_path, blocks):
    with pytest.raises(BagError, match="features"):
        _write_zeros(tmp_path / "bag.npy", blocks)
    assert not list(tmp_path.iterdir())
