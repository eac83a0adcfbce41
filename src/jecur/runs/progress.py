"""How far long work is: nowhere, in plain lines, or in plain lines and the log of the run.

Bars on a terminal are the command line's (``cli.console``); all speak the same protocol.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from jecur.printable import duration

__all__ = ["Clock", "LineProgress", "LoggedProgress", "Progress", "SilentProgress"]

_EVERY_S = 60.0
_NOTEBOOK_EVERY_S = 0.5


class Progress(Protocol):
    """Where long work says how far it is; the command line draws it, a library user need not."""

    def task(self, title: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Open a bar of ``total`` steps; the value of the block advances it by one."""

    def say(self, line: str) -> None:
        """Show one line of text."""

    def note(self, text: str) -> None:
        """Show how the present task is going, beside its bar, in place of what was there."""


class SilentProgress:
    """Shows nothing."""

    def task(self, title: str, total: int) -> AbstractContextManager[Callable[[], None]]:  # noqa: ARG002
        """Open a bar that is not shown."""
        return nullcontext(lambda: None)

    def say(self, line: str) -> None:
        """Drop the line."""

    def note(self, text: str) -> None:
        """Drop the text."""


@dataclass(slots=True)
class Clock:
    """Steps done of one task, and whether it is time to say so."""

    title: str
    total: int
    every_s: float = _EVERY_S
    now: Callable[[], float] = time.monotonic
    done: int = 0
    began: float = field(init=False)
    told: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.told = self.now()

    def step(self) -> bool:
        """Count one step; whether ``every_s`` have passed since this last said so."""
        self.done += 1
        due = self.now() - self.told >= self.every_s
        if due:
            self.told = self.now()
        return due

    @property
    def seconds(self) -> float:
        """Time since the task began."""
        return self.now() - self.began

    @property
    def left_s(self) -> float:
        """Time that the rest takes at the rate so far."""
        return self.seconds / max(self.done, 1) * (self.total - self.done)

    @property
    def per_minute(self) -> float:
        """Steps a minute so far."""
        return 60 * self.done / max(self.seconds, 1e-9)

    def line(self) -> str:
        """Stage, done of all, rate, time left."""
        return (
            f"{self.title}: {self.done} of {self.total}, {self.per_minute:.3g} a minute, "
            f"about {duration(self.left_s)} left"
        )


class LineProgress:
    """A line when a stage begins and ends, a line a minute between, and every note.

    A notebook shows one line, drawn anew. Goes to standard error, so that results stay clean.

    Parameters
    ----------
    write
        Takes one line; standard error if absent.
    now
        Clock in seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None] | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notebook = write is None and "ipykernel" in sys.modules
        self._write_line = write
        self._now = now
        self._clocks: list[Clock] = []
        self._note = ""

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Count ``total`` steps; a task of none says nothing."""
        every = _NOTEBOOK_EVERY_S if self._notebook else _EVERY_S
        clock = Clock(title, total, every, self._now)
        self._note = ""

        def advance() -> None:
            if clock.step():
                self._write(", ".join(filter(None, (clock.line(), self._note))), again=True)

        if total and not self._notebook:
            self._write(f"{title}: {total} to do", again=False)
        self._clocks.append(clock)
        try:
            yield advance
        finally:
            self._clocks.remove(clock)
        if total:
            done = f"{title}: {clock.done} of {total} in {duration(clock.seconds)}"
            self._write(done, again=False)

    def say(self, line: str) -> None:
        """Show one line of prose."""
        self._write(line, again=False)

    def note(self, text: str) -> None:
        """Show how the present task is going: a line of its own, in a notebook beside the count."""
        self._note = text
        if self._clocks and not self._notebook:
            clock = self._clocks[-1]
            self._write(f"{clock.title}: {text}, about {duration(clock.left_s)} left", again=False)

    def _write(self, line: str, *, again: bool) -> None:
        if self._write_line is not None:
            self._write_line(line)
            return
        sys.stderr.write(line + ("\r" if again and self._notebook else "\n"))
        sys.stderr.flush()


class LoggedProgress:
    """Another progress, and beside it the log: stages, a line a minute, and every note.

    Parameters
    ----------
    shown
        What people see.
    log
        Appends one event to the log of a run.
    now
        Clock in seconds.
    """

    def __init__(
        self,
        shown: Progress,
        log: Callable[..., None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shown = shown
        self._log = log
        self._now = now
        self._titles: list[str] = []

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Count ``total`` steps; a task of none is shown and not logged."""
        clock = Clock(title, total, now=self._now)
        self._titles.append(title)
        with self._shown.task(title, total) as shown:

            def advance() -> None:
                shown()
                if clock.step():
                    self._progress(clock)

            try:
                yield advance
            finally:
                self._titles.remove(title)
        if total:
            self._progress(clock)

    def say(self, line: str) -> None:
        """Show one line; what it tells is logged where it arises."""
        self._shown.say(line)

    def note(self, text: str) -> None:
        """Show and log how the present task is going."""
        self._shown.note(text)
        if self._titles:
            self._log("note", stage=self._titles[-1], text=text)

    def _progress(self, clock: Clock) -> None:
        self._log(
            "progress",
            stage=clock.title,
            done=clock.done,
            of=clock.total,
            seconds=round(clock.seconds, 1),
            per_minute=round(clock.per_minute, 3),
            left_s=round(clock.left_s, 1),
        )
