"""The gradient of a bag's loss, exact for bags of any size in the memory of one chunk.

A bag's loss depends on the network only through the tile scores s_1 .. s_n, so by the chain
rule ``dL/dw = sum_i (dL/ds_i) (ds_i/dw)``. First pass: scores of all tiles, chunk by chunk,
without graph; then ``dL/ds_i`` from the pooled loss. Second pass: each chunk again with graph,
back-propagating its ``dL/ds_i``. The sum over chunks is the gradient of the whole bag, if a
tile's score does not depend on the other tiles of the chunk: batch normalization must use its
stored statistics, and whatever is random must be drawn before the first pass. One pass more
forward: about 4/3 of the compute. The idea is known as gradient caching.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from jecur.training.cohort_gradient import accumulate_cohort_gradient

__all__ = ["accumulate_bag_gradient"]


def accumulate_bag_gradient(
    encoder: nn.Module, chunks: Sequence[Tensor], loss_of_scores: Callable[[Tensor], Tensor]
) -> tuple[float, Tensor]:
    """Add the gradient of one bag's loss to the encoder's parameters.

    Parameters
    ----------
    encoder
        (m, h, w, c) uint8 tiles -> (m,) scores, each tile by itself.
    chunks
        The bag's tiles, (m, h, w, c) uint8 each, as augmented: both passes see the same. One has
        a graph at a time; a sequence that reads them when asked keeps one in memory.
    loss_of_scores
        (n,) scores of all tiles -> scalar loss.

    Returns
    -------
    tuple of float and Tensor
        The loss, and the (n,) scores it was computed from.
    """
    loss, (scores,) = accumulate_cohort_gradient(
        encoder, [chunks], lambda outputs: loss_of_scores(outputs[0])
    )
    return loss, scores
