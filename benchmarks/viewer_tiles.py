"""Tiles of the viewer: time of cold and warm ones, six at once, and the memory of its server.

    python -m benchmarks.viewer_tiles SCRATCH --slide CMU-1-Small-Region.svs --out FILE.md

Slides of 40,960 x 30,720 px are laid out of 256 px tiles of a real one, turned and mirrored: a pyramid
(levels of a quarter of the side); and 40,960 x 16,384 px of one level (Jecur opens no larger ones),
Aperio's layout, JPEG of quality 85. The server is ``jecur view`` in a process of its own; six connections
ask, as a browser does. Cold tiles were never asked for, and the file's pages are dropped from the system's
cache first; half are of full resolution, the rest of any coarser level. Warm ones are the same again.
Memory is the peak of the server (VmHWM).
"""

import csv
import http.client
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import simplejpeg
import tifffile
from benchmarks.common import DATA, Arguments, table, write_result

from jecur.geometry import Size
from jecur.slide.reader import open_slide
from jecur.viewer.pyramid import Pyramid

SIZE = Size(40_960, 30_720)
ONE_LEVEL = Size(40_960, 16_384)
ASKING, N_TILES, N_SLIDES, N_MEMORY = 6, 200, 20, 5_000
SLIDE = DATA / "slides/svs_cmu1_small_region/CMU-1-Small-Region.svs"
TEXT = "Aperio Image Library v11.2.1 \n{w}x{h} (256x256)|AppMag = 20|MPP = 0.5"


def encoded_tiles(slide: Path, step: int) -> list[bytes]:
    """Tiles of a real slide at one coarseness, turned and mirrored, as JPEG."""
    found = []
    with open_slide(slide) as source:
        side = 256 * step
        for y in range(0, source.size.height - side + 1, side):
            for x in range(0, source.size.width - side + 1, side):
                tile = source.read_region(x, y, side, 256)
                for turn in range(4):
                    for turned in (np.rot90(tile, turn), np.rot90(tile[:, ::-1], turn)):
                        image = np.ascontiguousarray(turned)
                        found.append(
                            simplejpeg.encode_jpeg(image, quality=85, colorsubsampling="420")
                        )
    return found


