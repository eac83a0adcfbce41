"""Finished is proved: damage is found and made good, and a resumed run ends in the same bytes."""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.virtual.tiny_study import quick_study

import jecur
from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.errors import RunFolderError, SystemRefusedError
from jecur.runs.folder import RunFolder, atomic_path, result_files, write_json, write_text
from jecur.runs.log import append_event, read_log
from jecur.runs.verify import verify_run
from jecur.settings import TrainingSettings, write_study

N = 16


def _study(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py", reason="needs the extra: features")
    rng = np.random.default_rng(7)
    (folder / "slides").mkdir(parents=True)
    rows = []
    for k in range(N):
        n = (
            5 + k
        )  # sums of the same numbers in another order differ, where there are enough of them
        features = rng.normal(size=(n, 6)).astype(np.float32)
        features[:, 0] += 1.5 if k % 2 else -1.5
        with h5py.File(folder / "slides" / f"P{k}.h5", "w") as stored:
            stored["features"] = features
            stored["coords"] = rng.integers(0, 9, (n, 2)) * 512
            stored["coords"].attrs["patch_size_level0"] = 512
        months = rng.uniform(2, 18) if k % 2 else rng.uniform(50, 90)
        role = "training" if k < N // 2 else "validation"
        rows.append((f"P{k}", role, round(months, 1), k % 2, f"P{k}.h5"))
    columns = ["patient_id", "role", "months", "recurrence", "slide"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "clinical.csv", index=False)
    training = TrainingSettings.from_flat(
        epochs=3, learning_rate=1e-2, l2=1e-3, pooling="attention", pooling_hidden=4
    )
    study = quick_study("Proved", training)
    columns_of = msgspec.structs.replace(study.cohort.columns, site="")
    cohort = msgspec.structs.replace(study.cohort, covariates=(), columns=columns_of)
    text = write_study(msgspec.structs.replace(study, cohort=cohort))
    return write_text(folder / "study.toml", text)


def _bytes(root: Path) -> dict[str, bytes]:
    found = {name: path.read_bytes() for name, path in result_files(root)}
    return found | {"manifest.json": (root / "manifest.json").read_bytes()}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, Path]:
    """A study and its finished run."""
    folder = tmp_path_factory.mktemp("proved")
    study = _study(folder / "study")
    assert run(["run", str(study), "--out", str(folder / "run"), "-j", "2"]) == OK
    return study, folder / "run"


def _copy(root: Path, to: Path) -> Path:
    return Path(shutil.copytree(root, to))


def _one_of_each_kind(root: Path) -> list[str]:
    """One file of each kind: the first of each suffix and folder."""
    kinds = {}
    for name, _ in result_files(root):
        path = Path(name)
        kinds.setdefault((path.parts[0], path.suffix, path.name[:5]), name)
    return list(kinds.values())


def _change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_change_a_byte, _cut, Path.unlink])
def test_one_damaged_file_of_each_kind_is_named(done, tmp_path, damage):
    root = _copy(done[1], tmp_path / "run")
    assert verify_run(root, threads=2).whole
    names = _one_of_each_kind(root)
    assert len(names) >= 20
    names += [p.relative_to(root).as_posix() for p in (root / "private").iterdir()]
    for name in names:
        before = (root / name).read_bytes()
        damage(root / name)
        found = verify_run(root, threads=2)
        assert (*found.missing, *found.changed) == (name,)
        (root / name).write_bytes(before)
    assert verify_run(root, threads=2).whole


def test_verify_says_it_by_its_exit_code(done, tmp_path, capsys):
    root = _copy(done[1], tmp_path / "run")
    assert run(["verify", str(root)]) == OK
    (root / "stray.txt").write_text("not ours")
    assert run(["verify", str(root)]) == SOME_FAILED
    assert "extra: stray.txt" in capsys.readouterr().out
    assert run(["verify", str(tmp_path / "nothing")]) == USER_ERROR
    (root / "stray.txt").unlink()
    _change_a_byte(root / "log.jsonl")
    assert run(["verify", str(root)]) == SOME_FAILED


