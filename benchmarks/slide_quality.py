"""Pen, coverslip edge, blur and folds: how many are seen, and how many clean tiles are lost.

    python -m benchmarks.slide_quality QC_FOLDER REAL_FOLDER

Virtual slides with one planted fault each, with the settings a study has; then the hand-drawn masks
of HistoQC on overviews of real slides (scale unstated by their source; taken as 8 um/px). A tile
counts as clearly faulty where the fault covers half of it and as clean where it covers none.
"""

import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from benchmarks.common import Arguments, table_head, table_row
from PIL import Image
from tests.virtual.faults import INKS, add_blur, add_edge, add_fold, add_pen

from jecur.errors import SlideError
from jecur.settings import QualitySettings, TilingSettings, TissueSettings
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide import color
from jecur.slide.quality import TileQuality, measure_tiles
from jecur.slide.reader import open_slide
from jecur.slide.tiling import read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

UM = 0.5
SIDE_PX = 3072
N_SLIDES = 3
STREAM = 100  # 17 was used while the rules were made
TILE = TilingSettings()


def virtual_slide(seed):
    rng = np.random.default_rng([STREAM, seed])
    features = TissueFeatures(*rng.uniform(0.1, 0.9, 4))
    tissue = render_tissue(features, (SIDE_PX, SIDE_PX), UM, rng, heterogeneity=0.3)
    stain = slide_stain(
        site_stain(rng, angle_deg=4, intensity_sd=0.12), rng, angle_deg=1.5, intensity_sd=0.06
    )
    return render_rgb(tissue, stain, rng)


def faults(seed):
    rng = np.random.default_rng([STREAM + 1, seed])
    for ink in INKS:
        yield f"{ink} pen", lambda i, ink=ink: add_pen(i, UM, rng, color=ink, width_um=400)
    yield "coverslip edge", lambda i: add_edge(i, UM, rng, width_um=200)
    for radius in (2.0, 4.0, 8.0):
        yield f"blur {radius:g} um", lambda i, r=radius: add_blur(i, UM, rng, radius_um=r)
    yield "fold", lambda i: add_fold(i, UM, rng, width_um=300)


def judged_tiles(image, folder):
    """Grid of the clean slide's tissue, and which of its tiles a run would score or call blurred."""
    path = folder / "slide.tiff"
    write_slide(path, image, um_per_px=UM)
    with open_slide(path) as slide:
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TILE)
        batches = list(read_tiles(slide, grid, 32))
    measured = TileQuality.join([measure_tiles(b.rgb, tissue.glass) for b in batches])
    inked, blurred = measured.inked(QualitySettings()), measured.blurred(QualitySettings())
    at = [tuple(p) for p in grid.positions]
    kept = {p for p, bad in zip(at, inked, strict=True) if not bad}
    return grid, kept, {p for p, bad in zip(at, blurred, strict=True) if bad}


def on_virtual_slides():
    counts = defaultdict(lambda: np.zeros(4, int))
    for seed in range(N_SLIDES):
        image = virtual_slide(seed)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            grid, clean_kept, clean_blurred = judged_tiles(image, folder)
            n = len(grid)
            counts["no fault: rejected"] += [0, 0, n - len(clean_kept), n]
            counts["no fault: called blurred"] += [0, 0, len(clean_blurred), n]
            for name, plant in faults(seed):
                marked, mask = plant(image)
                _, kept, blurred = judged_tiles(marked, folder)
                caught = (
                    blurred if name.startswith("blur") else set(map(tuple, grid.positions)) - kept
                )
                for x, y in map(tuple, grid.positions):
                    share = mask[y : y + grid.side_px, x : x + grid.side_px].mean()
                    hit = int((x, y) in caught)
                    if share >= 0.5:
                        counts[name] += [hit, 1, 0, 0]
                    elif share == 0:
                        counts[name] += [0, 0, hit, 1]
    return counts


def on_masks(folder):
    """Overviews with hand-drawn masks: tiles of 16 x 16 overview pixels (128 um at 8 um/px)."""
    counts = {}
    for name, picture, drawn in (
        ("red pen (HistoQC)", "histoqc_pen/pen_red.png", "histoqc_pen/pen_red_mask.png"),
        ("black pen (HistoQC)", "histoqc_pen/pen_black.png", "histoqc_pen/pen_black_mask.png"),
        (
            "coverslip edge (HistoQC)",
            "histoqc_coverslip/coverslip_edge.png",
            "histoqc_coverslip/coverslip_edge_mask.png",
        ),
    ):
        mask = np.asarray(Image.open(folder / drawn).convert("L")) > 127
        rgb = np.asarray(Image.open(folder / picture).convert("RGB"))
        # tissue by a rule of its own: clearly colored, and not white
        saturation = rgb.max(-1).astype(int) - rgb.min(-1)
        stained = saturation > 25
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "slide.png"  # enlarged: a slide of 8 um/px is refused
            enlarged = (rgb.shape[1] * 4, rgb.shape[0] * 4)
            Image.fromarray(rgb).resize(enlarged, Image.Resampling.NEAREST).save(path)
            try:
                with open_slide(path, mpp=2.0) as slide:
                    scored = find_tissue(slide, TissueSettings()).mask
            except SlideError as error:
                counts[name] = f"refused: {error.code}"
                continue
        seen = np.zeros(4, int)
        for y in range(0, mask.shape[0] - 15, 16):
            for x in range(0, mask.shape[1] - 15, 16):
                window = np.s_[y : y + 16, x : x + 16]
                rejected = int(scored[window].mean() < TILE.min_tissue_fraction)
                if mask[window].mean() >= 0.5:
                    seen += [rejected, 1, 0, 0]
                elif not mask[window].any() and stained[window].mean() >= 0.9:
                    seen += [0, 0, rejected, 1]
        counts[name] = seen
    return counts


def focus_of_real_tiles(folder):
    """Share of 224 px windows of sharp real H&E (MoNuSeg, taken as 0.25 um/px) called blurred."""
    total = bad = 0
    for path in sorted((folder / "nuclei/monuseg2018_train/images").glob("*")):
        image = Image.open(path).convert("RGB")
        side = [round(s * 0.25 * 224 / 128) for s in image.size]
        small = np.asarray(image.resize(side, Image.Resampling.BOX))
        tiles = [
            small[y : y + 224, x : x + 224]
            for y in range(0, small.shape[0] - 223, 107)
            for x in range(0, small.shape[1] - 223, 107)
        ]
        blurred = measure_tiles(np.stack(tiles), color.DEFAULT_GLASS).blurred(QualitySettings())
        total, bad = total + len(tiles), bad + int(blurred.sum())
    return bad, total


def main():
    parser = Arguments(__doc__)
    parser.add_argument("qc", type=Path)
    parser.add_data()
    given = parser.parse_args()
    print(table_head("fault", "clearly faulty tiles caught", "clean tiles caught"))
    rows = {**on_masks(given.qc), **on_virtual_slides()}
    for name, seen in rows.items():
        if isinstance(seen, str):
            print(table_row(name, seen, ""))
            continue
        hit, faulty, false, clean = seen
        rate = [
            f"{a} of {n} ({a / n:.1%})" if n else "none" for a, n in ((hit, faulty), (false, clean))
        ]
        print(table_row(name, *rate))
    bad, total = focus_of_real_tiles(given.data)
    blurred = f"{bad} of {total} ({bad / total:.1%})"
    print(table_row("sharp real tiles called blurred (MoNuSeg)", "", blurred))


if __name__ == "__main__":
    main()
