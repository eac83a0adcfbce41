"""The loss of the paper (Eq. 3 and 4), through log-sigmoids.

Eq. 3 bends the risk r = sigmoid(S) so that the cut-off t lands on 1/2. Read for the class
"recurrence" (the paper's p is the other class's)::

    q = r / (2 t)                          r <= t
    q = 1/2 + (r - t) / (2 (1 - t))        r > t

so 1 - q = (1 - r) / (2 (1 - t)) for r > t: on each side one of log q, log(1 - q) is a
log-sigmoid plus a constant, and the other is taken of a number that is at least 1/2.

References
----------
.. [1] Z. Liu et al. 2021. Equations 3 and 4.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["cutoff_cross_entropy", "l2_penalty"]


def cutoff_cross_entropy(score: Tensor, recurred: bool, *, cutoff: float) -> Tensor:
    """Cross-entropy of Eq. 4 for one bag, a scalar >= 0.

    Parameters
    ----------
    score
        Scalar S of the bag, before the sigmoid.
    recurred
        Poor outcome (True) or good (False).
    cutoff
        t in (0, 1): the risk at which the loss is indifferent.
    """
    risk = torch.sigmoid(score)
    below = risk <= cutoff
    if recurred:
        log_q_below = functional.logsigmoid(score) - math.log(2.0 * cutoff)
        log_q_above = torch.log(0.5 + (risk - cutoff).clamp(min=0.0) / (2.0 * (1.0 - cutoff)))
        return -torch.where(below, log_q_below, log_q_above)
    log_rest_below = torch.log(1.0 - risk.clamp(max=cutoff) / (2.0 * cutoff))
    log_rest_above = functional.logsigmoid(-score) - math.log(2.0 * (1.0 - cutoff))
    return -torch.where(below, log_rest_below, log_rest_above)


def l2_penalty(model: nn.Module, *, on: str = "kernels") -> Tensor:
    """Sum of squares of the weights, without the factor 1/2.

    Parameters
    ----------
    model
        Only parameters that are being trained count.
    on
        "kernels": convolution and linear kernels; "all": biases and norms too.
    """
    squares = [
        parameter.square().sum()
        for parameter in model.parameters()
        if parameter.requires_grad and (on == "all" or parameter.ndim >= 2)
    ]
    return torch.stack(squares).sum() if squares else torch.zeros(())
