"""How long this machine takes to train on one tile and one patient, by trying."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from jecur.errors import TrainingError
from jecur.mil.bag import Bag
from jecur.mil.describing import TileDescriber
from jecur.runs.progress import SilentProgress
from jecur.settings import TrainingSettings
from jecur.training.bag_model import BagModel
from jecur.training.device import training_device
from jecur.training.frozen_encoder import features_to_onnx
from jecur.training.loop import train_encoder
from jecur.training.mobilenet import TileEncoder, build_encoder, freeze_blocks
from jecur.training.objective import LabeledBag

__all__ = ["seconds_per_step", "seconds_per_tile"]

_TILES, _PATIENTS, _EPOCHS = 8, 24, 4


def seconds_per_tile(training: TrainingSettings, side_px: int) -> float:
    """Seconds that one pass of training spends on a tile: forward and back, or described once.

    Parameters
    ----------
    training
        Architecture, channels, and whether the encoder learns.
    side_px
        Side of a tile.

    Raises
    ------
    TrainingError
        If the network cannot be built.
    """
    encoder = _encoder(training).to(training_device())
    tiles = torch.zeros((_TILES, side_px, side_px, training.n_channels), dtype=torch.uint8)
    if training.encoder.trained:
        freeze_blocks(encoder, training.encoder.frozen_blocks)
        return _fastest(lambda: _forth_and_back(encoder, tiles.to(training_device()))) / _TILES
    if training_device().type != "cpu":
        return _fastest(lambda: _described(encoder, tiles.to(training_device()))) / _TILES
    describer = TileDescriber(
        features_to_onnx(encoder, tile_px=side_px), threads=torch.get_num_threads()
    )
    return _fastest(lambda: describer.describe(tiles.numpy())) / _TILES


def seconds_per_step(training: TrainingSettings, n_patients: int) -> float:
    """Seconds that a patient takes in one epoch of a head on tiles that were described once.

    The recipe is trained on made-up patients, 24 at most, in a folder that is deleted.

    Parameters
    ----------
    training
        The recipe.
    n_patients
        Training patients: what an epoch takes as a whole is divided among them.

    Raises
    ------
    TrainingError
        If the network cannot be built.
    """
    rng, n = np.random.default_rng(0), max(2, min(n_patients, _PATIENTS))
    width = _encoder(training).head.in_features
    bags = [
        LabeledBag(
            str(k),
            Bag((rng.normal(size=(_TILES, width)).astype(np.float32),)),
            recurred=k % 2 == 0,
            months=float(k + 1),
        )
        for k in range(n)
    ]
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train_encoder(
            bags,
            (),
            training.with_changes(epochs=_EPOCHS, start=_start(training)),
            checkpoints=Path(folder),
            mark="trial",
            progress=SilentProgress(),
            on_epoch=lambda _: ends.append(time.perf_counter()),
            described=True,
        )
    return (ends[-1] - ends[0]) / (_EPOCHS - 1) / n  # the first epoch also sets up


def _start(training: TrainingSettings) -> str:
    """Weights that are at hand: how long it takes does not hang on them."""
    ours = training.encoder.architecture == "mobilenetv2_100"
    return "builtin" if ours and training.encoder.start == "builtin" else "random"


def _encoder(training: TrainingSettings) -> TileEncoder:
    try:
        return build_encoder(
            training.encoder.architecture,
            channels=training.n_channels,
            start=_start(training),
            seed=0,
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"expected a network to try, found: {error}") from error


def _fastest(act: Callable[[], object]) -> float:
    """Seconds of the faster of two; the first one also sets up."""
    took = []
    for _ in range(2):
        begun = time.perf_counter()
        act()
        took.append(time.perf_counter() - begun)
    return min(took)


def _forth_and_back(encoder: BagModel, tiles: torch.Tensor) -> None:
    encoder.features(tiles).sum().backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def _described(encoder: BagModel, tiles: torch.Tensor) -> torch.Tensor:
    return encoder.features(tiles)
