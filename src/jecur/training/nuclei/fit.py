"""Fit the nuclei U-Net: crops in, the best averaged weights out, resumable at any time.

Each step draws from a generator seeded with (seed, step), so a run that was stopped and
resumed sees exactly the crops it would have seen. The weights that are kept are an
exponential moving average of the trained ones [1]_, taken where they agree best with the
validation fields.

References
----------
.. [1] B. T. Polyak, A. B. Juditsky. Acceleration of stochastic approximation by averaging.
   SIAM J. Control Optim. 30(4), 838-855, 1992.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from jecur.arrays import Mask
from jecur.errors import TrainingError
from jecur.nuclei.agreement import dice
from jecur.nuclei.segmentation import WORKING_UM_PER_PX
from jecur.training.device import has_fast_bfloat16, training_device
from jecur.training.nuclei.data import CropSource, Field, perturb_colors, read_fields
from jecur.training.nuclei.pretrained import NucleiNetwork, PretrainedUNet, logits_of
from jecur.training.nuclei.unet import DiceForm, NucleiUNet, segmentation_loss

__all__ = ["NucleiFit", "NucleiTrainingSettings", "fit_nuclei", "settle_threshold"]

CHECKPOINT = "checkpoint.safetensors"

SHIFTS = tuple(round(0.1 * k, 1) for k in range(-15, 16))
"""Of the logits, to choose from: thresholds from 0.18 to 0.82."""

NEARLY = 1e-3
"""Validation Dice that a smaller shift may cost."""


@dataclass(frozen=True, slots=True)
class NucleiTrainingSettings:
    """How the network is fitted; every number that can change it."""

    network: Literal["small", "pretrained"] = "small"
    """The network that ships, or its teacher (`jecur.training.nuclei.pretrained`)."""
    widths: tuple[int, ...] = (32, 48, 96, 128)
    """Of the small network: channels at 1/2, 1/4, 1/8, 1/16, ... of the resolution."""
    um_per_px: float = WORKING_UM_PER_PX
    """Scale at which the network sees tissue. A run takes networks of the working scale only."""
    steps: int = 1800
    """Weight updates."""
    batch_size: int = 16
    """Crops a step."""
    crop_px: int = 192
    """Side of a crop; a multiple of 2 to the number of widths."""
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule (AdamW)."""
    weight_decay: float = 1e-2
    """Decoupled."""
    averaging: float = 0.998
    """Decay of the moving average of the weights, a step."""
    dice: DiceForm = "stable"
    """Form of the Dice loss."""
    cross_entropy_weight: float = 0.5
    """0 trains on Dice alone, as the paper did."""
    seam_weight: float = 3.0
    """Above 0, the line along which two outlined nuclei touch is a background target, and its
    cross-entropy counts this many times more, so that nuclei part; 0 trains on whole nuclei."""
    evaluate_every: int = 300
    """Steps between looks at the validation fields; a checkpoint is written at each."""
    bfloat16: bool = True
    """Compute in bfloat16 where the device has it, and in float32 elsewhere; the weights stay float32. So
    one seed gives other weights, to rounding, on a processor without it."""
    seed: int = 0
    """Initial weights, crops, colors."""

    @property
    def stride(self) -> int:
        """Sides of a crop are multiples of this."""
        if self.network == "pretrained":
            return PretrainedUNet.stride
        return int(2 ** len(self.widths))

    def build(self, weights: Path | None = None) -> NucleiNetwork:
        """Return a new network; ``weights`` are those of a pretrained encoder."""
        if self.network == "pretrained":
            return PretrainedUNet(weights)
        return NucleiUNet(self.widths)


@dataclass(frozen=True, slots=True)
class NucleiFit:
    """The chosen weights and how they were found."""

    network: NucleiNetwork
    step: int
    """Step at which the average agreed best with the validation fields."""
    validation_dice: float
    """Mean over fields, threshold 0.5."""
    history: list[tuple[int, float, float]]
    """(step, training loss since the last entry, validation Dice)."""


