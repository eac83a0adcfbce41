"""The command line: a sub-command, its settings, one call, one path printed.

Exit codes: 0 all well; 3 some slides failed, the rest is done; 2 a table, setting or argument is
wrong; 1 a bug of ours. Rooms are imported when a command needs them, so that help is quick.
"""

import sys

from cyclopts import CycloptsError
from rich.markup import escape

from jecur.cli import cohort, evaluate, learning, model, nuclei, slides, stain, study, tissue_array
from jecur.cli.console import BUG, OK, SOME_FAILED, USER_ERROR, app, errors
from jecur.errors import JecurError

__all__ = ["BUG", "OK", "SOME_FAILED", "USER_ERROR", "main", "run"]

COMMANDS = (
    cohort,
    study,
    nuclei,
    model,
    learning,
    slides,
    stain,
    tissue_array,
    evaluate,
)  # importing a module adds its commands to the app


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    try:
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        errors.print(f"[red]error:[/] {escape(str(error))}; see jecur --help", soft_wrap=True)
        return USER_ERROR
    except JecurError as error:
        errors.print(f"[red]error:[/] {escape(error.message)} \\[{error.code}]", soft_wrap=True)
        return USER_ERROR
    except KeyboardInterrupt:
        errors.print("stopped; run the same command again to go on")
        return 130
    return result if isinstance(result, int) else OK
