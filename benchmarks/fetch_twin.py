"""Fetch from the twin of the servers: kill -9 at random moments, throughput beside curl, memory.

    python -m benchmarks.fetch_twin kills --kills 20 --seed 0
    python -m benchmarks.fetch_twin speed --files 6 --megabytes 200 --repeats 3
    python -m benchmarks.fetch_twin memory

The twin (tests/fetch/twin.py) serves on loopback from this process; ``jecur fetch`` and curl are
processes of their own. Loopback is far faster than any network: it shows the price of the client.
"""

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import Arguments
from tests.fetch.twin import Twin, TwinFile, make_file, serve, uuid_of

from jecur.fetch.transfer import md5_file


def command(twin: Twin, out: Path) -> list[str]:
    manifest = out.parent / "list.tsv"
    manifest.write_text(twin.manifest(), encoding="utf-8")
    what = ["--what", "slides", "--manifest", str(manifest), "--base-url", twin.url, "--yes"]
    return [sys.executable, "-m", "jecur", "fetch", "tcga-lihc", "--out", str(out), *what]


def large_file(folder: Path, k: int, megabytes: int) -> TwinFile:
    path = folder / f"large-{k}.svs"
    block = random.Random(k).randbytes(1 << 20)
    with path.open("wb") as stream:
        for n in range(megabytes):
            stream.write(n.to_bytes(4, "big") + block[4:])
    name = f"TCGA-XX-{k:04d}-01Z-00-DX1.{uuid_of(k).upper()}.svs"
    return TwinFile(uuid_of(("large", k)), name, md5_file(path), path.stat().st_size, b"", path)


def place(out: Path, file: TwinFile) -> Path:
    return out / "slides" / file.id / file.name


def false_names(twin: Twin, out: Path) -> int:
    """Files under a final name that are not the twin's."""
    return sum(
        place(out, file).exists() and place(out, file).read_bytes() != file.body
        for file in twin.files.values()
    )


def kills(base: Path, n_kills: int, seed: int) -> None:
    """Kill, go on, kill; between the kills the twin has faults too."""
    rng = random.Random(seed)
    twin = Twin()
    twin.add(*(make_file(k, 3_000_000 + 1000 * k) for k in range(24)))
    twin.rate = 3e6
    done = begun = wrong = twice = equal = ends = 0
    with serve(twin):
        while done < n_kills:
            out = base / f"out-{ends}"
            whole: set[str] = set()
            for _ in range(7):
                for file_id in rng.sample(sorted(twin.files), 4):
                    twin.faults[file_id] = [rng.choice(["cut", "flip", "busy", "whole-for-part"])]
                twin.answers.clear()
                process = subprocess.Popen(
                    command(twin, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                while not twin.answers and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 3))
                process.send_signal(signal.SIGKILL)
                ended = process.wait()
                done += ended == -signal.SIGKILL
                begun += 1
                wrong += false_names(twin, out)
                twice += len(whole & {sent.id for sent in twin.answers})
                whole = {file.id for file in twin.files.values() if place(out, file).exists()}
                if done >= n_kills:
                    break
            twin.answers.clear()
            code = subprocess.run(command(twin, out), check=False, capture_output=True).returncode
            twice += len(whole & {sent.id for sent in twin.answers})
            ends += 1
            lying = {p for p in (out / "slides").rglob("*") if p.is_file()}
            same = lying == {place(out, f) for f in twin.files.values()} and not false_names(
                twin, out
            )
            equal += same and code == 0
            shutil.rmtree(out)
    print(f"kills -9: {done} of {begun} starts (the others had ended)")
    print(f"ends: {ends}, byte-equal to the twin with exit code 0: {equal}")
    print(
        f"files under a final name that were not whole: {wrong}; whole files asked for again: {twice}"
    )


def curl(twin: Twin, out: Path) -> list[str]:
    out.mkdir(parents=True)
    pairs = []
    for file in twin.files.values():
        pairs += ["-o", str(out / file.name), f"{twin.url}/data/{file.id}"]
    return ["curl", "-sS", "--fail", "--parallel", "--parallel-max", "4", *pairs]


def timed(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak memory, MiB."""
    begun = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[0]} ended with {process.returncode}")
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def speed(base: Path, files: int, megabytes: int, repeats: int, rate: float) -> None:
    twin = Twin(rate=rate)
    twin.add(*(large_file(base, k, megabytes) for k in range(files)))
    size = sum(file.size for file in twin.files.values())
    times: dict[str, list[float]] = {"curl": [], "jecur": []}
    with serve(twin):
        for repeat in range(repeats):
            for who, make in (("curl", curl), ("jecur", command)):
                out = base / f"{who}-{repeat}"
                times[who].append(timed(make(twin, out))[0])
                shutil.rmtree(out)
    for who, seconds in times.items():
        rates = ", ".join(f"{size / s / 1e6:.0f}" for s in seconds)
        print(f"{who}: {rates} MB/s; median {size / statistics.median(seconds) / 1e6:.0f}")
    share = statistics.median(times["curl"]) / statistics.median(times["jecur"])
    print(
        f"jecur over curl, medians, {size / 1e9:.2f} GB, start of Python and MD5 included: {share:.2f}"
    )


def memory(base: Path) -> None:
    for megabytes in (20, 100, 400):
        twin = Twin()
        folder = base / str(megabytes)
        folder.mkdir()
        twin.add(*(large_file(folder, k, megabytes) for k in range(4)))
        with serve(twin):
            _, peak = timed(command(twin, folder / "out"))
        print(f"4 files of {megabytes} MB: peak {peak:.0f} MiB")
        shutil.rmtree(folder)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("what", choices=("kills", "speed", "memory"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=6)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.0, help="bytes per second and connection")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        if given.what == "kills":
            kills(base, given.kills, given.seed)
        elif given.what == "speed":
            speed(base, given.files, given.megabytes, given.repeats, given.rate)
        else:
            memory(base)


if __name__ == "__main__":
    main()
