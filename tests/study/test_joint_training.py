"""The command line under torchrun: two processes write what one writes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load
from tests.virtual.joint_training import launched

from jecur.cli import OK
from jecur.model.file import read_bundle

pytest.importorskip("torch", reason="needs the extra: train")


def _weights(out: Path) -> dict[str, np.ndarray]:
    (model,) = (out / "models").glob("*.jecur")
    return load(read_bundle(model).weights)


def test_two_processes_train_the_model_of_one(joint_training):
    alone, together = map(_weights, joint_training.of("train"))
    assert alone.keys() == together.keys()
    for name, expected in alone.items():
        assert np.abs(together[name] - expected).max(initial=0.0) < 1e-5, name


@pytest.mark.parametrize("command", ["first", "again: nothing to train, and nobody waits for it"])
def test_the_first_process_alone_speaks(joint_training, command):
    number = 0 if command == "first" else 1
    first, second = ((joint_training.said / f"{number}-{rank}").read_text() for rank in (0, 1))
    assert first.count('"model"') == 1
    assert not second


def test_cross_validation_shares_every_fold(joint_training):
    alone, together = (pd.read_csv(out / "scores.csv") for out in joint_training.of("crossval"))
    assert list(alone["patient_id"]) == list(together["patient_id"])
    assert np.abs(alone["risk"] - together["risk"]).max() < 1e-6


def test_a_wrong_study_ends_all_processes(tmp_path):
    done = launched("-m", "jecur", "train", "none.toml", "--out", tmp_path)
    assert done.returncode != OK
    assert "none.toml" in done.stderr
