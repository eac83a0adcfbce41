"""Run the same work over many slides, here, in processes or on a cluster; a bad slide never stops the rest.

Which machines do the work changes no result, so no stage is told: `working_with` makes another engine the
one in use for the length of a block.
"""

import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from jecur.errors import NOBODYS_FAULT, JecurError, SlideError, SystemRefusedError, refusal
from jecur.runs.progress import Progress, SilentProgress
from jecur.runs.worker_pool import Finished, Lost, work_off

__all__ = [
    "Engine",
    "Failure",
    "Outcome",
    "Progress",
    "SilentProgress",
    "run_all",
    "working_with",
]

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    seconds: float = field(default=0.0, compare=False)
    """What it took, waiting left out."""


class Engine(Protocol):
    """Does work elsewhere than in processes of this machine."""

    def work_off(
        self,
        work: Callable[[Item], Any],
        items: Sequence[Item],
        *,
        workers: int,
        limit_s: Callable[[Item], float] | None = None,
    ) -> Iterator[Finished]:
        """Apply ``work`` to every item, as `jecur.runs.worker_pool.work_off`."""


_IN_USE: ContextVar[Engine | None] = ContextVar("engine", default=None)


@contextmanager
def working_with(engine: Engine) -> Iterator[None]:
    """Let `run_all` give its work to an engine for the length of a block."""
    before = _IN_USE.set(engine)
    try:
        yield
    finally:
        _IN_USE.reset(before)


def run_all(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    progress: Progress,
    title: str,
    limit_s: Callable[[Item], float] | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Apply ``work`` to every item; yield outcomes as they come, in any order.

    Parameters
    ----------
    work
        A module-level function.
    items
        Values that can cross a process border.
    workers
        Processes; 1 without a limit works in this one.
    progress
        Draws a bar named ``title``.
    limit_s
        Seconds an item may take, by item; None sets no limit.

    Yields
    ------
    Outcome
        The result, or a `Failure`: a user error as raised, our own bug with code
        ``internal-error``, work that took too long with ``timeout``, a process that died too often
        over the same item with ``crashed``, or ``killed`` if the system ended it.

    Raises
    ------
    SystemRefusedError
        If the disk is full, or anything else is refused that no item can bring about.
    """
    engine = _IN_USE.get()
    outcomes = (
        _here(work, items)
        if engine is None and limit_s is None and (workers <= 1 or len(items) <= 1)
        else _elsewhere(work, items, workers, limit_s, engine)
    )
    # closed here: an error that is kept would keep the processes with it, to the end of ours
    with progress.task(title, len(items)) as advance, closing(outcomes):
        for outcome in outcomes:
            if isinstance(outcome.result, Failure) and isinstance(
                outcome.result.error, SystemRefusedError
            ):
                raise outcome.result.error
            advance()
            yield outcome


def _here(
    work: Callable[[Item], Result], items: Sequence[Item]
) -> Generator[Outcome[Item, Result], None, None]:
    for item in items:
        start = time.monotonic()
        result = _guarded(work, item)
        yield Outcome(item, result, time.monotonic() - start)


def _elsewhere(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    limit_s: Callable[[Item], float] | None,
    engine: Engine | None,
) -> Generator[Outcome[Item, Result], None, None]:
    """Give the work to an engine, or to processes of this machine."""
    way = work_off if engine is None else engine.work_off
    for done in way(partial(_guarded, work), items, workers=workers, limit_s=limit_s):
        item, answer = items[done.index], done.answer
        result = _lost(answer, done.seconds) if isinstance(answer, Lost) else answer
        yield Outcome(item, result, done.seconds)


def _lost(lost: Lost, seconds: float) -> Failure:
    """Say why there is no answer."""
    if lost.why == "timeout":
        return Failure(
            SlideError(
                f"expected an end within the limit, found none after {seconds:.0f} s; the file is "
                "damaged or on a slow disk: copy it here, or raise slide_minutes under [compute]",
                code="timeout",
            )
        )
    if lost.exit_code == -signal.Signals.SIGKILL:
        return Failure(
            SlideError(
                "expected enough memory for a slide a worker, found that the system killed its "
                "process twice; use fewer workers (-j) or close other programs",
                code="killed",
            )
        )
    times = "twice" if lost.times == 2 else f"{lost.times} times"
    message = (
        "expected the slide library to read the file or refuse it, found that it ended its "
        f"process {times}; the file is damaged: scan or export it again"
    )
    return Failure(SlideError(message, code="crashed"))


def _guarded(work: Callable[[Item], Result], item: Item) -> Result | Failure:
    try:
        return work(item)
    except JecurError as error:
        return Failure(error)
    except MemoryError:
        message = (
            "expected enough memory for this slide, found too little; use fewer workers (-j), "
            "close other programs, or check that the file is whole"
        )
        return Failure(SlideError(message, code="out-of-memory"))
    except Exception as error:  # noqa: BLE001 - one slide's bug must not lose the cohort
        if isinstance(error, OSError) and error.errno in NOBODYS_FAULT:
            return Failure(refusal(error))
        message = f"internal error ({type(error).__name__}: {error}); please report it"
        return Failure(SlideError(message, code="internal-error"), traceback.format_exc())
