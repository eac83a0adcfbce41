"""What a network says of every tile of a bag: chunk by chunk, each process at its share."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from jecur.mil.bag import Bag
from jecur.mil.describing import TileDescriber
from jecur.runs.progress import Progress
from jecur.settings import TrainingSettings
from jecur.training.bag_chunks import BagChunks
from jecur.training.bag_model import BagModel
from jecur.training.device import training_device
from jecur.training.frozen_encoder import features_to_onnx
from jecur.training.objective import LabeledBag
from jecur.training.processes import Processes
from jecur.training.read_ahead import read_ahead

__all__ = ["describe_bags", "outputs_of"]


@torch.no_grad()
def describe_bags(
    encoder: BagModel,
    bags: Sequence[LabeledBag],
    settings: TrainingSettings,
    processes: Processes,
    progress: Progress,
) -> list[LabeledBag]:
    """Describe all tiles by an encoder that is not trained, 5 kB each for MobileNetV2, in memory."""
    look = _describer_of(encoder, bags[0].bag)
    described = []
    with progress.task("Describing tiles", len(bags)) as advance:
        for example in bags:
            found = _of_every_tile(encoder, look, example.bag, settings, processes)
            described.append(replace(example, bag=Bag((found.float().numpy(),))))
            advance()
    return described


def _describer_of(encoder: BagModel, bag: Bag) -> Callable[[Tensor], Tensor]:
    """Describe tiles by ONNX Runtime, as slides are described that pass by; on a graphics card by torch."""
    if bag.holds_features or training_device().type != "cpu":
        return encoder.features
    graph = features_to_onnx(encoder, tile_px=bag.tile_shape[0])
    describer = TileDescriber(graph, threads=torch.get_num_threads())
    return lambda tiles: torch.from_numpy(describer.describe(tiles.numpy()))


def _of_every_tile(
    encoder: BagModel,
    look: Callable[[Tensor], Tensor],
    bag: Bag,
    settings: TrainingSettings,
    processes: Processes,
) -> Tensor:
    """Look at all tiles of a bag, each process at its share of the chunks; on the CPU."""
    encoder.eval()
    chunks = BagChunks(bag, np.arange(len(bag)), encoder.channels, settings.optimizer.chunk_size)
    places = [(0, c) for c in range(len(chunks))]
    mine = places[processes.rank :: processes.n]
    tiles = read_ahead([partial(chunks.read, c) for _, c in mine], ahead=not bag.holds_features)
    own = {place: look(seen).cpu() for place, seen in zip(mine, tiles, strict=True)}
    parts = processes.share(own, places)
    return torch.cat([parts[place] for place in places])


@torch.no_grad()  # a graph of every tile of every patient would fill the memory
def outputs_of(
    encoder: BagModel,
    bags: Sequence[LabeledBag],
    settings: TrainingSettings,
    processes: Processes,
) -> list[Tensor]:
    """Score all tiles of each bag, (n_i,) or (n_i, 2), on the device."""
    return [
        _of_every_tile(encoder, encoder, example.bag, settings, processes).to(training_device())
        for example in bags
    ]
