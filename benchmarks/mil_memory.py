"""One gradient step on bags of any size: peak memory, time a tile, and the plain form beside it.

    python -m benchmarks.mil_memory --side 224 --sizes 100 1000 10000 --plain 32 64 128
    python -m benchmarks.mil_memory --side 96 --sizes 100 1000 10000 50000 --plain 100 400
    python -m benchmarks.mil_memory --side 224 --ratio 64 --repeats 7

Each size is one process: the default encoder, four channels, the paper's pooling and loss, chunks
of 16, Adam. The bag is a file as the pipeline writes it (its tiles are empty: time and memory do not
depend on what is in them). Peak memory is the process's own maximum, the map of the file included.
The plain form is the same bag as one chunk. ``--ratio`` takes the two forms in turn in one process.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from benchmarks.common import Arguments, table_head, table_row

from jecur.mil.bag import open_bag
from jecur.settings import TrainingSettings
from jecur.training.bag_chunks import draw_chunks
from jecur.training.cohort_gradient import accumulate_cohort_gradient
from jecur.training.frozen_norm import frozen_batch_norm
from jecur.training.losses import cutoff_cross_entropy
from jecur.training.mobilenet import build_encoder
from jecur.training.pooling import generalized_mean

GIB = 2**30
CHUNK = 16


def step(encoder, optimizer, bag, chunk):
    """Time of one step, seconds."""
    started = time.perf_counter()
    rng = np.random.default_rng(0)
    chunks = draw_chunks(bag, TrainingSettings(), rng, size=chunk)
    optimizer.zero_grad(set_to_none=True)

    def loss(scores):
        return cutoff_cross_entropy(generalized_mean(scores, exponent=3.0), True, cutoff=0.4457)

    accumulate_cohort_gradient(encoder, [chunks], lambda outputs: loss(outputs[0]))
    optimizer.step()
    return time.perf_counter() - started


def empty_bag(folder, n, side):
    """A bag file of ``n`` tiles that takes no room on the disk."""
    path = Path(folder) / f"{n}.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (n, side, side, 4))
    return path


def start():
    encoder = build_encoder(
        TrainingSettings().encoder.architecture, channels=4, start="builtin", seed=0
    )
    frozen_batch_norm(encoder.train())
    return encoder, torch.optim.Adam(encoder.parameters(), lr=1e-4)


def one(path, chunk):
    """In a process of its own: memory before, peak, seconds."""
    encoder, optimizer = start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = step(encoder, optimizer, open_bag([Path(path)]), chunk)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"before": before, "peak": peak, "seconds": seconds}))


def ratio(side, n, repeats):
    with tempfile.TemporaryDirectory() as folder:
        bag = open_bag([empty_bag(folder, n, side)])
        encoder, optimizer = start()
        step(encoder, optimizer, bag, CHUNK)
        pairs = [
            (step(encoder, optimizer, bag, CHUNK), step(encoder, optimizer, bag, n))
            for _ in range(repeats)
        ]
    quotients = [two / plain for two, plain in pairs]
    print(
        f"{n} tiles of {side} px: two passes {1e3 * statistics.median(t for t, _ in pairs) / n:.1f} "
        f"ms a tile, plain {1e3 * statistics.median(p for _, p in pairs) / n:.1f}; ratio, median of "
        f"{repeats}: {statistics.median(quotients):.2f} ({min(quotients):.2f} to {max(quotients):.2f})"
    )


def table(side, sizes, plain):
    print(table_head("form", "tiles", "peak memory, GiB", "of it the step", "ms a tile"))
    with tempfile.TemporaryDirectory() as folder:
        for form, n in [("two passes", n) for n in sizes] + [("plain", n) for n in plain]:
            path = empty_bag(folder, n, side)
            chunk = CHUNK if form == "two passes" else n
            command = [
                sys.executable,
                "-m",
                "benchmarks.mil_memory",
                "--one",
                str(path),
                "--chunk",
                str(chunk),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            path.unlink()
            if done.returncode:
                said = f"did not fit (exit {done.returncode})"
                print(table_row(form, f"{n:,}", said, "", ""), flush=True)
                continue
            found = json.loads(done.stdout)
            step, ms = (found["peak"] - found["before"]) / GIB, 1e3 * found["seconds"] / n
            peak = f"{found['peak'] / GIB:.2f}"
            print(table_row(form, f"{n:,}", peak, f"{step:.2f}", f"{ms:.1f}"), flush=True)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--sizes", type=int, nargs="*", default=[])
    parser.add_argument("--plain", type=int, nargs="*", default=[])
    parser.add_argument("--ratio", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--one")
    parser.add_argument("--chunk", type=int, default=CHUNK)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one, asked.chunk)
    elif asked.ratio:
        ratio(asked.side, asked.ratio, asked.repeats)
    else:
        table(asked.side, asked.sizes, asked.plain)


if __name__ == "__main__":
    main()
