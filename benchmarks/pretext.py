"""Starting weights for the tile encoder: train it to predict what can be measured on a tile.

No patient, no outcome and nothing that was planted is used. Tiles come from two sources: fields
of real H&E, and virtual tissue. Both are normalized as slides are, get their nuclei channel, and
are then *measured* by plain image analysis (`measure_tile`): nuclear area and count, size
variation, hematoxylin in and around nuclei, eosin and its texture, white space. The network
learns to predict these measures from pixels, so that its features respond to tissue before the
first patient is seen. The last layer is thrown away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from scipy import ndimage
from skimage.measure import label, regionprops_table
from torch import nn

from jecur.arrays import RGB, BagArray, Vector
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.runs.folder import atomic_path
from jecur.runs.progress import Progress
from jecur.settings import StainSettings
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_tile
from jecur.simulate.stains import site_stain, slide_stain
from jecur.stain.augmentation import augment_stain
from jecur.stain.normalizer import fit_normalizer
from jecur.stain.optical_density import to_optical_density
from jecur.stain.reference import builtin_reference
from jecur.stain.separation import separate_stains
from jecur.training.mobilenet import TileEncoder
from jecur.training.nuclei.data import read_fields

__all__ = [
    "MEASURES",
    "PretextSettings",
    "PretextTiles",
    "all_sources",
    "batches",
    "measure_tile",
    "pretext_tiles",
    "split",
    "tissue_measures",
    "train_pretext",
    "write_half",
]

UM_PER_PX = 128.0 / 224.0
MEASURES = (
    "nuclear_area_fraction",
    "nuclei_per_mm2_log",
    "nuclear_area_mean_log",
    "nuclear_area_cv",
    "nuclear_eccentricity",
    "small_nuclei_fraction",
    "hematoxylin_in_nuclei",
    "hematoxylin_in_nuclei_sd",
    "hematoxylin_outside",
    "eosin_outside",
    "eosin_sd",
    "eosin_coherence",
    "white_fraction",
)
"""What is measured on a tile, in order; see `measure_tile`."""

_SMALL_NUCLEUS_UM2 = 38.0  # below: about the size of a lymphocyte's nucleus, 7 um across


class PretextSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the starting weights are made."""

    architecture: str = "mobilenetv2_100"
    tile_px: int = 160
    n_virtual_slides: int = 300
    tiles_per_slide: int = 10
    tiles_per_field: int = 90
    steps: int = 900
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 20_261_123


@dataclass(frozen=True, slots=True)
class PretextTiles:
    """Tiles with their measures; whole sources (fields, virtual slides) are held out for testing."""

    tiles: BagArray
    measures: NDArray[np.float64]
    """(n, len(MEASURES))"""
    held_out: NDArray[np.bool_]


def measure_tile(rgb: RGB, nuclei: NDArray[np.uint8]) -> Vector:
    """Measure one normalized tile by image analysis.

    Parameters
    ----------
    rgb
        (h, w, 3) uint8 in the colors of the built-in reference, at 0.571 um per pixel.
    nuclei
        (h, w) uint8, probability of nucleus x 255.

    Returns
    -------
    numpy.ndarray
        (13,) in the order of `MEASURES`; 0 for what needs a nucleus where there is none.
    """
    stains = builtin_reference().appearance.stains
    amounts = separate_stains(to_optical_density(rgb.reshape(-1, 3)), stains)
    hematoxylin, eosin = amounts.T.reshape(2, *rgb.shape[:2])
    inside = nuclei > 127
    white = rgb.min(axis=2) > 215
    shapes = regionprops_table(label(inside), properties=("area", "eccentricity"))
    areas = shapes["area"] * UM_PER_PX**2
    areas, eccentricity = areas[areas > 12.0], shapes["eccentricity"][areas > 12.0]
    tile_mm2 = inside.size * (UM_PER_PX / 1000.0) ** 2
    some = len(areas) > 0
    return np.array(
        [
            inside.mean(),
            np.log1p(len(areas) / tile_mm2 / 100.0),
            np.log(areas.mean()) if some else 0.0,
            areas.std() / areas.mean() if some else 0.0,
            eccentricity.mean() if some else 0.0,
            (areas < _SMALL_NUCLEUS_UM2).mean() if some else 0.0,
            hematoxylin[inside].mean() if some else 0.0,
            hematoxylin[inside].std() if some else 0.0,
            *tissue_measures(hematoxylin, eosin, ~inside & ~white),
            white.mean(),
        ]
    )


def tissue_measures(
    hematoxylin: NDArray[np.float64], eosin: NDArray[np.float64], tissue: NDArray[np.bool_]
) -> list[float]:
    """Hematoxylin, eosin and its deviation in tissue between nuclei, 0 without any; its coherence."""
    some = tissue.any()
    return [
        hematoxylin[tissue].mean() if some else 0.0,
        eosin[tissue].mean() if some else 0.0,
        eosin[tissue].std() if some else 0.0,
        coherence(eosin),
    ]


