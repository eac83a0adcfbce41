"""Several processes that train one model: tiles are shared out, gradients are summed.

Started by ``torchrun``, ``accelerate launch`` or ``srun``, which name rank and number in the environment. All
processes hold the same weights and take the same steps; each sees its share of the chunks of a step.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from jecur.runs.launcher import launched, name_rendezvous

__all__ = [
    "ALONE",
    "Place",
    "Processes",
    "join_processes",
    "joined_processes",
    "leave_processes",
]

PATIENCE = timedelta(days=7)
"""How long the other ranks wait for the main process, which may be preparing slides."""

Place = tuple[int, int]
"""Bag and chunk."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The rank of this process and how many there are.

    Parameters
    ----------
    rank
        This process, 0 <= rank < n; rank 0 is the main process and alone writes files.
    n
        Number of processes.
    """

    rank: int = 0
    n: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has reached this point."""
        if self.n > 1:
            distributed.barrier()

    def highest(self, number: int) -> int:
        """Return the highest number of all processes, in all of them."""
        if self.n == 1:
            return number
        together = torch.tensor(number)
        distributed.all_reduce(together, distributed.ReduceOp.MAX)
        return int(together)

    def broadcast(self, message: bytes = b"") -> bytes:
        """Return in every process the message of the main one; those of the others are ignored."""
        if self.n == 1:
            return message
        length = torch.tensor(len(message))
        distributed.broadcast(length, 0)
        text = torch.zeros(int(length), dtype=torch.uint8)
        if self.rank == 0:
            text = torch.tensor(list(message), dtype=torch.uint8)
        if len(text):
            distributed.broadcast(text, 0)
        return bytes(text.tolist())

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

    def sum_gradients(
        self, parameters: Sequence[Tensor], totals: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        """Sum each parameter's float64 gradient over processes; None where no process has a gradient."""
        if self.n == 1:
            return totals
        here = torch.tensor([float(t is not None) for t in totals])
        distributed.all_reduce(here)
        wanted = [k for k, n in enumerate(here.tolist()) if n > 0]
        flat = torch.cat(
            [
                torch.zeros(parameters[k].numel(), dtype=torch.float64, device=parameters[k].device)
                if (total := totals[k]) is None
                else total.flatten()
                for k in wanted
            ]
        )
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [parameters[k].numel() for k in wanted])
        summed = dict(zip(wanted, pieces, strict=True))
        return [
            summed[k].view_as(parameter) if k in summed else None
            for k, parameter in enumerate(parameters)
        ]


ALONE = Processes()
"""One process."""


def join_processes() -> Processes:
    """Join the processes that a launcher started, once; `ALONE` if there was no launcher.

    Raises
    ------
    TrainingError
        If there are several and it is not said where they meet.
    """
    here = launched()
    if here is None:
        return ALONE
    if not distributed.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(here.local % torch.cuda.device_count())
        name_rendezvous(here)
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
    return Processes(distributed.get_rank(), distributed.get_world_size())


def leave_processes() -> None:
    """Undo `join_processes`."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join for the length of a block."""
    try:
        yield join_processes()
    finally:
        leave_processes()
