"""How fast slides become tissue, tiles and measures: python -m benchmarks.slide_reading SLIDE..."""

import time
from pathlib import Path

from benchmarks.common import Arguments, table_head, table_row

from jecur.settings import TilingSettings, TissueSettings
from jecur.slide.quality import measure_tiles
from jecur.slide.reader import open_slide
from jecur.slide.tiling import read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

HEADER = ("slide", "open s", "tissue s", "tiles", "read tiles/s", "measure tiles/s")


def measure(path: Path) -> tuple[str, float, float, int, float, float]:
    """Processor seconds and rates of one slide."""
    start = time.process_time()
    with open_slide(path) as slide:
        opened = time.process_time()
        tissue = find_tissue(slide, TissueSettings())
        found = time.process_time()
        grid = tile_tissue(slide, tissue, TilingSettings(max_tiles=500))
        before = time.process_time()
        batches = list(read_tiles(slide, grid, 32))
        read = time.process_time()
        for batch in batches:
            measure_tiles(batch.rgb, tissue.glass)
        measured = time.process_time()
    n = len(grid)
    return (
        path.name, opened - start, found - opened, n, n / (read - before), n / (measured - read)
    )  # fmt: skip


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("slides", type=Path, nargs="+")
    given = parser.parse_args()
    print(table_head(*HEADER))
    for path in given.slides:
        print(table_row(*(f"{x:.3g}" if isinstance(x, float) else x for x in measure(path))))


if __name__ == "__main__":
    main()
