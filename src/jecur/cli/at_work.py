"""What every command that works on a whole study does first: read it, look it over, call its machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jecur.cli.console import Preset, RichProgress, cores, main_process

if TYPE_CHECKING:
    from jecur.runs.device import Part
    from jecur.runs.folder import RunFolder
    from jecur.settings import CrossvalSettings, StudySettings

__all__ = ["Machines", "OpenStudy", "open_plainly", "open_study"]


@dataclass(frozen=True, slots=True)
class Machines:
    """What the command line says of preset and machines; what it leaves out the study says."""

    preset: Preset | None
    workers: int
    engine: str | None
    scheduler: str
    device: str | None = None


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """A study that was looked over, its run folder, and who works on it."""

    settings: "StudySettings"
    folder: Path
    run: "RunFolder"
    workers: int
    progress: RichProgress


@contextmanager
def open_study(
    command: Literal["run", "train", "crossval"],
    study: Path,
    out: Path,
    said: Machines,
    division: "CrossvalSettings | None" = None,
) -> Iterator[OpenStudy | None]:
    """Open a study for the length of a block; None where another process of the launcher leads."""
    from jecur.runs.folder import RunFolder
    from jecur.settings import read_study
    from jecur.study.devices import on_devices
    from jecur.study.machines import at_work, with_engine
    from jecur.study.preflight import Plan, require_ready

    settings = read_study(study, preset=said.preset)
    with main_process() as is_main, RichProgress() as progress:
        if not is_main:
            yield None
            return
        folder, workers = study.resolve().parent, said.workers or cores()
        machines = with_engine(settings.compute, said.engine, said.scheduler, said.device)
        with on_devices(machines, out, parts=("slides", "torch"), say=progress.say):
            require_ready(Plan(settings, folder, command, out, division, workers), progress)
            with at_work(machines, out, workers=workers, say=progress.say):
                yield OpenStudy(settings, folder, RunFolder.open(out), workers, progress)


@contextmanager
def open_plainly(
    study: Path, out: Path, said: Machines, *, parts: "tuple[Part, ...]" = ("slides", "torch")
) -> Iterator[OpenStudy]:
    """Open a study for the length of a block, for a command that looks it over itself.

    ``parts`` are those of `jecur.study.devices.on_devices`.
    """
    from jecur.runs.folder import RunFolder
    from jecur.settings import read_study
    from jecur.study.devices import on_devices
    from jecur.study.machines import at_work, with_engine

    settings = read_study(study, preset=said.preset)
    machines = with_engine(settings.compute, said.engine, said.scheduler, said.device)
    workers = said.workers or cores()
    with (
        RichProgress() as progress,
        on_devices(machines, out, parts=parts, say=progress.say),
        at_work(machines, out, workers=workers, say=progress.say),
    ):
        folder = study.resolve().parent
        yield OpenStudy(settings, folder, RunFolder.open(out), workers, progress)
