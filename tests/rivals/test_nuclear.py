"""The nuclear baselines in a comparison: tables are made where missing, a refusal stops nobody."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.rivals.feature_study import write_feature_study
from tests.virtual.tiny_study import quick_study

from jecur.cli import OK, SOME_FAILED, run
from jecur.settings import SimulationSettings, TrainingSettings, write_study
from jecur.simulate.cohort import simulate_cohort


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Eighteen small slides."""
    folder = tmp_path_factory.mktemp("nuclear")
    settings = SimulationSettings(
        n_training=14, n_validation=4, seed=11, size_px=512, tissue_fraction=0.75,
        log_hazard_per_sd=(0.0, 2.5, 0.0, 0.0), clinical_effect=0.3,
    )  # fmt: skip
    simulate_cohort(settings, folder)
    text = write_study(quick_study("Nuclear rivals", TrainingSettings()))
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


def test_nuclear_rivals_are_compared_and_measured_once(study, tmp_path):
    out = tmp_path / "compared"
    models = "clinical,nuclear-features,til"
    command = [
        "compare",
        str(study),
        "--models",
        models,
        "--out",
        str(out),
        "--draws",
        "50",
        "-j",
        "2",
    ]
    assert run(command) in (OK, SOME_FAILED)
    found = json.loads((out / "compare.json").read_text())
    assert found["comparison"] is not None
    scores = pd.read_csv(out / "scores.csv")
    said = set(scores["model"])
    for name in ("nuclear-features", "til"):
        measures = pd.read_parquet(out / "parts" / name / "measures.parquet")
        assert len(measures) == 18
        assert name in said or name in json.dumps(
            found
        )  # scored, or told that the folds keep nothing
    assert np.isfinite(scores["score"]).all()
    before = {p: p.stat().st_mtime_ns for p in out.rglob("each_nucleus.parquet")}
    assert len(before) == 18
    assert run(command) in (OK, SOME_FAILED)
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("each_nucleus.parquet")}


def test_slides_that_come_as_features_cost_the_rival_and_nobody_else(tmp_path):
    study = write_feature_study(tmp_path / "study", n_training=30, n_unseen=20)
    out = tmp_path / "out"
    code = run(
        ["compare", str(study), "--models", "clinical,til", "--out", str(out), "--draws", "50"]
    )
    assert code == SOME_FAILED
    found = json.loads((out / "compare.json").read_text())
    assert [m["name"] for m in found["comparison"]["models"]] == ["clinical"]
    assert "til" in json.dumps(found)
