"""How long the nuclei of a whole slide and what their arrangement says take, and how much memory.

    python -m benchmarks.architecture_speed --out benchmarks/results/architecture-speed.md

Virtual slides at 0.5 um/px, JPEG tiles as scanners write them; tiles of 128 um. One process and one
thread a slide, as a run has it; a run works on as many slides at a time as there are cores: two slides of 500
tiles are measured at once, too. Memory is the peak of a process of its own, after the nuclei and after all.
"""

import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.common import Arguments, table, write_result

from jecur.nuclei.arrangement.architecture import architecture_measures
from jecur.nuclei.arrangement.flock import flock_measures
from jecur.nuclei.arrangement.lymphocytes import lymphocyte_measures
from jecur.nuclei.arrangement.pattern import read_pattern
from jecur.nuclei.segmentation import NucleiModel
from jecur.nuclei.whole_slide import CoveredTiles, write_each_nucleus
from jecur.preview.view import default_recipe
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide.reader import open_slide
from jecur.study.survey import lay_tiles

MEASURES = {
    "architecture": architecture_measures,
    "FLocK": flock_measures,
    "TIL": lymphocyte_measures,
}


def draw(path: Path, n_tiles: int) -> None:
    """A slide that holds about so many tiles of tissue."""
    side = 256 * int(np.ceil(np.sqrt(n_tiles / 0.8)))
    rng = np.random.default_rng(1)
    features = TissueFeatures(0.25, 0.5, 0.5, 0.4)
    tissue = render_tissue(features, (side, side), 0.5, rng, tissue_fraction=0.8)
    stain = site_stain(rng, angle_deg=2.0, intensity_sd=0.1)
    write_slide(path, render_rgb(tissue, stain, rng), um_per_px=0.5, quality=87)


def measure(path: Path) -> dict[str, float]:
    """Seconds of each part of one slide, and megabytes."""
    seconds, clock = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    network = NucleiModel.load(threads=1)
    with open_slide(path) as slide:
        laid = lay_tiles(slide, default_recipe())
        lap("tissue and stains")
        positions = laid.grid.positions
        found = write_each_nucleus(
            path.with_suffix(".parquet"),
            slide,
            CoveredTiles(positions, laid.grid.side_px),
            laid.normalizer,
            network,
        )
    lap("nuclei")
    nuclei_peak = _peak()
    pattern = read_pattern(found.table)
    for name, measured in MEASURES.items():
        measured(pattern)
        lap(name)
    memory = {"nuclei MiB": nuclei_peak, "MiB": _peak()}
    return {"tiles": len(positions), "n": found.n_nuclei, **memory, **seconds}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(path: Path) -> dict[str, float]:
    """Measure in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, path).result()


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--tiles", type=int, nargs="+", default=[60, 250, 500, 1000])
    parser.add_argument("--out", type=Path, help="write the result there")
    given = parser.parse_args()
    parts = ("tissue and stains", "nuclei", *MEASURES)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_tiles in given.tiles:
            path = Path(folder) / f"{n_tiles}.tiff"
            draw(path, n_tiles)
            row = alone(path)
            rows.append(row | {"all": sum(row[name] for name in parts)})
        both = [Path(folder) / "500.tiff", Path(folder) / "500-too.tiff"]
        draw(both[0], 500)
        both[1].write_bytes(both[0].read_bytes())
        start = time.perf_counter()
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(measure, both))
        together = time.perf_counter() - start
    frame = pd.DataFrame(rows)
    columns = ("tiles", "n", *parts, "all", "nuclei MiB", "MiB")
    heads = (
        "tiles",
        "nuclei",
        *(f"{name}, s" for name in (*parts, "all")),
        "nuclei, MiB",
        "all, MiB",
    )
    text = table(
        heads,
        [
            [
                f"{row[c]:,.0f}" if c in ("tiles", "n", "nuclei MiB", "MiB") else f"{row[c]:.1f}"
                for c in columns
            ]
            for _, row in frame.iterrows()
        ],
    )
    text += f"\n\nTwo slides of 500 tiles together, two processes: {together:.1f} s, "
    text += f"{together / 2:.1f} s a slide."
    write_result(given.out, "Nuclei of a whole slide: time and memory", __doc__, text)


if __name__ == "__main__":
    main()
