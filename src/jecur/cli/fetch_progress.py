"""How a transfer gets on: bars on a terminal, a line a minute elsewhere, a line for each failure."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

from jecur.cli.console import errors
from jecur.printable import counted, printable_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from jecur.errors import JecurError
    from jecur.fetch.crew import Watch
    from jecur.fetch.plan import Plan
    from jecur.fetch.remote import RemoteFile

__all__ = ["BarWatch", "LineWatch", "PlainWatch", "watch_transfers"]

_EVERY_S = 60.0


@contextmanager
def watch_transfers(plan: "Plan") -> Iterator["Watch"]:
    """Show a transfer of so many bytes as suits the terminal."""
    if not errors.is_terminal:
        yield LineWatch(plan.size)
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bars = Progress(
        TextColumn("{task.description:<40.40}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=errors,
    )
    with bars:
        yield BarWatch(bars, plan.size)


class PlainWatch:
    """Tells failures and remarks, nothing else."""

    def start(self, file: "RemoteFile") -> None:
        """Nothing is shown."""

    def at(self, file: "RemoteFile", length: int) -> None:
        """Nothing is shown."""

    def end(self, file: "RemoteFile", error: "JecurError | None") -> None:
        """Tell a failure."""
        if error is not None:
            self.say(f"{file.label}: {error.message} [{error.code}]")

    def say(self, line: str) -> None:
        """Tell a remark."""
        errors.print(escape(printable_line(line)), soft_wrap=True)


class LineWatch(PlainWatch):
    """Tells once a minute how far all files are together.

    Parameters
    ----------
    size
        Bytes of all.
    """

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._lengths: dict[str, int] = {}
        self._told, self._total, self._n = time.monotonic(), 0, 0
        self._fetched, self._then = 0, 0

    def at(self, file: "RemoteFile", length: int) -> None:
        """Count, and tell if a minute has passed."""
        key = f"{file.folder}/{file.name}"
        with self._lock:
            before = self._lengths.get(key)
            self._lengths[key] = length
            self._total += length - (before or 0)
            self._fetched += max(0, length - before) if before is not None else 0
            now = time.monotonic()
            if now - self._told < _EVERY_S:
                return
            rate = (self._fetched - self._then) / (now - self._told)
            self._told, self._then = now, self._fetched
            line = self._line(rate)
        self.say(line)

    def end(self, file: "RemoteFile", error: "JecurError | None") -> None:
        """Count, and tell a failure."""
        with self._lock:
            self._n += error is None
            self._lengths.pop(f"{file.folder}/{file.name}", None)
        super().end(file, error)

    def _line(self, rate: float) -> str:
        left = max(0, self._size - self._total)
        remaining = f"{left / rate / 60:.0f} min left" if rate > 0 else "standing still"
        return (
            f"{counted(self._n, 'file')} whole, {self._total / 1e9:.2f} of {self._size / 1e9:.2f} GB, "
            f"{rate / 1e6:.1f} MB/s, {remaining}"
        )


class BarWatch(PlainWatch):
    """A bar for each file under way and one for all.

    Parameters
    ----------
    bars
        Started and stopped by whoever made it.
    size
        Bytes of all.
    """

    def __init__(self, bars: "Progress", size: int) -> None:
        self._bars, self._lock = bars, threading.Lock()
        self._all = bars.add_task("All", total=size)
        self._tasks: dict[str, TaskID] = {}
        self._lengths: dict[str, int] = {}

    def start(self, file: "RemoteFile") -> None:
        """Show its bar."""
        key = f"{file.folder}/{file.name}"
        with self._lock:
            self._tasks[key] = self._bars.add_task(escape(file.label), total=file.size)
            self._lengths[key] = 0

    def at(self, file: "RemoteFile", length: int) -> None:
        """Move both bars."""
        key = f"{file.folder}/{file.name}"
        with self._lock:
            self._bars.update(self._tasks[key], completed=length)
            self._bars.advance(self._all, length - self._lengths[key])
            self._lengths[key] = length

    def end(self, file: "RemoteFile", error: "JecurError | None") -> None:
        """Take its bar away; a failure is told above the bars."""
        with self._lock:
            task = self._tasks.pop(f"{file.folder}/{file.name}", None)
            if task is not None:
                self._bars.remove_task(task)
        super().end(file, error)
