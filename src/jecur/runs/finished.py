"""Finished is proved, not believed: a marker holds what was made and the digest of every file of it.

A marker is written last, in the folder it is about, and read before the files are used again: a
byte changed, a file cut or deleted in between is found, and what it belongs to is made anew.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from jecur.runs.files import sha256_file, write_text

__all__ = ["FileDigest", "Finished", "damage", "read_marker", "write_marker"]


class FileDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and content of a file as it was written."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileDigest":
        """Measure a file, right after it was written: its bytes are still in memory."""
        return cls(path.stat().st_size, sha256_file(path))

    def holds_for(self, path: Path) -> bool:
        """Whether the file is there and as it was; a file of a different size is not read."""
        try:
            return path.stat().st_size == self.bytes and sha256_file(path) == self.sha256
        except OSError:
            return False


class Finished(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was finished: the fingerprint of the work, and its files."""

    mark: str
    files: dict[str, FileDigest]
    """Path relative to the folder that is marked -> digest."""


def write_marker(marker: Path, folder: Path, mark: str, names: Sequence[str]) -> None:
    """Say that these files of ``folder`` are finished; written last."""
    finished = Finished(mark, {name: FileDigest.of(folder / name) for name in sorted(names)})
    write_text(marker, msgspec.json.encode(finished).decode() + "\n")


def read_marker(marker: Path) -> Finished | None:
    """Read a marker; None if there is none, or none of this version that can be read."""
    try:
        return msgspec.json.decode(marker.read_bytes(), type=Finished)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def damage(folder: Path, finished: Finished) -> tuple[str, ...]:
    """Names of the files that are missing or not as they were written; reads every byte."""
    return tuple(
        name for name, digest in finished.files.items() if not digest.holds_for(folder / name)
    )
