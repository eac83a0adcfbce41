"""Run the same work over many slides, here, in processes; one bad slide never stops the rest."""

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from jecur.errors import JecurError, SlideError

__all__ = ["Failure", "Outcome", "Progress", "SilentProgress", "process_pool", "run_all"]

_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Progress(Protocol):
    """Where long work says how far it is; the command line draws it, a library user need not."""

    def task(self, title: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Open a bar of ``total`` steps; the value of the block advances it by one."""

    def say(self, line: str) -> None:
        """Show one line of prose."""

    def note(self, text: str) -> None:
        """Show how the present task is going, beside its bar, in place of what was there."""


class SilentProgress:
    """Says nothing."""

    def task(self, title: str, total: int) -> AbstractContextManager[Callable[[], None]]:  # noqa: ARG002
        """Open a bar that nobody sees."""
        return nullcontext(lambda: None)

    def say(self, line: str) -> None:
        """Drop the line."""

    def note(self, text: str) -> None:
        """Drop the text."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Work that did not succeed: the error to show, and where our own code broke if it did."""

    error: JecurError
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """One item and what became of it."""

    item: Item
    result: Result | Failure


def run_all(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    progress: Progress,
    title: str,
) -> Iterator[Outcome[Item, Result]]:
    """Apply ``work`` to every item; yield outcomes as they come, in any order.

    Parameters
    ----------
    work
        A module-level function.
    items
        Values that can cross a process border.
    workers
        Processes; 1 works in this one.
    progress
        Draws a bar named ``title``.

    Yields
    ------
    Outcome
        The result, or a `Failure`: a user error as raised, our own bug with code
        ``internal-error``, a dead process with code ``crashed``.
    """
    with progress.task(title, len(items)) as advance:
        outcomes = (
            (Outcome(item, _guarded(work, item)) for item in items)
            if workers <= 1 or len(items) <= 1
            else _in_processes(work, items, workers)
        )
        for outcome in outcomes:
            advance()
            yield outcome


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of fresh processes with one numerical thread each: they share the cores."""
    context = multiprocessing.get_context("spawn")  # forked ONNX Runtime threads hang
    before = {name: os.environ.get(name) for name in _THREAD_COUNTS}
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))  # read by the children when they start
    try:
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Outcome[Item, Result]]:
    done: set[int] = set()
    try:
        with process_pool(min(workers, len(items))) as pool:
            futures: dict[Future[Result | Failure], int] = {
                pool.submit(_guarded, work, item): i for i, item in enumerate(items)
            }
            for future in as_completed(futures):
                result = future.result()
                done.add(futures[future])
                yield Outcome(items[futures[future]], result)
    except BrokenProcessPool:
        # A native library killed its process. Go on one by one to learn which item did it.
        for i, item in enumerate(items):
            if i not in done:
                yield Outcome(item, _alone(work, item))


def _alone(work: Callable[[Item], Result], item: Item) -> Result | Failure:
    try:
        with process_pool(1) as pool:
            return pool.submit(_guarded, work, item).result()
    except BrokenProcessPool:
        message = (
            "expected the slide library to read the file or refuse it, found that it ended its "
            "process; the file is damaged: scan or export it again"
        )
        return Failure(SlideError(message, code="crashed"))


def _guarded(work: Callable[[Item], Result], item: Item) -> Result | Failure:
    try:
        return work(item)
    except JecurError as error:
        return Failure(error)
    except Exception as error:  # noqa: BLE001 - one slide's bug must not lose the cohort
        message = f"internal error ({type(error).__name__}: {error}); please report it"
        return Failure(SlideError(message, code="internal-error"), traceback.format_exc())
