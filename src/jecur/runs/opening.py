"""How a run folder is made, known again and kept for one writer."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import jecur
from jecur.errors import RunFolderError
from jecur.runs.claims import crews_at_work
from jecur.runs.files import refused_as_said, write_json

__all__ = [
    "HOLDER",
    "LOCK",
    "MANIFEST",
    "Identity",
    "identity_of",
    "in_progress",
    "lock_root",
    "make_root",
    "name_holder",
    "read_manifest",
    "refuse_workers",
]

MANIFEST = "manifest.json"
LOCK = ".lock"
HOLDER = ".holder"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which folder it is: machines of a cluster number their disks each in its own way."""

    host: str
    device: int
    number: int

    def is_that_of(self, root: Path) -> bool:
        """Whether a folder is this one still."""
        now = identity_of(root)
        if now is None or now.number != self.number:
            return False
        return now.device == self.device or now.host != self.host


def identity_of(root: Path) -> Identity | None:
    """Which folder this is now; None if there is none."""
    try:
        stat = root.stat()
    except OSError:
        return None
    return Identity(platform.node(), stat.st_dev, stat.st_ino)


def make_root(root: Path) -> None:
    """Make a run folder, or see that it is one."""
    if root.exists() and not root.is_dir():
        raise RunFolderError(f"expected a folder at {root}, found a file; name another --out")
    marker = root / MANIFEST
    # What is hidden is a worker's that begins at the same moment.
    others = root.is_dir() and any(not path.name.startswith(".") for path in root.iterdir())
    if others and not marker.exists():
        raise RunFolderError(
            f"expected an empty folder or an earlier run at {root}, found other files; "
            "name another --out"
        )
    with refused_as_said(root):
        root.mkdir(parents=True, exist_ok=True)
    if not marker.exists():
        write_json(marker, {"jecur": jecur.__version__})


def read_manifest(root: Path) -> dict[str, Any]:
    """Facts of a run folder's manifest; none where there is no manifest.

    Raises
    ------
    RunFolderError
        With code ``damaged`` if it is no manifest.
    """
    path = root / MANIFEST
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise RunFolderError(
            f"expected the manifest of a run at {path}, found something else; put it back, or name "
            "another --out",
            code="damaged",
        )
    return facts


def name_holder(root: Path) -> None:
    """Say which process writes here, for `jecur status`; the lock alone says that one does."""
    write_json(root / HOLDER, {"host": platform.node(), "pid": os.getpid()})


def refuse_workers(root: Path) -> None:
    """Refuse to write beside workers that prepare slides here."""
    crews = crews_at_work(root)
    if crews:
        raise RunFolderError(
            f"expected no workers at {root}, found {len(crews)} preparing slides, one on "
            f"{crews[0].place}; wait until they have ended (jecur status {root})",
            code="workers-at-work",
        )


def in_progress(root: Path) -> RunFolderError:
    """Return the error of a folder to which a run is writing."""
    return RunFolderError(
        f"expected no other run at {root}, found one writing there; wait until it has ended, or "
        "name another --out",
        code="run-in-progress",
    )


def lock_root(root: Path) -> FileLock | None:
    """Lock a run folder; None where the file system has no locks."""
    lock = FileLock(root / LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise in_progress(root) from error
    except (NotImplementedError, OSError):
        return None
    return lock
