"""Workers and coordinators on a real SLURM, killed; whole commands and a large cohort through Dask.

    python -m benchmarks.cluster --kills
    python -m benchmarks.cluster --same
    python -m benchmarks.cluster --flat 2000

``--kills`` starts a SLURM of one node (root; slurm-wlm, munge) and prepares 24 small virtual slides: by
workers of `jecur prepare --worker` in jobs, five of which are killed (-9) and one ended by `scancel -s KILL`;
and by Dask in jobs, whose coordinator is killed and gone on with. Each end is compared byte by byte with
an undisturbed preparation without SLURM. ``--same`` gives a run with its heat maps, a comparison of five
models, the features of an encoder and a classifier of tissue to this process, to Dask workers of its own
and to a Dask scheduler that already runs, and compares what was written; or those commands that it names.
``--flat`` prepares so many files of features by two Dask workers and says time a slide and memory of the
coordinator along the way.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.common import Arguments, table
from benchmarks.kills import write_feature_study
from tests.cluster.slurm_here import SlurmHere, slurm_here, why_not
from tests.virtual.tiny_study import write_tiny_study

from jecur.demo import study_of_virtual_cohort
from jecur.runs.claims import live_claims
from jecur.runs.folder import result_files, sha256_file
from jecur.runs.log import read_log
from jecur.runs.shared_results import read_results
from jecur.settings import SimulationSettings, TrainingSettings, write_study
from jecur.simulate.cohort import simulate_cohort

N = 24
FIVE = "clinical,jecur,lstm,architecture,til"
JECUR = [sys.executable, "-m", "jecur"]
SLURM = """
[compute.slurm]
cores = 1
memory = "1GB"
walltime = "00:30:00"
jobs = 2
interface = "lo"
"""


def _study(folder: Path) -> Path:
    settings = SimulationSettings(
        n_training=12, n_validation=12, seed=5, size_px=768, tissue_fraction=0.7
    )
    simulate_cohort(settings, folder)
    training = TrainingSettings.from_flat(epochs=1, loss="cox")
    text = write_study(study_of_virtual_cohort("Cluster", training))
    (folder / "study.toml").write_text(text + SLURM)
    return folder / "study.toml"


def _digests(root: Path) -> dict[str, str]:
    found = {name: sha256_file(path) for name, path in result_files(root / "slides")}
    return found | {"slides.csv": sha256_file(root / "slides.csv")}


def _submit(here: SlurmHere, study: Path, out: Path) -> str:
    command = " ".join([*JECUR, "prepare", str(study), "--out", str(out), "--worker", "-j", "1"])
    job = [
        "sbatch",
        "--parsable",
        "--ntasks=1",
        "--mem=1G",
        "--output=/dev/null",
        "--wrap",
        command,
    ]
    return here.run(job).stdout.strip()


def _until_at_work(out: Path, done: int, seconds: float = 120) -> bool:
    """Wait until so many slides are done and a worker has one; False if all are done before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(read_results(out)) >= done and live_claims(out):
            return True
        if len(read_results(out)) == N:
            return False
        time.sleep(0.05)
    return False


def by_workers(here: SlurmHere, study: Path, out: Path, rng: random.Random) -> dict[str, int]:
    """Prepare by jobs of workers, strike, and let new jobs go on."""
    struck = {"kill -9 of a worker": 0, "scancel -s KILL": 0}
    jobs = [_submit(here, study, out) for _ in range(2)]
    for strike in range(6):
        if not _until_at_work(out, 3 * strike + 1):
            break
        if strike == 3:
            here.run(["scancel", "-s", "KILL", *jobs[-1:]])
            struck["scancel -s KILL"] += 1
        else:
            holder = rng.choice(list(live_claims(out).values()) or [None])
            if holder is None:
                continue
            job = int(holder.crew.rsplit("-", 2)[1])  # the job's main process
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
                struck["kill -9 of a worker"] += 1
        jobs.append(_submit(here, study, out))
    here.wait_until_empty(300)
    _submit(here, study, out)  # whatever is left
    here.wait_until_empty(120)
    return struck


def by_dask(here: SlurmHere, study: Path, out: Path) -> dict[str, int]:
    """Prepare by Dask in jobs; kill the coordinator, and give the same command again."""
    command = [*JECUR, "prepare", str(study), "--out", str(out), "--engine", "dask"]
    first = here.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while len(list(out.glob("slides/*/complete"))) < 4 and time.monotonic() < end:
        time.sleep(0.1)
    first.kill()
    first.wait()
    done = here.run(command)
    here.wait_until_empty(120)
    return {"kill -9 of the coordinator": 1, "exit code after": done.returncode}


