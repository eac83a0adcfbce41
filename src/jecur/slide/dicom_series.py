"""Which series the DICOM files of a folder belong to, from their headers alone.

OpenSlide gathers the files of one series around the file that is named. Here it is told
whether a folder holds another slide beside it, and parts that OpenSlide does not put together.
Source: DICOM PS3.5 (data elements) and PS3.3, A.32.8 (VL whole-slide image).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["DicomHeader", "is_dicom", "read_dicom_header"]

_PREAMBLE, _MAGIC = 128, b"DICM"
_EXPLICIT, _IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
_BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"})
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_TRANSFER_SYNTAX = (0x0002, 0x0010)
_IMAGE_TYPE, _SERIES, _PATIENT = (0x0008, 0x0008), (0x0020, 0x000E), (0x0010, 0x0020)
_CONTAINER, _PHOTOMETRIC = (0x0040, 0x0512), (0x0028, 0x0004)
_FRAMES = (0x0028, 0x0008)
_TEXTS = frozenset({_IMAGE_TYPE, _SERIES, _PATIENT, _CONTAINER, _PHOTOMETRIC, _FRAMES})
_PART, _PARTS = (0x0020, 0x9162), (0x0020, 0x9163)
_SAMPLES, _PLANAR, _BITS = (0x0028, 0x0002), (0x0028, 0x0006), (0x0028, 0x0100)
_TILE_HEIGHT, _TILE_WIDTH = (0x0028, 0x0010), (0x0028, 0x0011)
_WIDTH, _HEIGHT = (0x0048, 0x0006), (0x0048, 0x0007)
_VOLUME = (0x0048, 0x0001)
_PATHS, _PLANES = (0x0048, 0x0302), (0x0048, 0x0303)
_NUMBERS = frozenset(
    {_PART, _PARTS, _SAMPLES, _PLANAR, _BITS, _TILE_HEIGHT, _TILE_WIDTH, _WIDTH, _HEIGHT, _PATHS}
    | {_PLANES}
)
_LAST = (0x0048, 0xFFFF)
_GROUPS = (0x5200, 0x0000)
"""Functional groups, of all frames and of each; behind them come the pixels."""
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
    syntax, photometric
        Transfer Syntax UID and Photometric Interpretation.
    size, tile
        Total Pixel Matrix and frame, pixels; (0, 0) where the file is silent.
    volume_mm
        Imaged Volume Width, millimeters that all columns take; 0 where the file is silent.
    samples, bits, planar
        Samples per Pixel, Bits Allocated, Planar Configuration.
    n_frames, n_paths, n_planes
        Frames in the file, optical paths and focal planes of the slide; 1 where it is silent.
    part, parts
        Number in the concatenation that it belongs to, from 1, and how many parts that has;
        (1, 1) if it is whole, 0 parts where the file does not tell how many.
    tail
        Where the functional groups, or the pixels, begin at the latest, bytes: pictures of the header
        (an icon) lie before.
    """

    series: str
    patient: str
    container: str
    image_type: tuple[str, ...]
    syntax: str
    photometric: str
    size: tuple[int, int]
    tile: tuple[int, int]
    volume_mm: float
    samples: int
    bits: int
    planar: int
    n_frames: int
    n_paths: int
    n_planes: int
    part: int
    parts: int
    tail: int

    @property
    def is_volume(self) -> bool:
        """Whether it is a level of a slide, not its label, overview or thumbnail."""
        return "VOLUME" in self.image_type


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do, whatever its name; an unreadable one does not."""
    try:
        with path.open("rb") as file:
            return _begins(file)
    except OSError:
        return False


def read_dicom_header(path: Path) -> DicomHeader | None:
    """Read a header; None for what is no DICOM file or cannot be parsed.

    Parameters
    ----------
    path
        A file, of any kind.
    """
    try:
        with path.open("rb") as file:
            if not _begins(file):
                return None
            found, explicit = _elements(file)
            tail = _tail(file, explicit=explicit)
    except (OSError, struct.error, RecursionError, ValueError):
        return None
    return _header(found, tail)


def _begins(file: BinaryIO) -> bool:
    """Whether the mark of DICOM stands where it should; elements follow it."""
    file.seek(_PREAMBLE)
    return file.read(len(_MAGIC)) == _MAGIC


def _header(found: dict[tuple[int, int], bytes], tail: int) -> DicomHeader:
    text = {tag: found[tag].decode("latin-1").strip(" \0") for tag in _TEXTS & found.keys()}
    number = {tag: int.from_bytes(found[tag][:4], "little") for tag in _NUMBERS & found.keys()}
    frames = text.get(_FRAMES, "1")
    return DicomHeader(
        series=text.get(_SERIES, ""),
        patient=text.get(_PATIENT, ""),
        container=text.get(_CONTAINER, ""),
        image_type=tuple(text.get(_IMAGE_TYPE, "").split("\\")),
        syntax=found.get(_TRANSFER_SYNTAX, b"").decode("latin-1").strip(" \0"),
        photometric=text.get(_PHOTOMETRIC, ""),
        size=(number.get(_WIDTH, 0), number.get(_HEIGHT, 0)),
        tile=(number.get(_TILE_WIDTH, 0), number.get(_TILE_HEIGHT, 0)),
        volume_mm=struct.unpack("<f", found.get(_VOLUME, b"")[:4].ljust(4, b"\0"))[0],
        samples=number.get(_SAMPLES, 3),
        bits=number.get(_BITS, 8),
        planar=number.get(_PLANAR, 0),
        n_frames=int(frames) if frames.isdecimal() else 1,
        n_paths=number.get(_PATHS, 1),
        n_planes=number.get(_PLANES, 1),
        part=number.get(_PART, 1),
        parts=number.get(_PARTS, 0 if _PART in found else 1),
        tail=tail,
    )


def _elements(file: BinaryIO) -> tuple[dict[tuple[int, int], bytes], bool]:
    """Values of the elements wanted, and whether they name their kind; stops behind the last of them."""
    wanted = {_TRANSFER_SYNTAX, _VOLUME} | _TEXTS | _NUMBERS
    found: dict[tuple[int, int], bytes] = {}
    explicit = in_meta = True
    while True:
        start = file.tell()
        head = file.read(4)
        if len(head) < 4:
            return found, explicit
        tag: tuple[int, int] = struct.unpack("<HH", head)
        if tag > _LAST:
            file.seek(start)
            return found, explicit
        if in_meta and tag[0] > 2:
            syntax = found.get(_TRANSFER_SYNTAX, b"").decode("latin-1").strip(" \0")
            if syntax in {_BIG_ENDIAN, _DEFLATED}:
                raise ValueError("a transfer syntax that no slide uses")
            explicit, in_meta = syntax != _IMPLICIT, False
            file.seek(start)
            continue
        length = _length(file, explicit=explicit)
        if length == _UNDEFINED:
            _skip_sequence(file, explicit=explicit, depth=0)
        elif tag in wanted and length <= _LONGEST_VALUE:
            found[tag] = file.read(length)
        else:
            file.seek(length, 1)


def _tail(file: BinaryIO, *, explicit: bool) -> int:
    """Pass over what lies before the functional groups; what cannot be parsed ends it."""
    while True:
        start = file.tell()
        try:
            if struct.unpack("<HH", file.read(4)) >= _GROUPS:
                return start
            length = _length(file, explicit=explicit)
            if length == _UNDEFINED:
                _skip_sequence(file, explicit=explicit, depth=0)
            else:
                file.seek(length, 1)
        except (struct.error, ValueError):
            return start


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
