"""The run folder: every file written whole or not at all, and a manifest of how it was made."""

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

import jecur
from jecur.errors import NOBODYS_FAULT, RunFolderError, refusal
from jecur.printable import printable_json

__all__ = ["RunFolder", "atomic_path", "fingerprint", "sha256_file", "write_json", "write_text"]

_LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "onnxruntime",
    "openslide-python",
    "openslide-bin",
    "torch",
)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it only if the block ends well.

    Raises
    ------
    SystemRefusedError
        If the folder cannot be written or has vanished, or the disk is full.
    """
    with refused_as_said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        try:
            yield temporary
        except OSError as error:
            if error.errno in NOBODYS_FAULT or not path.parent.is_dir():
                raise refusal(error, path) from error
            raise
        with refused_as_said(path):
            temporary.chmod(0o644)
            _to_disk(temporary)  # a name must not outlive a crash that its bytes do not
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def refused_as_said(where: Path) -> Iterator[None]:
    """Say in one line whatever the system refuses in this block."""
    try:
        yield
    except OSError as error:
        # The name of a temporary file tells nobody anything.
        raise refusal(OSError(error.errno, error.strerror or str(error)), where) from error


def _to_disk(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: object) -> Path:
    """Write JSON (no NaN: not a number is ``null``, with its reason beside it)."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    return write_text(path, printable_json(text) + "\n")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(*parts: object) -> str:
    """Short digest of settings and hashes: equal if and only if the work would be the same.

    Parameters
    ----------
    parts
        Anything msgspec can write as JSON: settings, text, numbers.
    """
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Everything one run leaves behind.

    Parameters
    ----------
    root
        The folder; made on demand.
    slides
        Where the slides' folders are; None is ``root / "slides"``.
    lock
        Held while this object, or a part of it, lives: one run writes at a time.
    """

    root: Path
    slides: Path | None = None
    lock: FileLock | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type["RunFolder"], tuple[Path, Path | None]]:
        """Cross a process border without the lock: workers write for the run that started them."""
        return RunFolder, (self.root, self.slides)

    @classmethod
    def open(cls, root: Path) -> "RunFolder":
        """Make or reuse a run folder.

        Raises
        ------
        RunFolderError
            If the path is a file, or a folder that holds something else, or another run is
            writing there.
        """
        if root.exists() and not root.is_dir():
            raise RunFolderError(f"expected a folder at {root}, found a file; name another --out")
        marker = root / "manifest.json"
        if root.is_dir() and any(root.iterdir()) and not marker.exists():
            raise RunFolderError(
                f"expected an empty folder or an earlier run at {root}, found other files; "
                "name another --out"
            )
        root.mkdir(parents=True, exist_ok=True)
        if not marker.exists():
            write_json(marker, {"jecur": jecur.__version__, "started": _now()})
        lock = _locked(root)
        if lock and lock.lock_counter == 1:  # nobody else writes: a killed run left these
            for left in root.rglob(".part-*"):
                left.unlink(missing_ok=True)
        return cls(root, lock=lock)

    def slide_folder(self, slide: str) -> Path:
        """Folder of one slide's files."""
        return (self.slides or self.root / "slides") / slide

    def part(self, name: str) -> "RunFolder":
        """Return the folder of one part of this run (a fold), with the slides of the whole."""
        root = self.root / "parts" / name
        root.mkdir(parents=True, exist_ok=True)
        return RunFolder(root, self.slides or self.root / "slides", self.lock)

    def is_complete(self, slide: str, mark: str) -> bool:
        """Whether this slide was prepared under the same settings."""
        marker = self.slide_folder(slide) / "complete"
        return marker.is_file() and marker.read_text(encoding="utf-8") == mark

    def mark_complete(self, slide: str, mark: str) -> None:
        """Say that every file of this slide is there; written last."""
        write_text(self.slide_folder(slide) / "complete", mark)

    def stage_mark(self, stage: str) -> str:
        """Fingerprint under which a stage was last finished; empty if never."""
        marker = self.root / "stages" / stage
        return marker.read_text(encoding="utf-8") if marker.is_file() else ""

    def mark_stage(self, stage: str, mark: str) -> None:
        """Say that every file of this stage is there; written last."""
        write_text(self.root / "stages" / stage, mark)

    def log(self, event: str, **facts: object) -> None:
        """Append one line to ``log.jsonl``."""
        line = json.dumps({"at": _now(), "event": event, **facts}, default=str)
        with (self.root / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def write_manifest(self, facts: Mapping[str, Any]) -> Path:
        """Write how the run was made: settings, seeds, versions, and the hash of each result."""
        results = {
            str(path.relative_to(self.root)): sha256_file(path)
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and _is_result(path.relative_to(self.root))
        }
        return write_json(
            self.root / "manifest.json",
            {
                "jecur": jecur.__version__,
                "finished": _now(),
                "versions": library_versions(),
                **facts,
                "sha256": results,
            },
        )


def _locked(root: Path) -> FileLock | None:
    """Lock a run folder; None where the file system has no locks."""
    lock = FileLock(root / ".lock", timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunFolderError(
            f"expected no other run at {root}, found one writing there; wait until it has ended, or "
            "name another --out",
            code="run-in-progress",
        ) from error
    except (NotImplementedError, OSError):
        return None
    return lock


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a number."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _is_result(path: Path) -> bool:
    hidden = any(part.startswith(".") or part == "private" for part in path.parts)
    bulky = path.suffix == ".npy" or path.parts[0] in {"checkpoints", "stages", "cohort"}
    return not hidden and not bulky and path.name not in {"manifest.json", "log.jsonl", "complete"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
