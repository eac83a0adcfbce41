"""The gradient of a bag's loss, exact for bags of any size in the memory of one chunk.

A bag's loss depends on the network only through the tile scores s_1 .. s_n, so by the chain
rule ``dL/dw = sum_i (dL/ds_i) (ds_i/dw)``. First pass: scores of all tiles, chunk by chunk,
without graph; then ``dL/ds_i`` from the pooled loss. Second pass: each chunk again with graph,
back-propagating its ``dL/ds_i``. The sum over chunks is the gradient of the whole bag, if a
tile's score does not depend on the other tiles of the chunk: batch normalization must use its
stored statistics, and whatever is random must be drawn before the first pass. One pass more
forward: about 4/3 of the compute. The idea is known as gradient caching.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["accumulate_bag_gradient"]


def accumulate_bag_gradient(
    encoder: nn.Module,
    tiles: Tensor,
    loss_of_scores: Callable[[Tensor], Tensor],
    *,
    chunk_size: int,
) -> tuple[float, Tensor]:
    """Add the gradient of one bag's loss to the encoder's parameters.

    Parameters
    ----------
    encoder
        (m, h, w, c) uint8 tiles -> (m,) scores, each tile by itself.
    tiles
        (n, h, w, c) uint8, n >= 1, as augmented: both passes see the same.
    loss_of_scores
        (n,) scores -> scalar loss.
    chunk_size
        Tiles with a graph at a time.

    Returns
    -------
    tuple of float and Tensor
        The loss, and the (n,) scores it was computed from.
    """
    if len(tiles) <= chunk_size:
        scores = encoder(tiles)
        loss = loss_of_scores(scores)
        torch.autograd.backward(loss)
        return float(loss.detach()), scores.detach()
    chunks = torch.split(tiles, chunk_size)
    with torch.no_grad():
        scores = torch.cat([encoder(chunk) for chunk in chunks])
    scores.requires_grad_()
    loss = loss_of_scores(scores)
    (slopes,) = torch.autograd.grad(loss, scores)
    for chunk, slope in zip(chunks, torch.split(slopes, chunk_size), strict=True):
        torch.autograd.backward(encoder(chunk), slope)
    return float(loss.detach()), scores.detach()