def fit_nuclei(
    data: Path,
    out: Path,
    settings: NucleiTrainingSettings,
    *,
    weights: Path | None = None,
    maps: Path | None = None,
) -> NucleiFit:
    """Fit on the split ``train`` and choose on ``val``.

    Parameters
    ----------
    data
        Folder with ``split.csv``, see `jecur.training.nuclei.data`.
    out
        Folder for the checkpoint; a checkpoint of the same settings there is resumed.
    settings
        See `NucleiTrainingSettings`.
    weights
        What the encoder of the pretrained network starts from.
    maps
        Maps that a teacher drew (`jecur.training.nuclei.teach`) of the split ``unlabeled``, which is then
        learned from as well as the outlines of ``train``.

    Raises
    ------
    TrainingError
        If data are missing, the loss is not finite, or the checkpoint found in ``out`` was
        made with other settings.
    """
    stride = settings.stride
    if settings.crop_px % stride or min(settings.steps, settings.batch_size, settings.crop_px) < 1:
        raise TrainingError(
            f"expected crops of a multiple of {stride} px for this network, and steps "
            f"and crops a step of at least 1; found {settings.crop_px} px, {settings.steps} steps, "
            f"{settings.batch_size} crops a step; correct that option"
        )
    torch.manual_seed(settings.seed)
    state = _State(settings, out / CHECKPOINT, weights)
    crops = CropSource(
        data, "train", side=settings.crop_px, um_per_px=settings.um_per_px, maps=maps
    )
    fields = read_fields(data, "val", um_per_px=settings.um_per_px)
    losses: list[float] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("nuclei", total=settings.steps, completed=state.step)
        while state.step < settings.steps:
            rng = np.random.default_rng([settings.seed, state.step])
            losses.append(state.update(*_draw(crops, settings.batch_size, rng)))
            if state.step % settings.evaluate_every == 0 or state.step == settings.steps:
                dice = mean_dice(state.average, fields)
                state.record(sum(losses) / len(losses), dice)
                losses.clear()
                progress.update(task, description=f"nuclei, validation Dice {dice:.3f}")
            progress.update(task, completed=state.step)
    return state.fit()


def mean_dice(network: NucleiNetwork, fields: list[Field]) -> float:
    """Dice of (probability >= 0.5) with (cover >= 0.5), mean over fields."""
    inside = [logit >= 0 for logit in _logits(network, fields)]
    return _mean_dice(inside, [field.cover >= 0.5 for field in fields])


def settle_threshold(network: NucleiNetwork, fields: list[Field]) -> float:
    """Shift the network's logits so that 0.5 is the threshold of best Dice; returns the shift.

    Training on soft cover leaves that threshold lower: where a pixel is as likely nucleus as
    not, calling it one costs Dice less than missing it. Chosen on ``fields``, which must not be
    reported on; of shifts within 0.001 of the best the smallest, because fields are few.
    """
    logits, truth = _logits(network, fields), [field.labels > 0 for field in fields]
    found = {s: _mean_dice([x + s >= 0 for x in logits], truth) for s in SHIFTS}
    shift = min((s for s in SHIFTS if found[s] >= max(found.values()) - NEARLY), key=abs)
    if network.head.bias is not None:
        with torch.no_grad():
            network.head.bias.add_(shift)
    return shift


def _logits(network: NucleiNetwork, fields: list[Field]) -> list[NDArray[np.float32]]:
    network.eval()
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode():
        for field in fields:
            rgb = torch.from_numpy(field.rgb.copy()).to(device).permute(2, 0, 1)[None].float()
            found.append(logits_of(network, rgb / 127.5 - 1.0).cpu().numpy())
    return found


def _mean_dice(inside: Sequence[Mask], truth: Sequence[Mask]) -> float:
    return float(np.mean([dice(a, b) for a, b in zip(inside, truth, strict=True)]))


