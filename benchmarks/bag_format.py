"""Ways to keep the tiles of a bag on disk: size, and rates of writing and reading, one thread.

    python -m benchmarks.bag_format --real DATA --virtual RUN

DATA is the folder of real images, RUN a run folder with bags of virtual slides. Every form is
lossless and must give the same bytes back. Files are in the page cache when read: what is measured
is the cost of the form, not of the disk.
"""

import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy as np
from benchmarks.common import Arguments, table_head, table_row
from PIL import Image

from jecur.mil.bag import open_bag, writing_bag
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.settings import NucleiSettings

N_TILES, CHUNK = 96, 16


def virtual_tiles(run: Path) -> np.ndarray:
    bags = sorted(run.glob("slides/*/bag.npy"))[: N_TILES // 4]
    bag = open_bag(bags)
    return bag.take(np.linspace(0, len(bag) - 1, N_TILES).astype(int))


def real_tiles(data: Path) -> np.ndarray:
    """Tiles of 128 um at 40x, as the pipeline cuts them, with the nuclei map as fourth channel."""
    network = NucleiModel.load(NucleiSettings(), threads=1)
    tiles = []
    for path in sorted((data / "nuclei/monuseg2018_train/images").glob("*.png"))[:24]:
        with Image.open(path) as image:
            for x, y in ((0, 0), (488, 0), (0, 488), (488, 488)):
                crop = image.convert("RGB").crop((x, y, x + 512, y + 512))
                tiles.append(np.asarray(crop.resize((224, 224), Image.Resampling.BOX)))
    return add_nuclei_channel(network, np.stack(tiles[:N_TILES]))


FORMS = {
    "zlib 1": (
        lambda t: imagecodecs.zlib_encode(t.tobytes(), level=1),
        lambda b, s: np.frombuffer(imagecodecs.zlib_decode(b), np.uint8).reshape(s),
    ),
    "LZ4": (
        lambda t: imagecodecs.lz4_encode(t.tobytes()),
        lambda b, s: np.frombuffer(
            imagecodecs.lz4_decode(b, out=int(np.prod(s))), np.uint8
        ).reshape(s),
    ),
    "Zstandard 3": (
        lambda t: imagecodecs.zstd_encode(t.tobytes(), level=3),
        lambda b, s: np.frombuffer(imagecodecs.zstd_decode(b), np.uint8).reshape(s),
    ),
    "Blosc2 (Zstandard, planes apart)": (
        lambda t: imagecodecs.blosc2_encode(
            np.ascontiguousarray(np.moveaxis(t, -1, 0)).tobytes(), level=3, compressor="zstd"
        ),
        lambda b, s: np.moveaxis(
            np.frombuffer(imagecodecs.blosc2_decode(b), np.uint8).reshape(s[-1], *s[:-1]), 0, -1
        ),
    ),
    "PNG 1": (
        lambda t: [imagecodecs.png_encode(tile, level=1) for tile in t],
        lambda b, _: np.stack([imagecodecs.png_decode(tile) for tile in b]),
    ),
    "WebP lossless": (
        lambda t: [imagecodecs.webp_encode(tile, lossless=True, level=0) for tile in t],
        lambda b, _: np.stack([imagecodecs.webp_decode(tile, hasalpha=True) for tile in b]),
    ),
    "JPEG XL lossless 1": (
        lambda t: [imagecodecs.jpegxl_encode(tile, lossless=True, effort=1) for tile in t],
        lambda b, _: np.stack([imagecodecs.jpegxl_decode(tile) for tile in b]),
    ),
}


def seconds(work, repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(tiles: np.ndarray, folder: Path) -> None:
    path = folder / "bag.npy"

    def write() -> None:
        with writing_bag(path, tiles.shape[1]) as bag:
            bag.append(tiles)

    n = len(tiles)
    rates = ("write, tiles/s", "read in order, tiles/s", "read 1 tile, tiles/s")
    print(table_head("form", "size, of raw", *rates))
    rate = [n / seconds(write)]
    bag = open_bag([path])
    rate.append(n / seconds(lambda: [bag.take(range(k, k + CHUNK)) for k in range(0, n, CHUNK)]))
    some = np.random.default_rng(0).permutation(n)[:32]
    rate.append(32 / seconds(lambda: [bag.take([k]) for k in some]))
    print(table_row(".npy, memory-mapped", "1.00", *(f"{r:.0f}" for r in rate)))
    for name, (encode, decode) in FORMS.items():
        chunks = [tiles[k : k + CHUNK] for k in range(0, n, CHUNK)]
        packed = [encode(chunk) for chunk in chunks]
        for chunk, held in zip(chunks, packed, strict=True):
            if not np.array_equal(decode(held, chunk.shape), chunk):
                raise SystemExit(f"{name}: not lossless")
        parts = [part for held in packed for part in (held if isinstance(held, list) else [held])]
        size = sum(map(len, parts)) / tiles.nbytes
        writing = n / seconds(lambda e=encode, c=chunks: [e(chunk) for chunk in c], 1)
        reading = n / seconds(
            lambda d=decode, p=packed, c=chunks: [
                d(held, chunk.shape) for held, chunk in zip(p, c, strict=True)
            ]
        )

        def one(d=decode, p=packed, c=chunks) -> None:
            for k in some:
                held = p[k // CHUNK]
                alone = isinstance(held, list)
                d([held[k % CHUNK]] if alone else held, c[k // CHUNK].shape)

        rate = (writing, reading, 32 / seconds(one))
        print(table_row(name, f"{size:.2f}", *(f"{r:.0f}" for r in rate)))


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--virtual", type=Path, required=True)
    arguments = parser.parse_args()
    sources = {"real": real_tiles(arguments.real), "virtual": virtual_tiles(arguments.virtual)}
    for name, tiles in sources.items():
        print(f"\n{name} tiles, {tiles.shape}, {tiles.nbytes / len(tiles) / 1e3:.0f} kB each")
        with tempfile.TemporaryDirectory() as folder:
            measure(tiles, Path(folder))


if __name__ == "__main__":
    main()
