"""The U-Net that draws the nuclei channel, and the loss it is fitted with.

A U-Net [1]_ made for a processor without a graphics card: the first convolution steps by
two pixels and the last one writes four sub-pixels a position, so nothing wide ever runs at
full resolution; skips are added, not concatenated, which halves the decoder.

References
----------
.. [1] O. Ronneberger, P. Fischer, T. Brox. U-Net: convolutional networks for biomedical image
   segmentation. MICCAI 2015. arXiv:1505.04597
.. [2] F. Milletari, N. Navab, S.-A. Ahmadi. V-Net. 3DV 2016. arXiv:1606.04797
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from jecur.errors import TrainingError

__all__ = ["DiceForm", "ExportableUNet", "NucleiUNet", "dice_loss", "segmentation_loss"]

DiceForm = Literal["stable", "literal"]
"""``stable`` is 0 on a perfect empty tile; ``literal`` is the paper's Eq. 1 as printed."""

LITERAL_EPSILON = 1e-8
"""The epsilon of Eq. 1; it vanishes beside any float32 sum above 1."""


def convolution(n_in: int, n_out: int) -> nn.Sequential:
    """Build a 3 x 3 convolution with batch normalization; the size stays."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


def _block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(convolution(n_in, n_out), convolution(n_out, n_out))


class NucleiUNet(nn.Module):
    """Probability, as a logit, that a pixel is nucleus.

    Parameters
    ----------
    widths
        Channels at 1/2, 1/4, 1/8, ... of the input's resolution, two to five levels.
    """

    def __init__(self, widths: Sequence[int] = (32, 48, 96, 128)) -> None:
        super().__init__()
        first, steps = widths[0], list(pairwise(widths))
        if not 1 <= len(steps) <= 4 or min(widths) < 1:
            raise TrainingError(
                f"expected widths of two to five levels, 1 or more each, found {tuple(widths)}; "
                "the usual ones are 32 48 96 128"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 6, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        self.encode = nn.ModuleList([convolution(first, first)])
        self.encode.extend(_block(a, b) for a, b in steps)
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in steps)
        self.decode = nn.ModuleList([convolution(first, first)])
        self.decode.extend(_block(a, a) for a, _ in steps[1:])
        self.head = nn.Conv2d(first, 4, 3, padding=1)

    @property
    def stride(self) -> int:
        """Sides of the input are multiples of this: 2 to the number of levels."""
        return int(2 ** len(self.encode))

    def forward(self, rgb: Tensor) -> Tensor:
        """Map (n, 3, h, w) in [-1, 1] to logits (n, h, w); h and w multiples of `stride`."""
        y, skips = self.encode[0](self.stem(rgb)), []  # (n, widths[0], h/2, w/2)
        for encode in self.encode[1:]:
            skips.append(y)
            y = encode(functional.max_pool2d(y, 2))  # (n, widths[k], h/2^k, w/2^k)
        for skip, narrow, decode in zip(
            reversed(skips), reversed(self.narrow), reversed(self.decode), strict=True
        ):
            y = decode(skip + _twice(narrow(y)))
        return functional.pixel_shuffle(self.head(y), 2)[:, 0]  # (n, h, w)


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class ExportableUNet(nn.Module):
    """The network with the contract of the ONNX file: uint8 tiles in, probabilities out."""

    def __init__(self, network: NucleiUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor) -> Tensor:
        """Map (n, h, w, 3) uint8 to probabilities (n, h, w) float32 in [0, 1]."""
        x = rgb.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0  # (n, 3, h, w)
        return torch.sigmoid(self.network(x))  # (n, h, w)


def dice_loss(
    probability: Tensor, target: Tensor, *, form: DiceForm = "stable", epsilon: float = 1.0
) -> Tensor:
    """Soft Dice loss over everything given, a scalar.

    Stable (default), in [0, 1]: ``1 - (2 sum py + e) / (sum p + sum y + e)``, 0 when both are
    empty. Literal, the paper's Eq. 1: ``1 - 2 (sum py + e) / (sum p + sum y + e)`` with
    e = 1e-8, which is -1 when both are empty.

    Parameters
    ----------
    probability, target
        Same shape, in [0, 1]; the target may be soft.
    form
        Which of the two.
    epsilon
        Smoothing of the stable form, in pixels.
    """
    if probability.shape != target.shape:
        raise TrainingError(
            f"expected probability and target of one shape, found {tuple(probability.shape)} "
            f"and {tuple(target.shape)}; crop or pad them alike"
        )
    overlap = (probability * target).sum()
    total = probability.sum() + target.sum()
    if form == "literal":
        return 1.0 - 2.0 * (overlap + LITERAL_EPSILON) / (total + LITERAL_EPSILON)
    return 1.0 - (2.0 * overlap + epsilon) / (total + epsilon)


def segmentation_loss(
    logits: Tensor,
    target: Tensor,
    *,
    form: DiceForm = "stable",
    cross_entropy_weight: float = 0.5,
    seam: Tensor | None = None,
    seam_weight: float = 0.0,
) -> Tensor:
    """Dice loss plus ``cross_entropy_weight`` times the mean binary cross-entropy, a scalar.

    Parameters
    ----------
    logits
        (n, h, w), unbounded.
    target
        (n, h, w) in [0, 1]: fraction of the pixel that is nucleus.
    form
        See `dice_loss`.
    cross_entropy_weight
        0 gives the paper's loss, Dice alone.
    seam
        (n, h, w) in [0, 1]: fraction of the pixel on the line between two touching nuclei. It is
        taken out of the target, and the pixel's cross-entropy is multiplied by
        ``1 + seam_weight * seam`` (a short form of the border weights of [1]_).
    seam_weight
        Not below 0.
    """
    logits = logits.float()
    if seam is not None:
        target = (target - seam).clamp(min=0.0)
    loss = dice_loss(torch.sigmoid(logits), target, form=form)
    if cross_entropy_weight == 0.0:
        return loss
    weight = None if seam is None else 1.0 + seam_weight * seam
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, weight)
    return loss + cross_entropy_weight * cross_entropy
