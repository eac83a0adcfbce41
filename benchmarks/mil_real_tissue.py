"""Does the trainer learn a label that depends on real tissue, and what does the fourth channel add?

An image is high if its nuclei, as people outlined them, are larger (or denser) than those of the
median image trained on. All images are divided into folds; each fold is judged by a model that saw
none of its images. Only MoNuSeg images are ever trained on: CPM-15 is judged alone. Two things are
judged:

- bags as a patient would have them: tiles of three images, positive if one of the three is high and
  negative if none is, as many of each (does the bag hold tiles of such an image?);
- each held-out image alone, whose risk should rise with the measure.

    python -m benchmarks.mil_real_tissue --data DATA --recipe demonstration --seeds 0
    python -m benchmarks.mil_real_tissue --data DATA --recipe frozen --seeds 0 1 2

Recipes: the demonstration's (whole encoder, four epochs), or the preset `jecur` with labels in place
of follow-up (cutoff loss, all bags a step); its encoder is not trained, so tiles are described once.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmarks.common import Arguments, table_head, table_row
from PIL import Image
from scipy.stats import spearmanr

from jecur.demo import DEMO_TRAINING
from jecur.errors import JecurError
from jecur.mil.bag import Bag
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.runs.progress import SilentProgress
from jecur.settings import PRESETS, NucleiSettings, StainSettings, TrainingSettings
from jecur.stain.normalizer import fit_normalizer
from jecur.stain.reference import builtin_reference
from jecur.training.loop import LabeledBag, train_encoder
from jecur.training.mobilenet import build_encoder
from jecur.training.nuclei.data import SCALE_OF_IMAGE, SCALE_OF_SPLIT

N_TILES = 16
"""Of an image."""
IMAGES_A_BAG, TILES_OF_EACH = 3, 4
N_BAGS_TRAINED, N_BAGS_JUDGED = 48, 40
N_FOLDS = 3


@dataclass(frozen=True)
class Picture:
    name: str
    may_teach: bool
    tiles: np.ndarray
    """(16, 224, 224, 4) uint8; or (16, 1280) features."""
    area_um2: float
    per_mm2: float


def read_pictures(data: Path) -> list[Picture]:
    network = NucleiModel.load(NucleiSettings(), threads=1)
    table = pd.read_csv(data / "nuclei/split.csv")
    found = []
    for row in table.itertuples():
        folder = data / "nuclei" / row.dataset
        mpp = SCALE_OF_IMAGE.get(row.image, SCALE_OF_SPLIT.get(row.split, 0.25))
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
        mm2 = labels.size * mpp**2 * 1e-6
        teaches = row.dataset != "cpm15"
        area = float(np.median(sizes))
        found.append(Picture(row.image, teaches, tiles, area, len(sizes) / mm2))
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


def draw_bags(pictures: list[Picture], high: np.ndarray, n: int, rng: np.random.Generator):
    """Bags of tiles of three images: every second one holds one high image, the others none."""
    for k in range(n):
        positive = bool(k % 2)
        chosen = list(rng.choice(np.flatnonzero(~high), IMAGES_A_BAG - positive, replace=False))
        chosen += [rng.choice(np.flatnonzero(high))] if positive else []
        tiles = [
            pictures[i].tiles[rng.choice(N_TILES, TILES_OF_EACH, replace=False)] for i in chosen
        ]
        yield np.concatenate(tiles), positive


RECIPES = {
    "demonstration": DEMO_TRAINING.with_changes(tiles_per_bag=0),
    "frozen": TrainingSettings.from_flat(**PRESETS["jecur"]).with_changes(
        loss="cutoff", patients_per_step=N_BAGS_TRAINED
    ),
}


def described(pictures: list[Picture], channels: str) -> list[Picture]:
    """Replace tiles by their features."""
    n = 4 if channels == "rgb+nuclei" else 3
    encoder = build_encoder("mobilenetv2_100", channels=n, start="builtin", seed=0).eval()
    encoder = encoder.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return [
            replace(p, tiles=encoder.features(torch.from_numpy(p.tiles[..., :n].copy())).numpy())
            for p in pictures
        ]


def one_fold(pictures, measure, held_out: np.ndarray, settings: TrainingSettings):
    """Train without the held-out images; risks of bags made of them, and of each alone."""
    place = [settings.seed, int(held_out.sum()), int(np.flatnonzero(held_out)[0])]
    rng = np.random.default_rng(place)
    teaching = ~held_out & np.array([p.may_teach for p in pictures])
    high = measure > np.median(measure[teaching])
    trained_on = [p for p, teaches in zip(pictures, teaching, strict=True) if teaches]
    unseen = [p for p, out in zip(pictures, held_out, strict=True) if out]
    bags = [
        LabeledBag(str(k), Bag((tiles,)), positive)
        for k, (tiles, positive) in enumerate(
            draw_bags(trained_on, high[teaching], N_BAGS_TRAINED, rng)
        )
    ]
    judged = list(draw_bags(unseen, high[held_out], N_BAGS_JUDGED, rng))
    with tempfile.TemporaryDirectory() as folder:
        trained = train_encoder(
            bags, [], settings, checkpoints=Path(folder), mark="real", progress=SilentProgress()
        )
    pooling = trained.pooling.plain()

    def risk(tiles: np.ndarray) -> float:
        seen = tiles if tiles.ndim == 2 else tiles[..., : settings.n_channels]
        seen = torch.from_numpy(np.ascontiguousarray(seen))
        with torch.inference_mode():
            return pooling.pool(trained.encoder(seen).numpy())

    of_bags = np.array([risk(tiles) for tiles, _ in judged])
    label = np.array([positive for _, positive in judged])
    return auc(of_bags, label), np.array([risk(p.tiles) for p in unseen]), high[held_out]


def auc(risk: np.ndarray, label: np.ndarray) -> float:
    higher = risk[label][:, None] - risk[~label][None]
    return float(((higher > 0) + 0.5 * (higher == 0)).mean()) if higher.size else float("nan")


def auc_within(folds: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Share of pairs of one fold in the right order: risks of two models do not compare."""
    pairs = [int(high.sum() * (~high).sum()) for _, high in folds]
    values = [auc(risk, high) if n else 0.0 for n, (risk, high) in zip(pairs, folds, strict=True)]
    return float(np.average(values, weights=pairs)) if any(pairs) else float("nan")


