"""A study on a Dask cluster: the same bytes as in processes of this machine."""

import os
import socket
import subprocess
import sys
import time

import msgspec
import pytest

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.errors import SettingsError
from jecur.runs.folder import result_files, sha256_file
from jecur.settings import ComputeSettings, SlurmSettings
from jecur.study.machines import job_options, with_engine

pytest.importorskip("distributed", reason="the extra cluster is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """A scheduler and two workers, started as a user would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    place = tmp_path_factory.mktemp("dask")
    python = [sys.executable, "-m"]
    said = (place / "said.txt").open("w")
    commands = [
        [
            *[*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1"],
            *["--port", str(port), "--no-dashboard"],
        ],
        [
            *[*python, "distributed.cli.dask_worker", address, "--host", "127.0.0.1"],
            *["--nthreads", "1", "--nworkers", "2", "--no-dashboard"],
            *["--local-directory", str(place)],
        ],
    ]
    started = [
        subprocess.Popen(command, stdout=said, stderr=said, cwd=place) for command in commands
    ]
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield address
    for process in reversed(started):
        process.terminate()
        process.wait(20)
    said.close()


def _digests(root, within="slides"):
    return {name: sha256_file(path) for name, path in result_files(root / within)}


def test_slides_prepared_by_a_cluster_are_the_same_to_the_last_byte(
    scheduler, tiny_study, tiny_prepared, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # a relative --out means the same to the workers
    arguments = ["prepare", str(tiny_study), "--out", "run", "-j", "2"]
    assert run([*arguments, "--scheduler", scheduler]) == SOME_FAILED
    made = _digests(tmp_path / "run")
    assert len(made) > 14 * 5
    assert made == _digests(tiny_prepared)
    assert (tmp_path / "run" / "slides.csv").is_file()
    assert os.listdir(tmp_path) == ["run"]  # noqa: PTH208


def test_scores_made_by_a_cluster_are_the_same_to_the_last_byte(
    scheduler, tiny_study, tiny_model, tmp_path
):
    slides = sorted((tiny_study.parent / "slides").glob("V-000[1-4].tiff"))
    for name, more in (("here", []), ("cluster", ["--scheduler", scheduler])):
        given = [*map(str, slides), "--model", str(tiny_model), "--out", str(tmp_path / name)]
        assert run(["score", *given, "-j", "2", *more]) == OK
    made, plain = _digests(tmp_path / "cluster", "."), _digests(tmp_path / "here", ".")
    assert any(name.endswith("tile_outputs.npy") for name in plain)
    assert made == plain


def test_a_scheduler_without_the_engine_and_a_strange_address_are_refused():
    with pytest.raises(SettingsError, match="expected engine = 'dask'"):
        ComputeSettings(scheduler="tcp://head:8786")
    with pytest.raises(SettingsError, match="tcp://host:port"):
        ComputeSettings(engine="dask", scheduler="head")
    code = run(["prepare", "no.toml", "--out", "x", "--scheduler", "head"])
    assert code == USER_ERROR


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("partition", "a\n#SBATCH --uid=0"),
        ("account", "a; rm"),
        ("gres", "gpu:1 --x"),
        ("interface", "$(x)"),
        ("memory", "lots"),
        ("memory", "0GB"),
        ("walltime", "4h"),
        ("walltime", "00:05:00"),
        ("prologue", ("module load a\nrm b",)),
    ],
)
def test_what_would_break_out_of_a_job_script_is_refused(setting, value):
    with pytest.raises(SettingsError, match=setting):
        SlurmSettings(**{setting: value})


def test_workers_end_before_the_time_limit_of_their_job():
    for walltime, lifetime in (
        ("04:00:00", 14100),
        ("00:10:00", 540),
        ("1-00:00:00", 86100),
    ):
        slurm = SlurmSettings(walltime=walltime)
        arguments = job_options(slurm, "k", "l")["worker_extra_args"]
        assert arguments[:2] == ["--lifetime", f"{lifetime}s"]
        assert lifetime < slurm.walltime_s


def test_the_job_script_says_what_the_settings_say(tmp_path):
    jobqueue = pytest.importorskip("dask_jobqueue")
    slurm = SlurmSettings(
        partition="long", account="liver", cores=3, memory="9GB", prologue=("module load x",)
    )
    options = job_options(slurm, str(tmp_path), str(tmp_path)) | {"protocol": "tcp://"}
    with jobqueue.SLURMCluster(**options) as cluster:
        script = cluster.job_script()
        page = cluster.scheduler.http_server
        served = {place.getsockname()[0] for place in page._sockets.values()}
    for line in ("-p long", "-A liver", "--cpus-per-task=3", "--mem=9G", "-t 04:00:00"):
        assert f"#SBATCH {line}" in script
    assert "module load x" in script
    assert served == {"127.0.0.1"}
    words = " ".join(script.split())
    for said in ("--nthreads 1 ", "--nworkers 3", "--no-dashboard --dashboard-address 127.0.0.1:0"):
        assert said in words


def test_the_command_line_goes_before_the_study():
    compute = ComputeSettings(engine="dask", scheduler="tcp://head:8786")
    assert with_engine(compute, None, "") == compute
    assert with_engine(compute, "local", "").engine == "local"
    assert with_engine(compute, "local", "").scheduler == ""
    other = with_engine(ComputeSettings(), None, "tcp://other:1")
    assert (other.engine, other.scheduler) == ("dask", "tcp://other:1")
    kept = msgspec.structs.replace(compute, slide_minutes=3)
    assert with_engine(kept, "dask", "").slide_minutes == 3
