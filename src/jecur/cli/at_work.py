"""What every command that works on a whole study does first: read it, look it over, call its machines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jecur.cli.console import Preset, RichProgress, main_process
from jecur.runs.cores import cores

if TYPE_CHECKING:
    from jecur.runs.device import Part
    from jecur.runs.folder import RunFolder
    from jecur.runs.progress import Progress
    from jecur.settings import CrossvalSettings, StudySettings

    LookOver = Callable[[StudySettings, Path, int, Progress], None]

__all__ = ["Machines", "OpenStudy", "open_plainly", "open_study", "open_with"]


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
    from jecur.study.preflight import Plan, require_ready

    def look_over(
        settings: "StudySettings", folder: Path, workers: int, progress: "Progress"
    ) -> None:
        require_ready(Plan(settings, folder, command, out, division, workers), progress)

    with open_with(look_over, study, out, said) as it:
        yield it


@contextmanager
def open_with(
    look_over: "LookOver", study: Path, out: Path, said: Machines
) -> Iterator[OpenStudy | None]:
    """Open a study as `open_study`; ``look_over`` refuses what is not ready, before anything is written."""
    from jecur.settings import read_study

    settings = read_study(study, preset=said.preset)
    with main_process() as is_main:
        if not is_main:
            yield None
            return
        with _opened(settings, study, out, said, ("slides", "torch"), look_over) as it:
            yield it


@contextmanager
def open_plainly(
    study: Path, out: Path, said: Machines, *, parts: "tuple[Part, ...]" = ("slides", "torch")
) -> Iterator[OpenStudy]:
    """Open a study for the length of a block, for a command that looks it over itself.

    ``parts`` are those of `jecur.study.devices.on_devices`.
    """
    from jecur.settings import read_study

    with _opened(read_study(study, preset=said.preset), study, out, said, parts) as it:
        yield it


@contextmanager
def _opened(
    settings: "StudySettings",
    study: Path,
    out: Path,
    said: Machines,
    parts: "tuple[Part, ...]",
    look_over: "LookOver | None" = None,
) -> Iterator[OpenStudy]:
    from jecur.runs.folder import RunFolder
    from jecur.study.devices import on_devices
    from jecur.study.machines import at_work, with_engine

    folder, workers = study.resolve().parent, said.workers or cores()
    machines = with_engine(settings.compute, said.engine, said.scheduler, said.device)
    with RichProgress() as progress, on_devices(machines, out, parts=parts, say=progress.say):
        if look_over is not None:
            look_over(settings, folder, workers, progress)
        with at_work(machines, out, workers=workers, say=progress.say):
            yield OpenStudy(settings, folder, RunFolder.open(out), workers, progress)
