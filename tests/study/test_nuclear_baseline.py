"""The nuclear baseline: finds what is planted in the nuclei, learns of nobody it is tried on."""

import json
import shutil

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.virtual.tiny_study import quick_study

from jecur.cli import OK, USER_ERROR, run
from jecur.nuclei.features import NuclearFeatures
from jecur.settings import TrainingSettings, write_study
from jecur.study.nuclear_measures import _weighed

N_TRAINING, N_UNSEEN = 70, 50


def _write(folder, *, effect=1.5, seed=1):
    """A study and a run folder with measured nuclei; dark nuclei bring the event earlier."""
    rng = np.random.default_rng(seed)
    n = N_TRAINING + N_UNSEEN
    dark = rng.normal(size=n)
    time, end = rng.exponential(30 * np.exp(-effect * dark)) + 0.5, rng.uniform(20, 90, n)
    names = NuclearFeatures.names()
    for k in range(n):
        tiles = pd.DataFrame(rng.normal(size=(6, len(names))), columns=list(names))
        tiles["darkness"] = dark[k] + 0.3 * rng.normal(size=6)
        tiles.loc[0, "orientation_entropy"] = np.nan
        if k % 9 == 0:
            tiles["neighbor_um"] = np.nan
        slide = folder / "run" / "slides" / f"P{k:03}"
        slide.mkdir(parents=True)
        tiles.to_parquet(slide / "nuclei.parquet", index=False)
    pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(n)],
            "role": ["training"] * N_TRAINING + ["validation"] * N_UNSEEN,
            "months": np.minimum(time, end).round(2),
            "recurrence": (time <= end).astype(int),
            "site": "a",
            "slide": [f"P{k:03}.tiff" for k in range(n)],
        }
    ).to_csv(folder / "clinical.csv", index=False)
    study = quick_study("Nuclei", TrainingSettings())
    cohort = msgspec.structs.replace(study.cohort, covariates=())
    (folder / "study.toml").write_text(write_study(msgspec.structs.replace(study, cohort=cohort)))
    return folder / "study.toml"


