"""The poolings as torch sees them; `jecur.mil.pooling` is their plain twin and says what they are."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from jecur.mil.pooling import (
    PARAMETERS,
    SECOND_LAYER,
    Pooling,
    Reduction,
    pooling_of_settings,
)
from jecur.mil.pooling_forms import LOG_FLOOR, ROOT_FLOOR, SMALLEST_SHARE
from jecur.settings import TrainingSettings

__all__ = ["BagPooling", "generalized_mean"]

_LARGE = 1e24
"""Squares from here on are not raised to powers down to -3/2, which would vanish in float32."""


class BagPooling(nn.Module):
    """From the encoder's outputs of a bag to its score S.

    Parameters
    ----------
    settings
        Name and numbers of the pooling. Trained parameters start where they do least: the threshold of
        noisy-and at a half, the last layer of top-bottom at the mean of the ends.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        self.settings = settings
        if settings.pooling.method == "noisy-and":
            self.threshold = nn.Parameter(torch.zeros(1))
        if settings.pooling.method == "top-bottom":
            self.hidden = nn.Linear(2 * settings.pooling.ends, settings.pooling.hidden_units)
            last, layers = settings.pooling.hidden_units, [self.hidden]
            if settings.pooling.second_hidden_units:
                self.second = nn.Linear(last, settings.pooling.second_hidden_units)
                last = settings.pooling.second_hidden_units
                layers.append(self.second)
            self.out = nn.Linear(last, 1)
            _start_at_the_mean(layers, self.out)

    def forward(self, outputs: Tensor) -> Tensor:  # noqa: PLR0911 -- one a name
        """Pool (n,) scores, or (n, 2) scores and gates, into a scalar."""
        s = outputs if outputs.ndim == 1 else outputs[:, 0]
        settings = self.settings
        match settings.pooling.method:
            case "generalized-mean":
                return generalized_mean(
                    s, exponent=settings.pooling.exponent, reduction=settings.pooling.reduction
                )
            case "mean":
                return s.mean()
            case "max":
                return s.amax()
            case "log-sum-exp":
                r = settings.pooling.sharpness
                return (torch.logsumexp(r * s, 0) - math.log(len(s))) / r
            case "noisy-and":
                return self._noisy_and(s)
            case "top-bottom":
                return self._top_bottom(s)
            case "attention":
                return torch.softmax(outputs[:, 1], 0) @ s
            case "tile-labels":
                q, p = torch.sigmoid(s).mean(), torch.sigmoid(-s).mean()
                return torch.log((q + LOG_FLOOR) / (p + LOG_FLOOR))

    def trained_parameters(self) -> Mapping[str, NDArray[np.float32]]:
        """Trained parameters by name, float32."""
        state = self.state_dict()
        return {
            name: state[name].detach().cpu().float().numpy()
            for name in (*PARAMETERS.get(self.settings.pooling.method, ()), *SECOND_LAYER)
            if name in state
        }

    def plain(self) -> Pooling:
        """Return the twin in NumPy, with the trained parameters."""
        return pooling_of_settings(self.settings, self.trained_parameters())

    def _noisy_and(self, s: Tensor) -> Tensor:
        b, a = torch.sigmoid(self.threshold), self.settings.pooling.steepness
        share = torch.sigmoid(s).mean()
        low, here, high = (torch.sigmoid(a * (q - b)) for q in (0.0, share, 1.0))
        return torch.log((here - low + LOG_FLOOR) / (high - here + LOG_FLOOR)).squeeze()

    def _top_bottom(self, s: Tensor) -> Tensor:
        k = self.settings.pooling.ends
        ordered = torch.sort(s, stable=True).values
        taken = torch.arange(k, device=s.device).clamp(max=len(s) - 1)
        ends = torch.cat([ordered.flip(0)[taken], ordered[taken]])  # (2 k,)
        units = torch.tanh(self.hidden(ends))
        if self.settings.pooling.second_hidden_units:
            units = torch.tanh(self.second(units))
        return functional.linear(units, self.out.weight, self.out.bias).squeeze()


def generalized_mean(scores: Tensor, *, exponent: float, reduction: Reduction = "mean") -> Tensor:
    """Pool (n,) tile scores into the bag's score, a scalar.

    Differentiable everywhere: at m = 0 the slope is finite, see `jecur.mil.pooling`.
    """
    # at a score of 0 the slope of its power may be infinite
    size = torch.where(scores == 0, 1.0, scores.abs())
    powered = torch.where(scores == 0, 0.0, scores.sign() * size.pow(exponent))
    m = powered.mean() if reduction == "mean" else powered.sum()
    square = m * m + ROOT_FLOOR**2
    if not bool(square < _LARGE):  # not a number is not below
        return _generalized_mean_of_large(scores, exponent=exponent, reduction=reduction)
    return m * square.pow((1.0 - exponent) / (2.0 * exponent))


def _generalized_mean_of_large(scores: Tensor, *, exponent: float, reduction: Reduction) -> Tensor:
    """Pool as `generalized_mean`, in parts of the largest score: its powers are beyond the numbers' range."""
    top = scores.detach().abs().amax().double()
    part = scores.double() / top
    powered = part.sign() * part.abs().pow(exponent)
    m = powered.mean() if reduction == "mean" else powered.sum()
    floor = (ROOT_FLOOR * torch.exp(-exponent * top.log())).clamp(min=SMALLEST_SHARE)
    root = m * (m * m + floor**2).pow((1.0 - exponent) / (2.0 * exponent))
    return (top * root).to(scores)


@torch.no_grad()
def _start_at_the_mean(layers: Sequence[nn.Linear], out: nn.Linear) -> None:
    """Begin as about the mean of the ends: the direction of risk is then that of the tile scores."""
    for layer in layers:
        wide = layer.in_features
        layer.weight.copy_(1.0 / wide + 0.1 / wide * torch.randn_like(layer.weight))
        layer.bias.zero_()
    out.weight.fill_(1.0 / out.in_features)
    out.bias.zero_()