def kills() -> None:
    """Run both campaigns and say how they end."""
    reason = why_not()
    if reason:
        raise SystemExit(f"no SLURM can be started here: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="jecur-cluster-") as folder,
        slurm_here(Path(folder) / "slurm") as here,
    ):
        base = Path(folder)
        study = _study(base / "study")
        plain = base / "plain"
        subprocess.run([*JECUR, "prepare", str(study), "--out", str(plain), "-j", "2"], check=True)
        expected = _digests(plain)
        rows = []
        for name, struck in (
            ("workers", by_workers(here, study, base / "workers", random.Random(17))),
            ("dask", by_dask(here, study, base / "dask")),
        ):
            out = base / name
            made = _digests(out)
            ended = [
                e["slide"] for e in read_log(out / "log.jsonl").events if e["event"] == "slide"
            ]
            rows.append(
                (
                    name,
                    ", ".join(f"{what}: {n}" for what, n in struck.items()),
                    len((out / "slides.csv").read_text().splitlines()) - 1,
                    len(ended) - len(set(ended)),
                    len(set(made) ^ set(expected)),
                    sum(made.get(file) != digest for file, digest in expected.items()),
                )
            )
        heads = ("way", "struck", "rows of slides.csv", "slides twice in the log")
        print(table((*heads, "files lost or added", "files unequal"), rows))


@contextlib.contextmanager
def _scheduler(place: Path) -> Iterator[str]:
    """Address of a scheduler with two workers, started as a user starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, python = f"tcp://127.0.0.1:{port}", [sys.executable, "-m"]
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    commands = (
        ["distributed.cli.dask_scheduler", "--port", str(port), *here],
        ["distributed.cli.dask_worker", address, "--nthreads", "1", "--nworkers", "2", *here],
    )
    with (place / "dask.txt").open("w") as said:
        started = [
            subprocess.Popen([*python, *command], stdout=said, stderr=said, cwd=place)
            for command in commands
        ]
        try:
            time.sleep(10)
            yield address
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(30)


def same(only: Sequence[str]) -> None:
    """Compare what whole commands write by this process, by own Dask workers and by running ones."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="jecur-cluster-") as folder:
        base = Path(folder)
        (base / "study").mkdir()
        write_tiny_study(base / "study")
        study = str(base / "study" / "study.toml")
        cohort = ["simulate", "--out", str(base / "drawn"), "--training", "8", "--validation", "2"]
        subprocess.run([*JECUR, *cohort, "--drawings", "8", "--seed", "1"], check=True)
        drawn = str(base / "drawn" / "study.toml")
        classifier = str(base / "tissue train alone" / "models" / "tissue.safetensors")
        regions = ["--annotations", str(base / "drawn" / "drawings"), "--cover", "0.5"]
        commands = {
            "run": ["run", study],
            "compare": ["compare", study, "--models", FIVE, "--draws", "50"],
            "features": ["features", study, "--encoder", "builtin"],
            "tissue train": ["tissue", "train", drawn, *regions, "--fewest", "10"],
            "tissue apply": ["tissue", "apply", drawn, "--model", classifier],
        }
        with _scheduler(base) as address:
            ways = {
                "alone": ["-j", "1"],
                "own workers": ["--engine", "dask", "-j", "2"],
                "running workers": ["--scheduler", address],
            }
            for name, command in commands.items():
                if only and name not in only:
                    continue
                written = {}
                for way, more in ways.items():
                    out = base / f"{name} {way}"
                    code = subprocess.run(
                        [*JECUR, *command, "--out", str(out), *more],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                    ).returncode  # fmt: skip
                    written[way] = {name: sha256_file(path) for name, path in result_files(out)}
                    plain = written["alone"]
                    lost = plain.keys() ^ written[way].keys()
                    unequal = sorted(n for n in plain.keys() - lost if plain[n] != written[way][n])
                    rows.append((name, way, code, len(written[way]), len(lost), ", ".join(unequal)))
    heads = ("command", "by", "exit code", "files", "lost or added", "unequal to those by itself")
    print(table(heads, rows))


def _resident_mib(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text("utf-8").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def flat(n: int) -> None:
    """Prepare many files of features by two Dask workers; say time and memory along the way."""
    with tempfile.TemporaryDirectory(prefix="jecur-cluster-") as folder:
        base = Path(folder)
        study = write_feature_study(base / "study", patients=n)
        out = base / "run"
        command = [*JECUR, "prepare", str(study), "--out", str(out), "--engine", "dask", "-j", "2"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        rows, marks, last = [], [n * k // 8 for k in range(1, 9)], (time.monotonic(), 0)
        while marks and process.poll() is None:
            log = out / "log.jsonl"
            text = log.read_bytes() if log.is_file() else b""
            done = text.count(b'"event": "slide"')
            if done and not last[1]:
                last = time.monotonic(), done
            elif done >= marks[0]:
                now = time.monotonic()
                pace = 1000 * (now - last[0]) / max(1, done - last[1])
                rows.append((done, f"{pace:.1f}", f"{_resident_mib(process.pid):.0f}"))
                last, marks = (now, done), [mark for mark in marks if mark > done]
            time.sleep(0.05)
        code = process.wait()
        print(table(("slides done", "ms a slide since the row above", "coordinator MiB"), rows))
        print(f"exit code {code}")


def main() -> None:
    """Measure what is asked for."""
    parser = Arguments(__doc__)
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--same", nargs="*", metavar="COMMAND", help="of these commands, or all")
    parser.add_argument("--flat", type=int, default=0, metavar="SLIDES")
    given = parser.parse_args()
    if given.kills:
        kills()
    if given.same is not None:
        same(given.same)
    if given.flat:
        flat(given.flat)


if __name__ == "__main__":
    main()
