"""A few watched processes that take one piece of work each, and what became of every piece.

The parent gives work out piece by piece, so it knows at every moment which process holds what. A
process that dies costs its piece a second try and leaves the others alone; one that takes too long is
killed; all of them end with their parent, however it dies.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Any, Generic, Literal, TypeVar

from jecur.errors import SystemRefusedError
from jecur.runs.orphans import BindingName, end_with_parent

__all__ = [
    "Finished",
    "Lost",
    "kept_between_works",
    "started_early",
    "without_the_script",
    "work_off",
]

_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TICK_S = 0.5
"""The parent looks at the clock at least so often."""
_GRACE_S = 5.0
"""What a killed process is waited for: one stuck in the kernel (a dead network drive) is left."""
_TRIES = 2
_STILLBORN = 3
"""So many processes may die before their first word, as long as none has said one."""

_KEPT_AT_MOST = 4
"""Idle processes hold memory, some 0.3 GB each, while the parent trains."""

_STOCK: list["_Worker"] = []
"""Processes without work: started early, or kept from one work for the next."""
_keep = 0
"""How many of the processes of a work that has ended may join the stock."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: the process died twice over this piece of work, or took too long once."""

    why: Literal["died", "timeout"]
    exit_code: int = 0
    """Of the process that died; the negative number of the signal that killed it."""
    times: int = 2
    """How often the process died."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """First word of a process: it has started, and everything it needs is imported."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What a process is told to do to each piece from now on."""

    function: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of one piece of work."""

    index: int
    """Place among the items."""
    answer: Any
    """What the work returned, or `Lost`."""
    seconds: float
    """From giving it out to the answer."""


def work_off(
    work: Callable[[Item], Any],
    items: Sequence[Item],
    *,
    workers: int,
    limit_s: Callable[[Item], float] | None = None,
) -> Iterator[Finished]:
    """Apply ``work`` to every item in processes of its own; yield answers as they come.

    Parameters
    ----------
    work
        A module-level function that returns and does not raise.
    items
        Values that can cross a process border, as must what ``work`` returns (both small).
    workers
        Processes at most.
    limit_s
        Seconds an item may take; None sets no limit. Time in which the parent itself was stopped
        does not count.

    Raises
    ------
    SystemRefusedError
        If no process can be started at all: that is the fault of no piece of work.
    """
    with _one_thread_each():
        yield from _Crew(work, items, workers, limit_s).run()


@contextmanager
def started_early(workers: int, module: str) -> Iterator[None]:
    """Start processes for the work of a block before its work is known.

    What they need takes a second or two to import; so does what the command itself needs: both at once.
    Processes that find no work end with the block.

    Parameters
    ----------
    workers
        Processes.
    module
        Is imported in each: that of the work.
    """
    with _one_thread_each():
        _STOCK.extend(_Worker(module) for _ in range(workers))
    try:
        yield
    finally:
        _end_what_is_not_kept()


@contextmanager
def kept_between_works(workers: int) -> Iterator[None]:
    """Let the works of a block, one after the other, share their processes; they end with the block.

    Parameters
    ----------
    workers
        Processes that are kept, four at most.
    """
    global _keep  # noqa: PLW0603 - as `_STOCK`: of this process, whoever gives out work in it
    before, _keep = _keep, min(workers, _KEPT_AT_MOST)
    try:
        yield
    finally:
        _keep = before
        _end_what_is_not_kept()


class _Worker:
    """One process, the pipe to it and the piece of work it holds."""

    def __init__(self, module: str = "") -> None:
        context = multiprocessing.get_context("spawn")  # forked ONNX Runtime threads hang
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve,
            name=BindingName("jecur-worker"),
            args=(theirs, module, os.getpid()),
            daemon=True,
        )
        with _without_interrupts(), without_the_script():
            self.process.start()
        theirs.close()  # or its death would not close the pipe
        self.holds: int | None = None
        self.ready = False
        self.watched_s = 0.0
        self.since = 0.0

    def take_on(self, work: Callable[[Any], Any]) -> None:
        """Tell the process, before the first piece of a work, what is done to each."""
        self.ready = False
        with suppress(OSError):  # as in `give`
            self.pipe.send(_Work(work))

    def set_aside(self) -> None:
        """End of a work: keep an idle process for the next one, if that is asked for."""
        if self.holds is None and len(_STOCK) < _keep and self.process.is_alive():
            _STOCK.append(self)
        else:
            self.end()

    def give(self, index: int, item: object) -> None:
        self.holds, self.watched_s, self.since = index, 0.0, time.monotonic()
        with suppress(OSError):  # it has just died: seen at the next look
            self.pipe.send(item)

    def end(self) -> int:
        """Kill the process, stopped or not; return its exit code."""
        self.process.kill()
        self.process.join(_GRACE_S)
        self.pipe.close()
        return self.process.exitcode or 0


class _Crew(Generic[Item]):
    """The processes of one call of `work_off`."""

    def __init__(
        self,
        work: Callable[[Item], Any],
        items: Sequence[Item],
        workers: int,
        limit_s: Callable[[Item], float] | None,
    ) -> None:
        self._work, self._items, self._limit_s = work, items, limit_s
        self._size = max(1, min(workers, len(items)))
        self._waiting = deque(range(len(items)))
        self._tries = [0] * len(items)
        self._crew: list[_Worker] = []
        self._stillborn = 0
        self._started = False

    def run(self) -> Iterator[Finished]:
        try:
            last = time.monotonic()
            while self._waiting or self._busy():
                self._give_out()
                wait([worker.pipe for worker, _ in self._busy()], timeout=_TICK_S)
                # A parent that was stopped (Ctrl-Z) must not find that every worker was too slow.
                passed, last = min(time.monotonic() - last, 2 * _TICK_S), time.monotonic()
                for worker, index in self._busy():
                    worker.watched_s += passed
                    found = self._look_at(worker, index)
                    if found is not None:
                        yield found
        finally:
            for worker in self._crew:
                worker.set_aside()

    def _busy(self) -> list[tuple[_Worker, int]]:
        """Workers that hold a piece of work, each with its place among the items."""
        return [(worker, worker.holds) for worker in self._crew if worker.holds is not None]

    def _give_out(self) -> None:
        idle = [worker for worker in self._crew if worker.holds is None]
        for worker in [worker for worker in idle if not worker.process.is_alive()]:
            idle.remove(worker)
            self._dismiss(worker)
        while self._waiting and (idle or len(self._crew) < self._size):
            worker = idle.pop() if idle else self._hire()
            index = self._waiting.popleft()
            self._tries[index] += 1
            worker.give(index, self._items[index])

    def _hire(self) -> _Worker:
        worker = _from_stock() or _Worker()
        worker.take_on(self._work)
        self._crew.append(worker)
        return worker

    def _look_at(self, worker: _Worker, index: int) -> Finished | None:
        """See whether a busy worker has answered, has died or is late."""
        try:
            if worker.pipe.poll():
                answer = worker.pipe.recv()
                if isinstance(answer, _Ready):
                    self._started = worker.ready = True
                    return None
                worker.holds = None
                return self._finished(worker, index, answer)
        except (EOFError, OSError):
            return self._bury(worker, index)
        if self._limit_s is not None and worker.watched_s > self._limit_s(self._items[index]):
            self._dismiss(worker)
            return self._finished(worker, index, Lost("timeout"))
        return None

    def _bury(self, worker: _Worker, index: int) -> Finished | None:
        worker.process.join(_GRACE_S)  # its own exit code, not that of our kill
        exit_code = self._dismiss(worker)
        if not (worker.ready or self._started):
            self._stillborn += 1
            self._tries[index] -= 1  # it was never looked at
            if self._stillborn >= _STILLBORN * self._size:
                raise SystemRefusedError(
                    f"expected worker processes that start, found that {self._stillborn} ended with code "
                    f"{exit_code} before their first slide; close other programs, look at the limits of "
                    "memory and processes (ulimit -a), or install jecur anew",
                    code="workers-do-not-start",
                )
        if self._tries[index] < _TRIES:
            self._waiting.append(index)
            return None
        return self._finished(worker, index, Lost("died", exit_code))

    def _dismiss(self, worker: _Worker) -> int:
        self._crew.remove(worker)
        return worker.end()

    def _finished(self, worker: _Worker, index: int, answer: object) -> Finished:
        return Finished(index, answer, time.monotonic() - worker.since)


def _end_what_is_not_kept() -> None:
    """End of a block: of the stock stays what an outer one keeps."""
    while len(_STOCK) > _keep:
        _STOCK.pop().end()


def _from_stock() -> _Worker | None:
    """Take a process that lives from the stock; None if there is none."""
    while _STOCK:
        worker = _STOCK.pop()
        if worker.process.is_alive():
            return worker
        worker.end()
    return None


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start in this block have one numerical thread: they share the cores."""
    before = {name: os.environ.get(name) for name in _THREAD_COUNTS}
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))  # read by the children when they start
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let a process that starts in this block not see Ctrl-C, from its very first moment."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it is started with the first child, and lets Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def without_the_script() -> Iterator[None]:
    """Let a process that starts in this block not run the caller's script again.

    A spawned process imports it under another name, so a script of plain lines would start itself over
    in every worker. The work is the package's own: no worker needs anything of the script.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _serve(pipe: "Connection[Any, Any]", module: str, parent: int) -> None:
    """Import a module, hear what the work is and work off what the parent gives, until it is no more."""
    end_with_parent(parent)  # once more, should `BindingName` ever arrive later than it does
    threading.Thread(target=_wait_for_the_end, name="parent-watch", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the parent ends us
    if module:
        importlib.import_module(module)
    work: Callable[[Any], Any] = _nothing
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        if isinstance(item, _Work):
            work, answer = item.function, _Ready()
        else:
            answer = work(item)
        try:
            pipe.send(answer)
        except OSError:  # no parent any more
            return


def _nothing(item: object) -> None:
    raise RuntimeError(f"expected to be told what to do with {item!r} before it came")


def _wait_for_the_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
