"""Kill a run again and again, at random moments, go on each time, and compare where it ends.

    python -m benchmarks.kills --study features --kills 200 --seed 0
    python -m benchmarks.kills --study slides --kills 20 --seed 1

A small study (a file of features a patient, pooled by attention; or virtual slides) is run twice
without disturbance, in two folders. Then it is run anew and, at moments drawn evenly over the
time that a run takes, its main process or one of its workers is killed or told to end; the same
command is given again, killed again, and at last left alone; the next folder is begun. At each end
every file but the log and the study's own secret, which is drawn anew for each folder, is compared
byte by byte with the undisturbed run. Where the main process was killed, every process of its
session must be gone within 5 s; Python's own resource tracker, which holds no work, is counted
apart.

Programs start by forking one that has imported everything, so that moments fall into the work and
not into the start of Python.
"""

import contextlib
import importlib
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pandas as pd
from benchmarks.common import Arguments

from jecur.cli import run as run_command
from jecur.demo import study_of_virtual_cohort
from jecur.runs.folder import result_files, sha256_file
from jecur.runs.log import read_log
from jecur.runs.verify import verify_run
from jecur.settings import SimulationSettings, TrainingSettings, write_study
from jecur.simulate.cohort import simulate_cohort

LIMIT_S = 5.0
STOPS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def write_slide_study(folder: Path) -> Path:
    """Write a study of 14 virtual slides, trained on tile by tile with the whole network."""
    settings = SimulationSettings(
        n_training=6, n_validation=8, seed=5, size_px=768, tissue_fraction=0.7
    )
    simulate_cohort(settings, folder)
    training = TrainingSettings.from_flat(
        epochs=2, frozen_blocks=4, tiles_per_bag=2, l2=0.0, good_months=30.0, poor_months=25.0
    )
    study = study_of_virtual_cohort("Kills", training)
    (folder / "study.toml").write_text(write_study(study), encoding="utf-8")
    return folder / "study.toml"


def write_feature_study(folder: Path, *, patients: int = 16) -> Path:
    """Write a study whose slides are files of features; the first feature decides the outcome."""
    rng = np.random.default_rng(7)
    (folder / "slides").mkdir(parents=True)
    rows = []
    for k in range(patients):
        name = f"P{k}.h5"
        features = rng.normal(size=(int(rng.integers(3, 9)), 12)).astype(np.float32)
        features[:, 0] += 1.5 if k % 2 else -1.5
        with h5py.File(folder / "slides" / name, "w") as stored:
            stored["features"] = features
            stored["coords"] = rng.integers(0, 9, (len(features), 2)) * 512
            stored["coords"].attrs["patch_size_level0"] = 512
        months = rng.uniform(2, 18) if k % 2 else rng.uniform(50, 90)
        role = "training" if k < patients // 2 else "validation"
        rows.append((f"P{k}", role, round(months, 1), k % 2, name, "abcd"[k % 4]))
    columns = ["patient_id", "role", "months", "recurrence", "slide", "site"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "clinical.csv", index=False)
    training = TrainingSettings.from_flat(
        epochs=4, learning_rate=1e-2, l2=1e-3, pooling="attention", pooling_hidden=4
    )
    study = study_of_virtual_cohort("Kills", training)
    cohort = msgspec.structs.replace(study.cohort, covariates=())
    study = msgspec.structs.replace(study, cohort=cohort)
    (folder / "study.toml").write_text(write_study(study), encoding="utf-8")
    return folder / "study.toml"


def start(arguments: list[str], said: Path) -> int:
    """Run a command in a process group of its own; return its process number."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    sink = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # the first is ignored behind nohup
        signal.signal(number, _interrupt)
    code = 1
    try:
        code = run_command(arguments)
    finally:
        os._exit(code)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)


@dataclass(frozen=True)
class Process:
    """A process that is not only waiting to be collected."""

    pid: int
    parent: int
    session: int
    is_tracker: bool
    """Python's resource tracker, which `multiprocessing` starts beside the first worker."""


