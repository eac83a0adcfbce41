"""The penalty of Eq. 4, alpha sum w^2, in the forms that the paper's words allow.

Added to the loss it goes through Adam, which scales each weight's gradient to about one: where the
loss says little of a weight, most of what is scaled is the penalty's gradient, and the weight moves
towards 0 by a whole learning rate a step. Decoupled [1]_ the shrinking stays in proportion to the
weight.

References
----------
.. [1] I. Loshchilov, F. Hutter. Decoupled weight decay regularization. ICLR 2019. arXiv:1711.05101
"""

import torch
from torch import Tensor, nn, optim

from jecur.settings.training import LossSettings, PenaltyOn

__all__ = ["l2_penalty", "penalized_step", "shrink_weights"]


def penalized_step(model: nn.Module, optimizer: optim.Optimizer, loss: LossSettings) -> None:
    """Take one step with the penalty of Eq. 4, in the form that is asked for."""
    if loss.l2_form == "decoupled":
        shrink_weights(optimizer, loss.l2, on=loss.l2_on)
    elif loss.l2 > 0:
        penalty = l2_penalty(model, on=loss.l2_on, mean=loss.l2_form == "mean")
        torch.autograd.backward(loss.l2 * penalty)
    optimizer.step()


def l2_penalty(model: nn.Module, *, on: PenaltyOn = "kernels", mean: bool = False) -> Tensor:
    """Sum of squares of the weights, without the factor 1/2.

    Parameters
    ----------
    model
        Only parameters that are being trained count.
    on
        "kernels": convolution and linear kernels; "all": biases and norms too.
    mean
        Divide by the number of weights.
    """
    weights = [p for p in model.parameters() if p.requires_grad and _is_penalized(p, on)]
    if not weights:
        return torch.zeros(())
    total = torch.stack([p.square().sum() for p in weights]).sum()
    return total / sum(p.numel() for p in weights) if mean else total


@torch.no_grad()
def shrink_weights(optimizer: optim.Optimizer, alpha: float, *, on: PenaltyOn = "kernels") -> None:
    """Multiply the weights by 1 - 2 alpha rate, as the gradient of alpha sum w^2 does without Adam's scaling.

    Called before each step, with the learning rate of each group.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if _is_penalized(weight, on):
                weight.mul_(1.0 - 2.0 * alpha * group["lr"])


def _is_penalized(weight: Tensor, on: PenaltyOn) -> bool:
    return on == "all" or weight.ndim >= 2
