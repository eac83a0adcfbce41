"""Starting weights that know the nuclear measurements and an ImageNet network: tried, not shipped.

    python -m benchmarks.nuclear_weights NUCLEI_DATA OUT --lite0 FILE

As `benchmarks.pretext` makes those that ship, from real fields and virtual tissue, without patient,
outcome or planted feature; but on whole tiles of 224 px, three times as long, with the present nuclei
network, and with other things to predict: the measurements of `jecur.nuclei.features`, five of the
tissue around the nuclei and, from the same features by a second linear layer, what EfficientNet-Lite0
says of the three color channels. Both last layers are thrown away.

NUCLEI_DATA is the folder with split.csv (docs/nuclei.md), FILE that of `benchmarks.starting_features`.
An hour and a half on one core. What came of it: results/mil.md and results/starting-weights.md.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import timm
import torch
from benchmarks.common import Arguments
from benchmarks.pretext import (
    PretextSettings,
    all_sources,
    batches,
    split,
    tissue_measures,
    write_half,
)
from benchmarks.starting_features import lite0, lite0_features
from numpy.typing import NDArray
from torch import nn

from jecur.arrays import RGB, BagArray, Vector
from jecur.cli.console import RichProgress
from jecur.nuclei.agreement import find_nuclei
from jecur.nuclei.features import NuclearFeatures, measure_nuclei
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.runs.folder import library_versions, sha256_file, write_json
from jecur.runs.progress import Progress
from jecur.stain.optical_density import to_optical_density
from jecur.stain.reference import builtin_reference
from jecur.stain.separation import separate_stains
from jecur.training.mobilenet import TileEncoder
from jecur.training.nuclei.data import read_fields

OF_NUCLEI = tuple(name for name in NuclearFeatures.names() if name != "n_nuclei")
LOGARITHMS = ("density_per_mm2", "area_um2", "neighbor_um")
MEASURES = (
    *OF_NUCLEI,
    "hematoxylin_outside",
    "eosin_outside",
    "eosin_sd",
    "eosin_coherence",
    "white_fraction",
)
"""In the order of `measure`. The number of nuclei is their density here: tiles are of one size."""
TEACHER_SHARE = 0.5
"""Weight of the loss against the teacher's features; the measures have the rest."""
SETTINGS = PretextSettings(
    tile_px=224,
    n_virtual_slides=450,
    tiles_per_slide=7,
    tiles_per_field=60,
    steps=2800,
    batch_size=16,
    seed=20_261_127,
)


@dataclass(frozen=True, slots=True)
class TaughtTiles:
    """Tiles with what is to be predicted; whole sources (fields, virtual slides) are held out."""

    tiles: BagArray
    told: NDArray[np.float64]
    """(n, len(MEASURES) + 1280): measures, NaN where there are too few nuclei; teacher's features."""
    held_out: NDArray[np.bool_]


def measure(rgb: RGB, nuclei: NDArray[np.uint8]) -> Vector:
    """(h, w, 3) normalized colors and (h, w) probability of nucleus x 255 -> (18,) `MEASURES`."""
    stains = builtin_reference().appearance.stains
    amounts = separate_stains(to_optical_density(rgb.reshape(-1, 3)), stains)
    hematoxylin, eosin = amounts.T.reshape(2, *rgb.shape[:2])
    found = measure_nuclei(find_nuclei(nuclei, threshold=0.5), rgb)
    of_nuclei = [
        np.log(max(getattr(found, name), 1.0)) if name in LOGARITHMS else getattr(found, name)
        for name in OF_NUCLEI
    ]
    white = rgb.min(axis=2) > 215
    of_tissue = tissue_measures(hematoxylin, eosin, (nuclei <= 127) & ~white)
    return np.array([*of_nuclei, *of_tissue, white.mean()])


