"""One training, said in plain data, so that every process of a launcher can take part in it.

The first process leads: it prepares slides, says what is to be learnt and writes every file. The
others hear of each lesson as JSON, open the same bags and learn along until they are dismissed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from jecur.mil.bag import open_bag
from jecur.runs.workers import Progress, SilentProgress
from jecur.settings import TrainingSettings
from jecur.training.checkpoint import TrainingState
from jecur.training.loop import LabeledBag, Trained, train_encoder
from jecur.training.processes import ALONE, Processes, join_processes

__all__ = ["Example", "TrainingTask", "run_training_task", "serve_rank", "stop_ranks"]


class Example(msgspec.Struct, frozen=True):
    """One patient to learn from."""

    patient: str
    bags: tuple[str, ...]
    """Files of the patient's slides."""
    recurred: bool
    months: float


class TrainingTask(msgspec.Struct, frozen=True):
    """Everything that decides what is learnt."""

    training: tuple[Example, ...]
    tuning: tuple[Example, ...]
    settings: TrainingSettings
    checkpoints: str
    mark: str


def run_training_task(
    lesson: TrainingTask,
    *,
    progress: Progress,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
    processes: Processes = ALONE,
) -> tuple[Trained, list[LabeledBag]]:
    """Train on the lesson's bags; returns what was learnt and the training bags.

    Under a launcher the first process calls this, and the others are told.
    """
    processes.tell(msgspec.json.encode(lesson))
    return _train(lesson, progress, on_epoch, processes)


def serve_rank() -> None:
    """Learn along with the first process, lesson by lesson, until it dismisses the others."""
    processes = join_processes()
    while said := processes.tell():
        lesson = msgspec.json.decode(said, type=TrainingTask)
        _train(lesson, SilentProgress(), lambda _: None, processes)


def _train(
    lesson: TrainingTask,
    progress: Progress,
    on_epoch: Callable[[TrainingState], None],
    processes: Processes,
) -> tuple[Trained, list[LabeledBag]]:
    training, tuning = _opened(lesson.training), _opened(lesson.tuning)
    trained = train_encoder(
        training,
        tuning,
        lesson.settings,
        checkpoints=Path(lesson.checkpoints),
        mark=lesson.mark,
        progress=progress,
        on_epoch=on_epoch,
        processes=processes,
    )
    return trained, training


def stop_ranks() -> None:
    """Tell the others that there is nothing more to learn."""
    join_processes().tell()


def _opened(examples: Sequence[Example]) -> list[LabeledBag]:
    return [
        LabeledBag(e.patient, open_bag([Path(p) for p in e.bags]), e.recurred, e.months)
        for e in examples
    ]
