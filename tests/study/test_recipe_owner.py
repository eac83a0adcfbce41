"""A run folder owns its recipe: no model, score or report is written over; slides are prepared once."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.study.test_train import QUICK, _study

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.model.file import read_bundle
from jecur.settings import EVIDENT_PRESET, TrainingSettings, read_study
from jecur.study.memory import memory_beside

pytest.importorskip("torch", reason="needs the extra: train")
pytest.importorskip("h5py", reason="needs the extra: features")


@pytest.fixture
def study(tmp_path) -> Path:
    path = _study(tmp_path / "study", QUICK)
    path.write_text(path.read_text().split("[training]")[0] + "[training]\nepochs = 3\n")
    return path


def train(study: Path, out: Path, preset: str, command: str = "train") -> int:
    return run([command, str(study), "--out", str(out), "-j", "1", "--preset", preset])


def test_another_recipe_is_a_second_model_and_the_first_stays(study, tmp_path, capsys):
    out = tmp_path / "out"
    assert train(study, out, "jecur") == OK
    (first,) = (out / "models").glob("*.jecur")
    before, curve = first.read_bytes(), (out / "training.csv").read_bytes()
    assert train(study, out, "paper", command="run") in {OK, SOME_FAILED}
    assert first.read_bytes() == before
    assert (out / "training.csv").read_bytes() == curve
    second = first.with_name(f"{first.stem}-paper.jecur")
    assert read_bundle(second).card.training.preset == "paper"
    assert set(pd.read_csv(out / "scores.csv")["model"]) == {second.name}
    assert memory_beside(first).patients
    assert memory_beside(second).patients
    capsys.readouterr()
    report = (out / "report.html").read_bytes()
    assert train(study, out, "jecur", command="run") == USER_ERROR
    assert "[other-recipe]" in capsys.readouterr().err
    assert (out / "report.html").read_bytes() == report
    assert first.read_bytes() == before
    assert train(study, out, "paper", command="run") in {OK, SOME_FAILED}


def test_a_third_recipe_has_a_name_of_its_own(study, tmp_path):
    out, names = tmp_path / "out", set()
    for epochs in (1, 2, 3):
        study.write_text(
            study.read_text().split("[training]")[0] + f"[training]\nepochs = {epochs}\n"
        )
        assert train(study, out, "paper") == OK
        names = {path.name for path in (out / "models").glob("*.jecur")}
        assert len(names) == epochs
    epochs = {read_bundle(out / "models" / n).card.training.optimizer.epochs for n in names}
    assert epochs == {1, 2, 3}


def test_a_cross_validation_is_not_written_over_a_run_nor_over_another_recipe(
    study, tmp_path, capsys
):
    out = tmp_path / "cv"
    arguments = ["crossval", str(study), "--out", str(out), "-j", "1", "--folds", "2"]
    assert run([*arguments, "--preset", "jecur"]) in {OK, SOME_FAILED}
    scores = (out / "scores.csv").read_bytes()
    capsys.readouterr()
    assert run([*arguments, "--preset", "paper"]) == USER_ERROR
    assert train(study, out, "jecur", command="run") == USER_ERROR
    assert capsys.readouterr().err.count("[other-recipe]") == 2
    assert (out / "scores.csv").read_bytes() == scores


def test_slides_are_prepared_once_for_two_studies(study, tmp_path):
    cache = tmp_path / "cache"
    study.write_text(study.read_text() + f'\n[run]\ncache = "{cache}"\n')
    assert train(study, tmp_path / "one", "jecur") == OK
    kept = sorted(cache.rglob("bag.npy"))
    assert kept
    other = tmp_path / "other"
    shutil.copytree(study.parent, other)
    for k, slide in enumerate(sorted((other / "slides").iterdir())):
        slide.rename(slide.with_name(f"renamed{k}{slide.suffix}"))
    table = pd.read_csv(other / "clinical.csv", dtype=str, keep_default_na=False)
    names = {
        s.name: f"renamed{k}{s.suffix}"
        for k, s in enumerate(sorted((study.parent / "slides").iterdir()))
    }
    table["slide"] = [";".join(names.get(n, n) for n in cell.split(";")) for cell in table["slide"]]
    table.to_csv(other / "clinical.csv", index=False)
    assert train(other / "study.toml", tmp_path / "two", "jecur") == OK
    assert sorted(cache.rglob("bag.npy")) == kept
    slides = pd.read_csv(tmp_path / "two" / "slides.csv")
    assert all(name.startswith("renamed") for name in slides.loc[slides["status"] == "ok", "slide"])
    bags = [np.load(p) for p in (tmp_path / "two" / "slides").rglob("bag.npy")]
    assert sum(map(len, bags)) == sum(len(np.load(p)) for p in kept)


def test_a_damaged_cache_is_not_believed(study, tmp_path):
    cache = tmp_path / "cache"
    study.write_text(study.read_text() + f'\n[run]\ncache = "{cache}"\n')
    assert train(study, tmp_path / "one", "jecur") == OK
    expected = {p.parent.name: p.read_bytes() for p in (tmp_path / "one").rglob("bag.npy")}
    for path in cache.rglob("bag.npy"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert train(study, tmp_path / "two", "jecur") == OK
    assert {p.parent.name: p.read_bytes() for p in (tmp_path / "two").rglob("bag.npy")} == expected


def test_a_file_that_says_nothing_of_training_takes_what_evidence_supports(study):
    bare = study.read_text().split("[training]")[0]
    study.write_text(bare)
    assert read_study(study).training.preset == EVIDENT_PRESET == "jecur"
    assert read_study(study).training.loss.name == "cox"
    study.write_text(bare + "[training.loss]\nl2 = 0.1\n")
    assert read_study(study).training == TrainingSettings.from_flat(l2=0.1)