def taught_tiles(
    nuclei_data: Path, model: NucleiModel, teacher: nn.Module, progress: Progress
) -> TaughtTiles:
    """Cut, normalize, measure and describe tiles of real fields (split ``train``) and virtual slides."""
    rng = np.random.default_rng(SETTINGS.seed)
    tiles, told, owners = [], [], []
    fields = read_fields(nuclei_data, "train")
    n_sources = len(fields) + SETTINGS.n_virtual_slides
    with progress.task("Tiles to train on", n_sources) as advance:
        for owner, source in enumerate(all_sources([f.rgb for f in fields], SETTINGS, rng)):
            bag = add_nuclei_channel(model, source)
            measures = np.array([measure(t[..., :3], t[..., 3]) for t in bag])
            with torch.inference_mode():
                described = lite0_features(teacher, torch.from_numpy(bag[..., :3].copy())).numpy()
            tiles.append(bag)
            told.append(np.hstack([measures, described]))
            owners += [owner] * len(bag)
            advance()
    held_out = rng.random(n_sources) < 0.1
    return TaughtTiles(np.concatenate(tiles), np.concatenate(told), held_out[owners])


def train(data: TaughtTiles, out: Path, progress: Progress) -> dict[str, float]:
    """Train; write half-precision safetensors; give the share of variance explained on held-out sources."""
    torch.manual_seed(SETTINGS.seed)
    n = len(MEASURES)
    backbone = timm.create_model(SETTINGS.architecture, in_chans=4, num_classes=n)
    encoder = TileEncoder(backbone, 4).to(memory_format=torch.channels_last)
    known = ~data.held_out
    center, scale = np.nanmean(data.told[known], 0), np.nanstd(data.told[known], 0) + 1e-6
    targets = torch.from_numpy(np.clip((data.told - center) / scale, -5.0, 5.0)).float()
    to_teacher = nn.Linear(encoder.head.in_features, data.told.shape[1] - n)
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *to_teacher.parameters()],
        lr=SETTINGS.learning_rate,
        weight_decay=SETTINGS.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, SETTINGS.learning_rate, total_steps=SETTINGS.steps
    )
    with progress.task("Starting weights", SETTINGS.steps) as advance:
        encoder.train()
        for tiles, index in batches(data, SETTINGS):
            features = encoder.features(tiles)
            of_measures = _off(encoder.head(features), targets[index, :n])
            of_teacher = _off(to_teacher(features), targets[index, n:])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(
                (1.0 - TEACHER_SHARE) * of_measures + TEACHER_SHARE * of_teacher
            )
            optimizer.step()
            schedule.step()
            advance()
    encoder.eval()
    rows = np.flatnonzero(data.held_out)
    with torch.no_grad():
        features = torch.cat(
            [encoder.features(torch.from_numpy(data.tiles[part])) for part in split(rows, 32)]
        )
        found = torch.hstack([encoder.head(features), to_teacher(features)]).numpy()
    truth = targets[rows].numpy()
    off, spread = np.nanmean((found - truth) ** 2, axis=0), np.nanvar(truth, axis=0)
    write_half(backbone, out)
    explained = dict(zip(MEASURES, (1.0 - off[:n] / spread[:n]).tolist(), strict=True))
    return explained | {"teacher": float(1.0 - off[n:].sum() / spread[n:].sum())}


def _off(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Smooth L1, mean of what is known."""
    known = torch.isfinite(truth)
    return nn.functional.smooth_l1_loss(found[known], truth[known])


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lite0", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    weights = given.out / f"{SETTINGS.architecture}.safetensors"
    with RichProgress() as progress:
        data = taught_tiles(given.data, NucleiModel.load(), lite0(given.lite0), progress)
        explained = train(data, weights, progress)
    card = {
        "what": "starting weights of a four-channel encoder: R, G, B, nuclei probability",
        "task": "predict measures of a tile, and an ImageNet network's features of it, from its pixels",
        "n_tiles": len(data.tiles),
        "n_tiles_held_out": int(data.held_out.sum()),
        "outcome_used": "none: no patient, no follow-up, no planted feature",
        "licence": "CC BY-NC-SA 4.0 as the MoNuSeg images: non-commercial",
        "variance_explained_on_held_out_sources": {k: round(v, 3) for k, v in explained.items()},
        "teacher_share": TEACHER_SHARE,
        "settings": msgspec.to_builtins(SETTINGS),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": library_versions(),
        "sha256": sha256_file(weights),
    }
    print(write_json(weights.with_suffix(".json"), card))


if __name__ == "__main__":
    main()
