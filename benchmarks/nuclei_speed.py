"""Tiles a second of the nuclei network, and the same tiles on 1 and on all threads.

Usage: python benchmarks/nuclei_speed.py [network.onnx] [--threads 2] [--seconds 10]

Tiles are 224 x 224 px of noise: the time of a convolution does not depend on what it sees.
Rounds of the two settings alternate, so that a busy machine is unfair to neither; the median
and the range over rounds are printed.
"""

import argparse
import time

import numpy as np

from jecur.nuclei.segmentation import NucleiModel
from jecur.settings import NucleiSettings

N_TILES = 8
ROUNDS = 7


def tiles_per_second(model: NucleiModel, tiles: np.ndarray, seconds: float) -> float:
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        model.map(tiles)
        done += len(tiles)
    return done / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="builtin")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each setting")
    given = parser.parse_args()
    settings = NucleiSettings(model=given.model)
    models = {n: NucleiModel.load(settings, threads=n) for n in sorted({1, given.threads})}
    tiles = np.random.default_rng(0).integers(256, size=(N_TILES, 224, 224, 3), dtype=np.uint8)
    for model in models.values():
        model.map(tiles)
    rates: dict[int, list[float]] = {n: [] for n in models}
    for _ in range(ROUNDS):
        for n, model in models.items():
            rates[n].append(tiles_per_second(model, tiles, given.seconds / ROUNDS))
    size = len(next(iter(models.values())).onnx_bytes) / 2**20
    print(f"{given.model}: {size:.2f} MiB")
    for n, found in rates.items():
        print(
            f"{n} thread(s): {np.median(found):6.1f} tiles/s "
            f"(range {min(found):.1f} to {max(found):.1f} over {ROUNDS} rounds)"
        )


if __name__ == "__main__":
    main()
