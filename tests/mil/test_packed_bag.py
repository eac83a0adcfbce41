"""A packed bag is a raw one in less room: the same tiles, digests and bags, byte for byte."""

import json
import zipfile

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.errors import BagError
from jecur.mil import packed_bag
from jecur.mil.bag import bag_file, drop_bags, open_bag, open_part, writing_bag
from jecur.mil.tile_digest import TileDigest, measure_digests, read_digests, write_digests


def _tiles(n, side=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 4), dtype=np.uint8)


def _write(path, tiles, batch=3):
    with writing_bag(path, tiles.shape[1]) as writer:
        for start in range(0, len(tiles), batch):
            writer.append(tiles[start : start + batch])
    return path


def _tissue(n, side=64):
    """Smooth tiles, as tissue is; the nuclei map is nil over most of it."""
    y, x = np.mgrid[:side, :side]
    tiles = np.empty((n, side, side, 4), np.uint8)
    for k in range(n):
        wave = 128 + 60 * np.sin(x / (5 + k)) + 60 * np.cos(y / 9)
        tiles[k] = np.stack([wave, wave / 2, 255 - wave, np.where(wave > 220, wave, 0)], -1)
    return tiles


@given(
    n=st.integers(1, 7),
    side=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["noise", "constant", "no-nuclei", "all-nuclei"]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_it_is_an_array_of_the_very_same_tiles(tmp_path_factory, n, side, seed, kind, data):
    tiles = _tiles(n, side, seed)
    if kind == "constant":
        tiles[:] = tiles[:, :1, :1]
    if kind == "no-nuclei":
        tiles[..., 3] = 0  # transparent, for a program that takes it for alpha
    if kind == "all-nuclei":
        tiles[..., 3] = 255
    folder = tmp_path_factory.mktemp("bag")
    raw, packed = (_write(folder / name, tiles) for name in ("bag.npy", "bag.zip"))
    part = open_part(packed)
    assert part.shape == tiles.shape
    assert part.dtype == tiles.dtype
    assert len(part) == n
    np.testing.assert_array_equal(part[:], tiles)
    k = data.draw(st.integers(0, n - 1))
    np.testing.assert_array_equal(part[k], tiles[k])
    wanted = data.draw(st.lists(st.integers(0, n - 1), max_size=9))
    np.testing.assert_array_equal(open_bag([packed]).take(wanted), open_bag([raw]).take(wanted))
    assert measure_digests(packed) == measure_digests(raw)


def test_slides_raw_and_packed_are_one_bag(tmp_path):
    parts = [_tiles(3, seed=1), _tiles(5, seed=2), _tiles(2, seed=3)]
    paths = [
        _write(tmp_path / f"{k}{suffix}", part)
        for k, (part, suffix) in enumerate(zip(parts, (".zip", ".npy", ".zip"), strict=True))
    ]
    bag, whole = open_bag(paths), np.concatenate(parts)
    np.testing.assert_array_equal(np.concatenate(list(bag.batches(4))), whole)
    np.testing.assert_array_equal(bag.take([9, 0, 3, 3, 7]), whole[[9, 0, 3, 3, 7]])


def test_the_same_tiles_give_the_same_file_whatever_the_batches(tmp_path):
    tiles = _tissue(7)
    one, two = (_write(tmp_path / f"{b}.zip", tiles, batch=b) for b in (1, 5))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size < 0.7 * tiles.nbytes


def test_other_programs_open_it(tmp_path):
    tiles = _tissue(3)
    with zipfile.ZipFile(_write(tmp_path / "bag.zip", tiles)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["0000000.jxl", "0000001.jxl", "0000002.jxl"]
        for name, tile in zip(archive.namelist(), tiles, strict=True):
            np.testing.assert_array_equal(imagecodecs.jpegxl_decode(archive.read(name)), tile)


def test_a_bag_that_is_given_up_or_goes_wrong_leaves_nothing(tmp_path):
    with writing_bag(tmp_path / "bag.zip", 16) as writer:
        writer.append(_tiles(2))
        writer.discard()
    with pytest.raises(BagError), writing_bag(tmp_path / "bag.zip", 16) as writer:
        writer.append(_tiles(2, side=8))
    with pytest.raises(ZeroDivisionError), writing_bag(tmp_path / "bag.zip", 16) as writer:
        writer.append(_tiles(1 // 0))
    assert list(tmp_path.iterdir()) == []


def test_no_byte_can_change_unseen(tmp_path):
    """Every byte of the archive's directory, and 200 of its tiles."""
    tiles = _tissue(4, side=24)
    path = _write(tmp_path / "bag.zip", tiles)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    for place in [*rng.integers(0, directory, 200), *range(directory, len(whole))]:
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(changed))
        try:
            found = open_bag([path]).take(range(4))
        except BagError:
            continue
        np.testing.assert_array_equal(found, tiles)  # what no tile hangs on, such as a date
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BagError, match="delete the slide's folder"):
            open_bag([path])


@pytest.mark.parametrize(
    "facts",
    [
        b"",
        b"{}",
        json.dumps({"n_tiles": 3, "side": 16, "channels": 4}).encode(),
        json.dumps({"n_tiles": 2, "side": 8, "channels": 4}).encode(),
        json.dumps({"n_tiles": -1, "side": 16, "channels": 4}).encode(),
    ],
)
def test_an_archive_that_says_other_than_it_holds_is_refused(tmp_path, facts):
    path = _write(tmp_path / "bag.zip", _tiles(2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = facts
    with pytest.raises(BagError):
        open_bag([path]).take([0])


def test_a_folder_holds_tiles_in_one_form(tmp_path):
    tiles = _tiles(2)
    assert bag_file(tmp_path).name == "bag.npy"  # that is asked for where there is none
    _write(tmp_path / "bag.npy", tiles)
    _write(tmp_path / "bag.zip", tiles)
    drop_bags(tmp_path, but=["bag.zip"])
    assert [p.name for p in tmp_path.iterdir()] == ["bag.zip"]
    assert bag_file(tmp_path).name == "bag.zip"
    digest = TileDigest(16, 2)
    digest.append(tiles)
    assert read_digests(tmp_path) == digest.digests()  # measured where none was written down
    write_digests(tmp_path, digest.digests())
    assert read_digests(tmp_path) == digest.digests()


def test_a_packer_that_loses_pixels_is_not_believed(tmp_path, monkeypatch):
    """Found in libjxl's quickest way of packing: each tile is proved when it is packed."""
    real = packed_bag.imagecodecs.jpegxl_encode
    tiles = _tiles(3, 9, 0)

    def lossy(raw, *, effort, **more):
        return real(raw ^ 1 if effort == packed_bag._EFFORTS[0] else raw, effort=effort, **more)

    monkeypatch.setattr(packed_bag.imagecodecs, "jpegxl_encode", lossy)
    np.testing.assert_array_equal(open_part(_write(tmp_path / "bag.zip", tiles))[:], tiles)
    monkeypatch.setattr(packed_bag, "_EFFORTS", packed_bag._EFFORTS[:1])
    with pytest.raises(BagError, match="gives others"):
        _write(tmp_path / "other.zip", tiles)
