"""What a piece of work costs: seconds, and the most memory that the process held meanwhile."""

import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cost", "cost_of", "measured"]

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass(slots=True)
class Cost:
    """Seconds and MiB; filled in when the block ends."""

    seconds: float = 0.0
    peak_mib: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure a block. Where the system keeps no peak of its own, memory is the peak of the whole process."""
    cost, began = Cost(), time.monotonic()
    with suppress(OSError):
        _RESET.write_text("5")  # Linux: the peak starts anew
    try:
        yield cost
    finally:
        cost.seconds = time.monotonic() - began
        cost.peak_mib = _peak_mib()


def _peak_mib() -> float:
    with suppress(OSError, ValueError, StopIteration):
        lines = _STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def cost_of(events: Sequence[Mapping[str, Any]], model: str, marks: Sequence[str]) -> Cost:
    """Sum what the log says of a model's divisions, each under its newest mark."""
    found = {
        e["mark"]: e for e in events if e.get("model") == model and e.get("mark") in set(marks)
    }
    return Cost(
        sum(float(e["seconds"]) for e in found.values()),
        max((float(e["peak_mib"]) for e in found.values()), default=0.0),
    )
