"""What a slide looks like, in a few dozen numbers: to find slides unlike those a model was trained on.

Stains and their amounts as scanned; colors, sharpness and nuclei of the tiles as the network sees
them. No network is run for these: they come from the bag and from the slide's stain fit.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jecur.arrays import RGB
from jecur.mil.bag import Part, bag_file, open_part
from jecur.mil.packed_bag import PackedTiles
from jecur.runs.folder import write_json
from jecur.runs.in_order import in_order

__all__ = [
    "EVERYDAY",
    "LOOKS_FILE",
    "LooksSample",
    "measure_looks",
    "measured_tiles",
    "read_looks",
    "write_looks",
]

LOOKS_FILE = "looks.json"

_MOST_TILES = 48
"""Tiles measured, spread evenly over the bag."""
_KEPT_ALL = 192
"""Of so few tiles all are kept until their number is known: 39 MB at most."""
_UM_PER_PX = 128.0 / 224.0
_GRAY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_LEVELS = np.arange(256) / 255.0
_NUCLEUS, _MAYBE, _SURELY = 128, 64, 192
_LEAST_NUCLEUS_PX = 12
_CHANNELS = ("red", "green", "blue")

EVERYDAY: Mapping[str, float] = {
    **{f"hematoxylin_{c}": 0.05 for c in _CHANNELS},
    **{f"eosin_{c}": 0.05 for c in _CHANNELS},
    "log_hematoxylin": 0.15,
    "log_eosin": 0.15,
    **{f"white_{c}": 4.0 for c in _CHANNELS},
    **{f"mean_{c}": 0.02 for c in _CHANNELS},
    **{f"spread_{c}": 0.01 for c in _CHANNELS},
    **{f"log_sharpness_{k}": 0.1 for k in (1, 2, 4)},
    "nuclear_fraction": 0.02,
    "log_nuclei_per_mm2": 0.1,
    "log_nuclear_area_um2": 0.1,
    "nuclear_darkness": 0.05,
    "nuclear_contrast": 0.05,
    "nuclear_doubt": 0.02,
    "pale_fraction": 0.02,
}
"""Measure -> the standard deviation that everyday work brings (another batch of stain, another day at
the same scanner), added to that of the training slides: a cohort too even to show it must not
flag slides of its own kind. About 3 degrees of stain vector and 15 % of stain are what laboratories
differ by; the others are rounded guesses of the same size, set before anything was scored."""


def measure_looks(
    bag: Part, stain: Mapping[str, Any] | None, *, threads: int = 1
) -> dict[str, float]:
    """Measure one slide.

    Parameters
    ----------
    bag
        (n, h, w, 4) uint8 normalized tiles with their nuclei, n >= 1; or (n, d) float32 features.
    stain
        The slide's fit as `jecur.stain.appearance.SlideStain.to_dict` writes it; None if it was
        refused or not asked for: those measures are then absent.
    threads
        Threads that measure tiles.

    Returns
    -------
    dict
        Measure -> value. Of features: their means, "feature_0" to "feature_<d - 1>".
    """
    if not isinstance(bag, PackedTiles) and bag.ndim == 2:
        means: list[float] = bag.mean(axis=0, dtype=np.float64).tolist()
        return {f"feature_{k}": value for k, value in enumerate(means)}
    chosen = (np.asarray(bag[k]) for k in measured_tiles(len(bag)))
    rows = list(in_order(_tile, chosen, threads=threads))
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return (_stain(stain) if stain else {}) | found


def measured_tiles(n: int) -> list[int]:
    """Numbers of the tiles that are measured, of ``n`` >= 1: spread evenly over the bag."""
    places = np.linspace(0, n - 1, min(_MOST_TILES, n)).round().astype(int)
    return [int(k) for k in np.unique(places)]


class LooksSample:
    """Keeps, of tiles that pass by, those that may be measured once it is known how many there are.

    Parameters
    ----------
    expected
        Number of tiles, if none is left out.
    """

    def __init__(self, expected: int) -> None:
        self._wanted = None if expected <= _KEPT_ALL else set(measured_tiles(expected))
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._n = 0

    def append(self, tiles: NDArray[np.uint8]) -> None:
        """Let (b, h, w, 4) tiles pass by."""
        for k, tile in enumerate(tiles, self._n):
            if self._wanted is None or k in self._wanted:
                self._kept[k] = tile.copy()  # or it would hold on to its whole batch
        self._n += len(tiles)

    def tiles(self, again: Callable[[int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Tiles to be measured, (m, h, w, 4); ``again`` makes those that were not kept, by number."""
        chosen = measured_tiles(self._n)
        return np.stack([self._kept[k] if k in self._kept else again(k) for k in chosen])


