"""Features of a slide as files that other programs read: the HDF5 layouts of TRIDENT (and CLAM) and STAMP.

TRIDENT: ``features`` (n, d) float32 and ``coords`` (n, 2) int64, upper left corners in level-0 pixels;
attributes of ``coords`` are ``patch_size``, ``patch_size_level0``, ``level0_magnification``,
``target_magnification`` and ``overlap``. Corners count from the corner of the scanner's canvas, as those of
OpenSlide, TRIDENT and STAMP do; ours count from the bounds of what was scanned (MIRAX, SCN), which lie at
``bounds_x``, ``bounds_y``. The corners alone lie beside it, in ``patches``. STAMP: ``feats``
and ``coords``, both float32, the latter in micrometers; ``tile_size`` and ``unit`` are its attributes.
h5py is asked for only here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import jecur
from jecur.arrays import FeatureArray, Positions
from jecur.errors import SlideError
from jecur.runs.folder import atomic_path

__all__ = ["TilePlaces", "require_h5py", "write_corners", "write_for_stamp", "write_for_trident"]


@dataclass(frozen=True, slots=True)
class TilePlaces:
    """Where the tiles of a slide lie, and how large they are.

    Parameters
    ----------
    name
        Of the slide.
    positions
        (n, 2) upper left corners, level-0 pixels.
    side_level0, side_px
        Side of a tile in level-0 pixels, and as it was given to the encoder.
    mpp_level0, mpp
        Micrometers per pixel of level 0 and of the tiles.
    width, height
        Of the slide, level-0 pixels.
    overlap_px
        Overlap of neighbors, pixels of the tiles.
    bounds
        Where the slide begins on the scanner's canvas, level-0 pixels (x, y): `Slide.canvas_offset`.
    """

    name: str
    positions: Positions
    side_level0: int
    side_px: int
    mpp_level0: float
    mpp: float
    width: int
    height: int
    overlap_px: int = 0
    bounds: tuple[int, int] = (0, 0)

    @property
    def on_canvas(self) -> Positions:
        """Corners from the corner of the canvas, (n, 2) int64."""
        return self.positions.astype(np.int64) + np.array(self.bounds, dtype=np.int64)

    @property
    def attributes(self) -> dict[str, str | int | float]:
        """What TRIDENT writes beside the corners, and the scales as they are."""
        return {
            "name": self.name,
            "patch_size": self.side_px,
            "patch_size_level0": self.side_level0,
            "level0_magnification": magnification(self.mpp_level0),
            "target_magnification": magnification(self.mpp),
            "overlap": self.overlap_px,
            "level0_width": self.width,
            "level0_height": self.height,
            "bounds_x": self.bounds[0],
            "bounds_y": self.bounds[1],
            "mpp_level0": self.mpp_level0,
            "mpp": self.mpp,
        }


def magnification(mpp: float) -> int:
    """Name the magnification that pathologists know a scale by: 20 for 0.5 um per pixel."""
    return max(1, round(10.0 / mpp))


def require_h5py() -> Any:  # noqa: ANN401 - h5py has no types
    """Return h5py.

    Raises
    ------
    SlideError
        With code ``no-h5py``.
    """
    try:
        return import_module("h5py")
    except ModuleNotFoundError as error:
        raise SlideError(
            "expected h5py to write features, found none; install it with: "
            'pip install "jecur[features]"',
            code="no-h5py",
        ) from error


def write_for_trident(
    path: Path, batches: Iterable[FeatureArray], places: TilePlaces, made_by: dict[str, str]
) -> int:
    """Write features as they come, whole or not at all; return their number per tile.

    Parameters
    ----------
    path
        ``.h5``.
    batches
        (b, d) float32 each, as many rows in all as there are tiles.
    places
        Of the tiles, in the same order.
    made_by
        Encoder and how its pixels were made; attributes of ``features``.

    Raises
    ------
    SlideError
        "no-h5py"; "bad-features" if rows and tiles are not one to one.
    """
    h5py, n = require_h5py(), len(places.positions)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as stored:
        features, done = None, 0
        for batch in batches:
            if features is None:
                features = stored.create_dataset("features", (n, batch.shape[1]), np.float32)
            if done + len(batch) > n:
                raise _unequal(n, "more")
            features[done : done + len(batch)] = batch
            done += len(batch)
        if features is None or done != n:
            raise _unequal(n, str(done))
        said = {"name": places.name, **made_by, "jecur": jecur.__version__}
        for key, value in said.items():
            features.attrs[key] = value
        _write_corners(stored, places)
        return int(features.shape[1])


def write_corners(path: Path, places: TilePlaces) -> Path:
    """Write the corners alone, as TRIDENT keeps them in ``patches``."""
    with atomic_path(path) as temporary, require_h5py().File(temporary, "w") as stored:
        _write_corners(stored, places)
    return path


def write_for_stamp(path: Path, source: Path, places: TilePlaces, made_by: dict[str, str]) -> Path:
    """Write the features of a TRIDENT file as STAMP reads them."""
    h5py = require_h5py()
    with h5py.File(source, "r") as given, atomic_path(path) as temporary:
        features = given["features"]
        with h5py.File(temporary, "w") as stored:
            copy = stored.create_dataset("feats", features.shape, np.float32)
            for rows in _blocks(len(features)):
                copy[rows] = features[rows]
            stored["coords"] = (places.on_canvas * places.mpp_level0).astype(np.float32)
            said = {
                "unit": "um",
                "tile_size": places.side_px * places.mpp,
                "tile_size_um": places.side_px * places.mpp,
                "tile_size_px": places.side_px,
                "extractor": made_by.get("encoder", ""),
                "feat_type": "tile",
            }
            for key, value in said.items():
                stored.attrs[key] = value
    return path


def _write_corners(stored: Any, places: TilePlaces) -> None:  # noqa: ANN401
    coords = stored.create_dataset("coords", data=places.on_canvas)
    for key, value in places.attributes.items():
        coords.attrs[key] = value


def _blocks(n: int, size: int = 4096) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, start + size)


def _unequal(expected: int, found: str) -> SlideError:
    return SlideError(
        f"expected features of {expected} tiles, found {found}; run the same command again",
        code="bad-features",
    )