def write_slide(path: Path, slide: Path, size: Size, levels: tuple[int, ...], rng) -> None:
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for step in levels:
            tiles = encoded_tiles(slide, min(step, 8))
            width, height = size.width // step, size.height // step
            n = -(-width // 256) * -(-height // 256)
            writer.write(
                (tiles[k] for k in rng.integers(0, len(tiles), n)), shape=(height, width, 3),
                dtype=np.uint8, tile=(256, 256), photometric="ycbcr", compression="jpeg",
                subsampling=(2, 2), description=TEXT.format(w=width, h=height), metadata=None,
                software=False,
            )  # fmt: skip


def write_run(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    known = {"status": "ok", "n_tiles": 0, "origin": "0 0"}
    columns = ["slide", "patient_id", "status", "code", "reason", "flags", "n_tiles", "mpp",
               "mpp_source", "width", "height", "core", "origin", "path"]  # fmt: skip
    with (folder / "slides.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for name in names:
            writer.writerow({"slide": Path(name).stem, "patient_id": name, "path": name, **known})
    (folder / "scores.csv").write_text(
        "patient_id,risk,group,cutoff\n" + "".join(f"{name},0.4,low,0.5\n" for name in names)
    )


class Server:
    """``jecur view`` in its own process, and connections that ask it."""

    def __init__(self, run: Path, slides: Path) -> None:
        command = [sys.executable, "-m", "jecur", "view", str(run), "--no-browser", "--slides"]
        self.process = subprocess.Popen(
            [*command, str(slides)], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
        )
        url = urlsplit(self.process.stdout.readline().strip())
        self.port, self.token = url.port, url.fragment.removeprefix("token=")

    def __enter__(self) -> "Server":
        self.ask(["/api/slides"])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def ask(self, paths: list[str]) -> list[float]:
        """Seconds of each answer; one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        taken = []
        for path in paths:
            started = time.perf_counter()
            connection.request("GET", path, headers={"X-Jecur-Token": self.token})
            answer = connection.getresponse()
            answer.read()
            taken.append(time.perf_counter() - started)
            if answer.status != 200:
                raise SystemExit(f"{path}: {answer.status}")
        connection.close()
        return taken

    def ask_at_once(self, paths: list[str]) -> np.ndarray:
        """Milliseconds of each answer; six connections."""
        with ThreadPoolExecutor(ASKING) as pool:
            parts = pool.map(self.ask, (paths[k::ASKING] for k in range(ASKING)))
        return 1e3 * np.concatenate([np.array(part) for part in parts])

    @property
    def cpu_s(self) -> float:
        """Processor seconds of the server."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mib(self) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(s.split()[1]) / 1024 for s in text.splitlines() if s.startswith("VmHWM"))


def paths_of(rng, n: int, numbers: list[int], size: Size = SIZE) -> list[str]:
    """Tiles of 256 px, none twice: half of full resolution, the rest of a coarser level."""
    pyramid, found = Pyramid(size), {}
    while len(found) < n:
        back = 0 if len(found) % 2 else int(rng.integers(1, 6))
        level = pyramid.last - back
        whole = pyramid.level_size(level)
        column, row = rng.integers(0, whole.width // 256), rng.integers(0, whole.height // 256)
        number = numbers[int(rng.integers(len(numbers)))]
        found[f"/api/slides/{number}/tiles/scanned/{level}/{column}/{row}"] = None
    return list(found)


def forget(path: Path) -> None:
    """Drop a file's pages from the system's cache."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def row_of(name: str, ms: np.ndarray) -> tuple[str, ...]:
    shown = (np.median(ms), *np.percentile(ms, [95, 100]))
    return (name, str(len(ms)), *(f"{value:.0f}" for value in shown))


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("scratch", type=Path, help="folder for 1 GB of slides")
    parser.add_argument("--slide", type=Path, default=SLIDE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rng, load = np.random.default_rng(18), os.getloadavg()[0]
    given.scratch.mkdir(exist_ok=True)
    slides = given.scratch / "slides"
    slides.mkdir(exist_ok=True)
    for name, size, levels in (("pyramid.svs", SIZE, (1, 4, 16)), ("one.svs", ONE_LEVEL, (1,))):
        if not (slides / name).exists():
            write_slide(slides / name, given.slide, size, levels, rng)
    names = ["pyramid.svs", "one.svs"]
    for k in range(N_SLIDES):
        names.append(f"copy{k:02d}.svs")
        if not (slides / names[-1]).exists():
            os.link(slides / "pyramid.svs", slides / names[-1])
    write_run(given.scratch / "run", names)

    cold, warm, cpu = [], [], []
    for _ in range(given.rounds):  # a new server each: nothing of it is warm
        forget(slides / "pyramid.svs")
        with Server(given.scratch / "run", slides) as server:
            paths = paths_of(rng, N_TILES, [0])
            before = server.cpu_s
            cold.append(server.ask_at_once(paths))
            cpu.append(1e3 * (server.cpu_s - before) / N_TILES)
            warm.append(server.ask_at_once(paths))
    rows = [row_of(f"cold, round {k + 1}", ms) for k, ms in enumerate(cold)]
    rows += [row_of(f"warm, round {k + 1}", ms) for k, ms in enumerate(warm)]

    with Server(given.scratch / "run", slides) as server:
        begun = server.peak_mib
        for number in range(2, 2 + N_SLIDES):  # one slide after the other, as people look at them
            server.ask_at_once(paths_of(rng, N_MEMORY // N_SLIDES, [number]))
        after = server.peak_mib
    forget(slides / "one.svs")
    with Server(given.scratch / "run", slides) as server:
        level = Pyramid(ONE_LEVEL).last - 5
        first = server.ask([f"/api/slides/1/tiles/scanned/{level}/0/0"])[0]
        then = server.ask_at_once(paths_of(rng, N_TILES, [1], ONE_LEVEL))
        one = server.peak_mib
    rows.append(row_of("one level, after its first look from afar", then))
    text = [
        f"Load of the machine when it began: {load:.1f}. Processor time of a cold tile: "
        f"{np.median(cpu):.0f} ms.",
        table(("tiles", "n", "median ms", "p95 ms", "longest ms"), rows),
        f"Memory of the server: {begun:.0f} MiB before the first tile, {after:.0f} MiB at its peak after "
        f"{N_MEMORY:,} tiles of {N_SLIDES} slides.",
        f"One level of {ONE_LEVEL.width:,} x {ONE_LEVEL.height:,} px: the first tile from afar takes "
        f"{first:.1f} s (the file is read once), memory at its peak {one:.0f} MiB.",
    ]
    write_result(given.out, "Tiles of the viewer", __doc__, "\n\n".join(text))


if __name__ == "__main__":
    main()
