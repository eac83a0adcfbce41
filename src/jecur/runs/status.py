"""How far a run is, from its log, its locks and what its workers left: nothing is written."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jecur.errors import RunFolderError
from jecur.runs.claims import crews_at_work, live_claims
from jecur.runs.folder import HOLDER, LOCK, LOG, MANIFEST
from jecur.runs.locks import is_locked
from jecur.runs.log import read_log
from jecur.runs.shared_results import SlideResult, read_plan, read_results

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
    where: str = ""
    """Machine and process of the command that holds the run's lock."""
    workers: tuple[str, ...] = ()
    """Machine and process of each job of `jecur prepare --worker`."""
    at_work: dict[str, str] = field(default_factory=dict)
    """Slide -> machine and process that has it now."""
    left: int | None = None
    """Slides that nobody has ended or has; None where no workers were."""


_SECONDS = len("2026-01-01T00:00:00")


def read_status(root: Path) -> RunStatus:
    """Read how far a run is.

    Raises
    ------
    RunFolderError
        If the folder holds no run.
    """
    if not (root / MANIFEST).is_file():
        raise RunFolderError(
            f"expected the folder of a run at {root}, found no {MANIFEST}; name the folder given as --out"
        )
    events = read_log(root / LOG).events
    held = live_claims(root)  # first: what ends meanwhile is then among the results
    results = read_results(root)
    slides = _slides(events, results)
    newest = _newest_command(events)
    running = is_locked(root / LOCK)
    at_work = {
        name: holder.place
        for name, holder in held.items()
        if name not in results or results[name].at < holder.since
    }
    plan = read_plan(root)
    return RunStatus(
        running=running,
        ended=any(e.get("event") in {"finished", "workers-ended"} for e in newest),
        slides=dict(Counter(slides.values())),
        failed=tuple(name for name, status in slides.items() if status == "failed"),
        stages=_stages(newest),
        said_last=str(events[-1].get("at", "")) if events else "",
        where=_holder(root) if running else "",
        workers=tuple(holder.place for holder in crews_at_work(root)),
        at_work=at_work,
        left=sum(n not in slides and n not in at_work for n in plan) if plan else None,
    )


def _slides(
    events: tuple[dict[str, Any], ...], results: Mapping[str, SlideResult]
) -> dict[str, str]:
    """Slide -> how it ended last, by the log or by a worker that has not been written there yet.

    The log counts seconds: of one second it is the later, as a result is written there after it was made.
    """
    ended: dict[str, tuple[str, str]] = {}
    for event in events:
        if event.get("event") == "slide":
            ended[str(event["slide"])] = str(event.get("at", "")), str(event.get("status"))
    for name, result in results.items():
        if result.at[:_SECONDS] > ended.get(name, ("", ""))[0][:_SECONDS]:
            ended[name] = result.at, result.status
    return {name: status for name, (_, status) in ended.items()}


def _holder(root: Path) -> str:
    try:
        held = json.loads((root / HOLDER).read_bytes())
        return f"{held['host']} (process {held['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


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
