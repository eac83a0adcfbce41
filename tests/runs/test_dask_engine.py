"""Work given to a Dask cluster on the loopback has the outcomes of work done in processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.rivals.feature_study import write_feature_study

import jecur as jc
from jecur.errors import SettingsError, SlideError, SystemRefusedError
from jecur.runs import dask_engine
from jecur.runs.progress import SilentProgress
from jecur.runs.workers import Failure, run_all, working_with
from jecur.settings import ComputeSettings, read_study, write_study
from jecur.study.machines import at_work

pytest.importorskip("distributed", reason="the extra cluster is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of distributed's own threads and sockets


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    said = []
    compute = ComputeSettings(engine="dask")
    out = tmp_path_factory.mktemp("out")
    with at_work(compute, out, workers=2, say=said.append):
        yield said


def _all(work, items, limit_s=None):
    found = run_all(work, items, workers=2, progress=SilentProgress(), title="x", limit_s=limit_s)
    return {outcome.item: outcome.result for outcome in found}


def _work(item: int) -> int:
    if item == 3:
        raise SlideError("expected a slide, found three", code="three")
    if item == 5:
        raise ZeroDivisionError("our bug")
    return item * item


def test_outcomes_are_those_of_processes(cluster):
    assert cluster == [cluster[0]]
    assert "tls://127.0.0.1:" in cluster[0]
    items = list(range(40))
    found = _all(_work, items)
    assert sorted(found) == items
    assert isinstance(found[3], Failure)
    assert (found[3].error.code, type(found[3].error)) == ("three", SlideError)
    assert found[5].error.code == "internal-error"
    assert "ZeroDivisionError" in found[5].trace
    assert {i: r for i, r in found.items() if i not in (3, 5)} == {
        i: i * i for i in items if i not in (3, 5)
    }


PLAIN_LINES = """
import sys
from pathlib import Path
from jecur.settings import ComputeSettings, read_study, write_study
from jecur.study.machines import at_work

with at_work(ComputeSettings(engine="dask"), Path(sys.argv[1]), workers=1, say=lambda _: None):
    print("reached")