def test_the_next_run_makes_every_damage_good_and_ends_in_the_same_bytes(done, tmp_path, capsys):
    study, root = done[0], _copy(done[1], tmp_path / "run")
    whole = _bytes(root)
    _change_a_byte(root / "slides" / "P9" / "bag.npy")
    (root / "slides" / "P10" / "bag.npy").unlink()
    _cut(root / "slides" / "P11" / "quality.json")
    _change_a_byte(root / "slides" / "P1" / "complete")
    _change_a_byte(root / "tile_scores.parquet")
    _change_a_byte(next((root / "models").iterdir()))
    (root / "report.html").unlink()
    assert run(["run", str(study), "--out", str(root), "-j", "1"]) == OK
    said = capsys.readouterr().err
    for name in ("P9: ", "P10: ", "P11: "):
        assert name in said
    after = _bytes(root)
    assert {n for n in whole.keys() | after.keys() if whole.get(n) != after.get(n)} == set()
    assert verify_run(root, threads=2).whole


def test_a_run_stopped_at_any_write_goes_on_to_the_same_bytes(done, tmp_path, monkeypatch):
    """Stopped in training, scoring, statistics and report, over and over, at a write of a file."""
    study, whole = done[0], _bytes(done[1])
    root = _copy(done[1], tmp_path / "run")
    for path in root.iterdir():
        if path.name not in {"slides", "private", "log.jsonl", "manifest.json"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(root / "manifest.json", {"jecur": jecur.__version__})
    make, left = tempfile.mkstemp, [0]

    def counted(*args, **options):
        if str(options.get("prefix", "")).startswith(".part-"):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return make(*args, **options)

    monkeypatch.setattr(tempfile, "mkstemp", counted)
    command = ["run", str(study), "--out", str(root), "-j", "1"]
    for writes in (3, 6, 9, 16, 22):
        left[0] = writes
        assert run(command) == 130
    left[0] = 0
    assert run(command) == OK
    after = _bytes(root)
    assert {n for n in whole.keys() | after.keys() if whole.get(n) != after.get(n)} == set()


def test_no_file_but_the_log_holds_a_duration(done):
    root = done[1]
    assert "seconds" in (root / "log.jsonl").read_text()
    assert "seconds" not in (root / "slides.csv").read_text()
    assert "seconds" not in (root / "slides" / "P0" / "quality.json").read_text()
    assert not {"started", "finished"} & json.loads((root / "manifest.json").read_text()).keys()


def test_a_log_is_a_chain_and_a_torn_end_is_no_damage(tmp_path):
    log = tmp_path / "log.jsonl"
    for k in range(4):
        append_event(log, "event", k=k)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines) + lines[0][:20])
    assert (read_log(log).broken_at, read_log(log).torn) == (0, True)
    append_event(log, "event", k=4)
    state = read_log(log)
    assert (state.broken_at, state.torn) == (0, False)
    assert [e["event"] for e in state.events] == ["event"] * 4 + ["torn-line", "event"]
    log.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert read_log(log).broken_at == 2
    log.write_bytes(b"".join([lines[0], lines[1].replace(b"event", b"other"), *lines[2:]]))
    assert read_log(log).broken_at == 3


def test_a_long_line_is_followed_like_any_other(tmp_path):
    log = tmp_path / "log.jsonl"
    for size in (10, 100_000, 3_000_000, 10):
        append_event(log, "event", text="x" * size)
    assert read_log(log).broken_at == 0


def test_a_folder_that_vanished_ends_the_run(tmp_path):
    opened = RunFolder.open(tmp_path / "run")
    shutil.rmtree(opened.root)
    with pytest.raises(SystemRefusedError, match="deleted or replaced"):
        opened.log("event")
    opened.root.mkdir()
    with pytest.raises(SystemRefusedError, match="deleted or replaced"):
        opened.write_manifest({})


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE])
def test_what_the_system_refuses_while_a_file_is_written_is_one_line(tmp_path, number):
    with pytest.raises(SystemRefusedError) as caught, atomic_path(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path / "a.txt") in caught.value.message
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_stopped_is_checked_by_its_marks(tmp_path):
    opened = RunFolder.open(tmp_path / "run")
    write_text(opened.slide_folder("s") / "bag.npy", "tiles")
    opened.mark_complete("s", "m", ["bag.npy"])
    assert verify_run(opened.root, threads=1).whole
    _change_a_byte(opened.slide_folder("s") / "bag.npy")
    found = verify_run(opened.root, threads=1)
    assert (found.finished, found.changed) == (False, ("slides/s/bag.npy",))
    with pytest.raises(RunFolderError):
        verify_run(tmp_path, threads=1)