def coherence(image: NDArray[np.float64]) -> float:
    """How much neighboring edges agree in direction, in [0, 1]: fibers do, cells do not."""
    smooth = ndimage.gaussian_filter(image, 1.0)
    dy, dx = np.gradient(smooth)
    xx, yy, xy = (ndimage.gaussian_filter(a, 8.0) for a in (dx * dx, dy * dy, dx * dy))
    strength = xx + yy
    spread = np.sqrt((xx - yy) ** 2 + 4.0 * xy**2)
    return float((spread / (strength + 1e-6)).mean())


def pretext_tiles(
    nuclei_data: Path, model: NucleiModel, settings: PretextSettings, progress: Progress
) -> PretextTiles:
    """Cut, normalize and measure tiles of real fields (split ``train`` alone) and virtual slides."""
    rng = np.random.default_rng(settings.seed)
    tiles, measures, owners = [], [], []
    fields = read_fields(nuclei_data, "train")
    with progress.task("Tiles to train on", len(fields) + settings.n_virtual_slides) as advance:
        sources = all_sources([f.rgb for f in fields], settings, rng)
        for owner, source in enumerate(sources):
            bag = add_nuclei_channel(model, source)
            tiles.append(bag)
            measures.append([measure_tile(t[..., :3], t[..., 3]) for t in bag])
            owners += [owner] * len(bag)
            advance()
    held_out = rng.random(len(fields) + settings.n_virtual_slides) < 0.1
    return PretextTiles(np.concatenate(tiles), np.concatenate(measures), held_out[owners])


def all_sources(
    images: Sequence[RGB], settings: PretextSettings, rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    side = settings.tile_px
    for image in images:
        corners = rng.integers(0, np.array(image.shape[:2]) - side, (settings.tiles_per_field, 2))
        cut = np.stack([image[y : y + side, x : x + side] for y, x in corners])
        yield _normalized(cut, image.reshape(-1, 3), rng)
    for _ in range(settings.n_virtual_slides):
        look = slide_stain(
            site_stain(rng, angle_deg=4.0, intensity_sd=0.12), rng, angle_deg=1.5, intensity_sd=0.06
        )
        drawn = np.stack(
            [
                render_tile(
                    TissueFeatures(*rng.random(4)),
                    rng,
                    size_px=side,
                    um_per_px=UM_PER_PX,
                    stain=look,
                )
                for _ in range(settings.tiles_per_slide)
            ]
        )
        yield _normalized(drawn, drawn.reshape(-1, 3), rng)


def _normalized(
    tiles: NDArray[np.uint8], pixels: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    sample = pixels[rng.choice(len(pixels), 20_000)]
    settings = StainSettings(on_refusal="reference")
    return fit_normalizer(sample, settings, builtin_reference()).apply(tiles)


def train_pretext(
    data: PretextTiles, settings: PretextSettings, out: Path, progress: Progress
) -> dict[str, float]:
    """Train the network to predict the measures; write its weights as half-precision safetensors.

    Returns
    -------
    dict
        Measure -> share of its variance explained on sources never trained on (R squared).
    """
    torch.manual_seed(settings.seed)
    backbone = timm.create_model(settings.architecture, in_chans=4, num_classes=len(MEASURES))
    encoder = TileEncoder(backbone, 4)
    known = ~data.held_out
    center, scale = data.measures[known].mean(0), data.measures[known].std(0) + 1e-9
    targets = torch.from_numpy((data.measures - center) / scale).float()
    optimizer = torch.optim.AdamW(
        encoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps
    )
    with progress.task("Starting weights", settings.steps) as advance:
        encoder.train()
        for tiles, index in batches(data, settings):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = _predict(encoder, tiles)
            loss = nn.functional.smooth_l1_loss(found.float(), targets[index])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            advance()
    encoder.eval()
    with torch.no_grad():
        rows = np.flatnonzero(data.held_out)
        found = torch.cat(
            [_predict(encoder, torch.from_numpy(data.tiles[part])) for part in split(rows, 32)]
        )
    rest = (found - targets[rows]).square().mean(0) / targets[rows].var(0)
    write_half(backbone, out)
    return {name: 1.0 - float(r) for name, r in zip(MEASURES, rest, strict=True)}


def _predict(encoder: TileEncoder, tiles: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = encoder.head(encoder.features(tiles))
    return found


def write_half(backbone: nn.Module, out: Path) -> None:
    """Write a timm network without its last layer as half-precision safetensors."""
    state = {k: v.half().contiguous() for k, v in backbone.state_dict().items() if v.ndim}
    with atomic_path(out) as temporary:
        temporary.write_bytes(save({k: v for k, v in state.items() if "classifier" not in k}))


def batches(
    data: PretextTiles, settings: PretextSettings
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(settings.seed + 1)
    rows = np.flatnonzero(~data.held_out)
    stains = builtin_reference().appearance.stains
    for _ in range(settings.steps):
        index = rng.choice(rows, settings.batch_size)
        tiles = data.tiles[index].copy()
        tiles[..., :3] = augment_stain(
            tiles[..., :3], stains, scale=0.05, shift=0.01, turn_degrees=2.0, rng=rng
        )
        tiles = np.rot90(tiles, k=int(rng.integers(4)), axes=(1, 2))
        tiles = tiles[:, ::-1] if rng.integers(2) else tiles
        yield torch.from_numpy(np.ascontiguousarray(tiles)), torch.from_numpy(index)


def split(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