def write_looks(
    folder: Path, bag: Part, stain: Mapping[str, Any] | None, *, threads: int = 1
) -> Path:
    """Measure a slide, see `measure_looks`, and write ``looks.json`` into its folder."""
    return write_json(folder / LOOKS_FILE, measure_looks(bag, stain, threads=threads))


def read_looks(folder: Path) -> dict[str, float]:
    """Measures of a prepared slide, also if it was prepared before these were written."""
    try:
        return msgspec.json.decode((folder / LOOKS_FILE).read_bytes(), type=dict[str, float])
    except (OSError, msgspec.DecodeError):
        return _measured(folder)


def _measured(folder: Path) -> dict[str, float]:
    path = folder / "stain.json"
    stain = msgspec.json.decode(path.read_bytes())["slide"] if path.is_file() else None
    return measure_looks(open_part(bag_file(folder)), stain)


def _stain(stain: Mapping[str, Any]) -> dict[str, float]:
    found = {
        f"{name}_{channel}": float(value)
        for name, vector in zip(("hematoxylin", "eosin"), stain["stains"], strict=True)
        for channel, value in zip(_CHANNELS, vector, strict=True)
    }
    hematoxylin, eosin = stain["concentrations"]
    found["log_hematoxylin"], found["log_eosin"] = float(np.log(hematoxylin)), float(np.log(eosin))
    return found | {
        f"white_{channel}": float(value)
        for channel, value in zip(_CHANNELS, stain["white"], strict=True)
    }


def _tile(tile: NDArray[np.uint8]) -> dict[str, float]:
    rgb, nuclei = tile[..., :3], tile[..., 3]
    found = {}
    for k, channel in enumerate(_CHANNELS):
        counts = np.bincount(rgb[..., k].ravel(), minlength=256)  # there are but 256 levels
        share = counts / counts.sum()
        mean = float(share @ _LEVELS)
        found[f"mean_{channel}"] = mean
        found[f"spread_{channel}"] = float(np.sqrt(share @ (_LEVELS - mean) ** 2))
    least = np.minimum(np.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
    found["pale_fraction"] = float((least > 0.9 * 255).mean())
    return found | _sharpness(rgb) | _nuclei(rgb, nuclei)


def _sharpness(rgb: RGB) -> dict[str, float]:
    """Log variance of the Laplacian of the gray image, and of it averaged over 2 and 4 pixels."""
    gray = rgb.astype(np.float32) @ _GRAY
    found = {}
    for step in (1, 2, 4):
        height, width = (side // step * step for side in gray.shape)
        coarse = gray[:height, :width].reshape(height // step, step, width // step, step)
        variance = ndimage.laplace(coarse.mean(axis=(1, 3))).var()
        found[f"log_sharpness_{step}"] = float(np.log(variance + 1.0))
    return found


def _nuclei(rgb: RGB, probability: NDArray[np.uint8]) -> dict[str, float]:
    """Measure the nuclei map; touching nuclei count as one."""
    inside = probability >= _NUCLEUS
    labels, n_pieces = ndimage.label(inside)
    pixels = np.bincount(labels.ravel(), minlength=n_pieces + 1)[1:]
    areas = pixels[pixels >= _LEAST_NUCLEUS_PX] * _UM_PER_PX**2
    density = -np.log(np.maximum(rgb[..., 0], 1) / 255.0)
    dark = float(density[inside].mean()) if inside.any() else float(density.mean())
    around = float(density[~inside].mean()) if not inside.all() else dark
    maybe = probability >= _MAYBE
    doubt = float((probability[maybe] < _SURELY).mean()) if maybe.any() else 1.0
    tile_mm2 = probability.size * _UM_PER_PX**2 * 1e-6
    return {
        "nuclear_fraction": float(inside.mean()),
        "log_nuclei_per_mm2": float(np.log(len(areas) / tile_mm2 + 1.0 / tile_mm2)),
        "log_nuclear_area_um2": float(np.log(areas.mean())) if len(areas) else 0.0,
        "nuclear_darkness": dark,
        "nuclear_contrast": dark - around,
        "nuclear_doubt": doubt,
    }
