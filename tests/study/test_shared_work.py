"""Several plain jobs prepare one study: no slide is lost or made twice; the run ends in the same bytes."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from benchmarks.kills import write_feature_study

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.errors import RunFolderError
from jecur.runs.claims import CLAIMS, Claims, live_claims
from jecur.runs.folder import RunFolder, result_files, sha256_file
from jecur.runs.log import read_log
from jecur.runs.progress import SilentProgress
from jecur.runs.shared_results import read_results
from jecur.runs.status import read_status
from jecur.runs.verify import verify_run
from jecur.settings import read_study
from jecur.study.shared_work import work_along

N = 16
BROKEN = {"V-0015", "V-0016"}


def _worker(study, out):
    command = [sys.executable, "-m", "jecur", "prepare", str(study), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--worker", "-j", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_for(what, seconds=120):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def killed(tiny_study, tmp_path_factory):
    """Two workers on one folder; the first is killed while it has a slide, the second goes on alone."""
    out = tmp_path_factory.mktemp("shared") / "run"
    first, second = _worker(tiny_study, out), _worker(tiny_study, out)
    _wait_for(lambda: len(read_results(out)) >= 2)
    _wait_for(lambda: any(str(first.pid) in h for h in _crews_of(out).values()))
    seen = read_status(out)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    said, _ = second.communicate(timeout=300)
    return out, seen, second.returncode, said


def _crews_of(out):
    return {name: h.crew for name, h in live_claims(out).items()}


def test_no_slide_is_lost_when_a_worker_is_killed(killed):
    out, seen, code, said = killed
    assert len(seen.workers) == 2
    assert seen.at_work
    assert seen.left + len(seen.at_work) + sum(seen.slides.values()) == N
    assert code == SOME_FAILED
    assert "none is left" in said
    results = read_results(out)
    assert len(results) == N
    assert {name for name, r in results.items() if r.status == "failed"} == BROKEN
    assert not list(out.rglob("slides/**/.part-*"))


def test_the_last_worker_writes_log_and_table(killed):
    out = killed[0]
    log = read_log(out / "log.jsonl")
    assert not log.broken_at
    slides = [e["slide"] for e in log.events if e["event"] == "slide"]
    assert len(slides) == len(set(slides)) == N
    assert len((out / "slides.csv").read_text().splitlines()) == N + 1
    status = read_status(out)
    assert (status.workers, status.at_work, status.left, status.ended) == ((), {}, 0, True)


def test_a_worker_that_comes_late_finds_nothing_to_do(killed, tiny_study, capsys):
    out = killed[0]
    before = {p: sha256_file(p) for _, p in result_files(out)}
    command = ["prepare", str(tiny_study), "--out", str(out), "--worker", "-j", "1"]
    assert run(command) == SOME_FAILED  # those that failed before are told
    assert f"{N} by others or before; none is left" in capsys.readouterr().out
    assert {p: sha256_file(p) for _, p in result_files(out)} == before


def test_the_run_goes_on_from_there_to_the_same_bytes(killed, tiny_study, tiny_prepared, tmp_path):
    out, alone = killed[0], tmp_path / "run"
    shutil.copytree(tiny_prepared, alone)
    for root in (out, alone):
        assert run(["run", str(tiny_study), "--out", str(root), "-j", "1"]) == SOME_FAILED
    made, plain = (
        {name: sha256_file(path) for name, path in result_files(root)} for root in (out, alone)
    )
    assert made == plain
    assert verify_run(out, threads=1).whole


def test_a_run_and_workers_refuse_each_other(tiny_study, tmp_path):
    root = tmp_path / "run"
    held = RunFolder.open(root)
    study = read_study(tiny_study)
    with pytest.raises(RunFolderError, match="expected no other run"):
        work_along(study, tiny_study.parent, root, workers=1, progress=SilentProgress())
    held.lock.release()
    with Claims.of_this_job(root).presence():
        with pytest.raises(RunFolderError) as refused:
            RunFolder.open(root)
        assert refused.value.code == "workers-at-work"
        RunFolder.join(root)  # another worker may
    RunFolder.open(root).lock.release()


def test_workers_refuse_a_folder_of_something_else(tiny_study, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    code = run(["prepare", str(tiny_study), "--out", str(tmp_path), "--worker", "-j", "1"])
    assert code == USER_ERROR
    assert not (tmp_path / CLAIMS).exists()


def test_what_a_killed_worker_left_half_written_is_no_result(killed, tmp_path):
    results = tmp_path / CLAIMS / "results"
    results.mkdir(parents=True)
    whole = next((killed[0] / CLAIMS / "results").glob("*.json"))
    (results / ".part-abc.json").write_bytes(whole.read_bytes())
    assert read_results(tmp_path) == {}


def _dead_over(root, slide, deaths):
    """Leave what jobs that died over a slide leave."""
    claims = Claims.of_this_job(root)
    with claims.work(slide):
        pass
    file = root / CLAIMS / "work" / f"{slide}.lock"
    left = json.loads(file.read_bytes()) | {"open": True, "deaths": deaths - 1}
    file.write_text(json.dumps(left))


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Study of 16 files of features, which take no time."""
    return write_feature_study(tmp_path_factory.mktemp("features") / "study")


def test_a_slide_over_which_three_workers_died_has_failed_and_the_rest_is_done(features, tmp_path):
    root = tmp_path / "run"
    RunFolder.join(root)
    _dead_over(root, "P1", 3)
    _dead_over(root, "P2", 2)
    code = run(["prepare", str(features), "--out", str(root), "--worker", "-j", "2"])
    assert code == SOME_FAILED
    results = read_results(root)
    assert results["P1"].row["code"] == "crashed"
    assert results["P2"].status == "ok"
    assert len(results) == N
    assert {n for n, r in results.items() if r.status == "failed"} == {"P1"}
    # A command on the whole study tries it again.
    assert run(["prepare", str(features), "--out", str(root), "-j", "2"]) == OK
    assert read_status(root).slides == {"ok": N}


def test_leases_do_the_same(features, tmp_path):
    root = tmp_path / "run"
    arguments = ["prepare", str(features), "--out", str(root), "--worker", "--lease", "-j", "2"]
    assert run(arguments) == OK
    assert len(read_results(root)) == N
    assert list((root / CLAIMS / "crews").iterdir()) == []
