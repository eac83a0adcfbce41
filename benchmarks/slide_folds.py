"""Can folds be told by their density? Virtual folds against clean tissue, virtual and real.

    python -m benchmarks.slide_folds DATA [RESULTS.md]

Eight virtual slides (stream 500), each with a fold 300 um wide. A tile counts as folded where the fold
covers half of it, as clean where it covers none. Of every tile the mean optical density over its
tissue is taken, and its ratio to the median of the slide's clean tiles. The limit is the one that 1 %
of the clean virtual tiles exceed, fitted on the first four slides; it is then tried on the other four,
and on the tiles of real slides and pictures of DATA in which nobody drew a fold. Bubbles: no virtual
fault and no labeled picture of one is at hand, so nothing was measured.
"""

from pathlib import Path

import numpy as np
from benchmarks.common import Arguments, table, write_result
from PIL import Image
from tests.virtual.faults import add_fold

from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide.reader import open_slide

UM, SIDE_PX, TILE, N = 0.5, 1536, 256, 8


def densities(image):
    """Mean optical density over tissue of each whole tile with at least half tissue, and its place."""
    found = []
    for y in range(0, image.shape[0] - TILE + 1, TILE):
        for x in range(0, image.shape[1] - TILE + 1, TILE):
            tile = image[y : y + TILE : 2, x : x + TILE : 2].astype(np.float64)
            od = -np.log(np.maximum(tile, 1) / 245.0).mean(axis=2)
            if (od > 0.1).mean() >= 0.5:
                found.append((y, x, float(od[od > 0.1].mean())))
    return found


def virtual():
    """(slide, folded or not, ratio) of virtual tiles."""
    rows = []
    for seed in range(N):
        rng = np.random.default_rng([500, seed])
        tissue = render_tissue(
            TissueFeatures(*rng.uniform(0.1, 0.9, 4)), (SIDE_PX, SIDE_PX), UM, rng,
            tissue_fraction=0.7, heterogeneity=0.3,
        )  # fmt: skip
        site = site_stain(rng, angle_deg=4, intensity_sd=0.12)
        image = render_rgb(tissue, slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06), rng)
        folded, mask = add_fold(image, UM, rng, width_um=300)
        tiles = [(mask[y : y + TILE, x : x + TILE].mean(), d) for y, x, d in densities(folded)]
        usual = np.median([d for share, d in tiles if share == 0])
        rows += [
            (seed, share >= 0.5, d / usual) for share, d in tiles if share in (0,) or share >= 0.5
        ]
    return rows


def real(data):
    """Ratio of every real tile to the median of its slide, or of the pictures of one source."""
    groups = {}
    with open_slide(data / "slides/svs_cmu1_small_region/CMU-1-Small-Region.svs") as slide:
        groups["CMU-1"] = [d for *_, d in densities(slide.overview(UM))]
    for name, pattern in (
        ("steatosis", "liver/steatosis/images/*.png"),
        ("cholangiocarcinoma", "liver/tcga_chol/*.jpg"),
    ):
        pictures = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(data.glob(pattern))]
        groups[name] = [d for picture in pictures for *_, d in densities(picture)]
    return {name: np.array(d) / np.median(d) for name, d in groups.items() if d}


def main():
    parser = Arguments(__doc__)
    parser.add_data()
    parser.add_argument("out", type=Path, nargs="?")
    given = parser.parse_args()
    rows = virtual()
    train_model = [r for s, fold, r in rows if s < N // 2 and not fold]
    limit = float(np.quantile(train_model, 0.99))
    held = [(fold, r) for s, fold, r in rows if s >= N // 2]
    folds = np.array([r for fold, r in held if fold])
    clean = np.array([r for fold, r in held if not fold])
    lines = [
        ("virtual, folded", len(folds), f"{(folds > limit).mean():.1%}"),
        ("virtual, clean", len(clean), f"{(clean > limit).mean():.1%}"),
    ]
    for name, ratios in real(given.data).items():
        share = f"{(ratios > limit).mean():.1%} (largest {ratios.max():.2f})"
        lines.append((f"real, no fold drawn: {name}", len(ratios), share))
    text = f"Limit: {limit:.2f} times the slide's median density.\n\n"
    text += table(("Tiles", "n", "Above the limit"), lines)
    write_result(given.out, "Folds by density", __doc__, text)


if __name__ == "__main__":
    main()
