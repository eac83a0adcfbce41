"""Settings of the machine's work: they change no number of a result, but `device` its last digits."""

import re
from collections.abc import Iterator
from typing import Literal

from jecur.settings.base import Count, Positive, Stage

__all__ = ["ComputeSettings", "Device", "Engine", "SlurmSettings"]

Engine = Literal["local", "dask"]
Device = Literal["auto", "cpu", "cuda"]

_ADDRESS = re.compile(r"(tcp|tls)://\S+:\d{1,5}")
_WORD = re.compile(r"[\w.:,=@+/-]*")
_MEMORY = re.compile(r"[1-9]\d*(MB|GB|MiB|GiB)")
_TIME = re.compile(r"(\d+-)?\d{1,3}:[0-5]\d:[0-5]\d")


class SlurmSettings(Stage, frozen=True):
    """Jobs that a SLURM cluster is asked for."""

    partition: str = ""
    """Partition (queue); empty takes the cluster's own choice."""
    account: str = ""
    """Account that is charged; empty takes the cluster's own choice."""
    cores: Count = 4
    """Cores of a job; each prepares a slide at a time."""
    memory: str = "16GB"
    """Memory of a job, such as `16GB`; about 2 GB a core, more for slides without a pyramid."""
    walltime: str = "04:00:00"
    """Time limit of a job, hours:minutes:seconds; workers end in order before it."""
    jobs: Count = 10
    """Jobs at most at one time."""
    interface: str = ""
    """Network interface by which jobs reach the one that gives out the work, such as `ib0`; empty takes
    that of the machine's name. For engine = "dask" alone."""
    gres: str = ""
    """Generic resources of the training job, such as `gpu:1`; for `jecur slurm` alone."""
    prologue: tuple[str, ...] = ()
    """Shell lines at the start of every job, such as `module load python/3.11`. They are run as they are."""

    def contradictions(self) -> Iterator[str]:
        """Refuse what would end a line of a job script, and sizes and times that SLURM does not read."""
        for name in ("partition", "account", "interface", "gres"):
            value = getattr(self, name)
            if not _WORD.fullmatch(value):
                yield f"{name}: expected letters, digits and .:,=@+/-_ alone, found {value!r}"
        if not _MEMORY.fullmatch(self.memory):
            yield f"memory: expected a size such as '16GB', found {self.memory!r}"
        if not _TIME.fullmatch(self.walltime):
            yield f"walltime: expected hours:minutes:seconds, found {self.walltime!r}"
        elif self.walltime_s < 600:
            yield f"walltime: expected 10 minutes or more, found {self.walltime!r}"
        if any("\n" in line or "\r" in line for line in self.prologue):
            yield "prologue: expected one line a text, found a line break in one"

    @property
    def walltime_s(self) -> int:
        """Time limit of a job, seconds."""
        days, _, clock = self.walltime.rpartition("-")
        hours, minutes, seconds = (int(part) for part in clock.split(":"))
        return 86400 * int(days or 0) + 3600 * hours + 60 * minutes + seconds


class ComputeSettings(Stage, frozen=True):
    """Where slides are prepared, and how long one may take before it is given up (failed, code timeout)."""

    slide_minutes: Positive = 15.0
    """For a slide of any size."""
    slide_minutes_per_gb: Positive = 60.0
    """More of it for each gigabyte of the file."""
    engine: Engine = "local"
    """Processes of this machine, or the workers of a Dask cluster (extra `cluster`)."""
    scheduler: str = ""
    """Address of a Dask scheduler that is there already, `tcp://host:port` or `tls://host:port`; empty starts
    workers on this machine, or by SLURM where [compute.slurm] is there. For engine = "dask" alone."""
    device: Device = "auto"
    """Where networks run: "cuda" is a graphics card (extra `gpu`), refused where none can be opened; "auto"
    takes one that can be opened, and else the processor. Slides and training of a run folder stay each on the
    device on which they were begun. Nothing here has ever run on a graphics card."""
    slurm: SlurmSettings | None = None

    def contradictions(self) -> Iterator[str]:
        """Refuse a scheduler that nothing would use."""
        if not self.scheduler:
            return
        if not _ADDRESS.fullmatch(self.scheduler):
            yield f"scheduler: expected tcp://host:port or tls://host:port, found {self.scheduler!r}"
        if self.engine != "dask":
            yield f"scheduler: expected engine = 'dask' beside it, found {self.engine!r}"

    def limit_s(self, n_bytes: int) -> float:
        """Seconds that a file of so many bytes may take."""
        return 60 * (self.slide_minutes + self.slide_minutes_per_gb * n_bytes / 1e9)
