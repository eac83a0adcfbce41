"""Nuclei of one slide as marked points, and how values of many nuclei become a few numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jecur.arrays import Matrix, Vector

__all__ = ["FEWEST", "Measures", "NuclearPattern", "read_pattern", "summaries", "variations"]

Measures = dict[str, float]
"""Name -> value; NaN where a slide has too little to say."""

FEWEST = 5
"""Values below which nothing is said of their distribution."""

_COLUMNS = ("x_um", "y_um", "area_um2", "eccentricity", "orientation", "density")


@dataclass(frozen=True, slots=True, eq=False)
class NuclearPattern:
    """Nuclei of one slide; every array has one element a nucleus."""

    xy: Matrix
    """(n, 2) centroids x, y, micrometers."""
    area: Vector
    """Square micrometers."""
    eccentricity: Vector
    orientation: Vector
    """Direction of the long axis, radians in [0, pi), from x to y."""
    density: Vector
    """Mean red optical density, base e."""

    def __len__(self) -> int:
        return len(self.xy)

    def take(self, kept: NDArray[np.bool_]) -> "NuclearPattern":
        """Return some of them."""
        return NuclearPattern(
            self.xy[kept],
            self.area[kept],
            self.eccentricity[kept],
            self.orientation[kept],
            self.density[kept],
        )


def read_pattern(table: Path) -> NuclearPattern:
    """Read ``each_nucleus.parquet`` of a slide."""
    frame = pd.read_parquet(table, columns=list(_COLUMNS)).astype(np.float64)
    return NuclearPattern(
        frame[["x_um", "y_um"]].to_numpy(),
        *(frame[name].to_numpy() for name in _COLUMNS[2:]),
    )


def summaries(values: Mapping[str, Vector]) -> Measures:
    """Mean, spread and tails of each kind of value; those that are not finite are left out.

    Returns
    -------
    Measures
        ``<name>_mean``, ``<name>_sd``, ``<name>_q10``, ``<name>_q90``; NaN below five values.
    """
    found: Measures = {}
    for name, every in values.items():
        known = every[np.isfinite(every)]
        enough = len(known) >= FEWEST
        mean = float(known.mean()) if enough else float("nan")
        spread = float(known.std(ddof=1)) if enough else float("nan")
        low, high = np.quantile(known, (0.1, 0.9)) if enough else (np.nan, np.nan)
        found |= {
            f"{name}_mean": mean,
            f"{name}_sd": spread,
            f"{name}_q10": float(low),
            f"{name}_q90": float(high),
        }
    return found


def variations(values: Mapping[str, Vector]) -> Measures:
    """Divide SD by mean, of values of 0 or more, ``<name>_variation``: disorder without scale.

    NaN where all are 0: nuclei that have nobody within a radius, all of them, are as even as any.
    """
    found = summaries(values)
    pairs = {name: (found[f"{name}_sd"], found[f"{name}_mean"]) for name in values}
    return {f"{n}_variation": sd / mean if mean else np.nan for n, (sd, mean) in pairs.items()}
