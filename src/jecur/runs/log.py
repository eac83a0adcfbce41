"""The log of a run: one JSON object a line, each with the digest of the line before.

It is the one file of a run folder that holds times, so it is the one file that two runs of the
same study do not share. A line changed, taken out or put in breaks the chain.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jecur.runs.files import refused_as_said

__all__ = ["LogState", "append_event", "read_events", "read_log"]

_START = ""


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log says, and whether it can be trusted."""

    events: tuple[dict[str, Any], ...]
    broken_at: int = 0
    """First line (from 1) that does not follow from the one before; 0 if all do."""
    torn: bool = False
    """The last line has no end: the process was killed while it wrote; no damage."""


def append_event(path: Path, event: str, **facts: object) -> None:
    """Append one line; what a killed process left of a last line is cut off first, and said."""
    with refused_as_said(path), path.open("a+b") as stream:
        whole, torn = _last_line(stream.seek(0, os.SEEK_END), path)
        if torn:
            stream.truncate(stream.tell() - torn)
        before = _digest(whole) if whole else _START
        for name, said in ([("torn-line", {"bytes": torn})] if torn else []) + [(event, facts)]:
            line = _line(name, said, before)
            stream.write(line + b"\n")
            before = _digest(line)


def _line(event: str, facts: dict[str, Any], before: str) -> bytes:
    entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **facts}
    return json.dumps(entry | {"before": before}, default=str).encode()


def _last_line(size: int, path: Path) -> tuple[bytes, int]:
    """Last whole line of a log, and the length of what was begun after it; reads from the end."""
    with path.open("rb") as stream:
        for tail in (2**14, 2**20, size):
            stream.seek(max(0, size - tail))
            text = stream.read()
            whole, end, torn = text.rpartition(b"\n")
            _, cut, last = whole.rpartition(b"\n")
            if (end and cut) or tail >= size:
                return last, len(torn)
    return b"", 0


def read_log(path: Path) -> LogState:
    """Read a log and follow its chain; a missing file counts as an empty log."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return LogState(())
    *lines, rest = text.split(b"\n")
    events: list[dict[str, Any]] = []
    before = _START
    for number, line in enumerate(lines, start=1):
        event = _parsed(line)
        if event is None or event.get("before") != before:
            return LogState(tuple(events), broken_at=number, torn=bool(rest))
        events.append(event)
        before = _digest(line)
    return LogState(tuple(events), torn=bool(rest))


def read_events(path: Path, event: str) -> Iterator[dict[str, Any]]:
    """Lines of one kind, from the first on, as far as the log can be trusted."""
    return (line for line in read_log(path).events if line.get("event") == event)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
