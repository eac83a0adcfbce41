"""Finished is proved, not believed: a marker holds what was made and the digest of every file of it.

A marker is written last, in the folder it is about, and read before the files are used again: a
byte changed, a file cut or deleted in between is found, and what it belongs to is made anew.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from jecur.runs.files import sha256_file, write_text

__all__ = [
    "FileDigest",
    "Finished",
    "ProvedFiles",
    "damage",
    "read_marker",
    "renew_marker",
    "write_marker",
]

_SETTLED_NS = 2_000_000_000
"""A file touched less than this before it is read may be touched again within one tick of its file
system's clock, unseen: nothing is remembered of it."""


class ProvedFiles:
    """Digests measured by this process: a file is read once, and again only if it was touched.

    Bags are large and every fold needs them proved. What is remembered of a file holds as long as its
    number, size and times of writing and of change are the same, as every write moves the last two.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file's bytes, hexadecimal."""
        path = path.absolute()
        stamp = _stamp(path)
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        settled = time.time_ns() - max(stamp[-2:]) >= _SETTLED_NS
        digest = sha256_file(path)
        if settled and _stamp(path) == stamp:
            self._known[path] = stamp, digest
        return digest


def _stamp(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class FileDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and content of a file as it was written."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileDigest":
        """Measure a file, right after it was written: its bytes are still in memory."""
        return cls(path.stat().st_size, sha256_file(path))

    def holds_for(self, path: Path, measure: Callable[[Path], str] | None = None) -> bool:
        """Whether the file is there and as it was; a file of a different size is not read."""
        try:
            if path.stat().st_size != self.bytes:
                return False
            return (measure or sha256_file)(path) == self.sha256
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


def renew_marker(marker: Path, folder: Path, name: str) -> None:
    """Take up one file that was written anew; the others are not read again."""
    finished = read_marker(marker)
    if finished is not None:
        files = finished.files | {name: FileDigest.of(folder / name)}
        write_text(marker, msgspec.json.encode(Finished(finished.mark, files)).decode() + "\n")


def read_marker(marker: Path) -> Finished | None:
    """Read a marker; None if there is none, or none of this version that can be read."""
    try:
        return msgspec.json.decode(marker.read_bytes(), type=Finished)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def damage(folder: Path, finished: Finished, proved: ProvedFiles | None = None) -> tuple[str, ...]:
    """Names of the files that are missing or not as they were written.

    Reads every byte, but for files that ``proved`` knows and that were not touched since.
    """
    measure = proved.sha256 if proved is not None else None
    return tuple(
        name
        for name, digest in finished.files.items()
        if not digest.holds_for(folder / name, measure)
    )
