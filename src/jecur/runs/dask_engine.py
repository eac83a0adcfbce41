"""Work given to the workers of a Dask cluster: the same pieces, the same answers, other machines.

A worker that dies costs its piece of work another try, as the scheduler counts (three more); one that
takes too long ends itself and is replaced by its nanny. Pieces are submitted as workers become free, so
the memory of this process does not grow with the cohort. Nothing here is imported without the extra.
"""

import os
import platform
import queue
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jecur
from jecur.errors import SystemRefusedError
from jecur.runs.worker_pool import Finished, Lost

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["TRIES", "DaskEngine"]

Item = TypeVar("Item")

TRIES = 4
"""A piece of work is tried so often: once, and three times more."""
_TICK_S = 1.0
_LONELY_S = 60.0
"""After so long without any worker, it is said."""
_MOST_RENEWALS = 3
"""A nanny that cannot start its worker in time, on a busy machine, gives up and says nothing."""
_FETCH_S = 5.0
"""An answer, of a few hundred bytes, is fetched in so long, or looked for again."""
_LATE = "jecur-late"
_NOT_YET = {"pending", "lost"}
_GRACE_S = 3.0
"""Between saying that a piece of work is late and ending its process."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One piece of work, and what must be the same where it is done."""

    work: Callable[[Any], Any]
    item: object
    key: str
    limit_s: float | None
    folder: str
    version: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the work returned, or why this worker can do none."""

    value: Any
    seconds: float
    refused: SystemRefusedError | None = None


class DaskEngine:
    """Gives work to a cluster; `jecur.runs.workers.working_with` makes it the one in use.

    Parameters
    ----------
    client
        Connected to the scheduler.
    most
        Workers there may be at most; 0 if not known.
    say
        Shows a line to the user.
    renew
        Starts the workers anew: called where none has been left for a minute. None waits for those that come
        in their own time, as jobs of a queue do.
    """

    def __init__(
        self,
        client: "Client",
        *,
        most: int = 0,
        say: Callable[[str], None],
        renew: Callable[[], None] | None = None,
    ) -> None:
        self._client, self._most, self._say, self._renew = client, most, say, renew
        self._n_renewed = 0
        self._heard: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._n_workers, self._counted = 0, -_LONELY_S
        self._lonely_since = time.monotonic()
        self._told = False

    def work_off(
        self,
        work: Callable[[Item], Any],
        items: Sequence[Item],
        *,
        workers: int,  # noqa: ARG002 - the cluster's own number counts
        limit_s: Callable[[Item], float] | None = None,
    ) -> Iterator[Finished]:
        """Apply ``work`` to every item on the cluster; yield answers as they come.

        Parameters are those of `jecur.runs.worker_pool.work_off`.

        Raises
        ------
        SystemRefusedError
            If a worker is not fit for the work, or the scheduler is gone.
        """
        run = uuid.uuid4().hex[:12]
        waiting = deque(range(len(items)))
        running: dict[str, tuple[int, Future, float]] = {}
        with self._listening():
            try:
                while waiting or running:
                    while waiting and len(running) < self._window():
                        index = waiting.popleft()
                        call = self._call(work, items[index], f"{run}-{index}", limit_s)
                        running[call.key] = index, self._submit(call), time.monotonic()
                    found = self._next(running)
                    if found is not None:
                        yield found
            finally:
                left = [future for _, future, _ in running.values()]
                if left:
                    with suppress(Exception):  # the scheduler may be gone
                        self._client.cancel(left)

    def _call(
        self,
        work: Callable[[Item], Any],
        item: Item,
        key: str,
        limit_s: Callable[[Item], float] | None,
    ) -> _Call:
        limit = limit_s(item) if limit_s is not None else None
        return _Call(work, item, f"jecur-{key}", limit, str(Path.cwd()), jecur.__version__)

    def _submit(self, call: _Call) -> "Future":
        future = self._client.submit(_serve, call, key=call.key, pure=False)
        future.add_done_callback(self._tell)
        return future

    def _tell(self, done: "Future") -> None:
        self._heard.put(("ended", done.key))

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Hear which pieces of work are late."""
        heard = self._heard
        self._client.subscribe_topic(_LATE, lambda event: heard.put(("late", event[1]["key"])))
        try:
            yield
        finally:
            with suppress(Exception):
                self._client.unsubscribe_topic(_LATE)

    def _window(self) -> int:
        """How many pieces may be given out: each worker has one to do and one to come."""
        now = time.monotonic()
        if now - self._counted >= _TICK_S:
            self._counted = now
            self._n_workers = len(self._client.nthreads())
            if self._n_workers:
                self._lonely_since = now
            elif now - self._lonely_since > _LONELY_S:
                self._without_workers(now)
        return 2 * max(self._n_workers, self._most, 1)

    def _without_workers(self, now: float) -> None:
        """Wait for jobs that may still stand in a queue; start processes of this machine anew."""
        if self._renew is None:
            if not self._told:
                self._told = True
                self._say(f"no worker has come yet to {self._client.scheduler.address}; waiting")
            return
        if self._n_renewed == _MOST_RENEWALS:
            raise SystemRefusedError(
                "expected worker processes that stay, found none left, although they were started anew "
                f'{_MOST_RENEWALS} times; close other programs, or take engine = "local"; the same '
                "command goes on",
                code="no-workers",
            )
        self._n_renewed += 1
        self._lonely_since = now
        self._say("no worker process is left; starting them anew")
        self._renew()

    def _next(self, running: dict[str, tuple[int, "Future", float]]) -> Finished | None:
        """Wait a moment for a piece of work to end, or to be late."""
        try:
            what, key = self._heard.get(timeout=_TICK_S)
        except queue.Empty:
            self._window()
            return None
        if key not in running:
            return None
        index, future, began = running.pop(key)
        seconds = time.monotonic() - began
        if what == "late":
            self._client.cancel([future])
            return Finished(index, Lost("timeout"), seconds)
        try:
            return self._ended(index, future, seconds)
        except TimeoutError:
            time.sleep(_TICK_S / 5)
            running[key] = index, future, began
            future.add_done_callback(self._tell)
            self._window()
            return None

    def _ended(self, index: int, future: "Future", seconds: float) -> Finished:
        """Fetch the answer.

        Raises
        ------
        TimeoutError
            If the worker that held it died before, or meanwhile: the scheduler has it made anew, if a worker
            is left.
        """
        from distributed.scheduler import KilledWorker  # noqa: PLC0415

        if future.status in _NOT_YET and self._client.status == "running":
            raise TimeoutError
        if future.status == "finished":
            try:
                answer: _Answer = future.result(timeout=_FETCH_S)
            except KilledWorker:  # made anew meanwhile, in vain
                return Finished(index, Lost("died", times=TRIES), seconds)
            if answer.refused is not None:
                raise answer.refused
            return Finished(index, answer.value, answer.seconds)
        if future.status == "error":
            error = future.exception(timeout=_FETCH_S)
            if isinstance(error, KilledWorker):
                return Finished(index, Lost("died", times=TRIES), seconds)
            raise SystemRefusedError(
                f"expected workers with the same jecur and Python, found {type(error).__name__}: {error}; "
                "install the same on all machines",
                code="other-workers",
            )
        raise SystemRefusedError(
            "expected the scheduler to stay, found that it or its connection is gone; run the same command "
            "again to go on",
            code="no-scheduler",
        )


