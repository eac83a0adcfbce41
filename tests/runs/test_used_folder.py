"""A folder that was used before ends as an empty one would: nothing of what was there is left."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jecur.cli import OK, USER_ERROR, run

STUDY = """
name = "Used"
[cohort]
table = "clinical.csv"
[cohort.endpoint]
kind = "time to recurrence"
unit = "months"
event_values = ["1"]
censored_values = ["0"]
competing_values = [{competing}]
[cohort.columns]
patient = "patient_id"
time = "months"
event = "status"
role = ""
[statistics]
horizons_months = {horizons}
n_bootstrap = 0
n_optimism = 0
"""
AGE = """[[cohort.covariates]]
column = "age"
"""


def _write_study(path: Path, horizons: list[int], competing: str = "", more: str = "") -> Path:
    path.write_text(STUDY.format(horizons=horizons, competing=competing) + more)
    return path


@pytest.fixture
def tables(tmp_path) -> Path:
    """Sixty patients with a risk, an age, and for some a death without the event; folds beside."""
    rng = np.random.default_rng(4)
    n = 60
    risk = rng.uniform(size=n).round(3)
    frame = pd.DataFrame({"patient_id": [f"P{k}" for k in range(n)], "risk": risk})
    frame["months"] = (rng.exponential(40 * np.exp(-2 * risk)) + 1).round(1)
    frame["status"] = np.where(rng.uniform(size=n) < 0.7, 1, 0)
    frame["age"] = rng.integers(40, 80, n)
    died = frame.assign(status=np.where(rng.uniform(size=n) < 0.2, 2, frame["status"]))
    (tmp_path / "died").mkdir()
    for folder, table in ((tmp_path, frame), (tmp_path / "died", died)):
        table.drop(columns="risk").to_csv(folder / "clinical.csv", index=False)
    scores = frame[["patient_id", "risk"]]
    scores.to_csv(tmp_path / "scores.csv", index=False)
    scores.assign(fold=[1 + k % 3 for k in range(n)]).to_csv(tmp_path / "folds.csv", index=False)
    return tmp_path


def _evaluate(study: Path, scores: Path, out: Path) -> int:
    command = ["evaluate", "--scores", str(scores), "--study", str(study), "--out", str(out)]
    return run([*command, "--cutoff", "0.5"])


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "log.jsonl" and not path.name.startswith(".")
    }


def test_an_evaluation_in_a_used_folder_is_that_in_an_empty_one(tables):
    rich = _write_study(tables / "died" / "study.toml", [12, 24, 36], '"2"', AGE)
    plain = _write_study(tables / "study.toml", [24])
    assert _evaluate(rich, tables / "scores.csv", tables / "used") == OK
    before = set(_files(tables / "used"))
    for scores in ("scores.csv", "folds.csv", "scores.csv"):
        fresh = tables / f"fresh-{scores}"
        for out in (tables / "used", fresh):
            assert _evaluate(plain, tables / scores, out) == OK
        assert _files(tables / "used") == _files(fresh)
    assert before - set(_files(tables / "used"))  # there was something to take away


def test_an_evaluation_is_not_written_over_the_results_of_another_command(tables, capsys):
    study = _write_study(tables / "study.toml", [24])
    (tables / "run").mkdir()
    (tables / "run" / "manifest.json").write_text(json.dumps({"command": "run"}))
    (tables / "run" / "statistics.json").write_text("{}")
    assert _evaluate(study, tables / "scores.csv", tables / "run") == USER_ERROR
    assert "[other-recipe]" in capsys.readouterr().err
    assert (tables / "run" / "statistics.json").read_text() == "{}"
