"""Any encoder: the same tiles, files that others read, and the same study whichever way its features come."""

import csv
import json
import shutil

import h5py
import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.encoders.tiny_encoder import ARCHITECTURE, write_tiny_encoder

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.encoders.describe import TileDescriber
from jecur.encoders.load import load_encoder
from jecur.mil.feature_file import write_feature_bag
from jecur.pipeline import run_study
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import TrainingSettings, read_study, write_study

PLACE = "18x_224px_0px_overlap"


def _command(study, encoder, out, *more):
    return [
        "features", str(study), "--encoder", ARCHITECTURE, "--weights", f"local-dir:{encoder}",
        "--out", str(out), "-j", "1", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "weights")


@pytest.fixture(scope="module")
def made(tiny_study, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "out"
    assert run(_command(tiny_study, encoder, out, "--stamp")) == SOME_FAILED  # two faulty slides
    return out


def _run_to(out, folder):
    study = read_study(folder / "study.toml")
    run_study(study, folder, RunFolder.open(out), workers=1, progress=SilentProgress())


def _files(made):
    return sorted((made / PLACE / f"features_{ARCHITECTURE}").glob("*.h5"))


def test_features_are_those_of_the_very_tiles_that_a_run_prepares(made, tiny_prepared, encoder):
    describer = TileDescriber(load_encoder(ARCHITECTURE, str(encoder)))
    seen = 0
    for path in _files(made):
        slide = tiny_prepared / "slides" / path.stem
        if not (slide / "bag.npy").is_file():
            continue
        tiles = np.load(slide / "bag.npy")[..., :3]
        expected = np.concatenate(list(describer.describe(tiles)))
        with h5py.File(path) as stored:
            assert stored["features"].dtype == np.float32
            assert stored["features"][:] == pytest.approx(expected, abs=1e-5)
            places = pd.read_parquet(slide / "tiles.parquet")
            assert np.array_equal(stored["coords"][:], places[["x", "y"]].to_numpy())
            assert stored["coords"].attrs["patch_size_level0"] == places["side_px"].iloc[0]
        seen += 1
    assert seen >= 8


def test_one_bad_slide_does_not_stop_the_rest_and_is_said(made):
    slides = pd.read_csv(made / "slides.csv").set_index("slide")
    failed = set(slides.index[slides["status"] == "failed"])
    assert failed == {"V-0015", "V-0016"}
    assert {p.stem for p in _files(made)} == set(slides.index) - failed
    facts = json.loads((made / "features.json").read_text())
    assert facts["terms"] == "weights under of this test"
    with h5py.File(_files(made)[0]) as stored:
        assert stored["features"].shape[1] == facts["width"]
    assert not (made / ".tiles").exists()


def test_our_own_reader_takes_the_files(made, tmp_path):
    facts = write_feature_bag(_files(made)[0], tmp_path / "bag.npy")
    with h5py.File(_files(made)[0]) as stored:
        assert np.array_equal(np.load(tmp_path / "bag.npy"), stored["features"][:])
        assert np.array_equal(facts.positions, stored["coords"][:])
        assert facts.side_px == stored["coords"].attrs["patch_size_level0"]


def test_the_layout_is_the_one_of_tridents_documentation(made):
    for path in _files(made):
        corners = made / PLACE / "patches" / f"{path.stem}_patches.h5"
        with h5py.File(path) as features, h5py.File(corners) as patches:
            assert np.array_equal(features["coords"][:], patches["coords"][:])
            assert features["coords"].dtype == np.int64
            said = dict(patches["coords"].attrs)
            assert said["name"] == path.stem
            size = round(said["patch_size"] * said["mpp"] / said["mpp_level0"])
            assert said["patch_size_level0"] == size
            assert {"level0_magnification", "target_magnification", "overlap"} <= said.keys()


def test_torchmil_reads_them_as_tridents(made, tmp_path):
    datasets = pytest.importorskip("torchmil.datasets")
    names = [p.stem for p in _files(made)]
    with (tmp_path / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("wsi", "label"), *((n, k % 2) for k, n in enumerate(names))])
    with h5py.File(_files(made)[0]) as stored:
        side = int(stored["coords"].attrs["patch_size_level0"])
    found = datasets.TridentWSIDataset(
        base_path=f"{made / PLACE}/",
        labels_path=str(tmp_path / "labels.csv"),
        feature_extractor=ARCHITECTURE,
        patch_size=side,
        wsi_name_col="wsi",
        wsi_label_col="label",
        bag_keys=["X", "Y", "coords"],
    )
    assert len(found) == len(names)
    bags = {name: found[k] for k, name in enumerate(found.bag_names)}
    for path in _files(made):
        with h5py.File(path) as stored:
            assert np.array_equal(bags[path.stem]["X"].numpy(), stored["features"][:])


