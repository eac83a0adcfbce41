"""HDF5 that is no features of a slide: refused with a code of its own, never copied."""

import numpy as np
import pytest
from tests.hostile.features_inputs import CORNERS, FEATURES, GOOD, h5py, write_arrays
from tests.hostile.refusal import refused

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


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i2", "u1"])
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


@pytest.mark.slow
def test_compressed_features_of_the_usual_size_are_still_taken(tmp_path):
    data = np.random.default_rng(1).normal(size=(9000, 700)).astype(np.float32)
    with h5py.File(tmp_path / "slide.h5", "w") as file:
        file.create_dataset("features", data=data, chunks=True, compression="gzip")
    write_feature_bag(tmp_path / "slide.h5", tmp_path / "bag.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "bag.npy"), data)
