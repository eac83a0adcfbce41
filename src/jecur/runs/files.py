"""Files written whole or not at all, and digests that say whether they still are."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from jecur.errors import NOBODYS_FAULT, refusal
from jecur.printable import printable_json
from jecur.runs.leftovers import part_prefix

__all__ = [
    "atomic_path",
    "fingerprint",
    "free_bytes",
    "refused_as_said",
    "sha256_file",
    "write_json",
    "write_private",
    "write_text",
]


@contextmanager
def atomic_path(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it only if the block ends well.

    What is ``private`` is readable by nobody else, not even while it is written.

    Raises
    ------
    SystemRefusedError
        If the folder cannot be written or has vanished, or the disk is full.
    """
    with refused_as_said(path):
        path.parent.mkdir(0o700 if private else 0o777, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=part_prefix(), suffix=path.suffix, dir=path.parent)
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
            temporary.chmod(0o600 if private else 0o644)  # it was made with 0o600
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
        # The name of a temporary file would mean nothing to the user.
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


def write_private(path: Path, text: str) -> Path:
    """Write whole or not at all; never readable by others, not even while it is written.

    Raises
    ------
    SystemRefusedError
        If the folder cannot be written, or the disk is full.
    """
    with atomic_path(path, private=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return path


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


def free_bytes(path: Path) -> int:
    """Bytes free on the disk on which a file or folder lies, or will lie."""
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    return shutil.disk_usage(there).free
