"""Speed of applying a fitted normalization, all ways in one run.

Every way maps the same tiles of one slide with the same stains. Rounds are interleaved, so a busy
machine slows all of them; read the ratios. Ways whose package is absent are left out.
Usage: python -m benchmarks.stain_speed [SLIDE_OR_IMAGE] [ROUNDS]
"""

import os
import statistics
import time
from pathlib import Path

import numpy as np
from benchmarks.common import DATA, Arguments
from benchmarks.stain_images import read_image, read_slide
from benchmarks.stain_peer_ways import PEERS, Way

from jecur.settings import StainSettings
from jecur.stain import builtin_reference, fit_normalizer
from jecur.stain.color_map import StainTransfer
from jecur.stain.color_table import ColorTable
from jecur.stain.optical_density import to_optical_density

SIDE = 224
BLOCK = 8_192
SLOW_S = 10.0
"""A way that has taken so many seconds sits out the remaining rounds."""


def plain(transfer: StainTransfer) -> Way:
    """The oracle, in blocks that fit the cache."""

    def run(tiles: np.ndarray) -> np.ndarray:
        pixels = tiles.reshape(-1, 3)
        blocks = [transfer(pixels[at : at + BLOCK]) for at in range(0, len(pixels), BLOCK)]
        return np.concatenate(blocks).reshape(tiles.shape)

    return run


def cold_table(transfer: StainTransfer, threads: int) -> Way:
    """A new table for each call: what the first tiles of a slide cost."""
    return lambda tiles: ColorTable(transfer).apply(tiles, threads=threads)


def warm_table(transfer: StainTransfer, threads: int) -> Way:
    """A table that has seen these colors."""
    table = ColorTable(transfer)
    return lambda tiles: table.apply(tiles, threads=threads)


def compiled(transfer: StainTransfer, threads: int) -> Way:
    """The closed form in a compiled parallel loop, float32, logarithm by table."""
    import numba  # noqa: PLC0415 (optional contestant)

    @numba.njit(parallel=True, fastmath=True)
    def loop(pixels, out, od, w, t, scale, sparsity):
        g = w[0, 0] * w[1, 0] + w[0, 1] * w[1, 1] + w[0, 2] * w[1, 2]
        det = np.float32(1) / (np.float32(1) - g * g)
        zero = np.float32(0)
        for i in numba.prange(len(pixels)):
            v0, v1, v2 = od[pixels[i, 0]], od[pixels[i, 1]], od[pixels[i, 2]]
            b1 = w[0, 0] * v0 + w[0, 1] * v1 + w[0, 2] * v2 - sparsity
            b2 = w[1, 0] * v0 + w[1, 1] * v1 + w[1, 2] * v2 - sparsity
            f1, f2 = b1 - g * b2, b2 - g * b1
            c1 = max(b1 if f2 < zero else f1 * det, zero) * scale[0]
            c2 = max(b2 if f1 < zero else f2 * det, zero) * scale[1]
            for j in range(3):
                level = np.float32(255) * np.exp(-(c1 * t[0, j] + c2 * t[1, j]))
                out[i, j] = np.uint8(level + np.float32(0.5))

    single = np.float32
    od = to_optical_density(np.arange(256, dtype=np.uint8)).astype(single)
    w, t = transfer.source.vectors.astype(single), transfer.target.vectors.astype(single)
    scale, sparsity = transfer.scale.astype(single), single(transfer.sparsity)

    def run(tiles: np.ndarray) -> np.ndarray:
        numba.set_num_threads(threads)
        out = np.empty_like(tiles)
        loop(tiles.reshape(-1, 3), out.reshape(-1, 3), od, w, t, scale, sparsity)
        return out

    return run


