"""One training run as plain data, so that every process of a launcher can take part in it.

The main process prepares slides, sends each training task as JSON and writes every file. The other
ranks open the same bags and train with it until they are stopped.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import torch

from jecur.mil.bag import open_bag
from jecur.runs.cores import cores
from jecur.runs.device import Device, Devices, computing_on, devices_in_use
from jecur.runs.progress import Progress, SilentProgress
from jecur.settings import TrainingSettings
from jecur.training.checkpoint import TrainingState
from jecur.training.loop import LabeledBag, Trained, score_bags, train_encoder
from jecur.training.processes import ALONE, Processes, join_processes

__all__ = [
    "Example",
    "TrainingTask",
    "run_training_task",
    "score_examples",
    "serve_rank",
    "stop_ranks",
]


class Example(msgspec.Struct, frozen=True):
    """One patient to train on."""

    patient: str
    bags: tuple[str, ...]
    """Files of the patient's slides."""
    recurred: bool
    months: float
    covariates: tuple[float, ...] = ()
    """Standardized; empty where tiles alone are trained on."""


class TrainingTask(msgspec.Struct, frozen=True):
    """Everything that decides how a model is trained."""

    training: tuple[Example, ...]
    tuning: tuple[Example, ...]
    settings: TrainingSettings
    checkpoints: str
    mark: str
    tile_px: int = 224
    """Side of a tile."""
    described: bool = False
    """The bags hold tiles as the encoder, which is not trained, describes them."""
    of_covariates: tuple[float, ...] = ()
    """Weights from which those of the examples' covariates start; empty: tiles alone."""
    device: Device = "cpu"
    """All processes train on it."""


def run_training_task(
    task: TrainingTask,
    *,
    progress: Progress,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
    processes: Processes = ALONE,
) -> tuple[Trained, list[LabeledBag]]:
    """Train on the task's bags; returns the trained model and the training bags.

    Under a launcher the main process calls this, and the task is sent to the other ranks.
    """
    processes.broadcast(msgspec.json.encode(task))
    return _train(task, progress, on_epoch, processes)


def score_examples(
    task: TrainingTask, trained: Trained, patients: Sequence[Example]
) -> tuple[float, ...]:
    """Score patients by what the task trained, in the main process; outcomes are not looked at."""
    with computing_on(Devices(devices_in_use().slides, task.device)):
        return score_bags(trained, _opened(patients), task.settings)


def serve_rank() -> None:
    """Train along with the main process, task by task, until it stops the other ranks."""
    processes = join_processes()
    while message := processes.broadcast():
        task = msgspec.json.decode(message, type=TrainingTask)
        _train(task, SilentProgress(), lambda _: None, processes)


def _train(
    task: TrainingTask,
    progress: Progress,
    on_epoch: Callable[[TrainingState], None],
    processes: Processes,
) -> tuple[Trained, list[LabeledBag]]:
    training, tuning = _opened(task.training), _opened(task.tuning)
    # torch knows the affinity of its process, not the quota of a container
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    with computing_on(Devices(devices_in_use().slides, task.device)):
        trained = train_encoder(
            training,
            tuning,
            task.settings,
            checkpoints=Path(task.checkpoints),
            mark=task.mark,
            progress=progress,
            on_epoch=on_epoch,
            processes=processes,
            described=task.described,
            of_covariates=task.of_covariates,
        )
    return trained, training


def stop_ranks() -> None:
    """Tell the other ranks that there is no further task."""
    join_processes().broadcast()


def _opened(examples: Sequence[Example]) -> list[LabeledBag]:
    return [
        LabeledBag(
            e.patient, open_bag([Path(p) for p in e.bags]), e.recurred, e.months, e.covariates
        )
        for e in examples
    ]
