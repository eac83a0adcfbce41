"""Work over many slides: one that fails, breaks or kills its process loses nobody else."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jecur.errors import SlideError, SystemRefusedError
from jecur.runs import worker_pool
from jecur.runs.progress import SilentProgress
from jecur.runs.worker_pool import work_off
from jecur.runs.workers import Failure, run_all


def _work(item: int) -> int:
    if item == 3:
        raise SlideError("expected a slide, found three", code="three")
    if item == 5:
        raise ZeroDivisionError("our bug")
    if item == 7:
        os._exit(9)
    return item * item


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_has_an_outcome(workers):
    items = list(range(7))
    outcomes = list(
        run_all(_work, items, workers=workers, progress=SilentProgress(), title="squares")
    )
    results = {o.item: o.result for o in outcomes}
    assert sorted(results) == items
    assert isinstance(results[3], Failure)
    assert (results[3].error.code, type(results[3].error)) == ("three", SlideError)
    assert results[5].error.code == "internal-error"
    assert "ZeroDivisionError" in results[5].trace
    assert {i: r for i, r in results.items() if i not in (3, 5)} == {
        i: i * i for i in (0, 1, 2, 4, 6)
    }


def test_a_process_that_dies_is_named_and_the_rest_is_done():
    results = {
        o.item: o.result
        for o in run_all(_work, [1, 7, 2, 4], workers=2, progress=SilentProgress(), title="squares")
    }
    assert results[7].error.code == "crashed"
    assert (results[1], results[2], results[4]) == (1, 4, 16)


def _pid(item: tuple[int, str]) -> int:
    """Say which process did the work; item 2 kills its own, once."""
    number, marker = item
    if number == 2 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return os.getpid()


def test_a_worker_killed_once_costs_its_item_a_second_try_and_nobody_else_anything(tmp_path):
    items = [(i, str(tmp_path / "killed")) for i in range(12)]
    found = list(run_all(_pid, items, workers=2, progress=SilentProgress(), title="pids"))
    assert sorted(o.item[0] for o in found) == list(range(12))
    assert not any(isinstance(o.result, Failure) for o in found)
    assert len({o.result for o in found}) == 3  # two, and one in place of the dead


def _killed(item: int) -> int:
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_process_killed_twice_over_an_item_is_said_to_be_killed():
    found = run_all(_killed, [0, 1, 2], workers=2, progress=SilentProgress(), title="kills")
    results = {o.item: o.result for o in found}
    assert (results[0], results[2], results[1].error.code) == (0, 2, "killed")


def _hanging(item: int) -> int:
    if item == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    if item == 3:
        time.sleep(3600)
    return item


@pytest.mark.parametrize("workers", [1, 2])
def test_what_takes_too_long_fails_and_the_rest_goes_on(workers):
    start = time.monotonic()
    results = {
        o.item: o.result
        for o in run_all(
            _hanging,
            list(range(5)),
            workers=workers,
            progress=SilentProgress(),
            title="hangs",
            limit_s=lambda _: 2.0,
        )
    }
    assert {i: results[i] for i in (0, 2, 4)} == {0: 0, 2: 2, 4: 4}
    assert [results[i].error.code for i in (1, 3)] == ["timeout", "timeout"]
    assert time.monotonic() - start < 30


def _disk_full(item: int) -> int:
    if item == 2:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "bag.npy")
    return item


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_stops_the_run_and_is_nobodys_fault(workers):
    with pytest.raises(SystemRefusedError, match="free some space") as caught:
        list(
            run_all(
                _disk_full, list(range(9)), workers=workers, progress=SilentProgress(), title="x"
            )
        )
    assert caught.value.code == "disk-full"
    assert not multiprocessing.active_children()  # though the error, and all it holds, is kept


def _no_memory(item: int) -> int:
    if item == 1:
        raise MemoryError
    return item


def test_too_little_memory_for_one_is_said_of_one():
    found = run_all(_no_memory, [0, 1], workers=1, progress=SilentProgress(), title="x")
    results = {o.item: o.result for o in found}
    assert (results[0], results[1].error.code) == (0, "out-of-memory")


WORK = """
import os, signal, time

def work(item):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece
    if item == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1 if item == 2 else 3600)
    return item
"""
PARENT = """
import sys
from given_work import work
from jecur.runs.progress import SilentProgress
from jecur.runs.workers import run_all

items = [int(i) for i in sys.argv[1].split(",")]
for o in run_all(work, items, workers=2, progress=SilentProgress(), title="", limit_s=lambda _: 2.5):
    print(o.item, o.result, flush=True)
