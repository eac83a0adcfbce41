"""The tile encoder: MobileNetV2 over three or four channels, one unbounded logit a tile.

References
----------
.. [1] M. Sandler et al. MobileNetV2: inverted residuals and linear bottlenecks. CVPR 2018.
"""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load, load_file
from torch import Tensor, nn

from jecur.errors import TrainingError
from jecur.training.bag_model import BagModel, start_small

__all__ = ["TileEncoder", "build_encoder", "freeze_blocks"]

PIXEL_MEAN = (0.77, 0.62, 0.75, 0.20)
PIXEL_STD = (0.15, 0.20, 0.15, 0.30)
"""R, G, B, nuclei of normalized H&E tissue, range 0 to 1; fixed, so that a model file needs no other."""

BUILTIN = {"mobilenetv2_100": "mobilenetv2_100.safetensors"}


class TileEncoder(BagModel):
    """Tiles as stored -> logits.

    Parameters
    ----------
    backbone
        A timm network with one output.
    channels
        3 or 4.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        super().__init__(backbone.get_classifier().in_features, channels)  # type: ignore[operator]
        self.backbone: Any = backbone
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN[:channels]).view(1, -1, 1, 1) * 255.0)
        self.register_buffer("std", torch.tensor(PIXEL_STD[:channels]).view(1, -1, 1, 1) * 255.0)

    @property
    def head(self) -> nn.Linear:
        """Last layer, features -> logit."""
        layer: nn.Linear = self.backbone.get_classifier()
        return layer

    def features(self, tiles: Tensor) -> Tensor:
        """(n, h, w, c) uint8 tiles -> (n, d) features, as the backbone gives them.

        What was described before, (n, d), is given back.
        """
        if tiles.ndim == 2:
            return tiles
        pixels = tiles.permute(0, 3, 1, 2).float()  # (n, c, h, w)
        return self.describe((pixels - self.mean) / self.std)

    def describe(self, pixels: Tensor) -> Tensor:
        """(n, c, h, w) standardized pixels -> (n, d) features."""
        maps = self.backbone.forward_features(pixels)  # (n, d, h/32, w/32)
        pooled: Tensor = self.backbone.forward_head(maps, pre_logits=True)  # (n, d)
        return pooled


def build_encoder(architecture: str, *, channels: int, start: str, seed: int) -> TileEncoder:
    """Build an encoder with its starting weights.

    Parameters
    ----------
    architecture
        timm name, ``mobilenetv2_100`` in the paper.
    channels
        3 (RGB) or 4 (RGB and nuclei).
    start
        "builtin", "imagenet", "random", or the path of a safetensors file.
    seed
        Seeds whatever is not loaded: the last layer always.

    Raises
    ------
    TrainingError
        If the architecture or the starting weights are not to be had.
    """
    torch.manual_seed(seed)
    try:
        backbone = timm.create_model(
            architecture, pretrained=start == "imagenet", in_chans=channels, num_classes=1
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise TrainingError(
            f"expected the timm network {architecture} with {start} weights, found: {error}; "
            'use start = "builtin" where there is no network'
        ) from error
    # timm draws a one-output layer from (-1, 1): scores of tens, which small steps never outgrow.
    encoder = TileEncoder(backbone, channels)
    start_small(encoder.head)
    if start == "builtin":
        _load_builtin(backbone, architecture, channels)
    elif start not in {"imagenet", "random"}:
        _load_into(backbone, load_file(Path(start)), Path(start).name)
    return encoder


def _load_builtin(backbone: nn.Module, architecture: str, channels: int) -> None:
    if architecture not in BUILTIN:
        raise TrainingError(
            f"expected an architecture with built-in weights ({', '.join(BUILTIN)}), found "
            f'{architecture}; set start to "imagenet" or "random"'
        )
    source = resources.files("jecur.training") / "weights" / BUILTIN[architecture]
    state = {name: value.float() for name, value in load(source.read_bytes()).items()}
    if channels == 3:
        state["conv_stem.weight"] = state["conv_stem.weight"][:, :3]
    _load_into(backbone, state, BUILTIN[architecture])


def _load_into(backbone: nn.Module, state: dict[str, Tensor], name: str) -> None:
    own = backbone.state_dict()
    usable = {key: value for key, value in state.items() if not key.startswith("classifier")}
    wrong = [
        key for key, value in usable.items() if key not in own or own[key].shape != value.shape
    ]
    spare = ("classifier.weight", "classifier.bias")
    absent = [k for k in own if k not in usable and k not in spare and own[k].ndim]
    if wrong or absent:
        raise TrainingError(
            f"{name}: expected the weights of this architecture, found {len(wrong)} that do not fit "
            f"and {len(absent)} missing (first: {(wrong + absent)[0]})"
        )
    backbone.load_state_dict(usable, strict=False)


def freeze_blocks(encoder: TileEncoder, n_blocks: int) -> None:
    """Keep the stem and the first ``n_blocks`` stages as they are; 0 freezes nothing."""
    for part in _leading_parts(encoder.backbone, n_blocks):
        part.requires_grad_(requires_grad=False)


def _leading_parts(backbone: Any, n_blocks: int) -> Iterator[nn.Module]:  # noqa: ANN401 - timm's
    if n_blocks == 0:
        return
    blocks = getattr(backbone, "blocks", None)
    if blocks is None:
        raise TrainingError(
            "expected an encoder of stages to freeze, found one without; set frozen_blocks = 0"
        )
    yield backbone.conv_stem
    yield backbone.bn1
    yield from blocks[:n_blocks]
