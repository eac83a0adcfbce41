"""The command line under torchrun: two processes write what one writes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load
from tests.virtual.tiny_study import quick_study

from jecur.cli import OK, run
from jecur.model.file import read_bundle
from jecur.runs.folder import RunFolder
from jecur.settings import SimulationSettings, TilingSettings, TrainingSettings, write_study
from jecur.simulate.cohort import simulate_cohort

pytest.importorskip("torch", reason="needs the extra: train")

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
PAPER = TrainingSettings.from_flat(
    encoder="mobilenetv2_035",
    start="random",
    epochs=2,
    chunk_size=2,
    tiles_per_bag=5,
    good_months=30.0,
    poor_months=25.0,
)
FROZEN = PAPER.with_changes(encoder_learns=False, pooling="mean", loss="cox")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    cohort = SimulationSettings(
        n_training=6, n_validation=1, seed=5, size_px=512, tissue_fraction=0.8
    )
    simulate_cohort(cohort, folder)
    for name, training in (("study.toml", PAPER), ("frozen.toml", FROZEN)):
        tiny = quick_study("Tiny", training)
        tiny = msgspec.structs.replace(tiny, tiling=TilingSettings(max_tiles=3))
        (folder / name).write_text(write_study(tiny))
    return folder / "study.toml"


def _quiet() -> dict[str, str]:
    """Environment of one thread a process, which sleeps where it waits and leaves the cores alone."""
    alone = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE"}}
    return alone | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def _launched(*command: object) -> str:
    """Run one command in two processes of one thread; what the first of them printed."""
    done = subprocess.run(
        [sys.executable, *LAUNCHER, "2", "-m", "jecur", *map(str, command)],
        env=_quiet(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "init_process_group" in done.stderr or "RendezvousConnectionError" in done.stderr:
        pytest.skip(f"processes cannot be joined here: {done.stderr[-300:]}")
    assert done.returncode == OK, done.stderr
    return done.stdout


def _with_slides_of(one: Path, two: Path) -> None:
    """Begin a run with the slides of another: who prepares them is not the question here."""
    RunFolder.join(two)
    shutil.copytree(one / "slides", two / "slides")


def _weights(out: Path) -> dict[str, np.ndarray]:
    (model,) = (out / "models").glob("*.jecur")
    return load(read_bundle(model).weights)


def test_two_processes_train_the_model_of_one(study, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(["train", str(study), "--out", str(one), "-j", "1"]) == OK
    _with_slides_of(one, two)
    said = _launched("train", study, "--out", two, "-j", "1", "--json")
    assert said.count('"model"') == 1  # the first process alone speaks
    alone, together = _weights(one), _weights(two)
    assert alone.keys() == together.keys()
    for name, expected in alone.items():
        assert np.abs(together[name] - expected).max(initial=0.0) < 1e-5, name
    # Again: there is nothing to train, and nobody waits for it.
    assert '"model"' in _launched("train", study, "--out", two, "-j", "1", "--json")


def test_cross_validation_shares_every_fold(study, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    path = study.parent / "frozen.toml"
    options = ["--folds", "2", "-j", "1"]
    assert run(["crossval", str(path), "--out", str(one), *options]) == OK
    _with_slides_of(one, two)
    _launched("crossval", path, "--out", two, *options)
    alone, together = (pd.read_csv(out / "scores.csv") for out in (one, two))
    assert list(alone["patient_id"]) == list(together["patient_id"])
    assert np.abs(alone["risk"] - together["risk"]).max() < 1e-6


def test_a_wrong_study_ends_all_processes(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            *LAUNCHER,
            "2",
            "-m",
            "jecur",
            "train",
            "none.toml",
            "--out",
            str(tmp_path),
        ],
        env=_quiet(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != OK
    assert "none.toml" in done.stderr