"""


def _parent(tmp_path, items: str) -> subprocess.Popen:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    (tmp_path / "given_work.py").write_text(WORK, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, script, items], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_even_a_stopped_one(tmp_path, number):
    with _parent(tmp_path, "1,3") as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(_alive(pid) for pid in workers)
        parent.send_signal(number)
        parent.wait(10)
        end = time.monotonic() + 5
        while any(_alive(pid) for pid in workers) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(_alive(pid) for pid in workers)


SLOW_TO_START = """
import multiprocessing, os, time

def work(item):
    return item

if multiprocessing.current_process().name != "MainProcess":  # a worker imports its work first
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece
    time.sleep(3600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("stopped", [False, True])
def test_workers_end_with_their_parent_even_before_they_have_begun(tmp_path, stopped):
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    (tmp_path / "given_work.py").write_text(SLOW_TO_START, encoding="utf-8")
    command = [sys.executable, script, "1,2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            workers = [int(parent.stdout.readline()) for _ in range(2)]
            if stopped:
                os.kill(workers[0], signal.SIGSTOP)
        finally:
            parent.kill()
        parent.wait(10)
        end = time.monotonic() + 5
        while any(_alive(pid) for pid in workers) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(_alive(pid) for pid in workers)


def test_a_child_whose_parent_has_died_before_it_could_ask_ends_at_once():
    asks = (
        "from jecur.runs.orphans import end_with_parent; end_with_parent(int(input())); print('on')"
    )
    command = [sys.executable, "-c", asks]
    for parent, said in ((os.getpid(), "on\n"), (os.getppid(), "")):
        done = subprocess.run(
            command, input=f"{parent}\n", capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.returncode) == (said, 0 if said else 1)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_time_in_which_everybody_was_stopped_does_not_count(tmp_path):
    with _parent(tmp_path, "2,2") as parent:
        parent.stdout.readline()
        os.killpg(parent.pid, signal.SIGSTOP)  # Ctrl-Z
        time.sleep(3)
        os.killpg(parent.pid, signal.SIGCONT)
        said = parent.stdout.read().splitlines()
    assert [line for line in said if line.startswith("2 ")] == ["2 2", "2 2"]


def test_a_script_of_plain_lines_is_not_run_again_by_its_workers(tmp_path):
    """Spawned processes import the script that started them; ours have no use for it."""
    script = tmp_path / "script.py"
    script.write_text(
        "from jecur.runs.progress import SilentProgress\n"
        "from jecur.runs.workers import run_all\n"
        "print('begun', flush=True)\n"
        "done = run_all(abs, [-1, 2], workers=2, progress=SilentProgress(), title='x')\n"
        "print(sorted(o.result for o in done))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split("\n")[:2] == ["begun", "[1, 2]"], done.stderr


def _never_started(_: int) -> int:
    raise AssertionError("no process comes as far as this")


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_do_not_start_stop_the_run_at_once(monkeypatch, workers):
    monkeypatch.setattr("jecur.runs.worker_pool._serve", _die_at_once)
    with pytest.raises(
        SystemRefusedError, match="ended with code 7 before their first slide"
    ) as told:
        list(work_off(_never_started, list(range(50)), workers=workers))
    assert told.value.code == "workers-do-not-start"


def _die_at_once(*_: object) -> None:
    os._exit(7)


def test_processes_started_early_do_the_first_work_and_end_with_their_block():
    """The command's own imports and those of its workers happen at once; none outlives the block."""
    with worker_pool.started_early(2, "json"):
        early = {worker.process.pid for worker in worker_pool._STOCK}
        answers = {done.answer for done in worker_pool.work_off(_own_pid, [1], workers=1)}
        left = [worker.process for worker in worker_pool._STOCK]
        assert len(early) == 2
        assert answers <= early
        assert len(left) == 1
    assert not worker_pool._STOCK
    assert not left[0].is_alive()


def test_one_process_serves_work_after_work_within_a_block_and_none_outlives_it():
    def answers(work):
        return [done.answer for done in worker_pool.work_off(work, [-1, 2], workers=1)]

    with worker_pool.kept_between_works(1):
        pids = answers(_own_pid)
        assert answers(abs) == [1, 2]  # another work: the first one is forgotten
        (kept,) = [worker.process for worker in worker_pool._STOCK]
        assert {kept.pid} == set(pids) == set(answers(_own_pid))
        kept.kill()
        kept.join()
        again = answers(_own_pid)  # a dead one is not given anything
        assert kept.pid not in again
        (kept,) = [worker.process for worker in worker_pool._STOCK]
    assert not worker_pool._STOCK
    assert not kept.is_alive()
    assert set(answers(_own_pid)) != {kept.pid}


def _own_pid(_item: int) -> int:
    return os.getpid()
