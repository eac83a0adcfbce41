"""Bags on disk: the tiles of a slide in one array file, those of a patient as one bag.

A slide's tiles are one uncompressed ``.npy`` file, (n, h, w, 4) uint8, opened as a memory map, or packed
without loss (`jecur.mil.packed_bag`): a bag of any size costs the memory of the tiles in use. The file is
written as tiles come, in bounded memory, and appears under its name only when it is whole.
"""

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import BagArray, FeatureArray
from jecur.errors import BagError
from jecur.mil.packed_bag import PackedBagWriter, PackedTiles
from jecur.runs.folder import BAG_FILES, atomic_path, bag_file

__all__ = [
    "BAG_OF_FORM",
    "N_CHANNELS",
    "Bag",
    "BagWriter",
    "Part",
    "bag_file",
    "drop_bags",
    "open_bag",
    "open_part",
    "write_bag_header",
    "writing_bag",
    "writing_features",
]

N_CHANNELS = 4
BAG_OF_FORM = dict(zip(("raw", "jxl"), BAG_FILES, strict=True))
"""Form in which tiles are kept -> name of their file in a slide's folder."""

Part = BagArray | FeatureArray | PackedTiles
"""Tiles of one slide, pixels or features."""


def drop_bags(folder: Path, *, but: Sequence[str] = ()) -> None:
    """Delete the files of a slide's tiles ``but`` those named: of other work, or in another form."""
    for name in BAG_FILES:
        if name not in but:
            (folder / name).unlink(missing_ok=True)


class _Form(Protocol):
    """How tiles are put into a file."""

    n_tiles: int

    def write(self, tiles: BagArray) -> None:
        """Add tiles."""

    def close(self, *, whole: bool) -> None:
        """End the file."""


class BagWriter:
    """Appends tiles to a bag file; their count is written at its end."""

    def __init__(self, form: _Form, side: int) -> None:
        self._form = form
        self._side = side
        self.discarded = False

    @property
    def n_tiles(self) -> int:
        """Tiles that were written."""
        return self._form.n_tiles

    def append(self, tiles: BagArray) -> None:
        """Add (b, side, side, 4) uint8 tiles."""
        expected = (self._side, self._side, N_CHANNELS)
        if tiles.shape[1:] != expected or tiles.dtype != np.uint8:
            raise BagError(
                f"expected uint8 tiles {expected}, found {tiles.dtype} {tiles.shape[1:]}"
            )
        self._form.write(tiles)

    def discard(self) -> None:
        """Give up: no file is written."""
        self.discarded = True


class _RawForm:
    """One array, its count in the header that comes first."""

    def __init__(self, stream: BinaryIO, side: int) -> None:
        self._stream, self._side = stream, side
        self.n_tiles = 0
        write_bag_header(stream, 0, side)
        self._data_start = stream.tell()

    def write(self, tiles: BagArray) -> None:
        """Add tiles."""
        self._stream.write(np.ascontiguousarray(tiles).data)
        self.n_tiles += len(tiles)

    def close(self, *, whole: bool) -> None:
        """Write the true count; numpy leaves room in the header for it to grow."""
        if not whole:
            return
        self._stream.seek(0)
        write_bag_header(self._stream, self.n_tiles, self._side)
        if self._stream.tell() != self._data_start:
            raise BagError("expected a header of fixed length, found another; report this as a bug")
        self._stream.flush()


def write_bag_header(stream: BinaryIO, n_tiles: int, side: int) -> None:
    """Write what comes before the tiles of a bag file."""
    _write_header(stream, "|u1", (n_tiles, side, side, N_CHANNELS))


def _write_header(stream: BinaryIO, kind: str, shape: tuple[int, ...]) -> None:
    facts = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, facts)


@contextmanager
def writing_bag(path: Path, side: int) -> Iterator[BagWriter]:
    """Open a bag file for writing; it replaces ``path`` only if the block ends well, undiscarded.

    Its name says in which form: ``.npy`` raw, ``.zip`` packed.
    """
    with suppress(_Discarded), atomic_path(path) as temporary, temporary.open("w+b") as stream:
        form: _Form = (
            PackedBagWriter(stream, side, N_CHANNELS)
            if path.suffix == ".zip"
            else _RawForm(stream, side)
        )
        writer, ended = BagWriter(form, side), False
        try:
            yield writer
            ended = True
        finally:
            form.close(whole=ended and not writer.discarded)
        if writer.discarded:
            raise _Discarded


