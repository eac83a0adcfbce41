"""The generalized mean with sign, as torch sees it; `jecur.mil.pooling` is its plain twin."""

from torch import Tensor

from jecur.mil.pooling import ROOT_FLOOR, Reduction

__all__ = ["generalized_mean"]


def generalized_mean(scores: Tensor, *, exponent: float, reduction: Reduction = "mean") -> Tensor:
    """Pool (n,) tile scores into the bag's score, a scalar.

    Differentiable everywhere: at m = 0 the slope is finite, see `jecur.mil.pooling`.
    """
    powered = scores.sign() * scores.abs().pow(exponent)
    m = powered.mean() if reduction == "mean" else powered.sum()
    return m * (m * m + ROOT_FLOOR**2).pow((1.0 - exponent) / (2.0 * exponent))
