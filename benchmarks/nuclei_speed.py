"""Tiles a second of the nuclei network: on one thread, on all, and in processes of one thread.

    python -m benchmarks.nuclei_speed [network.onnx] [--threads 2] [--seconds 10]

Tiles are 224 x 224 px of noise: the time of a convolution does not depend on what it sees.
Rounds of the settings alternate, so that a busy machine is unfair to none; the median and the range
over rounds are printed. A run prepares slides in processes of one thread each, one a core: that is
the last line, the sum over as many processes at once as there are threads.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from benchmarks.common import Arguments

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


def of_one_process(model: str, tiles: np.ndarray, seconds: float) -> float:
    if model not in _OPEN:
        _OPEN[model] = NucleiModel.load(NucleiSettings(model=model), threads=1)
    return tiles_per_second(_OPEN[model], tiles, seconds)


_OPEN: dict[str, NucleiModel] = {}


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("model", nargs="?", default="builtin")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each setting")
    given = parser.parse_args()
    settings = NucleiSettings(model=given.model)
    models = {n: NucleiModel.load(settings, threads=n) for n in sorted({1, given.threads})}
    tiles = np.random.default_rng(0).integers(256, size=(N_TILES, 224, 224, 3), dtype=np.uint8)
    for model in models.values():
        model.map(tiles)
    rates: dict[str, list[float]] = {f"{n} thread(s)": [] for n in models}
    together = f"{given.threads} processes"
    rates[together] = []
    share = given.seconds / ROUNDS
    with ProcessPoolExecutor(given.threads, mp_context=get_context("spawn")) as pool:

        def all_at_once(seconds: float) -> float:
            jobs = [
                pool.submit(of_one_process, given.model, tiles, seconds)
                for _ in range(given.threads)
            ]
            return sum(job.result() for job in jobs)

        all_at_once(0.5)  # starts the processes
        for _ in range(ROUNDS):
            for n, model in models.items():
                rates[f"{n} thread(s)"].append(tiles_per_second(model, tiles, share))
            rates[together].append(all_at_once(share))
    size = len(next(iter(models.values())).onnx_bytes) / 2**20
    print(f"{given.model}: {size:.2f} MiB")
    for n, found in rates.items():
        print(
            f"{n}: {np.median(found):6.1f} tiles/s "
            f"(range {min(found):.1f} to {max(found):.1f} over {ROUNDS} rounds)"
        )


if __name__ == "__main__":
    main()