@contextmanager
def writing_features(
    path: Path, n_tiles: int, width: int
) -> Iterator[Callable[[FeatureArray], None]]:
    """Open a bag file of features, (n_tiles, width) float32, to be written block by block.

    Written, not mapped: a disk that fills up under a memory map kills the process (SIGBUS), and its slide
    would be told as crashed; a write that finds no room is an error that says so.

    Yields
    ------
    Callable
        Adds (b, width) features.

    Raises
    ------
    BagError
        If blocks are not ``width`` wide, or not ``n_tiles`` tiles were added.
    SystemRefusedError
        "disk-full" and the like; ``path`` is then as it was.
    """
    done = 0
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        _write_header(stream, "<f4", (n_tiles, width))

        def append(features: FeatureArray) -> None:
            nonlocal done
            if features.shape[1:] != (width,):
                raise BagError(f"expected {width} features a tile, found {features.shape[1:]}")
            stream.write(np.ascontiguousarray(features, "<f4").data)
            done += len(features)

        yield append
        if done != n_tiles:
            raise BagError(
                f"expected features of {n_tiles} tiles, found {done}; report this as a bug"
            )


class _Discarded(Exception):  # noqa: N818 - nothing is wrong
    """Leaves a file unwritten."""


@dataclass(frozen=True, slots=True)
class Bag:
    """All tiles of one patient, whatever the number of slides.

    Parameters
    ----------
    parts
        One (n_i, h, w, 4) uint8 array a slide, memory-mapped or packed; or (n_i, d) float32 features.
    """

    parts: tuple[Part, ...]

    @property
    def holds_features(self) -> bool:
        """Whether its tiles are features, not pixels."""
        return self.parts[0].ndim == 2

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """(h, w, 4), or (d,)."""
        return self.parts[0].shape[1:]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def take(self, indices: NDArray[np.int64] | Sequence[int]) -> NDArray[Any]:
        """Tiles at ``indices`` of the whole bag, (m, h, w, 4) or (m, d), copied into memory."""
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise BagError(f"expected tile indices from 0 to {len(self) - 1}, found others")
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        owner = np.searchsorted(starts, wanted, side="right") - 1
        out = np.empty((len(wanted), *self.tile_shape), self.parts[0].dtype)
        for k, part in enumerate(self.parts):
            here = owner == k
            if here.any():
                out[here] = part[wanted[here] - starts[k]]
                _release(part)
        return out

    def batches(self, size: int) -> Iterator[NDArray[Any]]:
        """All tiles in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


def _release(part: Part) -> None:
    """Give back the pages of a memory map that were read.

    They would count as this process's memory until the whole bag did; the file stays cached.
    """
    base = getattr(part, "base", None)
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def open_bag(paths: Sequence[Path]) -> Bag:
    """Open the bag files of one patient's slides as one bag.

    Raises
    ------
    BagError
        If a file is missing, damaged or of the wrong kind, or there is no tile at all.
    """
    parts = tuple(open_part(path) for path in paths)
    if not parts or not sum(len(part) for part in parts):
        raise BagError("expected at least one tile, found none", code="empty-bag")
    if len({part.shape[1:] for part in parts}) > 1:
        raise BagError("expected tiles of one size in all slides of a patient, found several")
    return Bag(parts)


def open_part(path: Path) -> Part:
    """Open the tiles of one slide, or its features; there may be none.

    Raises
    ------
    BagError
        If the file is missing, damaged or of the wrong kind.
    """
    if path.suffix == ".zip":
        return PackedTiles(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BagError(
            f"{path.parent.name}: expected a file of tiles, found {error}; "
            "delete the slide's folder and run again"
        ) from error
    pixels = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == N_CHANNELS
    if not pixels and not (array.dtype == np.float32 and array.ndim == 2):
        raise BagError(
            f"{path.parent.name}: expected uint8 tiles of 4 channels, found {array.shape}"
        )
    return np.asarray(array) if array.size == 0 else array
