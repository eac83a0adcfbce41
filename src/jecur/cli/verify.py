"""The command verify: whether a run folder is still what was written."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from jecur.cli.console import OK, SOME_FAILED, Workers, app, console, cores

__all__ = ["verify"]

AsJson = Annotated[bool, Parameter(name="--json")]


@app.command
def verify(run: Path, *, workers: Workers = 0, as_json: AsJson = False) -> int:
    """Check every file of a run folder against its manifest, and the chain of its log.

    Exit code 0: all is as it was written; 3: files are missing, changed or too many; 2: no run.

    Example: jecur verify my-study/run

    Parameters
    ----------
    run
        Folder of a run.
    workers
        Files read at a time; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    from dataclasses import asdict

    from jecur.runs.verify import verify_run

    found = verify_run(run, threads=workers or cores())
    if as_json:
        console.print_json(data={"whole": found.whole, **asdict(found)})
        return OK if found.whole else SOME_FAILED
    for what in ("missing", "changed", "extra"):
        for name in getattr(found, what):
            console.print(f"{what}: {escape(repr(name)[1:-1])}", soft_wrap=True, highlight=False)
    if found.log:
        console.print(f"changed: {escape(found.log)}", soft_wrap=True, highlight=False)
    scope = "" if found.finished else " The run has not ended: only finished slides and stages."
    verdict = "all as written" if found.whole else "not as written: run the same command again"
    console.print(f"{found.n_files} files checked, {verdict}.{scope}", soft_wrap=True)
    return OK if found.whole else SOME_FAILED