def _command(study, out):
    prepared = study.parent / "run"
    return ["baseline", "nuclear-features", str(study), "--run", str(prepared), "--out", str(out)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baseline")
    study = _write(folder)
    assert run(_command(study, folder / "out")) == OK
    return study, folder / "out"


def test_what_is_planted_is_found_and_reported_like_any_score(done):
    _, out = done
    facts = json.loads((out / "baseline.json").read_text())
    ratios = facts["hazard_ratio_per_sd"]
    assert max(ratios, key=lambda name: abs(np.log(ratios[name]))) == "darkness, mean"
    assert ratios["darkness, mean"] > 1.5
    assert facts["trained_on"] == N_TRAINING
    found = json.loads((out / "statistics.json").read_text())
    assert found["validation"]["n"] == N_UNSEEN
    assert found["validation"]["concordance"]["estimate"] > 0.7
    assert len(pd.read_csv(out / "scores.csv")) == N_UNSEEN
    assert (out / "report.html").stat().st_size > 10_000


def test_outcomes_of_those_it_is_tried_on_change_no_score(done, tmp_path):
    study, out = done
    shutil.copytree(study.parent / "run", tmp_path / "run")
    shutil.copy(study, tmp_path / "study.toml")
    table = pd.read_csv(study.parent / "clinical.csv")
    unseen = table["role"] == "validation"
    table.loc[unseen, ["months", "recurrence"]] = table.loc[
        unseen, ["months", "recurrence"]
    ].to_numpy()[::-1]
    table.to_csv(tmp_path / "clinical.csv", index=False)
    assert run(_command(tmp_path / "study.toml", tmp_path / "out")) == OK
    assert (tmp_path / "out" / "scores.csv").read_bytes() == (out / "scores.csv").read_bytes()


def test_nuclei_that_were_not_measured_are_asked_for(done, tmp_path, capsys):
    study, _ = done
    for name in (study.name, "clinical.csv"):
        shutil.copy(study.parent / name, tmp_path / name)
    (tmp_path / "run").mkdir()
    assert run(_command(tmp_path / "study.toml", tmp_path / "out")) == USER_ERROR
    assert "jecur nuclei features" in capsys.readouterr().err


def test_a_patient_without_measured_nuclei_is_named(done, tmp_path):
    study, _ = done
    shutil.copytree(study.parent, tmp_path / "study", ignore=shutil.ignore_patterns("out"))
    shutil.rmtree(tmp_path / "study" / "run" / "slides" / "P003")
    assert run(_command(tmp_path / "study" / study.name, tmp_path / "out")) == OK
    facts = json.loads((tmp_path / "out" / "baseline.json").read_text())
    assert facts["left_out"] == [["P003", "no slide with measured nuclei (nuclei.parquet)"]]
    assert facts["trained_on"] == N_TRAINING - 1


N_NUCLEI = 160


def _write_nuclei(folder, kind, seed=3):
    """Nuclei of the patients of `_write`: what their event goes with is planted in one arrangement."""
    rng = np.random.default_rng(seed)
    table = pd.read_csv(folder / "clinical.csv")
    strong = table["months"].rank(ascending=False).to_numpy() / len(table)
    strong = np.where(table["recurrence"], strong, 0.3)  # high: early
    for name, planted in zip(table["patient_id"], strong, strict=True):
        lattice = 14.0 * np.stack(np.meshgrid(np.arange(13), np.arange(13)), -1).reshape(-1, 2)
        xy = lattice[:N_NUCLEI] + rng.normal(scale=0.5, size=(N_NUCLEI, 2))
        area, density = np.full(N_NUCLEI, 70.0), np.full(N_NUCLEI, 0.6)
        small = rng.permutation(N_NUCLEI)[:40]
        if kind == "architecture":
            xy += planted * rng.normal(scale=5.0, size=xy.shape)
        if kind == "til":  # as many lymphocytes, apart from the others or among them
            xy[small, 0] += (1 - planted) * 400.0
        area[small], density[small] = 25.0, 1.1
        nuclei = pd.DataFrame(
            {
                "x_um": xy[:, 0], "y_um": xy[:, 1], "area_um2": area * rng.uniform(0.8, 1.2, N_NUCLEI),
                "eccentricity": rng.uniform(0.2, 0.7, N_NUCLEI),
                "orientation": rng.uniform(0, np.pi, N_NUCLEI), "density": density,
            }
        )  # fmt: skip
        nuclei.to_parquet(folder / "run" / "slides" / name / "each_nucleus.parquet")


@pytest.mark.parametrize("kind", ["architecture", "flock", "til"])
def test_an_arrangement_is_found_by_the_baseline_that_measures_it(kind, tmp_path):
    study = _write(tmp_path, effect=0.0)
    _write_nuclei(tmp_path, "architecture" if kind == "flock" else kind)
    command = ["baseline", kind, str(study), "--run", str(tmp_path / "run"), "-j", "1"]
    code = run([*command, "--out", str(tmp_path / "out")])
    measures = pd.read_csv(tmp_path / "out" / "measures.csv")
    assert len(measures) == N_TRAINING + N_UNSEEN
    facts = json.loads((tmp_path / "out" / "baseline.json").read_text())
    assert facts["trained_on"] == N_TRAINING
    if kind == "flock":  # made for what lies together and looks alike; a lattice shaken is neither
        assert code in (OK, USER_ERROR)
        return
    assert code == OK
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert found["validation"]["concordance"]["estimate"] > 0.6


def test_nuclei_that_were_not_found_are_asked_for(done, tmp_path, capsys):
    study, _ = done
    command = ["baseline", "til", str(study), "--run", str(study.parent / "run")]
    assert run([*command, "--out", str(tmp_path / "out")]) == USER_ERROR
    assert "jecur nuclei each" in capsys.readouterr().err


def test_slides_of_a_patient_are_weighed_by_their_nuclei():
    found = _weighed(
        [{"a": 1.0, "b": np.nan}, {"a": 3.0, "b": 5.0}, {"a": 0.0, "b": 0.0}], [30, 10, 0]
    )
    assert found == {"a": 1.5, "b": 5.0}
    assert np.isnan(_weighed([{"a": np.nan}], [10])["a"])
