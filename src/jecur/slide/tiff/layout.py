"""The layout of a TIFF file, read without decoding: is it whole."""

import struct
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

__all__ = ["Page", "directories_leave_file", "directories_loop", "is_tiff"]

Page: TypeAlias = Any
"""A page of a TIFF as tifffile gives it: a TiffPage, or a TiffFrame that looks the same."""


_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
"""Bytes of one value of each TIFF type, by the type's number."""
_MOST_ENTRIES = 4_096


def is_tiff(path: Path) -> bool:
    """Whether the file starts as TIFF or BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in _MAGICS


def directories_leave_file(path: Path) -> bool:
    """Whether the main chain of directories, or a value in it, lies beyond the end of the file.

    Parameters
    ----------
    path
        A TIFF or BigTIFF file.
    """
    return _chain(path) == "leaves"


def directories_loop(path: Path) -> bool:
    """Whether the main chain of directories comes back to one it has passed: readers may not end."""
    return _chain(path) == "loops"


def _chain(path: Path) -> Literal["whole", "leaves", "loops"]:
    length = path.stat().st_size
    with path.open("rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
        big = file.read(2) in (b"+\0", b"\0+")
        file.seek(8 if big else 4)
        seen = set[int]()
        try:
            while True:
                (offset,) = _unpack(file, f"{order}{'Q' if big else 'I'}")
                if offset == 0:
                    return "whole"
                if offset in seen:
                    return "loops"
                seen.add(offset)
                file.seek(offset)
                end = _values_end(file, order, big=big)
                if end is None:
                    return "whole"
                if end > length:
                    return "leaves"
        except (struct.error, OverflowError, OSError):
            return "leaves"


def _values_end(file: BinaryIO, order: str, *, big: bool) -> int | None:
    """Read one directory up to its link to the next; return where its last value ends.

    None for a directory too long to be one: damage, for the decoder to name.
    """
    (n_entries,) = _unpack(file, f"{order}{'Q' if big else 'H'}")
    if n_entries > _MOST_ENTRIES:
        return None
    entry, inline = (f"{order}HHQQ", 8) if big else (f"{order}HHII", 4)
    end = 0
    for _ in range(n_entries):
        _, kind, count, value = _unpack(file, entry)
        size = _TYPE_BYTES.get(kind, 0) * count
        if size > inline:
            end = max(end, value + size)
    return end


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