def test_stamp_finds_its_own_layout(made):
    for path in sorted((made / "stamp").glob("*.h5")):
        with h5py.File(path) as stamp, h5py.File(_files(made)[0].parent / path.name) as trident:
            assert np.array_equal(stamp["feats"][:], trident["features"][:])
            assert stamp.attrs["unit"] == "um"
            assert stamp.attrs["tile_size"] == pytest.approx(128.0)
            scale = trident["coords"].attrs["mpp_level0"]
            assert stamp["coords"][:] == pytest.approx(trident["coords"][:] * scale, rel=1e-6)


def test_a_finished_file_is_not_made_again_and_a_damaged_one_is(
    made, tiny_study, encoder, tmp_path
):
    shutil.copytree(made, tmp_path / "out")
    files = _files(tmp_path / "out")
    whole = {p.name: p.read_bytes() for p in files}
    files[0].write_bytes(b"damaged")
    before = {p.name: p.stat().st_mtime_ns for p in files}
    assert run(_command(tiny_study, encoder, tmp_path / "out", "--stamp")) == SOME_FAILED
    after = {p.name: p.stat().st_mtime_ns for p in files}
    assert {name for name in before if before[name] != after[name]} == {files[0].name}
    assert {p.name: p.read_bytes() for p in files} == whole