"""


def test_workers_do_not_start_a_script_of_plain_lines_over(tmp_path):
    (tmp_path / "script.py").write_text(PLAIN_LINES)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "reached\n", done.stderr
    assert done.returncode == 0


def _threads(item: int) -> tuple[str, ...]:
    return tuple(os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"))


def test_a_worker_has_one_numerical_thread(cluster):
    assert set(_all(_threads, list(range(4))).values()) == {("1", "1")}


def _dies(item: tuple[int, str]) -> int:
    number, marks = item
    if number == 1:  # always
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2 and len(list(Path(marks).iterdir())) < 3:  # three times
        (Path(marks) / str(time.time_ns())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_dies_costs_a_retry_and_the_fourth_death_fails_the_item(cluster, tmp_path):
    items = [(i, str(tmp_path)) for i in range(3, 9)]
    found = _all(_dies, [*items[:2], (2, str(tmp_path)), *items[2:]])
    assert not any(isinstance(result, Failure) for result in found.values())
    found = _all(_dies, [(1, str(tmp_path))])
    (failed,) = found.values()
    assert failed.error.code == "crashed"
    assert "4 times" in failed.error.message


def _hangs(item: int) -> int:
    if item == 1:
        time.sleep(3600)
    return item


def test_what_takes_too_long_fails_once_and_the_rest_goes_on(cluster):
    begun = time.monotonic()
    found = _all(_hangs, list(range(4)), limit_s=lambda _: 2.0)
    assert {i: found[i] for i in (0, 2, 3)} == {0: 0, 2: 2, 3: 3}
    assert found[1].error.code == "timeout"
    assert time.monotonic() - begun < 60
    assert _all(_work, [1, 2]) == {1: 1, 2: 4}  # a worker has come in its place


def _dies_twice(item: tuple[int, str]) -> int:
    number, marks = item
    if number == 1 and len(list(Path(marks).iterdir())) < 2:  # twice
        (Path(marks) / str(time.time_ns())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow
def test_workers_that_are_all_gone_are_started_anew_and_nothing_waits_for_ever(
    tmp_path, monkeypatch
):
    from distributed import Nanny  # noqa: PLC0415

    monkeypatch.setattr(dask_engine, "_LONELY_S", 8.0)
    said, marks = [], tmp_path / "marks"
    marks.mkdir()

    async def gives_up(self, *args, **kwargs):
        """As a nanny does whose worker does not start in time."""

    with at_work(ComputeSettings(engine="dask"), tmp_path, workers=1, say=said.append):
        with monkeypatch.context() as broken:
            broken.setattr(Nanny, "_on_worker_exit", gives_up)
            found = _all(_dies_twice, [(0, str(marks)), (1, str(marks)), (2, str(marks))])
        assert sorted(found.values()) == [0, 1, 2]
        assert said.count("no worker process is left; starting them anew") == 2
        with monkeypatch.context() as broken:
            broken.setattr(dask_engine, "_MOST_RENEWALS", 2)
            broken.setattr(Nanny, "_on_worker_exit", gives_up)
            for mark in marks.iterdir():
                mark.unlink()
            with pytest.raises(SystemRefusedError) as caught:
                _all(_dies_twice, [(1, str(marks))])
    assert caught.value.code == "no-workers"


def test_an_answer_that_is_not_fetched_in_time_is_looked_for_again(cluster, monkeypatch):
    """A worker may die between the end of its work and the fetching; that would wait for another one."""
    from distributed import Future  # noqa: PLC0415

    fetch, late = Future.result, set()

    def late_once(self, timeout):
        if self.key not in late:
            late.add(self.key)
            raise TimeoutError
        return fetch(self, timeout)

    monkeypatch.setattr(Future, "result", late_once)
    assert _all(_work, [1, 2, 4]) == {1: 1, 2: 4, 4: 16}
    assert len(late) == 3


def test_work_that_is_done_anew_and_in_vain_has_failed(cluster, monkeypatch):
    from distributed import Future  # noqa: PLC0415
    from distributed.scheduler import KilledWorker  # noqa: PLC0415

    def gone(self, timeout):
        raise KilledWorker("x", None, 3)

    monkeypatch.setattr(Future, "result", gone)
    assert _all(_work, [1])[1].error.code == "crashed"


def _disk_full(item: int) -> int:
    if item == 2:
        raise OSError(28, os.strerror(28), "bag.npy")
    return item


def test_a_full_disk_stops_the_run(cluster):
    with pytest.raises(SystemRefusedError) as caught:
        _all(_disk_full, list(range(9)))
    assert caught.value.code == "disk-full"
    assert _all(_work, [1]) == {1: 1}


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr("jecur.__version__", "0.0.1")
    with pytest.raises(SystemRefusedError, match=r"jecur 0\.0\.1 on every worker") as caught:
        _all(_work, [1])
    assert caught.value.code == "other-workers"


def test_work_is_done_in_the_folder_that_it_was_given_out_in(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(_all(_folder, [1, 2]).values()) == {str(tmp_path)}


def _folder(item: int) -> str:
    return str(Path.cwd())


def test_no_scheduler_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("jecur.study.machines._WAIT_S", 1)
    compute = ComputeSettings(engine="dask", scheduler="tcp://127.0.0.1:1")
    with (
        pytest.raises(SystemRefusedError, match="expected a Dask scheduler") as caught,
        at_work(compute, tmp_path, workers=1, say=print),
    ):
        pass
    assert caught.value.code == "no-scheduler"


@pytest.mark.parametrize("stage", [jc.run, jc.train, jc.cross_validate])
def test_the_python_interface_works_on_the_machines_that_the_study_names(
    stage, tmp_path, monkeypatch
):
    monkeypatch.setattr("jecur.study.machines._WAIT_S", 1)
    path = write_feature_study(tmp_path / "study", n_training=20, n_unseen=8)
    study = read_study(path)
    study = replace(study, compute=ComputeSettings(engine="dask", scheduler="tcp://127.0.0.1:1"))
    path.write_text(write_study(study))
    with pytest.raises(SystemRefusedError) as caught:
        stage(jc.read_study(path), out=tmp_path / "out")
    assert caught.value.code == "no-scheduler"


def test_the_missing_extra_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with (
        pytest.raises(SettingsError, match=r"jecur\[cluster\]") as caught,
        at_work(ComputeSettings(engine="dask"), tmp_path, workers=1, say=print),
    ):
        pass
    assert caught.value.code == "no-dask"


def test_nothing_is_started_where_nothing_is_asked_for(tmp_path):
    with at_work(ComputeSettings(), tmp_path, workers=1, say=print):
        assert _all(_work, [2]) == {2: 4}


def test_an_engine_serves_for_the_length_of_its_block():
    class Nobody:
        def work_off(self, work, items, *, workers, limit_s=None):
            return iter(())

    with working_with(Nobody()):
        assert _all(_work, [1]) == {}
    assert _all(_work, [1]) == {1: 1}
