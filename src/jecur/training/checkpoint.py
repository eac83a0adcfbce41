"""Training state on disk: whole or not at all, no pickle, the one before kept.

A checkpoint holds the weights and Adam's moments (safetensors) and, in its metadata, the epoch and step,
the losses so far and a SHA-256 of all of it. Data order and augmentation are drawn from (seed,
epoch, bag), so nothing else is needed to go on exactly as if never stopped. Each training has a
folder named by its mark: another training's checkpoints are never read, nor cleaned away.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from jecur.runs.folder import atomic_path

__all__ = ["TrainingState", "load_newest", "save_checkpoint"]

_STEP = ".step-"  # sorts behind the epoch that it follows, before the next

N_KEPT = 2
"""Newest checkpoints kept of a training: if the last is damaged, the one before serves."""


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
    losses
        Of the steps done of the epoch at hand; none between two epochs.
    """

    epoch: int
    mark: str
    curve: tuple[Mapping[str, float | None], ...]
    losses: tuple[float, ...] = ()


def save_checkpoint(
    folder: Path, state: TrainingState, model: nn.Module, optimizer: optim.Optimizer
) -> Path:
    """Write ``MARK/epoch-N.safetensors``; keep it and the one before.

    One of an epoch at hand is ``epoch-N.step-K.safetensors``: N epochs and K steps are done. It lasts
    until the epoch is.
    """
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in moments.items()}
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    header = {"epoch": str(state.epoch), "mark": state.mark, "curve": json.dumps(list(state.curve))}
    if state.losses:
        header["losses"] = json.dumps(list(state.losses))
    header["sha256"] = _digest(tensors, header)
    # One entry alone: the library writes several in an order of its own, another in each process.
    header = {"state": json.dumps(header, sort_keys=True)}
    step = f".step-{len(state.losses):06d}" if state.losses else ""
    path = folder / state.mark / f"epoch-{state.epoch:04d}{step}.safetensors"
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, header)
    for old in _superseded(path):
        old.unlink()
    return path


def _superseded(path: Path) -> list[Path]:
    """Files of a training that are not needed once this one is written."""
    newest = _newest_first(path.parent)
    steps = [old for old in newest if _STEP in old.name and old != path]
    return [*steps, *[old for old in newest if _STEP not in old.name][N_KEPT:]]


def load_newest(
    folder: Path, mark: str, model: nn.Module, optimizer: optim.Optimizer
) -> TrainingState:
    """Load the newest whole checkpoint of this training into model and optimizer.

    A damaged one (cut short, or a single bit changed) falls back to the one before; none at all
    starts at epoch 0. Nothing is written into the model before the file is known to be whole.
    """
    for path in _newest_first(folder / mark):
        try:
            with safe_open(path, framework="pt") as stored:
                header = dict(json.loads((stored.metadata() or {}).get("state", "{}")))
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            told = header.pop("sha256", "")
            whole = told == _digest(tensors, header) and header["mark"] == mark
        except (SafetensorError, OSError, RuntimeError, KeyError, ValueError):
            continue
        if whole:
            _restore(tensors, model, optimizer)
            curve = tuple(json.loads(header["curve"]))
            losses = tuple(json.loads(header.get("losses", "[]")))
            return TrainingState(int(header["epoch"]), mark, curve, losses)
    return TrainingState(0, mark, ())


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.safetensors"), reverse=True)


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """SHA-256 over the header and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: optim.Optimizer) -> None:
    own = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
    model.load_state_dict(own)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