def test_colors_and_weights_are_part_of_what_is_finished(made, tiny_study, encoder, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    name = _files(made)[0].name
    was_fine = [
        shutil.copyfile(path, path.with_name(path.name.replace(path.name[:6], "V-0015")))
        for path in (*(tmp_path / "out").rglob("V-0001*.h5"),)
    ]
    assert len(was_fine) == 3
    command = _command(tiny_study, encoder, tmp_path / "out", "--stamp", "--colors", "raw")
    assert run(command) == SOME_FAILED
    assert not any(path.exists() for path in was_fine)  # in other colors than those beside them
    with h5py.File(_files(made)[0]) as old, h5py.File(_files(tmp_path / "out")[0]) as new:
        assert new["features"].attrs["colors"] == "raw"
        assert np.abs(old["features"][:] - new["features"][:]).max() > 1e-3, name


def test_a_study_gives_the_same_from_pixels_and_from_the_file(
    made, tiny_study, encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "jecur.study.report.write_study_report", lambda *_, **__: None
    )  # risks are all
    training = TrainingSettings.from_flat(
        encoder=ARCHITECTURE, start=str(encoder / "model.safetensors"), channels="rgb",
        encoder_learns=False, pooling="mean", loss="cox", l2=0.5, learning_rate=0.02, epochs=120,
        halve_every=20,
    )  # fmt: skip
    study = msgspec.structs.replace(read_study(tiny_study), training=training)
    folder = tmp_path / "study"
    shutil.copytree(tiny_study.parent, folder)
    (folder / "study.toml").write_text(write_study(study))
    _run_to(tmp_path / "pixels", folder)
    table = pd.read_csv(folder / "clinical.csv", dtype=str)
    table["slide"] = [name.replace(".tiff", ".h5") for name in table["slide"]]
    table.to_csv(folder / "clinical.csv", index=False)
    shutil.rmtree(folder / "slides")
    shutil.copytree(_files(made)[0].parent, folder / "slides")
    _run_to(tmp_path / "file", folder)
    risks = [pd.read_csv(tmp_path / name / "scores.csv") for name in ("pixels", "file")]
    one, other = (np.log(r["risk"] / (1 - r["risk"])).to_numpy() for r in risks)
    assert list(risks[0]["patient_id"]) == list(risks[1]["patient_id"])
    # Cox's likelihood knows differences alone: the level of all scores is no result
    assert other - other.mean() == pytest.approx(one - one.mean(), abs=0.01 * float(one.std()))
    assert float(one.std()) > 1e-3  # there is something to agree on


def test_what_cannot_be_loaded_is_refused_before_any_slide(tiny_study, encoder, tmp_path, capsys):
    def refused(*arguments):
        out = tmp_path / "refused"
        assert run(["features", str(tiny_study), "--out", str(out), *arguments]) == USER_ERROR
        assert not (out / "slides.csv").exists()
        return capsys.readouterr().err

    assert "[unknown-encoder]" in refused("--encoder", "no-such-network")
    said = refused("--encoder", "uni2-h")
    assert "[no-weights]" in said
    assert "CC BY-NC-ND" in said  # its terms, before anybody looks for the weights
    assert "[unknown-encoder]" in refused("--encoder", "conch", "--weights", str(encoder))
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "config.json").write_text("{}")
    assert "pickles" in refused("--encoder", "uni2-h", "--weights", str(pickled))
    wrong = tmp_path / "wrong"
    shutil.copytree(encoder, wrong)
    state = load_file(wrong / "model.safetensors")
    first = next(name for name, value in state.items() if value.ndim == 4)
    save_file({**state, first: state[first][:1].contiguous()}, wrong / "model.safetensors")
    assert "do not fit" in refused("--encoder", ARCHITECTURE, "--weights", str(wrong))


def test_the_shipped_weights_are_an_encoder_too(tiny_study, tmp_path):
    found = load_encoder("builtin")
    assert (found.px, found.mpp) == (224, 128 / 224)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    vectors = next(TileDescriber(found).describe(tiles))
    assert vectors.shape == (3, 1280)
    half = next(TileDescriber(found, precision="half").describe(tiles))
    assert half == pytest.approx(vectors, abs=0.05 * float(np.abs(vectors).max()))


def test_encoders_are_listed_with_their_terms(capsys):
    assert run(["encoders", "--json"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert found["uni2-h"]["gated"]
    assert found["h-optimus-0"]["licence"] == "Apache-2.0"


def test_tiles_go_into_anndata_with_their_places_and_scores(made, tiny_study, encoder, tmp_path):
    anndata = pytest.importorskip("anndata")
    shutil.copytree(made, tmp_path / "out")
    path = _files(made)[0]
    with h5py.File(path) as stored:
        corners, features = stored["coords"][:], stored["features"][:]
        mpp = stored["coords"].attrs["mpp_level0"]
    (tmp_path / "run").mkdir()
    scored = pd.DataFrame(corners, columns=["x", "y"]).assign(slide=path.stem, contribution=0.0)
    scored["score"] = np.arange(len(corners), dtype=float)
    scored.sample(frac=1.0, random_state=0).to_parquet(tmp_path / "run" / "tile_scores.parquet")
    more = ["--stamp", "--h5ad", "--scores", str(tmp_path / "run")]
    assert run(_command(tiny_study, encoder, tmp_path / "out", *more)) == SOME_FAILED
    found = anndata.read_h5ad(tmp_path / "out" / "tiles.h5ad")
    here = found[found.obs["slide"] == path.stem]
    assert np.array_equal(here.X, features)
    assert here.obsm["spatial"] == pytest.approx(corners * mpp)
    assert list(here.obs["score"]) == list(range(len(corners)))
    assert found[found.obs["slide"] != path.stem].obs["score"].isna().all()
    assert found.obs_names.is_unique