def processes() -> list[Process]:
    """Every process that is alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, _, session = stat.read_text("utf-8").rsplit(")", 1)[1].split()[:4]
            tracker = b"resource_tracker" in (stat.parent / "cmdline").read_bytes()
            if state not in "ZX":
                found.append(Process(int(stat.parent.name), int(parent), int(session), tracker))
    return found


def workers_of(pid: int) -> list[int]:
    """Process numbers of the children that do work."""
    return [p.pid for p in processes() if p.parent == pid and not p.is_tracker]


def left_of(session: int) -> list[Process]:
    """Processes of a session whose leader is dead."""
    return [p for p in processes() if p.session == session and p.pid != session]


def digests(root: Path) -> dict[str, str]:
    """Digest of every file that must be the same in two runs of one study."""
    return {name: sha256_file(path) for name, path in result_files(root)} | {
        "manifest.json": sha256_file(root / "manifest.json")
    }


@dataclass
class Tally:
    """What was done and found."""

    kills: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    undisturbed_unequal: list[str] = field(default_factory=list)
    ends: int = 0
    equal: int = 0
    unequal: list[str] = field(default_factory=list)
    survivors: int = 0
    trackers: int = 0
    longest_s: float = 0.0
    bad_codes: Counter[int] = field(default_factory=Counter)
    tracebacks: int = 0
    damaged: int = 0


def stage_of(root: Path) -> str:
    """Say how far a run had come, from what lies in its folder."""
    if (root / "stages" / "scores").exists():
        return "heat maps, statistics, report"
    if (root / "stages" / "training").exists():
        return "scoring"
    if (root / "checkpoints").exists():
        return "training"
    return "preparing" if (root / "slides").exists() else "start"


def campaign(
    study: Path, base: Path, *, kills: int, seed: int, until: float = math.inf, workers: int = 2
) -> Tally:
    """Disturb runs until so many kills are done; every run goes on to its end."""
    rng, tally, said = random.Random(seed), Tally(), base / "said.txt"
    took, whole = _undisturbed(study, base / "whole", said, workers)
    took_again, again = _undisturbed(study, base / "again", said, workers)
    took = min(took, took_again)  # the first one also warms the disk
    tally.undisturbed_unequal = _unequal(whole, again)
    number = 0
    while sum(tally.kills.values()) < kills and time.monotonic() < until:
        root = base / f"run-{number}"
        number += 1
        for attempt in range(8):  # then let it end
            # what is gone on with has less before it
            within = took / (1 + attempt)
            left = _disturb(study, root, said, rng, tally, took=within, workers=workers)
            if not left or sum(tally.kills.values()) >= kills:
                break
        code = _to_the_end(study, root, said, workers)
        tally.ends += 1
        if code != 0:
            tally.bad_codes[code] += 1
        names = _unequal(whole, digests(root))
        tally.equal += not names
        tally.unequal += [f"{root.name}: {name}" for name in names]
        tally.damaged += not verify_run(root, threads=1).whole
        tally.damaged += read_log(root / "log.jsonl").broken_at > 0
        shutil.rmtree(root)
        sys.stderr.write(
            f"{sum(tally.kills.values())} kills, {tally.equal} of {tally.ends} equal\n"
        )
    tally.tracebacks = said.read_text(encoding="utf-8", errors="replace").count("Traceback")
    return tally


def _unequal(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return sorted(n for n in one.keys() | other.keys() if one.get(n) != other.get(n))


def _command(study: Path, root: Path, workers: int) -> list[str]:
    return ["run", str(study), "--out", str(root), "-j", str(workers)]


def _undisturbed(study: Path, root: Path, said: Path, workers: int) -> tuple[float, dict[str, str]]:
    begun = time.monotonic()
    code = _to_the_end(study, root, said, workers)
    if code != 0:
        raise SystemExit(f"the undisturbed run ended with {code}: {said.read_text()[-2000:]}")
    return time.monotonic() - begun, digests(root)


def _to_the_end(study: Path, root: Path, said: Path, workers: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(start(_command(study, root, workers), said), 0)[1])


def _disturb(
    study: Path,
    root: Path,
    said: Path,
    rng: random.Random,
    tally: Tally,
    *,
    took: float,
    workers: int,
) -> bool:
    """Run once and strike once; return whether the run was struck down before its end."""
    pid = start(_command(study, root, workers), said)
    end = time.monotonic() + rng.uniform(0, took)
    while time.monotonic() < end:
        done, _ = os.waitpid(pid, os.WNOHANG)
        if done:
            return False
        time.sleep(0.01)
    crew = workers_of(pid)
    at = stage_of(root)
    if crew and rng.random() < 0.2:  # one worker; the run goes on by itself
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(crew), signal.SIGKILL)
        tally.kills["one worker, kill -9"] += 1
        tally.stages[at] += 1
        os.waitpid(pid, 0)
        return False
    how = rng.choice(STOPS)
    if rng.random() < 0.2:
        for stopped in crew:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGSTOP)
        name = f"main process, {how.name}, its workers stopped"
    else:
        name = f"main process, {how.name}"
    os.kill(pid, how)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        return False  # it had just ended
    tally.kills[name] += 1
    tally.stages[at] += 1
    struck = time.monotonic()
    while (left := left_of(pid)) and time.monotonic() - struck < LIMIT_S:
        time.sleep(0.02)
    tally.longest_s = max(tally.longest_s, time.monotonic() - struck)
    tally.survivors += sum(not p.is_tracker for p in left)
    tally.trackers += sum(p.is_tracker for p in left)
    for process in left:  # they must not slow down what follows
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return True


def main() -> None:
    """Run the campaign and print what was found."""
    parser = Arguments(__doc__)
    parser.add_argument("--study", choices=("features", "slides"), default="features")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="begin no run after so long"
    )
    given = parser.parse_args()
    for room in ("pipeline", "study.train", "training.export", "training.task"):
        importlib.import_module(f"jecur.{room}")  # once for all that are forked from here
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        write = write_feature_study if given.study == "features" else write_slide_study
        study = write(base / "study")
        until = time.monotonic() + 60 * given.minutes
        tally = campaign(study, base, kills=given.kills, seed=given.seed, until=until)
    for name, value in vars(tally).items():
        sys.stdout.write(f"{name}: {dict(value) if isinstance(value, Counter) else value}\n")


if __name__ == "__main__":
    main()
