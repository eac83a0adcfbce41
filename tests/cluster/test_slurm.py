"""A study on a real SLURM, of one node, started here: the same bytes as without one."""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load
from tests.cluster.slurm_here import slurm_here, why_not
from tests.virtual.joint_training import quiet_environment

from jecur.cli import OK, SOME_FAILED, run
from jecur.model.file import read_bundle
from jecur.runs.folder import RunFolder, result_files, sha256_file

REASON = why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no SLURM can be started here: {REASON}")

JECUR = [sys.executable, "-m", "jecur"]
SLURM = """
[compute.slurm]
cores = 1
memory = "1GB"
walltime = "00:30:00"
jobs = 2
interface = "lo"
"""


@pytest.fixture(scope="module")
def slurm():
    with (
        tempfile.TemporaryDirectory(prefix="jecur-slurm-") as folder,
        slurm_here(Path(folder)) as here,
    ):
        yield here


@pytest.fixture(scope="module")
def study(tiny_study, tmp_path_factory):
    """The tiny study, with jobs to ask for."""
    folder = tmp_path_factory.mktemp("slurm") / "study"
    shutil.copytree(tiny_study.parent, folder)
    with (folder / "study.toml").open("a") as text:
        text.write(SLURM)
    return folder / "study.toml"


def _digests(root):
    """Digest of every file that does not say where the work was done."""
    told = {"study.toml", "manifest.json"}
    found = {name: sha256_file(path) for name, path in result_files(root)}
    return {name: digest for name, digest in found.items() if name not in told}


def test_slides_prepared_in_jobs_of_slurm_are_the_same_to_the_last_byte(
    slurm, study, tiny_prepared, tmp_path
):
    out = tmp_path / "run"
    done = slurm.run(
        [*JECUR, "prepare", str(study), "--out", str(out), "--engine", "dask"], timeout=500
    )
    assert done.returncode == SOME_FAILED, done.stderr
    assert "tls://" in done.stderr
    made = _digests(out / "slides")
    assert len(made) > 14 * 5
    assert made == _digests(tiny_prepared / "slides")
    assert list((out / ".cluster").iterdir()) == [out / ".cluster" / "logs"]  # no key is left
    slurm.wait_until_empty(60)


def test_the_chain_of_jobs_ends_in_the_run_of_one_machine(
    slurm, study, tiny_study, tiny_prepared, tmp_path
):
    out, alone = tmp_path / "run", tmp_path / "alone"
    shutil.copytree(tiny_prepared, alone)
    assert run(["run", str(tiny_study), "--out", str(alone), "-j", "1"]) == SOME_FAILED
    printed = slurm.run([*JECUR, "slurm", str(study), "--out", str(out)])
    assert printed.returncode == OK, printed.stderr
    submitted = slurm.run(["bash"], input=printed.stdout)
    assert submitted.returncode == 0, submitted.stderr
    slurm.wait_until_empty(540)
    logs = "\n".join(path.read_text() for path in (out / ".cluster" / "logs").iterdir())
    assert (out / "report.html").is_file(), logs
    assert _digests(out) == _digests(alone)
    assert logs.count("none is left") == 2  # workers


def test_two_tasks_of_srun_train_the_weights_of_torchrun(slurm, joint_training, tmp_path):
    out = tmp_path / "srun"
    RunFolder.join(out)
    shutil.copytree(joint_training.two / "train" / "slides", out / "slides")
    command = ["srun", "--ntasks=2", "--mem=2G", *JECUR, "train", str(joint_training.study)]
    done = slurm.run(
        [*command, "--out", str(out), "-j", "1"],
        env=slurm.environment | quiet_environment(),
        timeout=500,
    )
    assert done.returncode == OK, done.stderr
    one, other = (
        load(read_bundle(next((run / "models").glob("*.jecur"))).weights)
        for run in (joint_training.two / "train", out)
    )
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
