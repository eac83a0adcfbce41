"""What an HDF5 file of features may hold: plain numbers, in the file itself, all of them written.

HDF5 can take its values out of other files, follow links in circles, unfold a kilobyte into a
terabyte and return zeros for what was never written. None of this is a slide's features.
"""

from typing import Any

import numpy as np

from jecur.arrays import Positions
from jecur.errors import SlideError

__all__ = ["checked_array", "tile_positions"]

_MOST_BYTES = 16 * 2**30
"""Of one array, unfolded."""
_MOST_UNFOLDED = 64
"""Times its stored size that an array may be: real features compress by less than four."""
_FREE_BYTES = 16 * 2**20
"""Up to here a ratio does not matter."""
_CHUNK_BYTES = 128 * 2**20
"""Of one chunk, which HDF5 unfolds whole."""
_FURTHEST_PX = 2**31


def checked_array(stored: Any, name: str) -> Any:  # noqa: ANN401 - h5py has no types
    """Return an array of a file, unread, if it is made of real numbers that lie in that file.

    Parameters
    ----------
    stored
        Open ``h5py.File``.
    name
        Of the array, at the top of the file.

    Raises
    ------
    SlideError
        "bad-features" or "unsafe-features".
    """
    link = stored.get(name, getlink=True)
    if link is not None and type(link).__name__ != "HardLink":
        raise _unsafe(f"{name} in the file itself", "a link to somewhere else")
    array = stored[name]
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        raise _bad(f"an array {name}", f"a {type(array).__name__.lower()}")
    if array.shape is None:
        raise _bad(f"an array {name}", "an empty space")
    if array.external or array.is_virtual:
        raise _unsafe(f"{name} in the file itself", "values kept in another file")
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8 or array.dtype.metadata:
        raise _bad(f"plain real numbers in {name}", f"values of type {array.dtype}")
    _refuse_bombs(array, name)
    return array


def _refuse_bombs(array: Any, name: str) -> None:  # noqa: ANN401
    size, held = int(array.size) * array.dtype.itemsize, int(array.id.get_storage_size())
    if size > _MOST_BYTES or (size > _FREE_BYTES and size > _MOST_UNFOLDED * held):
        raise _unsafe(
            f"at most {_MOST_BYTES >> 30} GiB and {_MOST_UNFOLDED} times the stored size in {name}",
            f"{size / 2**30:.3g} GiB from {held / 2**10:.3g} KiB",
        )
    if size and not held:
        raise _bad(f"values in {name}", "none written")
    if array.chunks is None:
        return
    chunk = int(np.prod([int(n) for n in array.chunks], dtype=object)) * array.dtype.itemsize
    if chunk > _CHUNK_BYTES:
        raise _unsafe(
            f"chunks of at most {_CHUNK_BYTES >> 20} MiB in {name}", f"{chunk / 2**20:.4g} MiB"
        )
    expected = int(np.prod([-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]))
    if array.id.get_num_chunks() < expected:
        raise _bad(f"every value of {name} written", "parts that were never written")


def tile_positions(coords: Any, n: int) -> tuple[Positions, int]:  # noqa: ANN401
    """Upper left corners of n tiles, (n, 2) level-0 pixels, and their side, 0 where not said.

    Where the file says at which corner of the canvas its slide begins (``bounds_x``, ``bounds_y``, as
    `jecur.mil.feature_output` writes them), they count from there, as ours do.

    Parameters
    ----------
    coords
        A checked array (n, 2) or (1, n, 2); None numbers the tiles.

    Raises
    ------
    SlideError
        If a corner is no whole pixel of a slide, or the side is none.
    """
    if coords is None:
        return np.stack([np.arange(n), np.zeros(n, dtype=np.int64)], axis=1), 0
    found = np.asarray(coords).reshape(n, 2)
    whole = np.isfinite(found) & (np.abs(found.astype(np.float64)) <= _FURTHEST_PX)
    wrong = np.flatnonzero(~(whole & (found == np.floor(found))).all(axis=1))
    if wrong.size:
        x, y = found[wrong[0]]
        raise _bad("whole level-0 pixels in coords", f"({x}, {y}) for tile {wrong[0]}")
    begin = [_told(coords.attrs, name, -_FURTHEST_PX) for name in ("bounds_x", "bounds_y")]
    return found.astype(np.int64) - np.array(begin, dtype=np.int64), _side(coords.attrs)


def _side(attributes: Any) -> int:  # noqa: ANN401
    side = _told(attributes, "patch_size_level0", 0)
    if 0 < side < 1:
        raise _bad("a side of tiles in pixels as patch_size_level0", f"{side:g}")
    return round(side)


def _told(attributes: Any, name: str, least: float) -> float:  # noqa: ANN401
    """Return the number of pixels that an attribute tells; 0 where there is none."""
    if name not in attributes:
        return 0.0
    told = np.asarray(attributes[name])
    if told.size != 1 or told.dtype.kind not in "fiu":
        raise _bad(f"one number as {name}", f"{told.dtype} of shape {told.shape}")
    value = float(told.reshape(()))
    if not least <= value <= _FURTHEST_PX:
        raise _bad(f"pixels as {name}", f"{value:g}")
    return value


def _bad(expected: str, found: str) -> SlideError:
    return SlideError(f"expected {expected}, found {found}; export it again", code="bad-features")


def _unsafe(expected: str, found: str) -> SlideError:
    return SlideError(
        f"expected {expected}, found {found}; export the features whole into one plain file",
        code="unsafe-features",
    )
