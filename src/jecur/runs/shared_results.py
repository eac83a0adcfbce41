"""What came of each slide that a worker prepared, one small file a slide, written by that worker alone."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from jecur.runs.claims import CLAIMS
from jecur.runs.files import write_text

__all__ = ["SlideResult", "read_plan", "read_results", "write_plan", "write_result"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class SlideResult(msgspec.Struct, frozen=True):
    """How one slide ended, where and when."""

    slide: str
    mark: str
    """Fingerprint of the work."""
    status: str
    seconds: float
    host: str
    pid: int
    row: dict[str, Any]
    """Its row of the table of slides, as plain values."""
    trace: str = ""
    at: str = msgspec.field(default_factory=_now)


def write_result(root: Path, result: SlideResult) -> None:
    """Write how a slide ended; only who has claimed it may."""
    write_text(_folder(root) / f"{result.slide}.json", msgspec.json.encode(result).decode() + "\n")


def read_results(root: Path, slide: str | None = None) -> dict[str, SlideResult]:
    """Slide -> how it ended, of all slides or of one; without those that nobody ended."""
    folder = _folder(root)
    paths = [folder / f"{slide}.json"] if slide is not None else sorted(_whole(folder))
    found = {}
    for path in paths:
        try:
            result = msgspec.json.decode(path.read_bytes(), type=SlideResult)
        except (OSError, msgspec.DecodeError):
            continue
        found[result.slide] = result
    return found


def write_plan(root: Path, slides: list[str]) -> None:
    """Write the names of all slides that workers are to prepare; each worker writes the same."""
    write_text(root / CLAIMS / "slides.json", msgspec.json.encode(slides).decode() + "\n")


def read_plan(root: Path) -> tuple[str, ...]:
    """Names of all slides that workers are to prepare; none if there were no workers."""
    try:
        path = root / CLAIMS / "slides.json"
        return msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])
    except (OSError, msgspec.DecodeError):
        return ()


def _whole(folder: Path) -> Iterator[Path]:
    """Files that have their name: what a killed worker left half written may read like a result."""
    return (path for path in folder.rglob("*.json") if not path.name.startswith(".part-"))


def _folder(root: Path) -> Path:
    return root / CLAIMS / "results"
