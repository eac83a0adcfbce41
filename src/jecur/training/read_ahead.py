"""Tiles read and decoded in a thread while the network is at work on those before."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from jecur.training.device import to_device, training_device

__all__ = ["read_ahead"]


def read_ahead(reads: Sequence[Callable[[], Tensor]], *, ahead: bool = True) -> Iterator[Tensor]:
    """Yield what each function reads, in order and on the training device; the next is read meanwhile.

    One more than the one at hand is in memory, never two. On a graphics card it lies in pinned memory, from
    which it is copied while the card computes. The tensors are those of reading one after the other.

    Parameters
    ----------
    reads
        Each reads tiles into the memory of the processor, in any thread, one at a time.
    ahead
        False reads each when it is wanted: for features, which need no decoding.
    """
    if len(reads) < 2 or not ahead:
        for read in reads:
            yield to_device(read())
        return
    pinned = _pinning()
    with ThreadPoolExecutor(1, thread_name_prefix="jecur-reader") as reader:
        waiting = reader.submit(pinned, reads[0])
        for k in range(len(reads)):
            found = waiting.result()
            if k + 1 < len(reads):
                waiting = reader.submit(pinned, reads[k + 1])
            yield to_device(found)


def _pinning() -> Callable[[Callable[[], Tensor]], Tensor]:
    """Give what reads and, for a graphics card, pins: on the card of this thread, not the reader's."""
    if training_device().type == "cpu":
        return lambda read: read()
    card = torch.cuda.current_device()

    def pinned(read: Callable[[], Tensor]) -> Tensor:
        with torch.cuda.device(card):
            return read().pin_memory()

    return pinned
