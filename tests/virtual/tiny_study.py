"""One virtual study of 16 patients and its finished run, made once for all tests and all test processes."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from jecur.cli import run
from jecur.demo import study_of_virtual_cohort
from jecur.settings import (
    SimulationSettings,
    StainSettings,
    StudySettings,
    TrainingSettings,
    write_study,
)
from jecur.simulate.cohort import simulate_cohort

TRAINING = TrainingSettings.from_flat(
    epochs=1, frozen_blocks=4, tiles_per_bag=2, l2=0.0, good_months=30.0, poor_months=25.0
)
"""Settings of the training: one epoch of the shipped starting weights, seconds long."""


def quick_study(name: str, training: TrainingSettings) -> StudySettings:
    """Study of a virtual cohort whose stains are fitted on a tenth of the usual pixels, to save time."""
    study = study_of_virtual_cohort(name, training)
    return msgspec.structs.replace(study, stain=StainSettings(n_pixels=20_000))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Folder that the first process to ask makes and the others wait for.

    With pytest-xdist each process has a folder of its own under a common one; that one holds ours.
    Whoever uses the folder reads only, or works on a copy.
    """
    base = factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    folder = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / f"{name}.made").exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that was skipped or failed
            folder.mkdir()
            make(folder)
            (shared / f"{name}.made").touch()
    return folder


def write_tiny_study(folder: Path) -> None:
    """A cohort of 16 patients with two faults: a missing slide and a text file as slide."""
    settings = SimulationSettings(
        n_training=6, n_validation=10, seed=5, size_px=768, tissue_fraction=0.7
    )
    simulate_cohort(settings, folder)
    (folder / "slides" / "V-0016.tiff").unlink()
    (folder / "slides" / "V-0015.tiff").write_text("no slide")
    text = write_study(quick_study("Tiny study", TRAINING))
    (folder / "study.toml").write_text(text)


def run_tiny_study(study: Path, folder: Path) -> None:
    """Its run, in the folder ``run``, and the exit code beside it."""
    code = run(["run", str(study), "--out", str(folder / "run"), "-j", "1"])
    (folder / "exit_code").write_text(str(int(code)))
