"""Concentrations and objective beside SPAMS.

    python -m benchmarks.stain_peers DATA_FOLDER

Needs spams-bin. 20,000 stained pixels of every H&E image of stain, monuseg2018_train and liver.
"""

import time

import numpy as np
import spams
from benchmarks.common import Arguments
from benchmarks.stain_images import read_image

from jecur.stain.optical_density import mean_optical_density, to_optical_density
from jecur.stain.separation import separate_stains
from jecur.stain.stain_matrix import StainMatrix
from jecur.stain.vahadane import estimate_stains

SPARSITY = 0.02
N_PIXELS = 20_000


def objective(od, stains, amounts):
    return float((0.5 * ((od - amounts @ stains) ** 2).sum() + SPARSITY * amounts.sum()) / len(od))


def beside_spams(rgb):
    """Greatest difference of concentrations, and relative excess of our objective over SPAMS'."""
    pixels = rgb.reshape(-1, 3)
    pixels = pixels[mean_optical_density(pixels) > 0.15]
    rng = np.random.default_rng(0)
    pixels = pixels[rng.permutation(len(pixels))[:N_PIXELS]]
    od = to_optical_density(pixels)
    fit = estimate_stains(od, sparsity=SPARSITY, rng=rng).stains
    columns = np.asfortranarray(od.T)
    ours = separate_stains(od, fit, sparsity=SPARSITY)
    lasso = {"mode": 2, "lambda1": SPARSITY, "pos": True, "numThreads": 1}
    theirs = spams.lasso(columns, D=np.asfortranarray(fit.vectors.T), **lasso).toarray().T
    learned = spams.trainDL(
        columns, K=2, lambda1=SPARSITY, mode=2, modeD=0, posAlpha=True, posD=True, iter=500,
        verbose=False, numThreads=1, batchsize=512,
    )  # fmt: skip
    amounts = spams.lasso(columns, D=np.asfortranarray(learned), **lasso).toarray().T
    their_objective = objective(od, learned.T, amounts)
    excess = objective(od, fit.vectors, ours) / their_objective - 1.0
    return float(np.abs(ours - theirs).max()), excess


def main(data):
    rng = np.random.default_rng(1)
    od = rng.gamma(1.0, 1.0, (50_000, 3))
    stains = StainMatrix.from_rows([[0.6, 0.7, 0.4], [0.2, 0.85, 0.5]])
    theirs = spams.lasso(
        np.asfortranarray(od.T), D=np.asfortranarray(stains.vectors.T), mode=2, lambda1=SPARSITY,
        pos=True,
    ).toarray().T  # fmt: skip
    worst = np.abs(separate_stains(od, stains, sparsity=SPARSITY) - theirs).max()
    print(f"random pixels: greatest difference of concentrations {worst:.1e}")
    monuseg = sorted((data / "nuclei/monuseg2018_train/images").iterdir())
    folders = {
        "stain": sorted((data / "stain").glob("*.png")),
        "monuseg2018_train": monuseg,
        "liver": sorted([*(data / "liver").rglob("*.png"), *(data / "liver").rglob("*.jpg")]),
    }
    for name, paths in folders.items():
        start = time.perf_counter()
        rows = [(p.name, *beside_spams(read_image(p))) for p in paths]
        most = max(rows, key=lambda r: r[2])
        print(
            f"{name}: {len(rows)} images; concentrations differ by at most "
            f"{max(r[1] for r in rows):.1e}; objective over SPAMS' trainDL: median "
            f"{np.median([r[2] for r in rows]):+.3%}, worst {most[2]:+.3%} ({most[0]}); "
            f"{time.perf_counter() - start:.0f} s"
        )


if __name__ == "__main__":
    parser = Arguments(__doc__)
    parser.add_data()
    main(parser.parse_args().data)
