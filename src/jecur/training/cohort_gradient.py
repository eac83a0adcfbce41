"""The gradient of a loss of many patients, exact, with one chunk of one bag in memory.

The same chain rule as `jecur.training.gradient`, one step further up: a loss over patients, such
as Cox's partial likelihood, depends on the network only through the outputs of all their tiles.
First pass: every bag without graph. Then the pooled scores, the loss, and its slope at each tile
output; what the pooling learns gets its gradient here. Second pass: each chunk again with graph.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from jecur.training.processes import ALONE, Place, Processes

__all__ = ["accumulate_cohort_gradient"]


def accumulate_cohort_gradient(
    encoder: nn.Module,
    bags: Sequence[Sequence[Tensor]],
    loss_of_outputs: Callable[[Sequence[Tensor]], Tensor],
    processes: Processes = ALONE,
) -> tuple[float, list[Tensor]]:
    """Add the gradient of a loss of several bags to the parameters.

    Parameters
    ----------
    encoder
        (m, ...) tiles -> (m,) or (m, 2) outputs, each tile by itself.
    bags
        For each patient the chunks of the bag; both passes see the same.
    loss_of_outputs
        Outputs of all tiles of each bag -> scalar loss; what it learns itself (a pooling) gets its
        gradient in every process alike.
    processes
        Share the chunks among them; each ends with the gradient of all.

    Returns
    -------
    tuple of float and list of Tensor
        The loss, and the outputs it was computed from.
    """
    if processes.n == 1 and all(len(chunks) == 1 for chunks in bags) and len(bags) == 1:
        found = encoder(bags[0][0])  # one chunk: its graph fits, one pass is enough
        loss = loss_of_outputs([found])
        torch.autograd.backward(loss)
        return float(loss.detach()), [found.detach()]
    places: list[Place] = [(b, c) for b, chunks in enumerate(bags) for c in range(len(chunks))]
    mine = places[processes.rank :: processes.n]
    with torch.no_grad():
        own = {place: encoder(bags[place[0]][place[1]]) for place in mine}
    parts = processes.share(own, places)
    leaves = [
        torch.cat([parts[b, c] for c in range(len(chunks))]).requires_grad_()
        for b, chunks in enumerate(bags)
    ]
    loss = loss_of_outputs(leaves)
    torch.autograd.backward(loss)
    slopes = [
        torch.split(_slope_of(leaf), [len(parts[b, c]) for c in range(len(chunks))])
        for b, (leaf, chunks) in enumerate(zip(leaves, bags, strict=True))
    ]
    for b, c in mine:
        torch.autograd.backward(encoder(bags[b][c]), slopes[b][c])
    processes.sum_gradients(encoder)
    return float(loss.detach()), [leaf.detach() for leaf in leaves]


def _slope_of(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
