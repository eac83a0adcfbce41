"""The run folder: whole files, marks, manifest."""

import json

import pytest

from jecur.artifacts import RunFolder, atomic_path, fingerprint, sha256_file, write_json, write_text
from jecur.errors import RunFolderError
from jecur.settings import TilingSettings


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(NotADirectoryError), atomic_path(path) as temporary:
        (temporary / "no folder").write_text("half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_not_a_number(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"hazard_ratio": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_follows_every_setting():
    same = fingerprint(TilingSettings(), "model")
    assert same == fingerprint(TilingSettings(), "model")
    assert same != fingerprint(TilingSettings(seed=1), "model")
    assert same != fingerprint(TilingSettings(), "other model")


def test_a_slide_is_complete_only_under_its_mark(tmp_path):
    run = RunFolder.open(tmp_path / "run")
    assert not run.is_complete("s", "a")
    run.mark_complete("s", "a")
    assert run.is_complete("s", "a")
    assert not run.is_complete("s", "b")


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
