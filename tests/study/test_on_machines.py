"""Tissue, features and comparison take the machines of the study: the same bytes by one worker and two."""

from contextlib import contextmanager

import msgspec
import pytest
from tests.elsewhere import Elsewhere
from tests.encoders.tiny_encoder import ARCHITECTURE, write_tiny_encoder
from tests.rivals.feature_study import write_feature_study
from tests.rivals.tissue_study import write_tissue_study
from tests.virtual.tiny_study import TRAINING, quick_study

from jecur.cli import OK, USER_ERROR, run
from jecur.runs.folder import result_files, sha256_file
from jecur.runs.workers import working_with
from jecur.settings import SimulationSettings, write_study
from jecur.simulate.cohort import simulate_cohort
from jecur.study import machines

AFRESH = {"cost.csv", "compare.json", "compare.md", "report.html"}
"""Files that hold minutes and megabytes."""


@pytest.fixture
def cluster(monkeypatch):
    """Stands for a Dask cluster; keeps what was asked for and counts what it is given."""
    engine, real = Elsewhere(), machines.at_work
    engine.asked = []

    @contextmanager
    def at_work(compute, out, *, workers, say):
        engine.asked.append((compute.engine, compute.scheduler, workers))
        here = msgspec.structs.replace(compute, engine="local", scheduler="")
        with real(here, out, workers=workers, say=say), working_with(engine):
            yield

    monkeypatch.setattr(machines, "at_work", at_work)
    return engine


def digests(out):
    found = {n: sha256_file(p) for n, p in result_files(out) if p.name not in AFRESH}
    assert len(found) > 3
    return found


def made_by_one_and_by_the_cluster(command, tmp_path, cluster, out="--out"):
    with pytest.MonkeyPatch.context() as plain:
        plain.setattr(machines, "at_work", local_alone)
        assert run([*command, out, str(tmp_path / "one"), "-j", "1"]) == OK
    more = ["-j", "2", "--scheduler", "tcp://head:8786"]
    assert run([*command, out, str(tmp_path / "two"), *more]) == OK
    assert cluster.asked == [("dask", "tcp://head:8786", 2)]
    assert cluster.given > 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@contextmanager
def local_alone(compute, out, *, workers, say):
    assert (compute.engine, workers) == ("local", 1)
    yield


def test_models_are_compared_on_the_machines_of_the_study(tmp_path, cluster):
    study = write_feature_study(tmp_path / "study", n_training=24, n_unseen=16)
    command = ["compare", str(study), "--models", "clinical", "--draws", "0"]
    made_by_one_and_by_the_cluster(command, tmp_path, cluster)


def test_tissue_is_trained_and_applied_on_the_machines_of_the_study(tmp_path, cluster):
    study, _ = write_tissue_study(tmp_path / "study", n_training=8, n_unseen=2, n_drawn=6)
    drawings = str(study.parent / "drawings")
    train, apply = tmp_path / "train", tmp_path / "apply"
    made_by_one_and_by_the_cluster(
        ["tissue", "train", str(study), "--annotations", drawings], train, cluster
    )
    cluster.asked.clear()
    model = str(train / "one" / "models" / "tissue.safetensors")
    made_by_one_and_by_the_cluster(
        ["tissue", "apply", str(study), "--model", model], apply, cluster
    )


def test_tiles_are_described_on_the_machines_of_the_study(tmp_path, cluster):
    folder = tmp_path / "study"
    settings = SimulationSettings(n_training=2, n_validation=1, size_px=640, tissue_fraction=0.8)
    simulate_cohort(settings, folder)
    (folder / "study.toml").write_text(write_study(quick_study("Machines", TRAINING)))
    weights = write_tiny_encoder(tmp_path / "weights")
    command = ["features", str(folder / "study.toml"), "--encoder", ARCHITECTURE]
    command += ["--weights", f"local-dir:{weights}"]
    made_by_one_and_by_the_cluster(command, tmp_path, cluster)


@pytest.mark.parametrize(
    "command", [["compare"], ["features", "--encoder", "builtin"], ["tissue", "train"]]
)
def test_a_card_that_is_not_there_is_refused_before_anything_is_written(command, tmp_path, capsys):
    study = write_feature_study(tmp_path / "study", n_training=4, n_unseen=2)
    arguments = [*command, str(study), "--out", str(tmp_path / "out"), "--device", "cuda"]
    assert run(arguments) == USER_ERROR
    assert "[no-card]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