def interval(folds: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Percentile bootstrap over the images of each fold; knows nothing of the luck of training."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(2000):
        rows = [rng.integers(0, len(risk), len(risk)) for risk, _ in folds]
        values.append(auc_within([(r[k], h[k]) for k, (r, h) in zip(rows, folds, strict=True)]))
    return tuple(np.nanquantile(values, [0.025, 0.975]))


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pictures = read_pictures(arguments.data)
    print(table_head(
        "measure", "channels", "seed", "images", "AUC of bags, mean of folds (lowest, highest)",
        "AUC of images, within folds (95 % CI)", "rank correlation, mean of folds", "minutes",
    ))  # fmt: skip
    seen = dict.fromkeys(("rgb", "rgb+nuclei"), pictures)
    if arguments.recipe == "frozen":
        seen = {channels: described(pictures, channels) for channels in seen}
    for name in ("area_um2", "per_mm2"):
        measure = np.array([getattr(p, name) for p in pictures])
        # Folds hold small and large alike: the images in order, dealt out in turn.
        fold = np.empty(len(pictures), int)
        fold[np.argsort(measure)] = np.arange(len(pictures)) % N_FOLDS
        for seed in arguments.seeds:
            for channels in ("rgb", "rgb+nuclei"):
                start = time.monotonic()
                settings = RECIPES[arguments.recipe].with_changes(seed=seed, channels=channels)
                found = [
                    one_fold(seen[channels], measure, fold == k, settings) for k in range(N_FOLDS)
                ]
                bags = [f[0] for f in found]
                ranks = [
                    spearmanr(risk, measure[fold == k]).statistic
                    for k, (_, risk, _) in enumerate(found)
                ]
                alone = [(risk, high) for _, risk, high in found]
                low, up = interval(alone)
                cells = (
                    f"{np.mean(bags):.3f} ({min(bags):.3f}-{max(bags):.3f})",
                    f"{auc_within(alone):.3f} ({low:.3f}-{up:.3f})",
                    f"{np.mean(ranks):+.2f}",
                    f"{(time.monotonic() - start) / 60:.1f}",
                )
                print(table_row(name, channels, seed, len(pictures), *cells), flush=True)


if __name__ == "__main__":
    main()