def _draw(crops: CropSource, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    rgb, cover, seam = crops.draw(n, rng)
    device = training_device()
    colors = perturb_colors(rgb, rng) / 127.5 - 1.0
    return colors.to(device), cover.to(device), seam.to(device)


class _State:
    """Everything that changes during a fit, on disk whole or not at all."""

    def __init__(
        self, settings: NucleiTrainingSettings, path: Path, weights: Path | None = None
    ) -> None:
        self.settings = settings
        self.path = path
        self.step = 0
        self.history: list[tuple[int, float, float]] = []
        self.device = training_device()
        self.half = settings.bfloat16 and has_fast_bfloat16(self.device)
        self.network, self.average = (
            settings.build(start).to(self.device).to(memory_format=torch.channels_last)
            for start in (weights, None)  # the average takes up the network's, below
        )
        self.best = settings.build()
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        if path.is_file():
            self._resume()

    def update(self, rgb: Tensor, cover: Tensor, seam: Tensor) -> float:
        """One step on one batch; returns the loss."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * _one_cycle(self.step / settings.steps)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = self.network(rgb)
        loss = segmentation_loss(
            logits,
            cover,
            form=settings.dice,
            cross_entropy_weight=settings.cross_entropy_weight,
            seam=seam if settings.seam_weight else None,
            seam_weight=settings.seam_weight,
        )
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"expected a finite loss, found {loss.item()} at step {self.step}; "
                "lower the learning rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return loss.item()

    def _update_average(self) -> None:
        keep = min(self.settings.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            new = self.network.state_dict()
            for name, tensor in self.average.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(new[name], 1.0 - keep)
                else:
                    tensor.copy_(new[name])

    def record(self, loss: float, dice: float) -> None:
        """Note how well the average does, keep it if it is the best yet, write a checkpoint."""
        if dice >= max((entry[2] for entry in self.history), default=0.0):
            self.best.load_state_dict(self.average.state_dict())
        self.history.append((self.step, loss, dice))
        self._write()

    def fit(self) -> NucleiFit:
        """Return the best average of the whole run."""
        step, _, dice = max(self.history, key=lambda entry: (entry[2], entry[0]))
        return NucleiFit(self.best.eval(), step, dice, self.history)

    def _header(self) -> dict[str, str]:
        settings = json.dumps(asdict(self.settings), sort_keys=True)
        return {"settings": settings, "history": json.dumps(self.history)}

    def _write(self) -> None:
        tensors = {
            f"{part}/{name}": tensor.contiguous().cpu().clone()
            for part in ("network", "average", "best")
            for name, tensor in getattr(self, part).state_dict().items()
        }
        for k, moments in self.optimizer.state_dict()["state"].items():
            for name, tensor in moments.items():
                tensors[f"optimizer/{k}/{name}"] = tensor.contiguous().cpu().clone()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".tmp")
        save_file(tensors, unfinished, metadata=self._header())
        unfinished.replace(self.path)

    def _resume(self) -> None:
        with safe_open(self.path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["settings"] != self._header()["settings"]:
            raise TrainingError(
                f"expected a checkpoint of the settings given, found {self.path} made with "
                f"{header['settings']}; use its settings or another folder"
            )
        self.history = [(step, loss, dice) for step, loss, dice in json.loads(header["history"])]
        self.step = self.history[-1][0]
        for part in ("network", "average", "best"):
            own = {
                n.removeprefix(f"{part}/"): t
                for n, t in tensors.items()
                if n.startswith(f"{part}/")
            }
            getattr(self, part).load_state_dict(own)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, k, moment = name.split("/")
                moments.setdefault(int(k), {})[moment] = tensor
        frozen = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**frozen, "state": moments})


def _one_cycle(progress: float, *, rise: float = 0.1) -> float:
    """Learning rate relative to its peak: linear up to ``rise``, then a cosine down to 0."""
    if progress < rise:
        return 0.05 + 0.95 * progress / rise
    return 0.5 * (1.0 + math.cos(math.pi * (progress - rise) / (1.0 - rise)))
