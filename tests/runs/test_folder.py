"""The run folder: whole files, marks, manifest."""

import copy
import json
import os
import subprocess
import sys

import pytest

from jecur.errors import RunFolderError
from jecur.runs.folder import (
    RunFolder,
    atomic_path,
    fingerprint,
    sha256_file,
    write_json,
    write_text,
)
from jecur.runs.verify import verify_run
from jecur.settings import TilingSettings


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(NotADirectoryError), atomic_path(path) as temporary:
        (temporary / "no folder").write_text("half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    synced = []

    def fsync(handle):
        named = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".part-")]
        synced.append((os.fstat(handle).st_size, named))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "four")
    assert synced == [(4, [])]
    assert (tmp_path / "a.txt").read_text() == "four"


def test_json_refuses_not_a_number(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"hazard_ratio": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_follows_every_setting():
    same = fingerprint(TilingSettings(), "model")
    assert same == fingerprint(TilingSettings(), "model")
    assert same != fingerprint(TilingSettings(seed=1), "model")
    assert same != fingerprint(TilingSettings(), "other model")


def test_a_slide_is_complete_only_under_its_mark_and_with_every_byte(tmp_path):
    run = RunFolder.open(tmp_path / "run")
    bag = write_text(run.slide_folder("s") / "bag.npy", "tiles")
    assert not run.is_complete("s", "a")
    run.mark_complete("s", "a", ["bag.npy"])
    assert run.is_complete("s", "a")
    assert not run.is_complete("s", "b")
    for damaged in ("Tiles", "tile", ""):
        bag.write_text(damaged)
        assert not run.is_complete("s", "a")
    bag.unlink()
    assert not run.is_complete("s", "a")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("x")
    with pytest.raises(RunFolderError, match="found other files"):
        RunFolder.open(tmp_path)
    with pytest.raises(RunFolderError, match="found a file"):
        RunFolder.open(tmp_path / "thesis.doc")


def test_the_manifest_holds_hashes_of_results(tmp_path):
    run = RunFolder.open(tmp_path / "run")
    path = write_text(run.root / "scores.csv", "patient_id\n")
    run.log("scored", patient="p")
    manifest = json.loads(run.write_manifest({"seed": 3}).read_text())
    assert manifest["seed"] == 3
    assert manifest["sha256"] == {"scores.csv": sha256_file(path)}
    assert manifest["versions"]["numpy"] != "absent"
    assert RunFolder.open(run.root) == run


WRITER = """
import sys, time
from pathlib import Path
from jecur.runs.folder import RunFolder, atomic_path
run = RunFolder.open(Path(sys.argv[1]))
with atomic_path(run.root / "slides" / "a" / "bag.npy") as path:
    path.write_bytes(b"half of a bag")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_one_run_writes_at_a_time_and_what_a_killed_one_left_is_swept(tmp_path):
    root = tmp_path / "run"
    command = [sys.executable, "-c", WRITER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "writing\n"
        with pytest.raises(RunFolderError, match="found one writing there") as caught:
            RunFolder.open(root)
        assert caught.value.code == "run-in-progress"
        other.kill()
    assert list(root.rglob(".part-*"))
    run = RunFolder.open(root)
    assert not list(root.rglob(".part-*"))
    assert not (root / "slides" / "a" / "bag.npy").exists()
    assert RunFolder.open(root) == run  # the same process may open it again
    assert copy.copy(run).lock is None  # as a worker process gets it


def test_slides_on_another_disk_are_in_the_manifest(tmp_path):
    run = RunFolder.open(tmp_path / "run")
    slide = tmp_path / "disk" / "A"
    slide.mkdir(parents=True)
    (slide / "quality.json").write_text("as it was")
    (run.root / "slides").symlink_to(tmp_path / "disk")
    (run.root / "models").symlink_to(tmp_path / "disk")
    run.write_manifest({"command": "run"})
    checked = verify_run(run.root, threads=1)
    assert (checked.whole, checked.n_files) == (True, 1)
    (slide / "quality.json").write_text("otherwise")
    assert verify_run(run.root, threads=1).changed == ("slides/A/quality.json",)
