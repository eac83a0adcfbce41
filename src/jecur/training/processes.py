"""Several processes that learn one model: tiles are shared out, gradients are summed.

Started by ``torchrun`` or ``accelerate launch``, which name rank and number in the environment. All
processes hold the same weights and take the same steps; each sees its share of the chunks of a step.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

__all__ = ["ALONE", "Place", "Processes", "joined_processes"]

PATIENCE = timedelta(days=7)
"""How long the others wait for the first, which may be preparing slides."""

Place = tuple[int, int]
"""Bag and chunk."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Who takes part.

    Parameters
    ----------
    rank
        This process, 0 <= rank < n; the first one alone writes files.
    n
        How many there are.
    """

    rank: int = 0
    n: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.n > 1:
            distributed.barrier()

    def share(
        self, parts: Mapping[Place, Tensor], places: Sequence[Place]
    ) -> Mapping[Place, Tensor]:
        """Collect the outputs of all chunks from those that each process has, unchanged."""
        if self.n == 1:
            return parts
        first = next(iter(parts.values()), torch.zeros(0))
        length = torch.tensor([len(parts[p]) if p in parts else 0 for p in places])
        width = torch.tensor(0 if first.ndim == 1 else first.shape[1])
        distributed.all_reduce(length)
        distributed.all_reduce(width, distributed.ReduceOp.MAX)
        columns = max(int(width), 1)
        together = torch.zeros(int(length.sum()), columns, dtype=torch.float64)
        starts = dict(zip(places, (length.cumsum(0) - length).tolist(), strict=True))
        for place, part in parts.items():
            end = starts[place] + len(part)
            together[starts[place] : end] = part.detach().cpu().double().reshape(-1, columns)
        distributed.all_reduce(together)  # zeros elsewhere: a sum of one number and zeros
        pieces = torch.split(together.to(first), length.tolist())
        return {
            place: piece if int(width) else piece.flatten()
            for place, piece in zip(places, pieces, strict=True)
        }

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace each gradient by its sum over processes; a pooling's is the same in all already."""
        if self.n == 1:
            return
        shared = [
            parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and not name.startswith("pooling.")
        ]
        for parameter in shared:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.flatten() for p in shared if p.grad is not None])
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [p.numel() for p in shared])
        for parameter, piece in zip(shared, pieces, strict=True):
            parameter.grad = piece.view_as(parameter).clone()


ALONE = Processes()
"""One process."""


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the processes that a launcher started; one alone if there was no launcher."""
    n = int(os.environ.get("WORLD_SIZE", "1"))
    if n <= 1:
        yield ALONE
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
