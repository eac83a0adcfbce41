"""How far a run is, from its log and its lock alone: nothing is opened, nothing written."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from jecur.errors import RunFolderError
from jecur.runs.folder import LOCK, LOG, MANIFEST
from jecur.runs.log import read_log

__all__ = ["RunStatus", "StageStatus", "read_status"]


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage of the newest command."""

    stage: str
    done: int
    of: int
    per_minute: float
    left_s: float
    note: str = ""
    """What the stage said last: epoch and loss."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a run has done."""

    running: bool
    """A process holds the run's lock."""
    ended: bool
    """The newest command came to its end."""
    slides: dict[str, int]
    """Status (``ok``, ``flagged``, ``failed``) -> slides, as each ended last."""
    failed: tuple[str, ...]
    """Slides that failed."""
    stages: tuple[StageStatus, ...]
    """In the order in which they began."""
    said_last: str
    """When the log was last written, ISO 8601."""


def read_status(root: Path) -> RunStatus:
    """Read how far a run is.

    Raises
    ------
    RunFolderError
        If the folder holds no run.
    """
    if not (root / MANIFEST).is_file():
        raise RunFolderError(f"expected the folder of a run at {root}, found none; name it")
    events = read_log(root / LOG).events
    slides = {str(e["slide"]): str(e.get("status")) for e in events if e.get("event") == "slide"}
    newest = _newest_command(events)
    return RunStatus(
        running=_is_held(root),
        ended=any(e.get("event") == "finished" for e in newest),
        slides=dict(Counter(slides.values())),
        failed=tuple(name for name, status in slides.items() if status == "failed"),
        stages=_stages(newest),
        said_last=str(events[-1].get("at", "")) if events else "",
    )


def _newest_command(events: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Events since a command last began; a finished one is its own."""
    start = 0
    for k, event in enumerate(events):
        after_an_end = k and events[k - 1].get("event") == "finished"
        if event.get("event") == "study" or after_an_end:
            start = k
    return list(events[start:])


def _stages(events: list[dict[str, Any]]) -> tuple[StageStatus, ...]:
    found: dict[str, StageStatus] = {}
    notes: dict[str, str] = {}
    for event in events:
        stage = str(event.get("stage", ""))
        if event.get("event") == "note":
            notes[stage] = str(event.get("text", ""))
        elif event.get("event") == "progress":
            found[stage] = StageStatus(
                stage=stage,
                done=int(event["done"]),
                of=int(event["of"]),
                per_minute=float(event["per_minute"]),
                left_s=float(event["left_s"]),
                note=notes.get(stage, ""),
            )
    begun_only = {
        stage: StageStatus(stage, 0, 0, 0.0, 0.0, text)
        for stage, text in notes.items()
        if stage not in found
    }
    return tuple((found | begun_only).values())


def _is_held(root: Path) -> bool:
    """Whether another process writes to this run now; a lock file alone says nothing."""
    path = root / LOCK
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # no right to lock: somebody else's run on a shared disk
        return False
