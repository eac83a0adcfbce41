"""Tiles packed or raw: the same training, scores and guards, in less room; chosen by the disk and said."""

import shutil

import msgspec
import numpy as np
import pytest
from tests.said import Said

from jecur.mil.bag import open_part
from jecur.mil.tile_digest import read_digests
from jecur.model.file import read_bundle
from jecur.pipeline import train_study
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.runs.verify import verify_run
from jecur.settings import BagSettings, read_study
from jecur.study import bag_form, expected
from jecur.study.cohort_slides import study_slides
from jecur.study.nuclear_feature_files import slides_with_bags, write_nuclear_features
from jecur.study.preflight import Plan, look_over


def _with(study, form):
    return msgspec.structs.replace(study, bags=BagSettings(format=form))


@pytest.fixture(scope="module")
def packed(tiny_study, tmp_path_factory):
    """The tiny study trained from packed tiles."""
    out = tmp_path_factory.mktemp("packed") / "run"
    study = _with(read_study(tiny_study), "jxl")
    model, _ = train_study(
        study, tiny_study.parent, RunFolder.open(out), workers=2, progress=SilentProgress()
    )
    return model, out


def test_training_on_packed_tiles_gives_the_very_same_model(packed, tiny_run):
    model, out = packed
    assert not list(out.rglob("bag.npy"))
    files = sorted(out.rglob("bag.zip"))
    assert len(files) == 6
    ours = read_bundle(model)
    theirs = read_bundle(next((tiny_run / "models").iterdir()))
    assert ours.weights == theirs.weights
    assert ours.encoder_onnx == theirs.encoder_onnx
    assert ours.cutoff == theirs.cutoff
    assert ours.card.trained_on == theirs.card.trained_on  # what leaks are known by
    assert ours.card.looks == theirs.card.looks
    for path in files:
        other = tiny_run / path.relative_to(out).parent
        np.testing.assert_array_equal(open_part(path)[:], open_part(other / "bag.npy")[:])
        assert read_digests(path.parent) == read_digests(other)
        assert path.stat().st_size < 0.7 * (other / "bag.npy").stat().st_size
    assert verify_run(out, threads=1).whole


def test_prepared_tiles_stay_in_the_form_they_have(packed, tiny_study, tmp_path):
    _, out = packed
    copy = shutil.copytree(out, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("bag.zip")}
    study = _with(read_study(tiny_study), "raw")
    train_study(
        study, tiny_study.parent, RunFolder.open(copy), workers=2, progress=SilentProgress()
    )
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("bag.zip")} == before
    assert not list(copy.rglob("bag.npy"))
    slide = next(iter(before)).parent
    (slide / "bag.zip").unlink()  # damaged: made anew, in the form that is asked for now
    train_study(
        study, tiny_study.parent, RunFolder.open(copy), workers=2, progress=SilentProgress()
    )
    assert (slide / "bag.npy").is_file()
    assert not (slide / "bag.zip").exists()


def test_nuclear_features_come_from_either_form(packed, tiny_run, tmp_path):
    _, out = packed
    copies = [
        RunFolder(shutil.copytree(folder, tmp_path / name))
        for name, folder in (("packed", out), ("raw", tiny_run))
    ]
    tables = [write_nuclear_features(slides_with_bags(run)[0]).read_bytes() for run in copies]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("free", [10**12, 2 * 10**6])
def test_the_disk_decides_and_it_is_said(tiny_study, tmp_path, monkeypatch, free):
    for module in (bag_form, expected):
        monkeypatch.setattr(module, "free_bytes", lambda _: free)
    said, study = Said(), read_study(tiny_study)
    orders = study_slides(study, tiny_study.parent, tmp_path)
    orders = bag_form.in_bags(orders, study.bags, orders[0].recipe, tmp_path, progress=said)
    assert {order.packed for order in orders} == {free < 10**9}
    assert ("packed as JPEG XL" in " ".join(said.lines)) == (free < 10**9)
    for form in ("raw", "jxl"):
        own = bag_form.in_bags(
            orders, BagSettings(format=form), orders[0].recipe, tmp_path, progress=said
        )
        assert {order.packed for order in own} == {form == "jxl"}


def test_what_is_expected_follows_the_form(tiny_study, tmp_path):
    study = read_study(tiny_study)
    found = {}
    for form in ("raw", "jxl"):
        plan = Plan(_with(study, form), tiny_study.parent, "prepare", tmp_path / "out")
        found[form] = look_over(plan, SilentProgress()).expected
        assert found[form].bags == form
    assert "raw tiles" in found["raw"].line()
    assert "JPEG XL" in found["jxl"].line()
    beside = 1_000_000 * found["raw"].n_slides
    ratio = (found["jxl"].disk_bytes - beside) / (found["raw"].disk_bytes - beside)
    assert ratio == pytest.approx(0.65, abs=0.01)
