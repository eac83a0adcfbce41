"""Tiles of a slide packed without loss: a ZIP archive, stored as it is, of one JPEG XL picture a tile.

Any tile is unpacked alone, so a bag of any size costs the memory of the tiles in use. The fourth channel is
the pictures' alpha; every byte comes back as it was, also where alpha is 0.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import imagecodecs
import msgspec
import numpy as np
from numpy.typing import NDArray

from jecur.arrays import BagArray
from jecur.errors import BagError

__all__ = ["PackedBagWriter", "PackedTiles"]

_EFFORTS = (2, 3, 7)
"""Of JPEG XL, tried in turn: 1, the quickest, gives back other pixels now and then (libjxl 0.11.2: 8 of 1,500
small tiles of noise), so every tile is unpacked again before it counts as packed."""
_LOCAL_HEADER = 30
"""Bytes of a ZIP member before its name."""


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The archive's comment."""

    n_tiles: Annotated[int, msgspec.Meta(ge=0)]
    side: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    channels: Annotated[int, msgspec.Meta(ge=1, le=4)]


class PackedBagWriter:
    """Appends tiles to an archive; their number and side are written at its end.

    Parameters
    ----------
    stream
        Empty, open for writing; closed by whoever opened it.
    side, channels
        Of a tile.
    """

    def __init__(self, stream: BinaryIO, side: int, channels: int) -> None:
        self._stream, self._side, self._channels = stream, side, channels
        self._archive = zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED)
        self.n_tiles = 0

    def write(self, tiles: BagArray) -> None:
        """Pack (b, side, side, channels) uint8 tiles."""
        for tile in tiles:
            member = zipfile.ZipInfo(_name(self.n_tiles))  # with the year 1980 for a date
            member.create_system = 3  # the same bytes on every system
            self._archive.writestr(member, _packed(tile))
            self.n_tiles += 1

    def close(self, *, whole: bool) -> None:
        """End the archive; one that is not ``whole`` cannot be opened again."""
        facts = _Facts(self.n_tiles, self._side, self._channels)
        self._archive.comment = msgspec.json.encode(facts) if whole else b""
        self._archive.close()
        self._stream.flush()


class PackedTiles:
    """Tiles of an archive, indexed like an array (n, h, w, c) uint8 and unpacked when asked for.

    Parameters
    ----------
    path
        Written by `PackedBagWriter`. It is opened for each reading: thousands of bags hold no file open.

    Raises
    ------
    BagError
        If it is no such archive.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                facts = msgspec.json.decode(archive.comment, type=_Facts)
                members = archive.infolist()
        except (
            OSError,
            RuntimeError,
            zipfile.BadZipFile,
            msgspec.DecodeError,
            ValueError,
        ) as error:
            raise _damaged(path, str(error)) from error
        names = [member.filename for member in members]
        if names != [_name(k) for k in range(facts.n_tiles)]:
            raise _damaged(path, f"{len(names)} pictures where {facts.n_tiles} tiles were written")
        self.shape = (facts.n_tiles, facts.side, facts.side, facts.channels)
        starts = [m.header_offset + _LOCAL_HEADER + len(m.filename) for m in members]
        self._starts = np.array(starts, np.int64)
        self._sizes = np.array([m.compress_size for m in members], np.int64)
        self._sums = np.array([m.CRC for m in members], np.int64)
        size = path.stat().st_size
        if any(start < 0 or start + n > size for start, n in zip(starts, self._sizes, strict=True)):
            raise _damaged(path, "tiles said to lie outside of it")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[np.int64]) -> BagArray:
        """Unpack one tile, (h, w, c), or several, (m, h, w, c)."""
        wanted = np.asarray(np.arange(len(self))[index])
        tiles = self._unpacked(wanted.reshape(-1))
        return tiles[0] if wanted.ndim == 0 else tiles

    def _unpacked(self, wanted: NDArray[np.int64]) -> BagArray:
        out: BagArray = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        with self._path.open("rb") as stream:
            for place, k in zip(out, wanted, strict=True):
                stream.seek(int(self._starts[k]))
                place[...] = self._tile(stream.read(int(self._sizes[k])), int(k))
        return out

    def _tile(self, packed: bytes, k: int) -> BagArray:
        if zlib.crc32(packed) != self._sums[k]:
            raise _damaged(self._path, f"tile {k} with another checksum")
        try:
            tile: BagArray = np.asarray(imagecodecs.jpegxl_decode(packed, numthreads=1), np.uint8)
        except (RuntimeError, ValueError, OSError) as error:
            raise _damaged(self._path, f"tile {k} that cannot be unpacked ({error})") from error
        if tile.shape != self.shape[1:]:
            raise _damaged(self._path, f"tile {k} of {tile.shape}")
        return tile


def _name(k: int) -> str:
    return f"{k:07d}.jxl"


def _packed(tile: BagArray) -> bytes:
    """Pack a tile, and prove that it comes back as it was."""
    raw = np.ascontiguousarray(tile)
    for effort in _EFFORTS:
        packed = bytes(imagecodecs.jpegxl_encode(raw, lossless=True, effort=effort, numthreads=1))
        if np.array_equal(imagecodecs.jpegxl_decode(packed, numthreads=1), raw):
            return packed
    raise BagError(
        "expected JPEG XL to give back the pixels of a tile, found that it gives others; set "
        'bags.format = "raw", and report the version of imagecodecs'
    )


def _damaged(path: Path, found: str) -> BagError:
    return BagError(
        f"{path.parent.name}: expected an archive of tiles, found {found}; "
        "delete the slide's folder and run again"
    )
