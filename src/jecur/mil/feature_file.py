"""Frozen features of a slide: the HDF5 layout of TRIDENT and CLAM, as a bag.

``features`` is (n, d), or (1, n, d) as some versions write it; ``coords`` (n, 2) are the tiles' upper
left corners in level-0 pixels. The side of a tile is the attribute ``patch_size_level0`` of
``coords``, where it is there. h5py is asked for only here: ``pip install "jecur[features]"``.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jecur.arrays import Positions
from jecur.artifacts import atomic_path
from jecur.errors import SlideError

__all__ = ["FEATURE_SUFFIXES", "FeatureFacts", "write_feature_bag"]

FEATURE_SUFFIXES = frozenset({".h5", ".hdf5"})

BLOCK = 4096
"""Tiles copied at once: bounds memory."""


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """What a file of features says."""

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
        If h5py is absent, or the file is not of this layout, is empty, or holds NaN or infinity.
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
    except (OSError, KeyError) as error:
        raise SlideError(
            f"expected an HDF5 file with features and coords, found: {error}; export it again"
        ) from error


def _copy(stored: Any, target: Path) -> FeatureFacts:  # noqa: ANN401 - h5py has no types
    features = stored["features"]
    batched = features.ndim == 3 and features.shape[0] == 1
    n, width = features.shape[-2:] if features.ndim == 2 or batched else (0, 0)
    coords = np.asarray(stored["coords"]) if "coords" in stored else None
    if coords is not None and coords.ndim == 3:
        coords = coords[0]
    if not n or not width or (coords is not None and coords.shape != (n, 2)):
        found = f"features {features.shape}, coords {None if coords is None else coords.shape}"
        raise SlideError(f"expected features (n, d) and coords (n, 2), n >= 1, found {found}")
    with atomic_path(target) as temporary:
        copy = np.lib.format.open_memmap(temporary, "w+", np.float32, (int(n), int(width)))
        for start in range(0, n, BLOCK):
            here = np.s_[start : start + BLOCK]
            block = np.asarray(features[0, here] if batched else features[here], np.float32)
            if not np.isfinite(block).all():
                raise SlideError(
                    f"expected finite features, found NaN or infinity in tiles {start} to "
                    f"{start + len(block) - 1}; make them again"
                )
            copy[here] = block
        copy.flush()
        del copy
    side = int(stored["coords"].attrs.get("patch_size_level0", 0)) if coords is not None else 0
    if coords is None:
        coords = np.stack([np.arange(n), np.zeros(n)], axis=1)
    return FeatureFacts(coords.astype(np.int64), int(width), side)