def graph(transfer: StainTransfer, threads: int) -> Way:
    """The closed form as an ONNX graph, float32."""
    import onnx  # noqa: PLC0415 (optional contestant)
    import onnxruntime  # noqa: PLC0415
    from onnx import helper, numpy_helper  # noqa: PLC0415

    w = transfer.source.vectors
    g = float(w[0] @ w[1])
    free = np.array([[1.0, -g], [-g, 1.0]]) / (1.0 - g * g)
    constants = {
        "od": to_optical_density(np.arange(256, dtype=np.uint8)),
        "wt": w.T,
        "sparsity": np.array(transfer.sparsity),
        "free": free,
        "swap": np.array([[0.0, 1.0], [1.0, 0.0]]),
        "zero": np.array(0.0),
        "out": -transfer.scale[:, None] * transfer.target.vectors,
        "white": np.array(255.0),
        "half": np.array(0.5),
    }
    steps = [
        ("Cast", ["x"], "i"), ("Gather", ["od", "i"], "v"), ("MatMul", ["v", "wt"], "wv"),
        ("Sub", ["wv", "sparsity"], "b"), ("MatMul", ["b", "free"], "f"),
        ("MatMul", ["f", "swap"], "fs"), ("Less", ["fs", "zero"], "alone"),
        ("Where", ["alone", "b", "f"], "c0"), ("Relu", ["c0"], "c"), ("MatMul", ["c", "out"], "e"),
        ("Exp", ["e"], "t"), ("Mul", ["t", "white"], "l"), ("Add", ["l", "half"], "r"),
        ("Cast", ["r"], "y"),
    ]  # fmt: skip
    nodes = [
        helper.make_node(
            op, inputs, [name], **({"to": 6 if name == "i" else 2} if op == "Cast" else {})
        )
        for op, inputs, name in steps
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "normalize",
            [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, ["n", 3])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, ["n", 3])],
            [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(tiles: np.ndarray) -> np.ndarray:
        pixels = tiles.reshape(-1, 3)
        return session.run(None, {"x": pixels})[0].reshape(tiles.shape)

    return run


def ways(transfer: StainTransfer) -> dict[str, Way]:
    found: dict[str, Way] = {"plain numpy, 1 thread": plain(transfer)}
    for threads in (1, 2):
        for name, make in (
            ("color table, cold", cold_table),
            ("color table, warm", warm_table),
            ("compiled (numba)", compiled),
            ("ONNX Runtime", graph),
            *PEERS.items(),
        ):
            try:
                found[f"{name}, {threads} thread{'s' * (threads > 1)}"] = make(transfer, threads)
            except ImportError as absent:
                print(f"left out: {name} ({absent})")
    return found


def tiles_of(path: Path) -> np.ndarray:
    """Every whole tile of an image or of a slide's upper left part."""
    rgb = read_slide(path) if path.suffix in (".svs", ".ndpi", ".tiff") else read_image(path)
    height, width = rgb.shape[:2]
    return np.stack(
        [
            rgb[y : y + SIDE, x : x + SIDE]
            for y in range(0, height - SIDE + 1, SIDE)
            for x in range(0, width - SIDE + 1, SIDE)
        ]
    )


def resident_mib() -> float:
    """Memory this process holds, MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(transfer: StainTransfer, tiles: np.ndarray) -> None:
    """Print what a slide's table holds as tiles go by, one batch of 16 at a time."""
    table, done, start = ColorTable(transfer), 0, resident_mib()
    for goal in (200, 2_000, 20_000):
        while done < goal:
            table.apply(tiles[done % (len(tiles) - 16) :][:16], threads=2)
            done += 16
        print(f"memory after {done} tiles: {resident_mib() - start:.0f} MiB above the start")


def main(path: Path, rounds: int) -> None:
    tiles = tiles_of(path)
    pixels = tiles.reshape(-1, 3)
    pixels = pixels[np.random.default_rng(0).integers(len(pixels), size=400_000)]
    fits = []
    for _ in range(5):
        started = time.perf_counter()
        normalizer = fit_normalizer(pixels, StainSettings(), builtin_reference())
        fits.append(time.perf_counter() - started)
    print(
        f"fit on {normalizer.slide.n_pixels} pixels: median {statistics.median(fits):.2f} s, "
        f"most {max(fits):.2f} s"
    )
    contest = ways(normalizer.color_map)
    oracle = contest["plain numpy, 1 thread"](tiles).astype(int)
    times: dict[str, list[float]] = {name: [] for name in contest}
    differences = {
        name: int(np.abs(way(tiles).astype(int) - oracle).max()) for name, way in contest.items()
    }
    for _ in range(rounds):
        for name, way in contest.items():
            if sum(times[name]) * len(tiles) > SLOW_S:
                continue
            started = time.perf_counter()
            way(tiles)
            times[name].append((time.perf_counter() - started) / len(tiles))
    print(f"{path.name}: {len(tiles)} tiles of {SIDE} px, {rounds} rounds")
    report(times, differences)
    memory(normalizer.color_map, tiles)


def report(times: dict[str, list[float]], differences: dict[str, int]) -> None:
    """Print milliseconds a tile, best and median, and what each way differs by."""
    plain_median = statistics.median(times["plain numpy, 1 thread"])
    print(f"{'way':44s} {'ms best':>8s} {'median':>8s} {'tiles/s':>8s} {'x plain':>8s}  differs by")
    for name, seconds in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        median = statistics.median(seconds)
        print(
            f"{name:44s} {min(seconds) * 1e3:8.3f} {median * 1e3:8.3f} {1 / median:8.0f} "
            f"{plain_median / median:8.1f}  {differences[name]}"
        )


if __name__ == "__main__":
    parser = Arguments(__doc__)
    slide = DATA / "slides/svs_cmu1_small_region/CMU-1-Small-Region.svs"
    parser.add_argument("image", type=Path, nargs="?", default=slide)
    parser.add_argument("rounds", type=int, nargs="?", default=7)
    given = parser.parse_args()
    main(given.image, given.rounds)
