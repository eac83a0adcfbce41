"""A writer of small tiled DICOM slides, whose every part can be varied.

Source: DICOM PS3.3 A.32.8 (VL Whole Slide Microscopy Image), PS3.5 7 and A.4 (elements, pixels).
"""

import itertools
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np

__all__ = ["SYNTAXES", "Instance", "encode", "uid", "write_instance"]

SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "jpeg": "1.2.840.10008.1.2.4.50",
    "j2k-lossless": "1.2.840.10008.1.2.4.90",
    "j2k": "1.2.840.10008.1.2.4.91",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "rle": "1.2.840.10008.1.2.5",
}
_LONG = {"OB", "OW", "SQ", "UT", "OV"}
_NUMBERS = {"US": "<H", "UL": "<I", "FL": "<f", "FD": "<d", "OV": "<Q", "SL": "<i"}
Elements = dict[tuple[int, int], tuple[str, object]]


class Instance(NamedTuple):
    """One file: a level, or a part of one.

    ``frames`` are encoded tiles with the place of each: (row, column, z, path, bytes).
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    mpp: float
    frames: Sequence[tuple[int, int, int, int, bytes]]
    syntax: str = "jpeg"
    photometric: str = "YBR_FULL_422"
    samples: int = 3
    bits: int = 8
    planar: int = 0
    sparse: bool = False
    focal_planes: int = 1
    paths: int = 1
    series: str = "1"
    number: int = 1
    patient: str = "A"
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
    part: tuple[int, int] | None = None
    first_frame: int = 0
    offsets: str = "basic"
    fragments: int = 1
    nested: str = "undefined"
    more: tuple[tuple[tuple[int, int], tuple[str, object]], ...] = ()
    """Further elements, or others in place of ours: (tag, (kind, value))."""


def uid(*parts: object) -> str:
    """Identifier under the root that needs no registration, from digits of what it stands for."""
    text = "".join(f"{ord(c):03d}" for part in parts for c in str(part))
    return f"2.25.{int(text) % 10**36 + 10**37}"


def encode(tile: np.ndarray, syntax: str, *, stream: str = "ycbcr", rate: str = "444") -> bytes:
    """Encode one tile; ``stream`` tells what a JPEG or JPEG 2000 stream holds."""
    if syntax in {"explicit", "implicit"}:
        return tile.tobytes()
    if syntax == "jpeg":
        model = {"ycbcr": "YCBCR", "rgb": "RGB", "gray": "GRAYSCALE"}[stream]
        return imagecodecs.jpeg8_encode(
            tile, level=95, colorspace="GRAYSCALE" if tile.ndim == 2 else "RGB",
            outcolorspace="GRAYSCALE" if tile.ndim == 2 else model,
            subsampling=rate if stream == "ycbcr" else "444",
        )  # fmt: skip
    if syntax in {"j2k", "j2k-lossless"}:
        lossless = syntax == "j2k-lossless"
        return imagecodecs.jpeg2k_encode(
            tile, level=0 if lossless else 50, reversible=lossless, mct=stream == "ycbcr",
            codecformat="j2k",
        )  # fmt: skip
    if syntax == "jpeg-ls":
        return imagecodecs.jpegls_encode(tile)
    if syntax == "rle":
        return _rle(tile)
    raise ValueError(f"no such syntax: {syntax}")


def write_instance(path: Path, instance: Instance) -> None:
    """Write one DICOM file."""
    syntax = SYNTAXES[instance.syntax]
    explicit = instance.syntax != "implicit"
    meta = {
        (2, 1): ("OB", b"\0\1"),
        (2, 2): ("UI", "1.2.840.10008.5.1.4.1.1.77.1.6"),
        (2, 3): ("UI", _sop(instance)),
        (2, 0x10): ("UI", syntax),
        (2, 0x12): ("UI", "2.25.1"),
    }
    head = _elements(meta, "undefined", explicit=True)
    group_length = _element((2, 0), "UL", len(head), "undefined", explicit=True)
    body = _elements(_attributes(instance), instance.nested, explicit=explicit)
    pixels = _pixels(instance, explicit=explicit)
    path.write_bytes(bytes(128) + b"DICM" + group_length + head + body + pixels)


def _sop(instance: Instance) -> str:
    return uid(instance.series, instance.number, instance.part[0] if instance.part else 0)


def _attributes(instance: Instance) -> Elements:
    width, height = instance.size
    found: Elements = {
        (8, 8): ("CS", list(instance.image_type)),
        (8, 0x16): ("UI", "1.2.840.10008.5.1.4.1.1.77.1.6"),
        (8, 0x18): ("UI", _sop(instance)),
        (8, 0x20): ("DA", "20200101"),
        (8, 0x23): ("DA", "20200101"),
        (8, 0x30): ("TM", "120000"),
        (8, 0x33): ("TM", "120000"),
        (8, 0x2A): ("DT", "20200101120000"),
        (8, 0x60): ("CS", "SM"),
        (8, 0x70): ("LO", "none"),
        (8, 0x1090): ("LO", "none"),
        (0x10, 0x10): ("PN", instance.patient),
        (0x10, 0x20): ("LO", instance.patient),
        (0x18, 0x1000): ("LO", "1"),
        (0x18, 0x1020): ("LO", "1"),
        (0x20, 0xD): ("UI", uid("study")),
        (0x20, 0xE): ("UI", uid("series", instance.series)),
        (0x20, 0x13): ("IS", str(instance.number)),
        (0x20, 0x52): ("UI", uid("frame", instance.series)),
        (0x20, 0x9311): ("CS", "TILED_SPARSE" if instance.sparse else "TILED_FULL"),
        (0x28, 2): ("US", instance.samples),
        (0x28, 4): ("CS", instance.photometric),
        (0x28, 8): ("IS", str(len(instance.frames))),
        (0x28, 0x10): ("US", instance.tile[1]),
        (0x28, 0x11): ("US", instance.tile[0]),
        (0x28, 0x100): ("US", instance.bits),
        (0x28, 0x101): ("US", instance.bits),
        (0x28, 0x102): ("US", instance.bits - 1),
        (0x28, 0x103): ("US", 0),
        (0x28, 0x301): ("CS", "NO"),
        (0x28, 0x2110): ("CS", "00"),
        (0x40, 0x512): ("LO", f"slide {instance.patient}"),
        (0x48, 1): ("FL", instance.mpp * width / 1e3),
        (0x48, 2): ("FL", instance.mpp * height / 1e3),
        (0x48, 3): ("FL", 1.0),
        (0x48, 6): ("UL", width),
        (0x48, 7): ("UL", height),
        (0x48, 8): ("SQ", [{(0x40, 0x72A): ("DS", "0"), (0x40, 0x73A): ("DS", "0")}]),
        (0x48, 0x10): ("CS", "NO"),
        (0x48, 0x11): ("CS", "AUTO"),
        (0x48, 0x12): ("CS", "NO"),
        (0x48, 0x102): ("DS", ["0", "-1", "0", "-1", "0", "0"]),
        (0x48, 0x105): ("SQ", [_path(k) for k in range(instance.paths)]),
        (0x48, 0x302): ("UL", instance.paths),
        (0x48, 0x303): ("UL", instance.focal_planes),
        (0x5200, 0x9229): ("SQ", [_shared(instance)]),
    }
    if instance.samples > 1:
        found[0x28, 6] = ("US", instance.planar)
    if instance.part:
        found[0x20, 0x9161] = ("UI", uid("concatenation", instance.series, instance.number))
        found[0x20, 0x0242] = ("UI", uid(instance.series, instance.number))
        found[0x20, 0x9162] = ("US", instance.part[0])
        found[0x20, 0x9163] = ("US", instance.part[1])
        found[0x20, 0x9228] = ("UL", instance.first_frame)
    if instance.sparse:
        found[0x5200, 0x9230] = ("SQ", [_per_frame(instance, frame) for frame in instance.frames])
    if instance.offsets == "extended" and instance.syntax not in {"explicit", "implicit"}:
        lengths = [len(data) + len(data) % 2 for *_, data in instance.frames]
        starts = np.cumsum([0, *(length + 8 for length in lengths)])[:-1]
        found[0x7FE0, 1] = ("OV", [int(k) for k in starts])
        found[0x7FE0, 2] = ("OV", lengths)
    return found | dict(instance.more)


def _path(number: int) -> Elements:
    code = {(8, 0x100): ("SH", "111744"), (8, 0x102): ("SH", "DCM"),
            (8, 0x104): ("LO", "Brightfield illumination")}  # fmt: skip
    return {
        (0x22, 0x16): ("SQ", [code]),
        (0x48, 0x108): ("SQ", [code]),
        (0x48, 0x106): ("SH", str(number)),
    }


def _shared(instance: Instance) -> Elements:
    spacing = f"{instance.mpp / 1e3:.9f}"
    measures = {(0x18, 0x50): ("DS", "0.001"), (0x18, 0x88): ("DS", "0.001"),
                (0x28, 0x30): ("DS", [spacing, spacing])}  # fmt: skip
    kind = {(8, 0x9007): ("CS", list(instance.image_type))}
    found: Elements = {
        (0x28, 0x9110): ("SQ", [measures]),
        (0x40, 0x710): ("SQ", [kind]),
    }
    if instance.paths == 1:
        found[0x48, 0x207] = ("SQ", [{(0x48, 0x106): ("SH", "0")}])
    return found


def _per_frame(instance: Instance, frame: tuple[int, int, int, int, bytes]) -> Elements:
    row, column, z, path, _ = frame
    place = {
        (0x40, 0x72A): ("DS", f"{row * instance.tile[1] * instance.mpp / 1e3:.6f}"),
        (0x40, 0x73A): ("DS", f"{column * instance.tile[0] * instance.mpp / 1e3:.6f}"),
        (0x40, 0x74A): ("DS", str(z)),
        (0x48, 0x21E): ("SL", column * instance.tile[0] + 1),
        (0x48, 0x21F): ("SL", row * instance.tile[1] + 1),
    }
    found: Elements = {
        (0x20, 0x9111): ("SQ", [{(0x20, 0x9157): ("UL", [column + 1, row + 1])}]),
        (0x48, 0x21A): ("SQ", [place]),
    }
    if instance.paths > 1:
        found[0x48, 0x207] = ("SQ", [{(0x48, 0x106): ("SH", str(path))}])
    return found


def _elements(elements: Elements, nested: str, *, explicit: bool) -> bytes:
    return b"".join(
        _element(tag, kind, value, nested, explicit=explicit)
        for tag, (kind, value) in sorted(elements.items())
    )


def _element(tag: tuple[int, int], kind: str, value: object, nested: str, *, explicit: bool):
    if kind == "SQ":
        return _sequence(tag, value, nested, explicit=explicit)
    data = _value(kind, value)
    return _head(tag, kind, len(data), explicit=explicit) + data


def _value(kind: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if kind in _NUMBERS:
        values = value if isinstance(value, list) else [value]
        return b"".join(struct.pack(_NUMBERS[kind], number) for number in values)
    text = "\\".join(value) if isinstance(value, list) else str(value)
    data = text.encode()
    return data + (b"\0" if kind == "UI" else b" ") * (len(data) % 2)


def _head(tag: tuple[int, int], kind: str, length: int, *, explicit: bool) -> bytes:
    start = struct.pack("<HH", *tag)
    if not explicit:
        return start + struct.pack("<I", length)
    if kind in _LONG:
        return start + kind.encode() + b"\0\0" + struct.pack("<I", length)
    return start + kind.encode() + struct.pack("<H", length)


def _sequence(tag: tuple[int, int], items, nested: str, *, explicit: bool) -> bytes:
    """Write items with defined or undefined lengths."""
    bodies = [_elements(item, nested, explicit=explicit) for item in items]
    if nested == "undefined":
        inside = b"".join(
            struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + body
            + struct.pack("<HHI", 0xFFFE, 0xE00D, 0) for body in bodies
        ) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)  # fmt: skip
        return _head(tag, "SQ", 0xFFFFFFFF, explicit=explicit) + inside
    inside = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body for body in bodies)
    return _head(tag, "SQ", len(inside), explicit=explicit) + inside


def _pixels(instance: Instance, *, explicit: bool) -> bytes:
    tag, kind = (0x7FE0, 0x10), "OW" if instance.bits == 16 else "OB"
    frames = [data for *_, data in instance.frames]
    if instance.syntax in {"explicit", "implicit"}:
        data = b"".join(frames)
        data += b"\0" * (len(data) % 2)
        return _head(tag, kind, len(data), explicit=explicit) + data
    pieces = [_fragments(data, instance.fragments) for data in frames]
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])[:-1]
    table = struct.pack(f"<{len(starts)}I", *starts) if instance.offsets == "basic" else b""
    return (
        _head(tag, "OB", 0xFFFFFFFF, explicit=True)
        + struct.pack("<HHI", 0xFFFE, 0xE000, len(table)) + table + b"".join(pieces)
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )  # fmt: skip


def _fragments(data: bytes, n: int) -> bytes:
    """Items of one frame, each of even length."""
    data += b"\0" * (len(data) % 2)
    step = max(2, len(data) // n // 2 * 2)
    cuts = [k * step for k in range(n)] + [len(data)]
    return b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, b - a) + data[a:b] for a, b in itertools.pairwise(cuts)
    )


def _rle(tile: np.ndarray) -> bytes:
    """Segments of one byte plane each, most significant first (PS3.5 annex G)."""
    rows = tile.reshape(*tile.shape[:2], -1)
    planes = [
        np.ascontiguousarray(rows[..., k]).view(np.uint8).reshape(*rows.shape[:2], -1)[..., byte]
        for k in range(rows.shape[2])
        for byte in reversed(range(rows.itemsize))
    ]
    segments = [
        b"".join(imagecodecs.packbits_encode(np.ascontiguousarray(row)) for row in plane)
        for plane in planes
    ]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    starts = np.cumsum([64, *(len(segment) for segment in segments)])[:-1]
    head = struct.pack("<I", len(segments)) + struct.pack(f"<{len(starts)}I", *starts)
    return head.ljust(64, b"\0") + b"".join(segments)
