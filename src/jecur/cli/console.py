"""What every sub-command shares: the app, two consoles, exit codes, progress bars."""

import errno
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter, Token
from rich.console import Console
from rich.markup import escape
from rich.text import Text

import jecur
from jecur.printable import printable, printable_line
from jecur.runs.progress import LineProgress

if TYPE_CHECKING:
    from jecur.statistics.results import StudyStatistics

__all__ = [
    "BUG",
    "OK",
    "SOME_FAILED",
    "USER_ERROR",
    "AsJson",
    "Browser",
    "Device",
    "DeviceName",
    "Engine",
    "EngineName",
    "Preset",
    "RichProgress",
    "Scheduler",
    "Whole",
    "WholeOrAll",
    "Workers",
    "app",
    "console",
    "errors",
    "main_process",
    "tell_cautions",
]

OK, BUG, USER_ERROR, SOME_FAILED = 0, 1, 2, 3


class SafeConsole(Console):
    """A console on which no text acts: escapes and marks of direction are shown, not obeyed.

    It says when its pipe was closed, where rich would end with exit code 1.
    """

    def on_broken_pipe(self) -> None:
        """Pass the error on to the command line."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own options
        """Every string that rich draws, alone or in a table, comes through here."""
        return super().render_str(printable(text), **{**options, "emoji": False})

    def print_json(self, json: str | None = None, **options: Any) -> None:  # noqa: ANN401
        """JSON in ASCII: whatever acts is an escape in it."""
        super().print_json(json, **{"ensure_ascii": True, **options})


console = SafeConsole()
errors = SafeConsole(stderr=True)


def _require_finite(_kind: object, value: object) -> None:
    """Refuse not-a-number and infinity, whichever option they were given to."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"Expected a finite number, found {value}")


app = App(
    name="jecur",
    version=jecur.__version__,
    help="Recurrence of liver cancer from histology slides. Research use only.",
    console=console,
    default_parameter=Parameter(
        negative="",  # what has another side says so itself
        validator=_require_finite,
    ),
    suppress_keyboard_interrupt=False,  # ours says how to go on
    help_epilogue="Try it: jecur demo --out demo   Your data: jecur init my-study",
)

Preset = Literal["paper", "paper-literal", "jecur", "chowder", "coudray", "scnn"]
"""Here and not from the settings, so that help is quick."""

EngineName = Literal["local", "dask"]
Engine = Annotated[
    EngineName | None,
    Parameter(
        help="Where slides are prepared: in processes of this machine (local) or by workers of a Dask "
        "cluster (dask); as the study says if absent."
    ),
]
Scheduler = Annotated[
    str, Parameter(help="Address of a Dask scheduler that is there already, tcp://host:port.")
]
DeviceName = Literal["auto", "cpu", "cuda"]
Device = Annotated[
    DeviceName | None,
    Parameter(
        help="Where networks run: the processor (cpu), a graphics card (cuda), or one if it can be opened "
        "(auto); as the study says if absent."
    ),
]


def _whole(_kind: type[int], tokens: Sequence[Token]) -> int:
    """Read a count; cyclopts alone would round 2.5 and take -1."""
    text = tokens[0].value
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"expected a whole number of 0 or more, found {text!r}")
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
WholeOrAll = Annotated[int | None, Parameter(converter=_whole)]
AsJson = Annotated[bool, Parameter(name="--json")]
Browser = Annotated[bool, Parameter(negative="--no-browser")]
Workers = Annotated[Whole, Parameter(name=["--workers", "-j"])]


class RichProgress:
    """Progress bars on a terminal; elsewhere a line when a stage begins and ends, and a line a minute."""

    def __init__(self) -> None:
        self._lines = None if errors.is_terminal else LineProgress(_plain_line)
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=errors,
            transient=False,
        )

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar of ``total`` steps."""
        if self._lines is not None:
            with self._lines.task(title, total) as advance:
                yield advance
            return
        if not total:
            yield lambda: None
            return
        number = self._bars.add_task(title, total=total, note="")
        yield lambda: self._bars.advance(number)

    def note(self, text: str) -> None:
        """Show a text beside the newest bar."""
        if self._lines is not None:
            self._lines.note(text)
        elif self._bars.task_ids:
            self._bars.update(self._bars.task_ids[-1], note=escape(printable_line(text)))

    def say(self, line: str) -> None:
        """Show one line above the bars."""
        _plain_line(line)

    def __enter__(self) -> "RichProgress":
        if self._lines is None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def _plain_line(line: str) -> None:
    errors.print(escape(printable_line(line)), soft_wrap=True)


def tell_cautions(statistics: "StudyStatistics | None") -> None:
    """Say what to be careful about; what concerns the headline stands beside it already."""
    for caution in statistics.cautions if statistics else ():
        if caution.place != "headline":
            console.print(escape(caution.text), soft_wrap=True)


@contextmanager
def main_process() -> Iterator[bool]:
    """Whether this is the main process: always without a launcher; under torchrun or srun, rank 0 is.

    The other ranks train along instead of running the block, and get False once training is over.
    """
    from jecur.runs.launcher import launched

    here = launched()
    if here is None:
        yield True
        return
    from jecur.training.processes import leave_processes
    from jecur.training.task import serve_rank, stop_ranks

    try:
        if here.rank > 0:
            try:
                serve_rank()
            except KeyboardInterrupt as stop:  # the main process says how to go on
                raise SystemExit(128 + int(stop.args[0] if stop.args else 2)) from stop
            yield False
        else:
            yield True
            stop_ranks()  # not after an error: then the launcher ends the others
    finally:
        leave_processes()
