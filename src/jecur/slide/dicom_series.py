"""Which series the DICOM files of a folder belong to, from their headers alone.

OpenSlide gathers the files of one series around the file that is named. Here it is told
whether a folder holds another slide beside it, and parts that OpenSlide does not put together.
Source: DICOM PS3.5 (data elements) and PS3.3, A.32.8 (VL whole-slide image).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["DicomHeader", "read_dicom_header"]

_PREAMBLE, _MAGIC = 128, b"DICM"
_EXPLICIT, _IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
_BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"})
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_TRANSFER_SYNTAX = (0x0002, 0x0010)
_IMAGE_TYPE, _SERIES, _PATIENT = (0x0008, 0x0008), (0x0020, 0x000E), (0x0010, 0x0020)
_CONTAINER = (0x0040, 0x0512)
_PART, _PARTS = (0x0020, 0x9162), (0x0020, 0x9163)
_LAST = (0x0048, 0xFFFF)
_LONGEST_VALUE = 65_536
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """What is needed of one file.

    Parameters
    ----------
    series, patient, container
        Series Instance UID, Patient ID, Container Identifier; "" where the file is silent.
    image_type
        Values of Image Type; ("ORIGINAL", "PRIMARY", "VOLUME", "NONE") for a level.
    parts
        Parts of the concatenation that it belongs to; 1 if it is whole.
    """

    series: str
    patient: str
    container: str
    image_type: tuple[str, ...]
    parts: int

    @property
    def is_volume(self) -> bool:
        """Whether it is a level of a slide, not its label, overview or thumbnail."""
        return "VOLUME" in self.image_type


def read_dicom_header(path: Path) -> DicomHeader | None:
    """Read a header; None for what is no DICOM file or cannot be parsed.

    Parameters
    ----------
    path
        A file, of any kind.
    """
    try:
        with path.open("rb") as file:
            file.seek(_PREAMBLE)
            if file.read(4) != _MAGIC:
                return None
            found = _elements(file)
    except (OSError, struct.error, RecursionError, ValueError):
        return None
    text = {
        tag: value.decode("latin-1").strip(" \0")
        for tag, value in found.items()
        if tag not in {_PART, _PARTS}
    }
    parts = found.get(_PARTS, b"\1\0")
    concatenated = _PART in found or _PARTS in found
    return DicomHeader(
        series=text.get(_SERIES, ""),
        patient=text.get(_PATIENT, ""),
        container=text.get(_CONTAINER, ""),
        image_type=tuple(text.get(_IMAGE_TYPE, "").split("\\")),
        parts=max(int.from_bytes(parts[:2], "little"), 2) if concatenated else 1,
    )


def _elements(file: BinaryIO) -> dict[tuple[int, int], bytes]:
    """Values of the elements wanted; stops behind the last of them or where pixels begin."""
    wanted = {_TRANSFER_SYNTAX, _IMAGE_TYPE, _SERIES, _PATIENT, _CONTAINER, _PART, _PARTS}
    found: dict[tuple[int, int], bytes] = {}
    explicit = True
    while True:
        start = file.tell()
        head = file.read(4)
        if len(head) < 4:
            return found
        tag: tuple[int, int] = struct.unpack("<HH", head)
        if tag > _LAST:
            return found
        if tag[0] > 2 and _TRANSFER_SYNTAX in found:
            syntax = found.pop(_TRANSFER_SYNTAX).decode("latin-1").strip(" \0")
            if syntax in {_BIG_ENDIAN, _DEFLATED}:
                raise ValueError("a transfer syntax that no slide uses")
            explicit = syntax != _IMPLICIT
            file.seek(start)
            continue
        length = _length(file, explicit=explicit)
        if length == _UNDEFINED:
            _skip_sequence(file, explicit=explicit, depth=0)
        elif tag in wanted and length <= _LONGEST_VALUE:
            found[tag] = file.read(length)
        else:
            file.seek(length, 1)


def _length(file: BinaryIO, *, explicit: bool) -> int:
    """Read the value representation, if there is one, and the length of an element."""
    if not explicit:
        return int(struct.unpack("<I", file.read(4))[0])
    kind, short = struct.unpack("<2sH", file.read(4))
    return int(struct.unpack("<I", file.read(4))[0]) if kind in _LONG else int(short)


def _skip_sequence(file: BinaryIO, *, explicit: bool, depth: int) -> None:
    """Pass over a sequence of undefined length: items up to its delimiter."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    while True:
        group, element, length = struct.unpack("<HHI", file.read(8))
        if (group, element) == _SEQUENCE_END:
            return
        if (group, element) != _ITEM:
            raise ValueError("a sequence without items")
        if length != _UNDEFINED:
            file.seek(length, 1)
        else:
            _skip_item(file, explicit=explicit, depth=depth)


def _skip_item(file: BinaryIO, *, explicit: bool, depth: int) -> None:
    while True:
        tag = struct.unpack("<HH", file.read(4))
        if tag == _ITEM_END:
            file.seek(4, 1)
            return
        length = _length(file, explicit=explicit)
        if length == _UNDEFINED:
            _skip_sequence(file, explicit=explicit, depth=depth + 1)
        else:
            file.seek(length, 1)
