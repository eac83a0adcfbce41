"""The model file: the same bytes for the same model, and no changed byte accepted."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save
from tests.model_files import toy_bundle

from jecur.errors import BundleError
from jecur.model import file
from jecur.model.file import Bundle, read_bundle, write_bundle
from jecur.nuclei.segmentation import BUILTIN

BUNDLE = toy_bundle(nuclei_onnx=BUILTIN.read_bytes(), weights=b"weights" * 50)


def test_round_trip_and_identical_bytes(tmp_path):
    first = write_bundle(BUNDLE, tmp_path / "a.jecur")
    second = write_bundle(BUNDLE, tmp_path / "b.jecur")
    assert first.read_bytes() == second.read_bytes()
    assert read_bundle(first) == BUNDLE


def test_any_unzip_program_opens_it(tmp_path):
    path = write_bundle(BUNDLE, tmp_path / "a.jecur")
    with zipfile.ZipFile(path) as archive:
        assert archive.read("encoder.onnx") == BUNDLE.encoder_onnx


def test_a_model_without_nuclei_keeps_none(tmp_path):
    bundle = Bundle(BUNDLE.card, BUNDLE.encoder_onnx, None, BUNDLE.weights)
    assert read_bundle(write_bundle(bundle, tmp_path / "a.jecur")).nuclei_onnx is None


def test_every_changed_byte_is_refused(tmp_path):
    path = write_bundle(BUNDLE, tmp_path / "a.jecur")
    clean = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [0, 7, 8, 20, 72, 73, len(clean) - 1, *rng.integers(0, len(clean), 60)]
    for place in places:
        changed = bytearray(clean)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            read_bundle(path)


@pytest.mark.parametrize("cut", [0, 5, 40, 200])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = write_bundle(BUNDLE, tmp_path / "a.jecur")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BundleError):
        read_bundle(path)


def test_the_digest_is_of_all_that_scores_and_of_each_bundle_its_own():
    bundle = toy_bundle()
    first = bundle.sha256
    assert bundle.sha256 == first == toy_bundle().sha256
    changes = {"weights": b"w", "encoder_onnx": b"e", "nuclei_onnx": b"n", "pooling": b"p"}
    others = {replace(bundle, **{name: part}).sha256 for name, part in changes.items()}
    assert len(others | {first}) == 5
    assert bundle.sha256 == first


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"none\.jecur") as caught:
        read_bundle(tmp_path / "none.jecur")
    assert caught.value.code == "missing-model"


@pytest.mark.parametrize("part", ["weights", "pooling"])
def test_constant_weights_are_written_so_that_they_are_read(tmp_path, part):
    """They pack 1,000-fold, and a reader takes such a file for a bomb."""
    bundle = replace(toy_bundle(), **{part: save({"w": np.zeros(2_000_000, np.float32)})})
    read = read_bundle(write_bundle(bundle, tmp_path / "m.jecur"))
    assert getattr(read, part) == getattr(bundle, part)


def test_weights_are_not_deflated(tmp_path):
    """It would take twenty times the time for a tenth of the bytes."""
    path = write_bundle(toy_bundle(), tmp_path / "m.jecur")
    body = path.read_bytes().split(b"\n", 1)[1]
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        kinds = {one.filename: one.compress_type for one in archive.infolist()}
    assert kinds["encoder.onnx"] == kinds["weights.safetensors"] == zipfile.ZIP_STORED
    assert kinds["card.json"] == zipfile.ZIP_DEFLATED


def test_a_model_that_no_reader_would_take_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(file._LIMITS, "weights.safetensors", 1000)
    bundle = replace(toy_bundle(), weights=bytes(2000))
    with pytest.raises(BundleError, match=r"weights.safetensors of at most") as told:
        write_bundle(bundle, tmp_path / "m.jecur")
    assert told.value.code == "model-too-large"
    assert not list(tmp_path.iterdir())
