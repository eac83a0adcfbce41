"""Does the trainer learn a label that depends on real tissue, and what does the fourth channel add?

A bag is the tiles of one real H&E image; its label is whether the image's nuclei, as people
outlined them, are larger (or denser) than those of the median training image. Images are split as
``split.csv`` says: MoNuSeg train and val to learn from, MoNuSeg test and CPM-15 unseen.

    python benchmarks/mil_real_tissue.py --data DATA --seeds 0 1
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.stats import spearmanr

from jecur.demo import DEMO_TRAINING
from jecur.engine import SilentProgress
from jecur.errors import JecurError
from jecur.mil.bag import Bag
from jecur.mil.pooling import pool_scores
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.settings import NucleiSettings, StainSettings
from jecur.stain.normalizer import fit_normalizer
from jecur.stain.reference import builtin_reference
from jecur.training.loop import LabeledBag, train_encoder

UNKNOWN_SCALE = ("TCGA-HE-7128", "TCGA-HE-7129", "TCGA-HE-7130")
N_TILES = 16


@dataclass(frozen=True)
class Picture:
    name: str
    training: bool
    bag: Bag
    area_um2: float
    per_mm2: float


def read_pictures(data: Path) -> list[Picture]:
    network = NucleiModel.load(NucleiSettings(), threads=1)
    table = pd.read_csv(data / "nuclei/split.csv")
    found = []
    for row in table.itertuples():
        if row.image.startswith(UNKNOWN_SCALE):
            print(f"left out, scale unknown: {row.image}")
            continue
        folder = data / "nuclei" / row.dataset
        mpp = 0.5 if row.split == "external_20x" else 0.25
        with Image.open(folder / "images" / row.image) as image:
            rgb = np.asarray(image.convert("RGB"))
        with Image.open(folder / "labels" / row.image) as image:
            labels = np.asarray(image)
        side = round(128 / mpp)
        if min(rgb.shape[:2]) < side:
            print(f"left out, smaller than a tile: {row.image} {rgb.shape[:2]}")
            continue
        try:
            tiles = cut(rgb, side, network)
        except JecurError as error:
            print(f"left out: {row.image}: {error.code}")
            continue
        sizes = np.bincount(labels.ravel())[1:]
        sizes = sizes[sizes > 0] * mpp**2
        training = row.split in {"train", "val"}
        mm2 = labels.size * mpp**2 * 1e-6
        found.append(
            Picture(row.image, training, Bag((tiles,)), float(np.median(sizes)), len(sizes) / mm2)
        )
    return found


def cut(rgb: np.ndarray, side: int, network: NucleiModel) -> np.ndarray:
    """Overlapping tiles on an even grid, color-normalized as slides are, with nuclei."""
    rng = np.random.default_rng(0)
    pixels = rgb.reshape(-1, 3)
    normalizer = fit_normalizer(
        pixels[rng.integers(0, len(pixels), 100_000)], StainSettings(), builtin_reference()
    )
    steps = int(N_TILES**0.5)
    ys, xs = (np.linspace(0, n - side, steps).astype(int) for n in rgb.shape[:2])
    tiles = [
        np.asarray(
            Image.fromarray(rgb[y : y + side, x : x + side]).resize(
                (224, 224), Image.Resampling.BOX
            )
        )
        for y in ys
        for x in xs
    ]
    return add_nuclei_channel(network, normalizer.apply(np.stack(tiles)))


def risk_of(pictures: list[Picture], label: np.ndarray, channels: str, seed: int) -> np.ndarray:
    settings = msgspec.structs.replace(
        DEMO_TRAINING, epochs=8, halve_every=4, tiles_per_bag=8, seed=seed, channels=channels
    )
    bags = [
        LabeledBag(p.name, p.bag, bool(y))
        for p, y in zip(pictures, label, strict=True)
        if p.training
    ]
    with tempfile.TemporaryDirectory() as folder:
        encoder = train_encoder(
            bags, [], settings, checkpoints=Path(folder), mark="real", progress=SilentProgress()
        ).encoder
    risks = []
    for p in pictures:
        tiles = p.bag.take(range(len(p.bag)))[..., : settings.n_channels]
        with torch.inference_mode():
            risks.append(pool_scores(encoder(torch.from_numpy(tiles.copy())).numpy()))
    return np.array(risks)


def auc(risk: np.ndarray, label: np.ndarray) -> float:
    higher = risk[label][:, None] - risk[~label][None]
    return float(((higher > 0) + 0.5 * (higher == 0)).mean()) if higher.size else float("nan")


def interval(risk: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap over images."""
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, len(risk), len(risk)) for _ in range(2000))
    values = [auc(risk[k], label[k]) for k in rows]
    return tuple(np.nanquantile(values, [0.025, 0.975]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pictures = read_pictures(arguments.data)
    training = np.array([p.training for p in pictures])
    print(
        "| label | channels | seed | images learnt from | unseen images (positive) | AUC | "
        "Spearman with the measure | minutes |"
    )
    for name in ("area_um2", "per_mm2"):
        measure = np.array([getattr(p, name) for p in pictures])
        label = measure > np.median(measure[training])
        for seed in arguments.seeds:
            for channels in ("rgb", "rgb+nuclei"):
                start = time.monotonic()
                risk = risk_of(pictures, label, channels, seed)[~training]
                low, high = interval(risk, label[~training])
                rank = spearmanr(risk, measure[~training]).statistic
                print(
                    f"| {name} | {channels} | {seed} | {training.sum()} | {(~training).sum()} "
                    f"({label[~training].sum()}) | {auc(risk, label[~training]):.3f} "
                    f"({low:.3f}-{high:.3f}) | {rank:+.2f} | "
                    f"{(time.monotonic() - start) / 60:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
