"""An encoder that is not trained, as a graph: tiles -> features, the same numbers without torch."""

import hashlib

import torch
from torch import Tensor, nn

from jecur.settings import TrainingSettings
from jecur.training.bag_model import BagModel
from jecur.training.export import traced_graph
from jecur.training.mobilenet import build_encoder

__all__ = ["encoder_digest", "features_to_onnx", "frozen_encoder_onnx"]


class _Features(nn.Module):
    """What comes before head and gate."""

    def __init__(self, encoder: BagModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tiles: Tensor) -> Tensor:
        """(n, h, w, c) uint8 -> (n, d)."""
        return self.encoder.features(tiles)


def frozen_encoder_onnx(training: TrainingSettings, *, tile_px: int) -> bytes:
    """Build the encoder of a recipe as it starts, and give its graph.

    Parameters
    ----------
    training
        Architecture, starting weights, channels and seed.
    tile_px
        Side of a tile.

    Raises
    ------
    TrainingError
        If the architecture or the starting weights are not to be had.
    """
    encoder = build_encoder(
        training.encoder.architecture,
        channels=training.n_channels,
        start=training.encoder.start,
        seed=training.seed,
    )
    return features_to_onnx(encoder, tile_px=tile_px)


def features_to_onnx(encoder: BagModel, *, tile_px: int) -> bytes:
    """Write what an encoder sees in a tile as a graph: "tiles" (n, h, w, c) uint8 -> "features" (n, d)."""
    was_training = encoder.training
    encoder.eval()
    tiles = torch.zeros((2, tile_px, tile_px, encoder.channels), dtype=torch.uint8)
    graph = traced_graph(_Features(encoder).eval(), tiles, "features")
    encoder.train(was_training)
    return graph


@torch.no_grad()
def encoder_digest(encoder: BagModel) -> str:
    """SHA-256 of all that decides the features of a tile: weights in order, and none of the last layer's."""
    digest = hashlib.sha256()
    last = {id(parameter) for parameter in encoder.head.parameters()}
    for name, value in sorted(encoder.state_dict(keep_vars=True).items()):
        if id(value) not in last:
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
