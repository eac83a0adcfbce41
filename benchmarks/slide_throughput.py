"""Tiles a second and memory: ours beside plain OpenSlide + Pillow and tiffslide, on the same tiles.

    python -m benchmarks.slide_throughput make SCRATCH --images IMAGES   # slides of real pixels
    python -m benchmarks.slide_throughput read SLIDE... --rounds 5
    python -m benchmarks.slide_throughput memory --sides 5000 20000 50000 100000

``make`` lays real 40x fields (a folder of images of 1000 px) side by side as a 40x Aperio slide in
JPEG, at 20x after halving, and in JPEG 2000. ``read`` gives every way the same tiles, 128 um to 224 px,
Lanczos; ways take turns; one process, and two processes with half of the tiles each. ``memory`` reads
200 tiles and the overview of a slide of that side, whose file tiles are all one and the same.
"""

import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import tifffile
from benchmarks.common import Arguments, table_head, table_row
from PIL import Image

from jecur.settings import TilingSettings, TissueSettings
from jecur.slide.reader import open_slide
from jecur.slide.tiling import read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

OUT = 224
TEXT = "Aperio Image Library v11.2.1 \n{w}x{h} (256x256) {codec}|AppMag = {mag}|MPP = {mpp}"


def make(folder: Path, images: Path) -> None:
    fields = [
        np.asarray(Image.open(p).convert("RGB"))[:1000, :1000]
        for p in sorted(images.glob("*.png"))[:24]
    ]
    rows = [np.concatenate(fields[i : i + 6], axis=1) for i in range(0, 24, 6)]
    whole = np.concatenate(rows)
    half = np.asarray(Image.fromarray(whole).reduce(2))
    kinds = {
        "40x_jpeg": (whole, 40, 0.25, {"photometric": "ycbcr", "compression": "jpeg",
                                       "compressionargs": {"level": 85}, "subsampling": (2, 2)}),
        "20x_jpeg": (half, 20, 0.5, {"photometric": "ycbcr", "compression": "jpeg",
                                     "compressionargs": {"level": 85}, "subsampling": (2, 2)}),
        "40x_jpeg2000": (whole, 40, 0.25, {"photometric": "rgb", "compression": 33005,
                                           "compressionargs": {"level": 40}}),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, (image, mag, mpp, how) in kinds.items():
        text = TEXT.format(w=image.shape[1], h=image.shape[0], codec=name, mag=mag, mpp=mpp)
        tifffile.imwrite(
            folder / f"{name}.svs", image, tile=(256, 256), description=text, metadata=None, **how
        )


def tiles_of(path: str) -> tuple[list[tuple[int, int]], int]:
    with open_slide(path) as slide:
        side = round(128 / slide.mpp)
        spots = [
            (x, y)
            for y in range(0, slide.size.height - side + 1, side)
            for x in range(0, slide.size.width - side + 1, side)
        ]
    return spots, side


def ours(path: str, spots, side: int) -> None:
    with open_slide(path) as slide:
        for x, y in spots:
            slide.read_region(x, y, side, OUT)


def plain(path: str, spots, side: int) -> None:
    with openslide.OpenSlide(path) as slide:
        for x, y in spots:
            region = slide.read_region((x, y), 0, (side, side)).convert("RGB")
            np.asarray(region.resize((OUT, OUT), Image.Resampling.LANCZOS))


def tiffslide(path: str, spots, side: int) -> None:
    from tiffslide import TiffSlide  # noqa: PLC0415

    with TiffSlide(path) as slide:
        for x, y in spots:
            region = slide.read_region((x, y), 0, (side, side))
            np.asarray(region.resize((OUT, OUT), Image.Resampling.LANCZOS))


WAYS = {"jecur": ours, "OpenSlide + Pillow": plain, "tiffslide + Pillow": tiffslide}


def rate(way, path: str, spots, side: int, pool: ProcessPoolExecutor | None) -> float:
    started = time.perf_counter()
    if pool is None:
        way(path, spots, side)
    else:
        middle = len(spots) // 2
        for job in [
            pool.submit(way, path, half, side) for half in (spots[:middle], spots[middle:])
        ]:
            job.result()
    return len(spots) / (time.perf_counter() - started)


def read(paths: list[str], rounds: int) -> None:
    rates = ("tiles/s, one process", "two processes", "ratio to OpenSlide + Pillow")
    print(table_head("slide", "tiles", "way", *rates))
    with ProcessPoolExecutor(2) as pool:
        for path in paths:
            spots, side = tiles_of(path)
            found = {name: ([], []) for name in WAYS}
            for _ in range(rounds + 1):
                for name, way in WAYS.items():
                    for k, where in enumerate((None, pool)):
                        found[name][k].append(rate(way, path, spots, side, where))
            for name, both in found.items():
                one, two = (statistics.median(r[1:]) for r in both)
                base = [statistics.median(r[1:]) for r in found["OpenSlide + Pillow"]]
                ratio = f"{one / base[0]:.2f}, {two / base[1]:.2f}"
                cells = (name, f"{one:.0f}", f"{two:.0f}", ratio)
                print(table_row(Path(path).stem, len(spots), *cells), flush=True)


def vast(path: Path, side: int) -> None:
    """Write a BigTIFF pyramid of ``side`` px whose tiles are one real tile, stored once a level."""
    rng = np.random.default_rng(0)
    tile = np.full((256, 256, 3), 240, np.uint8)
    tile[40:220, 40:220] = rng.integers(90, 200, (180, 180, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.tiff"
        tifffile.imwrite(one, tile, tile=(256, 256), photometric="ycbcr", compression="jpeg")
        with tifffile.TiffFile(one) as file:
            page = file.pages[0]
            start, count, tables = page.dataoffsets[0], page.databytecounts[0], page.jpegtables
            stream = one.read_bytes()[start : start + count]
    if tables:
        stream = tables[:-2] + stream[2:]
    with path.open("wb") as out:
        out.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        place = out.tell()
        out.write(stream)
        link = 8
        extent = side
        while extent >= 256:
            out.seek(0, 2)
            out.write(b"\0" * (-out.tell() % 8))
            n = (-(-extent // 256)) ** 2
            offsets = out.tell()
            out.write(struct.pack("<Q", place) * n)
            counts = out.tell()
            out.write(struct.pack("<I", len(stream)) * n + b"\0" * (4 * n % 8))
            resolution = (10_000_000, round(250 * side / extent))
            entries = [
                (254, 4, 1, 0 if extent == side else 1), (256, 4, 1, extent), (257, 4, 1, extent),
                (258, 3, 3, 8 | 8 << 16 | 8 << 32), (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3),
                (282, 5, 1, struct.unpack("<Q", struct.pack("<2I", *resolution))[0]),
                (283, 5, 1, struct.unpack("<Q", struct.pack("<2I", *resolution))[0]),
                (284, 3, 1, 1), (296, 3, 1, 3), (322, 4, 1, 256), (323, 4, 1, 256),
                (324, 16, n, offsets if n > 1 else place),
                (325, 4, n, counts if n > 2 else len(stream)),
                (530, 3, 2, 2 | 2 << 16),
            ]  # fmt: skip
            directory = out.tell()
            out.write(struct.pack("<Q", len(entries)))
            for tag, kind, n_values, value in entries:
                out.write(struct.pack("<HHQQ", tag, kind, n_values, value))
            out.write(struct.pack("<Q", 0))
            out.seek(link)
            out.write(struct.pack("<Q", directory))
            link = directory + 8 + 20 * len(entries)
            extent //= 4


def one_memory(path: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    with open_slide(path) as slide:
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TilingSettings(min_tissue_fraction=0.2, max_tiles=200))
        n = sum(len(batch.rgb) for batch in read_tiles(slide, grid, 32))
        size, candidates = slide.size.width, grid.n_candidates
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = f"{time.perf_counter() - started:.1f}"
    sides = f"{size:,} x {size:,}"
    print(table_row(sides, f"{candidates:,}", n, f"{before:.0f}", f"{peak:.0f}", took))


def memory(sides: list[int]) -> None:
    print(table_head("px", "tiles with tissue", "tiles read", "MiB before", "peak MiB", "s"))
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            path = Path(folder) / f"{side}.tiff"
            vast(path, side)
            command = [sys.executable, "-m", "benchmarks.slide_throughput", "one-memory", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            print((done.stdout or done.stderr[-300:]).strip(), flush=True)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("what", choices=("make", "read", "memory", "one-memory"))
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", type=int, nargs="+", default=[5_000, 20_000, 50_000, 100_000])
    asked = parser.parse_args()
    if asked.what == "make":
        make(Path(asked.paths[0]), asked.images)
    elif asked.what == "read":
        read(asked.paths, asked.rounds)
    elif asked.what == "memory":
        memory(asked.sides)
    else:
        one_memory(asked.paths[0])


if __name__ == "__main__":
    main()
