"""Training state on disk: whole or not at all, no pickle, the one before kept.

A checkpoint holds the weights and Adam's moments (safetensors) and, in its metadata, the epoch
and the losses so far. Data order and augmentation are drawn from (seed, epoch, bag), so nothing
else is needed to go on exactly as if never stopped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from jecur.artifacts import atomic_path

__all__ = ["TrainingState", "load_newest", "save_checkpoint"]


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Where training stands.

    Parameters
    ----------
    epoch
        Epochs done.
    mark
        Fingerprint of settings and data: another one is another training.
    curve
        One mapping an epoch: losses and whatever else was recorded.
    """

    epoch: int
    mark: str
    curve: tuple[Mapping[str, float | None], ...]


def save_checkpoint(
    folder: Path, state: TrainingState, model: nn.Module, optimizer: optim.Optimizer
) -> Path:
    """Write ``epoch-N.safetensors``; keep it and the one before."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in moments.items()}
    header = {"epoch": str(state.epoch), "mark": state.mark, "curve": json.dumps(list(state.curve))}
    path = folder / f"epoch-{state.epoch:04d}.safetensors"
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, header)
    for old in sorted(folder.glob("epoch-*.safetensors"))[:-2]:
        old.unlink()
    return path


def load_newest(
    folder: Path, mark: str, model: nn.Module, optimizer: optim.Optimizer
) -> TrainingState:
    """Load the newest whole checkpoint of this training into model and optimizer.

    A damaged one falls back to the one before; none at all starts at epoch 0.
    """
    for path in sorted(folder.glob("epoch-*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="pt") as stored:
                header = stored.metadata()
                if header.get("mark") != mark:
                    continue
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            _restore(tensors, model, optimizer)
        except (SafetensorError, OSError, RuntimeError, KeyError):
            continue
        curve = tuple(json.loads(header["curve"]))
        return TrainingState(int(header["epoch"]), mark, curve)
    return TrainingState(0, mark, ())


def _restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: optim.Optimizer) -> None:
    own = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
    model.load_state_dict(own)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
