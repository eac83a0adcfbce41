"""What a killed process left half written is taken away; what a live one is writing is not."""

import os
import subprocess
import sys
import time

import pytest

from jecur.runs import leftovers
from jecur.runs.files import atomic_path
from jecur.runs.folder import RunFolder

WRITER = """
import sys, time
from pathlib import Path
from jecur.runs.files import atomic_path
with atomic_path(Path(sys.argv[1]) / "slides" / "a" / "bag.npy") as path:
    path.write_bytes(b"half of a bag")
    print(path.name, flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process that is writing into a run folder, and the file it is writing."""
    root = RunFolder.join(tmp_path / "run").root
    command = [sys.executable, "-c", WRITER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process, root / "slides" / "a" / process.stdout.readline().strip()
        process.kill()


def test_kill_9_leaves_a_file_that_the_next_sweep_removes_and_no_sweep_takes_a_live_ones(writer):
    process, half = writer
    root = half.parents[2]
    leftovers.sweep(root)
    leftovers.sweep(half.parent, below=False)
    assert half.read_bytes() == b"half of a bag"
    process.kill()  # not waited for: gone, although its number is still taken
    end = time.monotonic() + 10
    while half.exists() and time.monotonic() < end:
        leftovers.sweep(root)
        time.sleep(0.01)
    assert not half.exists()


def test_opening_a_run_folder_and_writing_its_manifest_leave_a_live_writer_alone(writer):
    process, half = writer
    run = RunFolder.open(half.parents[2])
    run.write_manifest({})
    assert half.exists()
    process.kill()
    process.wait()
    run.write_manifest({})
    assert not half.exists()


def test_a_process_does_not_sweep_its_own_file(tmp_path):
    with atomic_path(tmp_path / "a.txt") as half:
        half.write_text("a")
        leftovers.sweep(tmp_path)
        assert half.exists()
    assert (tmp_path / "a.txt").read_text() == "a"


def test_a_number_that_another_process_has_by_now_keeps_nothing(tmp_path):
    name = leftovers.part_prefix().rsplit("-", 2)[0]
    reused = tmp_path / f"{name}-1-abc.npy"  # this process, begun at another time
    reused.write_bytes(b"")
    leftovers.sweep(tmp_path)
    assert not reused.exists()


def test_a_writer_on_another_machine_is_alive_until_its_file_is_old(tmp_path):
    foreign = tmp_path / ".part-00000000-1-1-abc.npy"
    foreign.write_bytes(b"")
    leftovers.sweep(tmp_path)
    assert foreign.exists()
    old = time.time() - leftovers._OTHER_MACHINE_S - 60
    os.utime(foreign, (old, old))
    leftovers.sweep(tmp_path)
    assert not foreign.exists()


def test_without_proc_a_living_number_keeps_its_file(tmp_path, monkeypatch):
    class NoProc(type(tmp_path)):
        def read_text(self, *a, **k):
            raise FileNotFoundError(self)

        def exists(self, *a, **k):
            return False

    monkeypatch.setattr(leftovers, "Path", NoProc)
    assert leftovers._began(os.getpid()) == 0
    assert leftovers._began(2**22 + 1) is None


def test_files_of_earlier_versions_and_of_nobody_are_taken_away(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".part-x1y2.csv").write_text("")
    leftovers.sweep(tmp_path)
    assert not list(tmp_path.rglob(".part-*"))
    leftovers.sweep(tmp_path / "absent")


def test_folders_go_whole_and_only_if_their_writer_is_gone(tmp_path):
    mine = tmp_path / f"{leftovers.part_prefix()}abc"
    dead = tmp_path / f"{leftovers.part_prefix().rsplit('-', 2)[0]}-1-abc"
    unknown = tmp_path / ".part-0123456789abcdef-12345678"  # as earlier versions named theirs
    for folder in (mine, dead, unknown):
        folder.mkdir()
        (folder / "bag.npy").write_bytes(b"half")
    leftovers.sweep(tmp_path, below=False)
    assert (mine.exists(), dead.exists(), unknown.exists()) == (True, False, True)
    old = time.time() - leftovers._OTHER_MACHINE_S - 60
    os.utime(unknown, (old, old))
    leftovers.sweep(tmp_path, below=False)
    assert (mine.exists(), unknown.exists()) == (True, False)
