"""Every hostile table, settings file, feature file and drawing in a process of its own, measured.

    python -m benchmarks.hostile_inputs

Each input is read by a fresh interpreter; told are its time, its memory, and what became of it.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter

from benchmarks.common import Arguments, table_head, table_row
from tests.hostile.test_hostile_tables import _settings

from jecur.cohort.cohort import read_clinical
from jecur.mil.feature_file import write_feature_bag
from jecur.settings import read_study
from jecur.slide.annotation.reading import read_regions

KINDS = ("settings", "tables", "features", "drawings")
CHILD = """
import sys, resource
from pathlib import Path
from tests.hostile import {kind}_inputs
from benchmarks.hostile_inputs import read, write
path = write("{kind}", sys.argv[1], Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import time
from jecur.errors import JecurError
start = time.process_time()
try:
    read("{kind}", path)
    verdict = "accepted"
except JecurError as error:
    verdict = "refused" if chr(10) not in error.message else "refused in several lines"
except BaseException as error:
    verdict = "traceback " + type(error).__name__
spent = time.process_time() - start
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("RESULT", verdict.replace(" ", "-"), spent, before >> 10, after >> 10)
"""


def names(kind):
    """Inputs of a kind."""
    module = __import__(f"tests.hostile.{kind}_inputs", fromlist=["x"])
    found = list(getattr(module, kind.upper()))
    return found + list(module.BYTES) if kind == "settings" else found


def write(kind, name, folder):
    """Write an input; return its path."""
    module = __import__(f"tests.hostile.{kind}_inputs", fromlist=["x"])
    made = getattr(module, kind.upper()).get(name)
    if kind == "features":
        made(folder / "slide.h5")
        return folder / "slide.h5"
    suffix = {"settings": ".toml", "drawings": ".geojson"}.get(kind, "")
    if kind == "tables":
        suffix, made = made
    if kind == "settings":
        made = made.encode() if made is not None else module.BYTES[name]
    path = folder / f"input{suffix}"
    path.write_bytes(made() if callable(made) else made)
    return path


def read(kind, path):
    """Read an input as a command would."""
    if kind == "settings":
        read_study(path)
    elif kind == "features":
        write_feature_bag(path, path.with_name("bag.npy"))
    elif kind == "drawings":
        read_regions(path)
    else:
        read_clinical(_settings(path.name), path.parent)


def measure(kind, name):
    """Verdict, seconds of processor time, MiB before and after."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", CHILD.format(kind=kind), name, folder],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not found:
        return "died", 0.0, 0, 0
    _, verdict, spent, before, after = found[0].split()
    return verdict, float(spent), int(before), int(after)


def main():
    """Measure all and print a table."""
    Arguments(__doc__).parse_args()
    start = time.monotonic()
    print(table_head("kind", "inputs", "verdicts", "longest, s", "peak, MiB"))
    for kind in KINDS:
        results = {name: measure(kind, name) for name in names(kind)}
        verdicts = Counter(r[0] for r in results.values())
        slow = max(results, key=lambda n: results[n][1])
        big = max(results, key=lambda n: results[n][3])
        took = f"{results[slow][1]:.1f} ({slow})"
        peak = f"{results[big][3]} ({big}; {results[big][2]} before)"
        print(table_row(kind, len(results), dict(verdicts), took, peak), flush=True)
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
