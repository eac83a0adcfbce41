"""How long this machine takes to train on one tile, by trying."""

import time

import torch

from jecur.errors import TrainingError
from jecur.settings import TrainingSettings
from jecur.training.bag_chunks import training_device
from jecur.training.mobilenet import build_encoder, freeze_blocks

__all__ = ["seconds_per_step", "seconds_per_tile"]

_TILES, _STEPS, _FEATURES = 8, 20, 1280


def seconds_per_tile(training: TrainingSettings, side_px: int) -> float:
    """Seconds that one pass of training spends on a tile: forward, and back where the encoder learns.

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
    start = training.encoder.start if training.encoder.start == "builtin" else "random"
    try:
        encoder = build_encoder(
            training.encoder.architecture,
            channels=training.n_channels,
            start=start if training.encoder.architecture == "mobilenetv2_100" else "random",
            seed=0,
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"expected a network to try, found: {error}") from error
    freeze_blocks(encoder, training.encoder.frozen_blocks)
    encoder.requires_grad_(requires_grad=training.encoder.trained)
    encoder = encoder.to(training_device())
    tiles = torch.zeros((_TILES, side_px, side_px, training.n_channels), dtype=torch.uint8)
    tiles = tiles.to(training_device())
    took = []
    for _ in range(2):  # the first one also sets up
        begun = time.perf_counter()
        with torch.set_grad_enabled(training.encoder.trained):
            scores = encoder.features(tiles).sum()
            if training.encoder.trained:
                scores.backward()  # type: ignore[no-untyped-call]
        took.append(time.perf_counter() - begun)
    return min(took) / _TILES


def seconds_per_step(training: TrainingSettings) -> float:
    """Seconds that a patient takes in one step of a head on tiles that were described once."""
    described = torch.zeros((_TILES, _FEATURES))
    head = torch.nn.Linear(_FEATURES, 1)
    optimizer = torch.optim.Adam(head.parameters(), lr=training.optimizer.learning_rate)
    begun = time.perf_counter()
    for _ in range(_STEPS):
        head(described).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return (time.perf_counter() - begun) / _STEPS
