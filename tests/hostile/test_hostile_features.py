"""HDF5 that is no features of a slide: refused with a code of its own, never copied."""

import numpy as np
import pytest
from tests.hostile.features_inputs import CORNERS, FEATURES, GOOD, h5py, write_arrays
from tests.hostile.refusal import refused

from jecur.mil import feature_file
from jecur.mil.feature_file import write_feature_bag

LARGE = [name for name in FEATURES if "megabytes" in name]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in FEATURES],
)
def test_hostile_features_are_refused_and_no_bag_is_left(tmp_path, name):
    FEATURES[name](tmp_path / "slide.h5")
    error = refused(write_feature_bag, tmp_path / "slide.h5", tmp_path / "out" / "bag.npy")
    assert error.code in {"bad-features", "unsafe-features"}
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    "name", ["complex", "coords_nan", "external_raw", "group", "object", "soft_loop"]
)
def test_the_cases_are_refused(cases, tmp_path, name):
    source = cases / "hostile" / "features" / f"{name}.h5"
    assert refused(write_feature_bag, source, tmp_path / "bag.npy").code in {
        "bad-features",
        "unsafe-features",
    }


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i4", "u1"])
@pytest.mark.parametrize("batched", [False, True])
def test_plain_features_of_every_kind_are_still_taken(tmp_path, kind, batched):
    features, coords = GOOD.astype(kind), CORNERS.astype(np.float64)
    if batched:
        features, coords = features[None], coords[None]
    write_arrays(features, coords, patch_size_level0=512)(tmp_path / "slide.h5")
    facts = write_feature_bag(tmp_path / "slide.h5", tmp_path / "bag.npy")
    assert (facts.width, facts.side_px) == (3, 512)
    assert facts.positions.tolist() == CORNERS.tolist()
    assert np.load(tmp_path / "bag.npy").tolist() == GOOD.tolist()


@pytest.mark.parametrize("bits", ["bfloat16", "float16"])
def test_bits_in_place_of_numbers_are_refused(tmp_path, bits):
    draw = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    found = (
        (draw.view("u4") >> 16).astype("u2") if bits == "bfloat16" else draw.astype("f2").view("i2")
    )
    write_arrays(found, CORNERS)(tmp_path / "slide.h5")
    error = refused(write_feature_bag, tmp_path / "slide.h5", tmp_path / "bag.npy")
    assert error.code == "bad-features"
    assert "bits" in error.message


@pytest.mark.parametrize("rows", [1, 4096])
def test_an_export_appended_to_itself_is_refused_and_two_looks_at_a_place_are_not(
    tmp_path, monkeypatch, rows
):
    monkeypatch.setattr(feature_file, "_BLOCK_BYTES", rows * 12)
    draw = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    corners = np.concatenate([CORNERS, CORNERS])
    write_arrays(np.concatenate([draw[:4], draw[:4]]), corners)(tmp_path / "twice.h5")
    error = refused(write_feature_bag, tmp_path / "twice.h5", tmp_path / "twice.npy")
    assert "found tile 0 again as tile 4" in error.message
    assert not (tmp_path / "twice.npy").exists()
    write_arrays(draw, corners)(tmp_path / "looks.h5")
    write_feature_bag(tmp_path / "looks.h5", tmp_path / "looks.npy")
    write_arrays(np.ones((4, 3)))(
        tmp_path / "alike.h5"
    )  # no places: nobody says that they are one tile
    write_feature_bag(tmp_path / "alike.h5", tmp_path / "alike.npy")


@pytest.mark.slow
def test_compressed_features_of_the_usual_size_are_still_taken(tmp_path):
    data = np.random.default_rng(1).normal(size=(9000, 700)).astype(np.float32)
    with h5py.File(tmp_path / "slide.h5", "w") as file:
        file.create_dataset("features", data=data, chunks=True, compression="gzip")
    write_feature_bag(tmp_path / "slide.h5", tmp_path / "bag.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "bag.npy"), data)


@pytest.mark.parametrize(
    ("shape", "taken"), [((1024, 9), False), ((9, 1024), True), ((30, 9), True)]
)
def test_features_that_may_be_turned_are_refused(tmp_path, shape, taken):
    draw = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    with h5py.File(tmp_path / "slide.h5", "w") as stored:
        stored["features"] = draw
    if taken:
        assert write_feature_bag(tmp_path / "slide.h5", tmp_path / "bag.npy").width == shape[1]
        return
    error = refused(write_feature_bag, tmp_path / "slide.h5", tmp_path / "bag.npy")
    assert error.code == "bad-features"
    assert "turned" in error.message
