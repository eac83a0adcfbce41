"""Claims on pieces of work: one owner at a time, freed by death, deaths counted."""

import os
import signal
import subprocess
import sys
import time

import pytest

from jecur.runs.claims import CLAIMS, Claims, LeaseWatch, crews_at_work, live_claims
from jecur.runs.locks import is_locked, lock_now, supports_locks

HOLD = """
import sys, time
from pathlib import Path
from jecur.runs.claims import Claims
claims = Claims.of_this_job(Path(sys.argv[1]), lease=sys.argv[2] == "lease")
with claims.presence(), claims.work(sys.argv[3]) as holder:
    print("had" if holder else "none", flush=True)
    time.sleep(3600)
"""


def _other_job(root, way, name):
    started = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), way, name], stdout=subprocess.PIPE, text=True
    )
    return started, started.stdout.readline().strip()


def _kill(job):
    job.kill()
    job.wait()
    job.stdout.close()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "run"


def test_a_lock_excludes_every_other_job_and_dies_with_its_owner(root):
    claims = Claims.of_this_job(root)
    assert not claims.lease
    job, said = _other_job(root, "lock", "a")
    try:
        assert said == "had"
        with claims.work("a") as holder:
            assert holder is None
        with claims.work("b") as holder:
            assert holder is not None
            assert holder.deaths == 0
        assert {name: h.pid for name, h in live_claims(root).items()} == {"a": job.pid}
        assert [h.pid for h in crews_at_work(root)] == [job.pid]
    finally:
        _kill(job)
    assert live_claims(root) == {}
    assert crews_at_work(root) == ()
    with claims.work("a") as holder:
        assert holder.deaths == 1
    with claims.work("a") as holder:  # what came to its end is forgiven
        assert holder.deaths == 0


def test_deaths_are_counted_over_jobs_and_an_ordered_end_is_none(root):
    for deaths in range(3):
        job, said = _other_job(root, "lock", "a")
        assert said == "had"
        held = live_claims(root)["a"]
        assert held.deaths == deaths
        _kill(job)
    Claims(root, held.crew).give_back()
    with Claims.of_this_job(root).work("a") as holder:
        assert holder.deaths == 2


def test_a_lease_is_taken_over_once_it_is_not_renewed(root, monkeypatch):
    claims = Claims.of_this_job(root, lease=True)
    job, said = _other_job(root, "lease", "a")
    assert said == "had"
    assert {name: h.pid for name, h in live_claims(root).items()} == {"a": job.pid}
    watch = LeaseWatch(root, after_s=0.3)
    assert watch.expired("a") == 0
    _kill(job)
    with claims.work("a") as holder:  # nobody knows yet
        assert holder is None
    assert watch.expired("a") == 0
    time.sleep(0.4)
    expired = watch.expired("a")
    assert expired == 1
    with claims.work("a", expired=expired) as holder:
        assert holder.deaths == 1
        with Claims(root, "late", lease=True).work("a", expired=expired) as late:
            assert late is None  # whoever comes second finds the next number taken
    with claims.work("a") as holder:
        assert holder.deaths == 0


def test_a_lease_that_is_renewed_never_expires(root, monkeypatch):
    monkeypatch.setattr("jecur.runs.claims._BEAT_S", 0.05)
    watch = LeaseWatch(root, after_s=0.3)
    with Claims.of_this_job(root, lease=True).work("a"):
        for _ in range(10):
            assert watch.expired("a") == 0
            time.sleep(0.1)


@pytest.mark.parametrize("lease", [False, True])
def test_of_many_threads_of_jobs_one_alone_has_it(root, lease):
    jobs = [_other_job(root, "lease" if lease else "lock", "a") for _ in range(4)]
    try:
        assert sorted(said for _, said in jobs) == ["had", "none", "none", "none"]
    finally:
        for job, _ in jobs:
            _kill(job)


def test_a_stopped_owner_keeps_its_lock(root):
    job, _ = _other_job(root, "lock", "a")
    try:
        os.kill(job.pid, signal.SIGSTOP)
        with Claims.of_this_job(root).work("a") as holder:
            assert holder is None
    finally:
        _kill(job)


def test_where_there_are_no_locks_leases_serve(root, monkeypatch):
    monkeypatch.setattr("jecur.runs.claims.supports_locks", lambda _: False)
    assert Claims.of_this_job(root).lease


def test_locks_here(tmp_path):
    assert supports_locks(tmp_path)
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "x"
    assert not is_locked(file)
    with lock_now(file) as mine, lock_now(file) as again:
        assert (mine, again) == (True, False)
        assert is_locked(file)
    assert not is_locked(file)


def test_a_damaged_claim_is_nobodys(root):
    claims = Claims.of_this_job(root)
    work = root / CLAIMS / "work"
    work.mkdir(parents=True)
    (work / "a.lock").write_text("{")
    with claims.work("a") as holder:
        assert holder.deaths == 0
