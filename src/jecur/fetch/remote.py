"""A file on a server: what it must be, and a name under which it may be written here."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from jecur.errors import FetchError
from jecur.printable import is_printable

__all__ = [
    "PARTIAL",
    "UUID",
    "RemoteFile",
    "address",
    "is_plain_name",
    "patient_of",
    "whole_told",
]

PARTIAL = ".partial"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_BARCODE = re.compile(r"TCGA-[0-9A-Z]{2}-[0-9A-Z]{4}(?=-|$)", re.ASCII)
_FORBIDDEN = frozenset('/\\:*?"<>|')
_DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])(\..*)?",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_NAME = 240
"""Bytes; ``.partial`` must fit behind it into the 255 of usual file systems."""
_LARGEST = 1 << 44
_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)


def is_plain_name(name: str) -> bool:
    """Whether a name can be one file of its folder on any system, and nothing else.

    No separator of any system, no name that means a folder or a device, none that hides, ends in a
    dot or blank, or holds a character that acts.
    """
    return (
        0 < len(name.encode("utf-8", "replace")) <= _LONGEST_NAME
        and is_printable(name)
        and not _FORBIDDEN & set(name)
        and not name.startswith(".")
        and name == name.strip(" .")
        and not name.endswith(PARTIAL)
        and _DEVICES.fullmatch(name) is None
    )


def whole_told(text: str) -> int:
    """Whole number of up to 15 digits that a server or a list tells; -1 if it tells none."""
    return int(text) if _WHOLE.fullmatch(text) else -1


def patient_of(name: str) -> str:
    """Patient's barcode in front of a TCGA name; "" if there is none."""
    found = _BARCODE.match(name)
    return found.group() if found else ""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to fetch.

    Parameters
    ----------
    id
        Of the server, a UUID.
    name
        Under which it is written; no path.
    size
        Bytes, 1 or more.
    md5
        32 hexadecimal digits in lower case; "" if the server does not tell one.
    url
        Whence.
    folder
        Where under the output folder, relative.
    patient
        Barcode; "" if it belongs to no single one.
    """

    id: str
    name: str
    size: int
    md5: str
    url: str
    folder: str
    patient: str = ""

    def __post_init__(self) -> None:
        """Refuse what must not be written or cannot be checked."""
        if faults := self.faults(self.id, self.name, self.size, self.md5):
            raise FetchError(f"{self.name!r}: {'; '.join(faults)}", code="bad-name")

    @staticmethod
    def faults(file_id: str, name: str, size: int, md5: str) -> list[str]:
        """Everything that is wrong with what a server or a list says of a file."""
        found = []
        if not UUID.fullmatch(file_id):
            found.append(f"expected a UUID as the file's id, found {file_id[:60]!r}")
        if not is_plain_name(name):
            found.append(
                f"expected a plain file name without separators, found {name[:120]!r}; nothing is "
                "written under it"
            )
        if not 0 < size < _LARGEST:
            found.append(f"expected a size in bytes, found {size}")
        if md5 and not _MD5.fullmatch(md5):
            found.append(f"expected an MD5 of 32 hexadecimal digits, found {md5[:60]!r}")
        return found

    def place(self, out: Path) -> Path:
        """Where the whole file lies."""
        return out / PurePosixPath(self.folder) / self.name

    @property
    def label(self) -> str:
        """As it is named to people."""
        return (
            self.name
            if self.patient in ("", patient_of(self.name))
            else (f"{self.patient} {self.folder.rsplit('/', 1)[-1]}/{self.name}")
        )


def address(base: str, *parts: str) -> str:
    """Join an address and path segments, each escaped whole."""
    return "/".join([base.rstrip("/"), *(quote(part, safe="") for part in parts)])
