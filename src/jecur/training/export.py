"""From a trained encoder to the graph that scores: the same numbers, without torch."""

import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from safetensors.numpy import save as save_arrays
from safetensors.torch import save
from torch import Tensor, nn

from jecur.errors import TrainingError
from jecur.model.card import ModelCard
from jecur.model.file import Bundle
from jecur.training.bag_model import BagModel, FeatureModel
from jecur.training.mobilenet import TileEncoder
from jecur.training.pooling import BagPooling

if TYPE_CHECKING:
    from jecur.training.loop import Trained

__all__ = [
    "encoder_to_onnx",
    "encoder_weights",
    "export_model",
    "pooling_weights",
    "traced_graph",
]

MAX_DIFFERENCE = 1e-3
"""Largest difference of a logit between torch and ONNX Runtime that is accepted."""


def export_model(
    trained: "Trained", card: ModelCard, *, tile_px: int, nuclei_onnx: bytes | None
) -> Bundle:
    """Put what was trained into the parts of a model file.

    Parameters
    ----------
    trained
        Encoder and pooling.
    card
        What the file says of itself.
    tile_px
        Side of a tile; not asked for where tiles are features.
    nuclei_onnx
        Graph of the nuclei network, if the file is to hold it.

    Raises
    ------
    TrainingError
        As `encoder_to_onnx`.
    """
    return Bundle(
        card=card,
        encoder_onnx=encoder_to_onnx(trained.encoder, tile_px=tile_px),
        nuclei_onnx=nuclei_onnx,
        weights=encoder_weights(trained.encoder),
        pooling=pooling_weights(trained.pooling),
    )


def encoder_to_onnx(encoder: BagModel, *, tile_px: int) -> bytes:
    """Write the encoder as an ONNX graph and check that it scores the same.

    Parameters
    ----------
    encoder
        On any device.
    tile_px
        Side of a tile; not asked for where tiles are features.

    Returns
    -------
    bytes
        Graph: "tiles" (n, h, w, c) uint8, or (n, d) float32 features -> "logits" (n,) float32, or
        (n, 2) with a gate beside each for attention.

    Raises
    ------
    TrainingError
        If torch and ONNX Runtime disagree on random tiles.
    """
    encoder = encoder.to("cpu").to(memory_format=torch.contiguous_format).eval()
    rng = np.random.default_rng(0)
    tiles: NDArray[Any] = (
        rng.normal(size=(3, len(encoder.feature_mean))).astype(np.float32)
        if isinstance(encoder, FeatureModel)
        else rng.integers(0, 256, (3, tile_px, tile_px, encoder.channels), dtype=np.uint8)
    )
    graph = traced_graph(encoder, torch.from_numpy(tiles), "logits")
    with torch.no_grad():
        expected = encoder(torch.from_numpy(tiles)).numpy()
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(None, {"tiles": tiles})[0]
    difference = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference < MAX_DIFFERENCE:
        raise TrainingError(
            f"expected ONNX Runtime to score as torch does, found {difference:.2g} apart"
        )
    return graph


def traced_graph(network: nn.Module, tiles: Tensor, output: str) -> bytes:
    """Trace what a network does with some tiles as an ONNX graph: "tiles" (n, ...) -> ``output`` (n, ...)."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns about itself, not about the model
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network,
            (tiles,),
            buffer,  # type: ignore[arg-type]  # a stream, as documented for this exporter
            input_names=["tiles"],
            output_names=[output],
            dynamic_axes={"tiles": {0: "n"}, output: {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    return buffer.getvalue()


def encoder_weights(encoder: BagModel) -> bytes:
    """Weights of the backbone, or of the head on features, as safetensors bytes."""
    network = encoder.backbone if isinstance(encoder, TileEncoder) else encoder
    state = network.state_dict()
    return bytes(save({key: value.detach().cpu().contiguous() for key, value in state.items()}))


def pooling_weights(pooling: BagPooling) -> bytes | None:
    """Write the trained parameters of the pooling as safetensors bytes; None if it has none."""
    trained_parameters = pooling.trained_parameters()
    return save_arrays(dict(trained_parameters)) if trained_parameters else None
