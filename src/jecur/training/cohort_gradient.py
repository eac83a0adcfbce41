"""The gradient of a loss of many patients, exact, with one chunk of one bag in memory.

The same chain rule as `jecur.training.gradient`, one step further up: a loss over patients, such
as Cox's partial likelihood, depends on the network only through the outputs of all their tiles.
First pass: every bag without graph. Then the pooled scores, the loss, and its slope at each tile
output; what the pooling learns gets its gradient here. Second pass: each chunk again with graph.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice

import torch
from torch import Tensor, nn

from jecur.training.processes import ALONE, Place, Processes

__all__ = ["accumulate_cohort_gradient"]


Pack = tuple[list[Place], list[int], Tensor]
"""Which chunks, how many tiles of each, and all their tiles."""


def accumulate_cohort_gradient(
    encoder: nn.Module,
    bags: Sequence[Sequence[Tensor]],
    loss_of_outputs: Callable[[Sequence[Tensor]], Tensor],
    processes: Processes = ALONE,
    *,
    at_once: int = 0,
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
        Share the chunks among them; each ends with the gradient of all. Gradients must be empty.
    at_once
        Chunks of small bags go through the encoder together, up to so many tiles.

    Returns
    -------
    tuple of float and list of Tensor
        The loss, and the outputs it was computed from.
    """
    places: list[Place] = [(b, c) for b, chunks in enumerate(bags) for c in range(len(chunks))]
    mine = places[processes.rank :: processes.n]
    packs = _packs(bags, mine, at_once)
    start = list(islice(packs, 2))
    whole = processes.n == 1 and len(start) < 2  # its graph fits: one pass is enough
    own: dict[Place, Tensor] = {}
    with torch.set_grad_enabled(whole):
        for group, lengths, tiles in chain(start, packs):
            own |= dict(zip(group, torch.split(encoder(tiles), lengths), strict=True))
    del start
    parts = processes.share(own, places)
    outputs = [
        torch.cat([parts[b, c] for c in range(len(chunks))]) for b, chunks in enumerate(bags)
    ]
    if not whole:
        outputs = [found.requires_grad_() for found in outputs]
    loss = loss_of_outputs(outputs)
    torch.autograd.backward(loss)
    if not whole:
        slopes = _slopes(outputs, bags, parts)
        for group, _, tiles in _packs(bags, mine, at_once):
            torch.autograd.backward(encoder(tiles), torch.cat([slopes[p] for p in group]))
        processes.sum_gradients(encoder)
    return float(loss.detach()), [found.detach() for found in outputs]


def _packs(
    bags: Sequence[Sequence[Tensor]], places: Sequence[Place], at_once: int
) -> Iterator[Pack]:
    """Read chunks in order and join those that fit together."""
    group: list[Place] = []
    tiles: list[Tensor] = []
    n_tiles = 0
    for bag, chunk in places:
        more = bags[bag][chunk]
        if group and n_tiles + len(more) > at_once:
            yield group, [len(t) for t in tiles], torch.cat(tiles)
            group, tiles, n_tiles = [], [], 0
        group.append((bag, chunk))
        tiles.append(more)
        n_tiles += len(more)
    if group:
        yield group, [len(t) for t in tiles], torch.cat(tiles) if len(tiles) > 1 else tiles[0]


def _slopes(
    outputs: Sequence[Tensor], bags: Sequence[Sequence[Tensor]], parts: Mapping[Place, Tensor]
) -> dict[Place, Tensor]:
    """Slope of the loss at the outputs of each chunk."""
    found: dict[Place, Tensor] = {}
    for b, (output, chunks) in enumerate(zip(outputs, bags, strict=True)):
        slope = torch.zeros_like(output) if output.grad is None else output.grad
        lengths = [len(parts[b, c]) for c in range(len(chunks))]
        found |= {(b, c): piece for c, piece in enumerate(torch.split(slope, lengths))}
    return found
