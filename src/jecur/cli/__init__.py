"""The command line: a sub-command, its settings, one call, one path printed.

Exit codes: 0 all well; 3 some slides failed, the rest is done; 2 a table, setting or argument is
wrong; 1 a bug of ours; 141 whoever read the output read no further. Rooms are imported when a command
needs them, so that help is quick.
"""

import os
import shlex
import signal
import sys
from contextlib import suppress
from types import FrameType

from cyclopts import CycloptsError
from rich.markup import escape

from jecur.cli import (
    baseline,
    cluster,
    cohort,
    compare,
    evaluate,
    features,
    fetch,
    init,
    model,
    nuclei,
    reproduce,
    review,
    score,
    slides,
    stain,
    study,
    tissue,
    tissue_array,
    training,
    verify,
    view,
)
from jecur.cli.console import BUG, OK, SOME_FAILED, USER_ERROR, app, errors
from jecur.errors import JecurError, refusal
from jecur.printable import printable_line

__all__ = ["BUG", "OK", "SOME_FAILED", "USER_ERROR", "main", "run"]

CLOSED_PIPE = 141
"""128 and SIGPIPE, which other programs end with."""
COMMANDS = (
    init,
    cohort,
    fetch,
    reproduce,
    study,
    cluster,
    score,
    nuclei,
    model,
    training,
    slides,
    stain,
    tissue,
    tissue_array,
    evaluate,
    baseline,
    compare,
    features,
    verify,
    view,
    review,
)  # importing a module adds its commands to the app


def main() -> None:
    """Run the command line and exit with its code."""
    _open_standard_files()
    for name in (
        "SIGTERM",
        "SIGHUP",
        "SIGUSR1",
    ):  # end as after Ctrl-C: workers ended, and how to go on said
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one
            signal.signal(number, _stop)
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = CLOSED_PIPE  # all was done; whoever read has read enough
        _leave_output()
    except OSError as error:
        code = _refused(error, "standard output")
        _leave_output()
    sys.exit(code)


def _open_standard_files() -> None:
    """Put nowhere in place of what was closed before the start (``>&-``).

    The first file that is opened would have its number otherwise, and whatever a library prints would be
    written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            mode = "w" if number else "r"
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as Python opens them


def _stop(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    try:
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        said = printable_line(str(error))
        said = said if said.endswith("...") else said.removesuffix(".")
        way = shlex.join(["jecur", *(error.command_chain or ()), "--help"])
        link = " See" if said.endswith("?") else "; see"
        errors.print(f"[red]error:[/] {escape(f'{said}{link} {way}')}", soft_wrap=True)
        return USER_ERROR
    except JecurError as error:
        for part in error.parts or (error,):
            errors.print(
                f"[red]error:[/] {escape(printable_line(part.message))} \\[{part.code}]",
                soft_wrap=True,
            )
        return USER_ERROR
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal itself may be gone
            command = shlex.join(["jecur", *arguments])
            errors.print(
                f"stopped; run the same command again to go on: {escape(printable_line(command))}",
                soft_wrap=True,
            )
        return 128 + int(stop.args[0] if stop.args else signal.SIGINT)
    except (BrokenPipeError, EOFError) as error:
        return _no_other_end(error, arguments)
    except (OSError, MemoryError) as error:
        return _refused(error)
    return result if isinstance(result, int) else OK


def _no_other_end(error: BrokenPipeError | EOFError, arguments: list[str]) -> int:
    """Whoever read the output has read enough, or nobody is there to answer a question."""
    if isinstance(error, EOFError):
        errors.print("nobody is there to answer: nothing was done", soft_wrap=True)
        return USER_ERROR
    _leave_output()
    if "--out" in arguments and not {"--help", "-h"} & set(arguments):
        _refused(error, "standard output")  # what is not written yet never will be
    return CLOSED_PIPE


def _refused(error: OSError | MemoryError, where: str = "") -> int:
    """Say what the system refused; it is no bug of ours."""
    said = refusal(error, where)
    with suppress(OSError):  # the errors' own pipe may be the closed one
        errors.print(
            f"[red]error:[/] {escape(printable_line(said.message))} \\[{said.code}]", soft_wrap=True
        )
    return USER_ERROR


def _leave_output() -> None:
    """Write to nowhere from now on: Python would try the closed pipe once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
