"""How far long work is: one line that is drawn anew in a notebook, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["LineProgress"]

_EVERY_S = 60.0
_NOTEBOOK_EVERY_S = 0.5


class LineProgress:
    """Says how far it is on standard error, so that a pipe of results stays clean."""

    def __init__(self) -> None:
        self._notebook = "ipykernel" in sys.modules
        self._note = ""

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Count ``total`` steps."""
        done, told = 0, time.monotonic()
        every = _NOTEBOOK_EVERY_S if self._notebook else _EVERY_S

        def advance() -> None:
            nonlocal done, told
            done += 1
            if time.monotonic() - told >= every:
                told = time.monotonic()
                self._write(f"{title}: {done} of {total} {self._note}".rstrip(), again=True)

        yield advance
        if self._notebook and total:
            self._write(f"{title}: {done} of {total}", again=False)

    def say(self, line: str) -> None:
        """Show one line of prose."""
        self._write(line, again=False)

    def note(self, text: str) -> None:
        """Show a text beside the count from now on."""
        self._note = text

    def _write(self, line: str, *, again: bool) -> None:
        end = "\r" if again and self._notebook else "\n"
        sys.stderr.write(line + end)
        sys.stderr.flush()
