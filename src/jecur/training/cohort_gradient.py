"""The gradient of a loss of many patients, exact, with one chunk of one bag in memory.

A loss over patients, such as Cox's partial likelihood, depends on the network only through the
tile scores s_1 .. s_n, so by the chain rule ``dL/dw = sum_i (dL/ds_i) (ds_i/dw)``. First pass:
every bag, chunk by chunk, without graph; then the pooled scores, the loss, and its slope at each
tile output; the pooling's own parameters get theirs here. Second pass: each chunk again with
graph, back-propagating its slopes. The sum over chunks is the gradient of the whole, if a tile's
score does not depend on the other tiles of the chunk: batch normalization must use its stored
statistics, and whatever is random must be drawn before the first pass. One pass more forward:
about 4/3 of the compute. The idea is known as gradient caching.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from jecur.training.bag_chunks import BagChunks
from jecur.training.processes import ALONE, Place, Processes
from jecur.training.read_ahead import read_ahead

__all__ = ["accumulate_cohort_gradient"]


Pack = list[Place]
"""Chunks that go through the network together."""


def accumulate_cohort_gradient(
    encoder: nn.Module,
    bags: Sequence[Sequence[Tensor]],
    loss_of_outputs: Callable[[Sequence[Tensor]], Tensor],
    processes: Processes = ALONE,
    *,
    at_once: int = 0,
) -> tuple[float, list[Tensor]]:
    """Add the gradient of a loss of several bags to the parameters.

    The packs of chunks do not depend on the number of processes, and their gradients are summed in
    float64: several processes come to what one comes to, in nearly every case to the last bit.

    Parameters
    ----------
    encoder
        (m, ...) tiles -> (m,) or (m, 2) outputs, each tile by itself.
    bags
        For each patient the chunks of the bag; both passes see the same.
    loss_of_outputs
        Outputs of all tiles of each bag -> scalar loss; its own parameters (a pooling) get their
        gradient in every process alike.
    processes
        Share the packs among them; each ends with the gradient of all.
    at_once
        Chunks of small bags go through the encoder together, up to so many tiles.

    Returns
    -------
    tuple of float and list of Tensor
        The loss, and the outputs it was computed from.
    """
    lengths = {
        (b, c): length for b, chunks in enumerate(bags) for c, length in enumerate(_lengths(chunks))
    }
    packs = _packs(lengths, at_once)
    mine = packs[processes.rank :: processes.n]
    whole = processes.n == len(packs) == 1  # its graph fits: one pass is enough
    own: dict[Place, Tensor] = {}
    tiles = _tiles(bags, mine if whole else [*mine, *mine])
    with torch.set_grad_enabled(whole):
        for pack in mine:
            found = encoder(next(tiles))
            own |= zip(pack, torch.split(found, [lengths[p] for p in pack]), strict=True)
    parts = processes.share(own, list(lengths))
    outputs = [
        torch.cat([parts[b, c] for c in range(len(chunks))]) for b, chunks in enumerate(bags)
    ]
    if not whole:
        outputs = [found.requires_grad_() for found in outputs]
    loss = loss_of_outputs(outputs)
    torch.autograd.backward(loss)
    if not whole:
        slopes = _slopes(outputs, bags, lengths)
        with _summed_exactly(encoder, processes) as add:
            for pack in mine:
                slope = torch.cat([slopes[p] for p in pack])
                torch.autograd.backward(encoder(next(tiles)), slope)
                add()
    return float(loss.detach()), [found.detach() for found in outputs]


def _lengths(chunks: Sequence[Tensor]) -> list[int]:
    return chunks.lengths if isinstance(chunks, BagChunks) else [len(chunk) for chunk in chunks]


def _packs(lengths: Mapping[Place, int], at_once: int) -> list[Pack]:
    """Join chunks in order while they fit together."""
    packs: list[Pack] = []
    room = 0
    for place, length in lengths.items():
        if packs and length <= room:
            packs[-1].append(place)
        else:
            packs.append([place])
            room = at_once
        room -= length
    return packs


def _tiles(bags: Sequence[Sequence[Tensor]], packs: Sequence[Pack]) -> Iterator[Tensor]:
    """Tiles of each pack in turn: from disk one pack ahead, features from memory as they are wanted."""
    reads = [partial(_read, bags, pack) for pack in packs]
    decoded = any(isinstance(bag, BagChunks) and not bag.bag.holds_features for bag in bags)
    return read_ahead(reads, ahead=decoded)


def _read(bags: Sequence[Sequence[Tensor]], pack: Pack) -> Tensor:
    found = []
    for b, c in pack:
        chunks = bags[b]
        found.append(chunks.read(c) if isinstance(chunks, BagChunks) else chunks[c])
    return torch.cat(found) if len(found) > 1 else found[0]


@contextmanager
def _summed_exactly(encoder: nn.Module, processes: Processes) -> Iterator[Callable[[], None]]:
    """Sum gradients over packs and processes in float64; what was there before is kept."""
    trainable = [p for p in encoder.parameters() if p.requires_grad]
    before = [p.grad for p in trainable]
    totals: list[Tensor | None] = [None] * len(trainable)
    for parameter in trainable:
        parameter.grad = None

    def add() -> None:
        for k, parameter in enumerate(trainable):
            if parameter.grad is not None:
                old, more = totals[k], parameter.grad.double()
                totals[k] = more if old is None else old.add_(more)
                parameter.grad = None

    yield add
    summed = processes.sum_gradients(trainable, totals)
    for parameter, total, grad in zip(trainable, summed, before, strict=True):
        more = None if total is None else total.to(parameter.dtype)
        parameter.grad = grad if more is None else more if grad is None else grad + more


def _slopes(
    outputs: Sequence[Tensor], bags: Sequence[Sequence[Tensor]], lengths: Mapping[Place, int]
) -> dict[Place, Tensor]:
    """Slope of the loss at the outputs of each chunk."""
    found: dict[Place, Tensor] = {}
    for b, (output, chunks) in enumerate(zip(outputs, bags, strict=True)):
        slope = torch.zeros_like(output) if output.grad is None else output.grad
        parts = torch.split(slope, [lengths[b, c] for c in range(len(chunks))])
        found |= {(b, c): piece for c, piece in enumerate(parts)}
    return found
