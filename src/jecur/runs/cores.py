"""How many cores this process may use: the least of its affinity, its control groups and its SLURM task.

A container that is given two processors of sixty-four sees all of them; a process for each would be slowed
down by the kernel, and their memory would not fit.
"""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["cores"]

_ROOT = Path("/")


def cores(root: Path = _ROOT, environment: Mapping[str, str] = os.environ) -> int:
    """Count the cores that this process may use, at least 1; part of a core counts as one.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` lie.
    environment
        With ``SLURM_CPUS_PER_TASK``, in a task of SLURM that asked for them.
    """
    task = environment.get("SLURM_CPUS_PER_TASK", "")
    named = [int(task)] if task.isascii() and task.isdigit() else []
    return max(1, min([_affinity(), *named, *map(math.ceil, _quotas(root))]))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the processors that each control group above this process has, of those that are limited."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        inside = Path(path.lstrip("/"))
        for group in (inside, *inside.parents):
            if controllers == "":
                quota = _text(root / "sys/fs/cgroup" / group / "cpu.max").split()
            elif "cpu" in controllers.split(","):
                quota = _old_quota(root / "sys/fs/cgroup", controllers, group)
            else:
                break
            yield from _processors(quota)


def _old_quota(mounted: Path, controllers: str, group: Path) -> list[str]:
    """Quota and period of a control group of version 1, which is mounted by the names of its controllers."""
    for name in ("cpu", controllers):
        folder = mounted / name / group
        if quota := _text(folder / "cpu.cfs_quota_us").split():
            return [*quota, *_text(folder / "cpu.cfs_period_us").split()]
    return []


def _processors(quota: list[str]) -> Iterator[float]:
    """Yield quota over period, if both are there and it is limited: ``max`` and -1 are not."""
    if len(quota) == 2 and all(part.isascii() and part.isdigit() for part in quota):
        used, period = map(int, quota)
        if used > 0 and period > 0:
            yield used / period


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
