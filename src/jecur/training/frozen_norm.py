"""Batch normalization with its stored statistics: an affine map, done by the convolution before it.

With stored mean m, variance v, weight g and bias b, ``g (W*x - m) / sqrt(v + eps) + b`` is the
convolution by ``W g / sqrt(v + eps)`` plus ``b - m g / sqrt(v + eps)``. Convolving so spares one reading
and one writing of every feature map on the way forward and several on the way back; MobileNetV2 is
limited by those, not by its arithmetic. The gradients of W, g and b come out of the chain rule: same
numbers, other rounding. The plain form is what remains where the block ends, and what is exported.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

__all__ = ["folded_batch_norm", "frozen_batch_norm"]

_BatchNorm = nn.modules.batchnorm._BatchNorm
_Pair = tuple[nn.Conv2d, nn.Module]
_PROBE_PX = 64
_TOLERANCE = 1e-3
"""Largest difference of the probe's features, in parts of their largest: rounding is a thousandth of it."""


def frozen_batch_norm(model: nn.Module) -> None:
    """Switch batch normalization to its stored statistics; the rest stays in training mode.

    With one bag a step, batch statistics would normalize every patient by itself.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


@contextmanager
def folded_batch_norm(
    network: nn.Module, look: Callable[[Tensor], Tensor], channels: int
) -> Iterator[int]:
    """Let convolutions do the work of the frozen normalization behind them, in this block.

    Which belong together is seen on a probe: a normalization whose input is a convolution's output.
    If the probe's features then differ from those of the plain form, the plain form is left.

    Parameters
    ----------
    network
        Holds the convolutions and normalizations; its parameters and their names stay as they are.
    look
        (n, channels, h, w) float32 -> features; runs the network.
    channels
        Of the probe.

    Yields
    ------
    int
        Normalizations folded; 0 leaves the network as it is.
    """
    device = next(network.parameters()).device
    seed = torch.Generator().manual_seed(0)
    probe = torch.randn(2, channels, _PROBE_PX, _PROBE_PX, generator=seed).to(device)
    with ExitStack() as undo:
        with torch.no_grad():
            pairs, plain = _pairs(network, look, probe)
        for convolution, norm in pairs:
            _fold(convolution, norm)
            undo.callback(_unfold, convolution, norm)
        with torch.no_grad():
            apart = (look(probe) - plain).abs().max() if pairs else torch.zeros(())
        if not bool(apart <= _TOLERANCE * plain.abs().max()):  # not a number never passes
            undo.close()
            pairs = []
        yield len(pairs)


def _pairs(
    network: nn.Module, look: Callable[[Tensor], Tensor], probe: Tensor
) -> tuple[list[_Pair], Tensor]:
    """Convolutions and the frozen normalizations right behind them, and the probe's features."""
    last: dict[int, tuple[Tensor, nn.Conv2d]] = {}
    pairs: list[_Pair] = []

    def after(module: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            last[id(output)] = output, module  # held, so that no other tensor gets its identity

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in last and not module.training:
            pairs.append((last[id(inputs[0])][1], module))

    with ExitStack() as hooks:
        for module in network.modules():
            if type(module) is nn.Conv2d:  # a layer that pads in its own way is left alone
                hooks.callback(module.register_forward_hook(after).remove)
            elif isinstance(module, _BatchNorm) and module.track_running_stats and module.affine:
                hooks.callback(module.register_forward_pre_hook(before).remove)
        features = look(probe)
    each = {id(part) for pair in pairs for part in pair}
    return (pairs if len(each) == 2 * len(pairs) else []), features  # used twice: left alone


def _fold(convolution: nn.Conv2d, norm: nn.Module) -> None:
    def convolve(x: Tensor) -> Tensor:
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # type: ignore[operator]
        shift = norm.bias - norm.running_mean * scale  # type: ignore[operator]
        if convolution.bias is not None:
            shift = shift + convolution.bias * scale
        weight = convolution.weight * scale[:, None, None, None]
        found: Tensor = convolution._conv_forward(x, weight, shift)
        return found

    def pass_on(x: Tensor) -> Tensor:
        # timm's layers hold what follows a normalization; torch's own hold nothing.
        for name in ("drop", "act"):
            x = getattr(norm, name, nn.Identity())(x)
        return x

    convolution.forward = convolve  # type: ignore[method-assign,assignment]
    norm.forward = pass_on


def _unfold(convolution: nn.Conv2d, norm: nn.Module) -> None:
    del convolution.forward, norm.forward  # the classes' own come back