def _serve(call: _Call) -> _Answer:
    """Do one piece of work, in a worker."""
    from distributed import get_worker  # noqa: PLC0415

    worker = get_worker()
    refused = _refusal(call, worker.state.nthreads)
    if refused is not None:
        return _Answer(None, 0.0, refused)
    watch = None
    if call.limit_s is not None:
        watch = threading.Timer(call.limit_s, _give_up, (worker, call.key))
        watch.daemon = True
        watch.start()
    began = time.monotonic()
    try:
        return _Answer(call.work(call.item), time.monotonic() - began)
    finally:
        if watch is not None:
            watch.cancel()


def _give_up(worker: Any, key: str) -> None:  # noqa: ANN401 - distributed's own
    """Say that a piece of work is late, and end this process: nothing else ends native code."""
    worker.loop.add_callback(worker.log_event, _LATE, {"key": key})
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _refusal(call: _Call, threads: int) -> SystemRefusedError | None:
    """Say why this worker would not do as the others do; None if it would."""
    here = platform.node()
    if call.version != jecur.__version__:
        return SystemRefusedError(
            f"expected jecur {call.version} on every worker, found {jecur.__version__} on {here}; install "
            "the same",
            code="other-workers",
        )
    if threads != 1 or os.environ.get("OMP_NUM_THREADS") != "1":
        return SystemRefusedError(
            f"expected workers of one thread each, found {threads} and OMP_NUM_THREADS="
            f"{os.environ.get('OMP_NUM_THREADS', '')} on {here}; start them with: dask worker --nthreads 1 "
            "--nworkers N",
            code="other-workers",
        )
    try:
        if Path.cwd() != Path(call.folder):
            os.chdir(call.folder)
    except OSError:
        return SystemRefusedError(
            f"expected a disk that all machines share, found no {call.folder} on {here}; run from a folder "
            "that is there on all of them",
            code="not-shared",
        )
    return None
