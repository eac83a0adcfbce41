"""Frozen features of a slide: the HDF5 layout of TRIDENT and CLAM, as a bag.

``features`` is (n, d), or (1, n, d) as some versions write it; ``coords`` (n, 2) are the tiles' upper
left corners in level-0 pixels; where there are none, features that may be turned are refused. The side of
a tile is the attribute ``patch_size_level0`` of ``coords``, where it is there. h5py is asked for only
here: ``pip install "jecur[features]"``.
"""

import hashlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jecur.arrays import FeatureArray, Positions
from jecur.errors import SlideError
from jecur.mil.bag import writing_features
from jecur.mil.feature_checks import checked_array, tile_positions

__all__ = ["FEATURE_SUFFIXES", "FeatureFacts", "write_feature_bag"]

FEATURE_SUFFIXES = frozenset({".h5", ".hdf5"})

_USUAL_WIDTHS = frozenset(
    {192, 256, 320, 384, 512, 640, 768, 1024, 1280, 1408, 1536, 1792, 2048, 2304, 2560, 3072, 4096}
)
"""Features of a tile that encoders give."""

_BLOCK_BYTES = 32 * 2**20
"""Copied at once: bounds memory."""


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """Contents of a file of features."""

    positions: Positions
    """(n, 2) upper left corners, level-0 pixels; the tile's number and 0 where there are none."""
    width: int
    """Features of a tile."""
    side_px: int
    """Side of a tile in level-0 pixels; 0 where it is not said."""


def write_feature_bag(source: Path, target: Path) -> FeatureFacts:
    """Copy a slide's features into a bag file, (n, d) float32, whole or not at all.

    Parameters
    ----------
    source
        HDF5.
    target
        ``bag.npy`` of the slide.

    Raises
    ------
    SlideError
        "no-h5py" if h5py is absent; "unsafe-features" if the file points to others or unfolds
        without measure; "bad-features" if it is not of this layout, is empty, or holds NaN, infinity
        or a tile of zeros alone.
    """
    try:
        h5py: Any = import_module("h5py")  # an optional dependency
    except ModuleNotFoundError as error:
        raise SlideError(
            "expected h5py to read features, found none; install it with: "
            'pip install "jecur[features]"',
            code="no-h5py",
        ) from error
    try:
        with h5py.File(source, "r") as stored:
            return _copy(stored, target)
    except (
        OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError,
        MemoryError,
    ) as error:  # fmt: skip
        raise SlideError(
            f"expected an HDF5 file with features and coords, found: {error}; export it again",
            code="bad-features",
        ) from error


class _Twice:
    """Finds tiles that stand twice: an export that was run again may append what is there."""

    def __init__(self, positions: Positions) -> None:
        _, group, n = np.unique(positions, axis=0, return_inverse=True, return_counts=True)
        self._group = group.ravel()
        self._shared = n[self._group] > 1
        self._seen: dict[tuple[int, bytes], int] = {}

    def refuse(self, block: FeatureArray, start: int) -> None:
        """Refuse a tile of the same place and the same features as one before it."""
        for k in np.flatnonzero(self._shared[start : start + len(block)]).tolist():
            digest = hashlib.sha256(block[k].tobytes()).digest()
            first = self._seen.setdefault((int(self._group[start + k]), digest), start + k)
            if first != start + k:
                raise SlideError(
                    f"expected each tile once, found tile {first} again as tile {start + k}: the same place "
                    "and features; export the slide again into a new file",
                    code="bad-features",
                )


def _copy(stored: Any, target: Path) -> FeatureFacts:  # noqa: ANN401 - h5py has no types
    features = checked_array(stored, "features")
    coords = checked_array(stored, "coords") if "coords" in stored else None
    batched = features.ndim == 3 and features.shape[0] == 1
    n, width = features.shape[-2:] if features.ndim == 2 or batched else (0, 0)
    if not n or not width or (coords is not None and coords.shape not in {(n, 2), (1, n, 2)}):
        found = f"features {features.shape}, coords {None if coords is None else coords.shape}"
        raise SlideError(
            f"expected features (n, d) and coords (n, 2), n >= 1, found {found}; export it again",
            code="bad-features",
        )
    if coords is None and n in _USUAL_WIDTHS and width not in _USUAL_WIDTHS:
        raise SlideError(
            f"expected features (n, d), found {features.shape} and no coords: {n} is a usual number of "
            f"features, {width} is none, so they may be turned; export them as (n, d) with coords (n, 2)",
            code="bad-features",
        )
    if features.dtype.kind in "iu" and features.dtype.itemsize == 2:
        raise SlideError(
            f"expected numbers as features, found {features.dtype}, which may be the bits of bfloat16 or "
            "float16; export them as float32",
            code="bad-features",
        )
    positions, side = tile_positions(coords, int(n))
    twice = _Twice(positions)
    rows = max(1, _BLOCK_BYTES // (int(width) * features.dtype.itemsize))
    with writing_features(target, int(n), int(width)) as append, np.errstate(over="ignore"):
        for start in range(0, n, rows):
            here = np.s_[start : start + rows]
            block = np.asarray(features[0, here] if batched else features[here], np.float32)
            if not np.isfinite(block).all():
                raise SlideError(
                    f"expected finite features, found NaN or infinity in tiles {start} to "
                    f"{start + len(block) - 1}; compute them again",
                    code="bad-features",
                )
            blank = np.flatnonzero(~block.any(axis=1))
            if blank.size:
                raise SlideError(
                    f"expected features of every tile, found nothing but zeros for tile {start + blank[0]}, "
                    "as HDF5 gives what was never written; compute them again, without tiles that fill up",
                    code="bad-features",
                )
            twice.refuse(block, start)
            append(block)
    return FeatureFacts(positions, int(width), side)
