"""Commands on run folders: verify, whether one is still what was written; status, how far it is."""

from pathlib import Path

from rich.markup import escape

from jecur.cli.console import OK, SOME_FAILED, AsJson, Workers, app, console
from jecur.printable import counted
from jecur.runs.cores import cores

__all__ = ["status", "verify"]


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
    console.print(f"{counted(found.n_files, 'file')} checked, {verdict}.{scope}", soft_wrap=True)
    return OK if found.whole else SOME_FAILED


@app.command
def status(run: Path, *, as_json: AsJson = False) -> int:
    """Say how far a run is: running and where, slides done, failed and left, each stage with its time left.

    Nothing is written; it can be asked at any time, also from another machine.

    Example: jecur status my-study/run

    Parameters
    ----------
    run
        Folder of a run.
    as_json
        Print one JSON object and nothing else.
    """
    from dataclasses import asdict

    from jecur.runs.status import read_status

    found = read_status(run)
    if as_json:
        console.print_json(data=asdict(found))
        return OK
    state = "ended" if found.ended else "stopped: run the same command again to go on"
    if found.running:
        state = f"running on {found.where}" if found.where else "running"
    elif found.workers:
        state = f"{counted(len(found.workers), 'worker')} preparing slides"
    console.print(
        f"[bold]{escape(state)}[/], log last written {found.said_last or 'never'}", soft_wrap=True
    )
    if found.slides:
        counts = ", ".join(f"{n} {name}" for name, n in sorted(found.slides.items()))
        left = "" if found.left is None else f", {found.left} left"
        console.print(f"Slides: {counts}{left}", soft_wrap=True)
    for name, place in found.at_work.items():
        console.print(f"at work: {escape(name)} on {escape(place)}", soft_wrap=True)
    for stage in found.stages:
        left = f", about {stage.left_s / 60:.0f} min left" if stage.done < stage.of else ""
        note = f" ({stage.note})" if stage.note else ""
        told = f"{stage.stage}: {stage.done} of {stage.of}{left}{note}"
        console.print(escape(told), soft_wrap=True)
    for name in found.failed:
        console.print(f"failed: {escape(name)}", soft_wrap=True, highlight=False)
    return OK
