"""Commands for work that several jobs share: prepare, slurm."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from jecur.cli.console import (
    OK,
    SOME_FAILED,
    Device,
    Engine,
    Preset,
    RichProgress,
    Scheduler,
    Workers,
    app,
    console,
)
from jecur.printable import counted
from jecur.runs.cores import cores

if TYPE_CHECKING:
    from jecur.study.shared_work import Share

__all__ = ["prepare", "slurm"]


@app.command
def prepare(
    study: Path,
    *,
    out: Path,
    worker: bool = False,
    lease: bool = False,
    everybody: bool = False,
    preset: Preset | None = None,
    workers: Workers = 0,
    engine: Engine = None,
    scheduler: Scheduler = "",
    device: Device = None,
) -> int:
    """Prepare the slides of a study and stop there: nothing is trained or scored.

    `jecur train`, `run` and `crossval` with the same --out go on from here. With --worker, any number of
    jobs on any number of machines share the work: each takes slides that nobody has, and those of jobs that
    died.

    Example: jecur prepare my-study/study.toml --out my-study/run --worker

    Parameters
    ----------
    study
        The study file.
    out
        Run folder; with --worker on a disk that all jobs see.
    worker
        Be one of several jobs on this run folder.
    lease
        With --worker: claim slides by leases, for disks whose locks hold on one machine alone; the same
        for all jobs.
    everybody
        Prepare patients without a distinct outcome too, whatever their role, as crossval needs them.
    preset
        Recipe for whatever the study file leaves out: paper, paper-literal, jecur, chowder, coudray or scnn.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.pipeline import prepare_alone
    from jecur.runs.folder import RunFolder
    from jecur.settings import read_study
    from jecur.study.devices import on_devices
    from jecur.study.machines import at_work, with_engine
    from jecur.study.preflight import Plan, look_over, require_ready
    from jecur.study.shared_work import work_along

    settings = read_study(study, preset=preset)
    folder, processes = study.resolve().parent, workers or cores()
    plan = Plan(settings, folder, "prepare", out, None, processes, everybody)
    machines = with_engine(settings.compute, engine, scheduler, device)
    with RichProgress() as progress, on_devices(machines, out, say=progress.say):
        if worker:
            look_over(plan, progress, trial=False).refuse()
            share = work_along(
                settings,
                folder,
                out.resolve(),
                workers=processes,
                progress=progress,
                everybody=everybody,
                lease=lease,
            )
            _tell_share(share, out)
            return SOME_FAILED if share.failed_in_all else OK
        require_ready(plan, progress)
        with at_work(machines, out, workers=processes, say=progress.say):
            ready = prepare_alone(
                settings,
                folder,
                RunFolder.open(out),
                workers=processes,
                progress=progress,
                everybody=everybody,
            )
    console.print(
        f"{counted(len(ready.prepared), 'slide')}: {len(ready.prepared) - ready.n_failed} prepared, "
        f"{ready.n_failed} failed. Table: {escape(str(out / 'slides.csv'))}",
        soft_wrap=True,
    )
    return SOME_FAILED if ready.n_failed else OK


def _tell_share(share: "Share", out: Path) -> None:
    table = f" Table: {out / 'slides.csv'}" if share.wrote_table else ""
    console.print(
        f"{counted(share.prepared, 'slide')} prepared here, {share.failed} failed here, {share.by_others} "
        f"by others or before; none is left. {share.failed_in_all} failed in all.{escape(table)}",
        soft_wrap=True,
    )


@app.command
def slurm(study: Path, *, out: Path, preset: Preset | None = None, device: Device = None) -> int:
    """Print the jobs of a study for SLURM, chained: prepare, train, run. Nothing is submitted.

    Partition, cores, memory, time limit and the lines at the start of each job are those of
    [compute.slurm] in the study file.

    Example: jecur slurm my-study/study.toml --out my-study/run > jobs.sh

    Parameters
    ----------
    study
        The study file.
    out
        Run folder, on a disk that all machines share.
    preset
        Recipe for whatever the study file leaves out, in all three jobs: paper, paper-literal, jecur,
        chowder, coudray or scnn.
    """
    from jecur.settings import SlurmSettings, read_study
    from jecur.study.job_scripts import chained_jobs

    settings = read_study(study, preset=preset).compute.slurm or SlurmSettings()
    script = chained_jobs(study, out, settings, preset=preset or "", device=device or "")
    sys.stdout.write(script)
    return OK
