"""Measurements of the nuclei on a tile: how many, how large, how irregular, how dark.

They put numbers beside what a pathologist ticks (cytological atypia, nuclear hyperchromasia), for
the tiles that drove a risk. They are as good as the map and its cut into nuclei, no better.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from skimage.measure import regionprops_table

from jecur.arrays import RGB, BagArray, LabelImage, Matrix, Vector
from jecur.errors import NucleiModelError
from jecur.nuclei.agreement import find_nuclei

__all__ = ["NuclearFeatures", "measure_nuclei", "measure_tile", "nuclear_feature_table"]

UM_PER_PX = 128.0 / 224.0
_LONG, _ROUND, _SMALL_UM2 = 0.7, 0.75, 40.0
_BINS, _FEWEST_LONG = 12, 5


@dataclass(frozen=True, slots=True)
class NuclearFeatures:
    """Nuclei of one tile. NaN where there are too few nuclei to say."""

    n_nuclei: float
    density_per_mm2: float
    nuclear_fraction: float
    """Part of the tile's area inside nuclei, in [0, 1]."""
    area_um2: float
    """Mean area."""
    area_variation: float
    """Anisokaryosis: standard deviation of area over its mean; needs two nuclei."""
    eccentricity: float
    """Mean; 0 = circle, towards 1 = line."""
    solidity: float
    """Mean of area over convex area; 1 = no dent."""
    darkness: float
    """Hyperchromasia: mean over nuclei of the mean red optical density, base e."""
    darkness_variation: float
    """Standard deviation of that over nuclei; needs two."""
    contrast: float
    """Darkness less the mean red optical density outside nuclei."""
    neighbor_um: float
    """Mean distance from a nucleus's center to the nearest other one's, micrometers."""
    neighbor_variation: float
    """Standard deviation of that over its mean: high where nuclei stand in groups; needs three."""
    orientation_entropy: float
    """Of the directions of long nuclei (eccentricity above 0.7), in [0, 1]: 0 = all lie one way, as in
    bundles, 1 = every way alike; needs five."""
    lymphocyte_like: float
    """Share of nuclei that are small (below 40 um2), round (eccentricity below 0.75) and darker than
    the tile's average nucleus: lymphocytes look so, and so do other small dark nuclei."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the measurements, in the order of the table's columns."""
        return tuple(field.name for field in fields(cls))


def measure_nuclei(
    labels: LabelImage, rgb: RGB, *, um_per_px: float = UM_PER_PX
) -> NuclearFeatures:
    """Measure outlined nuclei.

    Parameters
    ----------
    labels
        (h, w), 0 = background, k = nucleus k.
    rgb
        (h, w, 3) uint8, color-normalized, or darkness compares scanners and not nuclei.
    um_per_px
        Scale of both.
    """
    if labels.shape != rgb.shape[:2] or rgb.ndim != 3:
        raise NucleiModelError(
            f"expected labels (h, w) and colors (h, w, 3), found {labels.shape} and {rgb.shape}; "
            "measure the tile the labels were made on",
            code="bad-tiles",
        )
    density = red_optical_density(rgb)
    wanted = (
        "area", "eccentricity", "solidity", "mean_intensity", "centroid", "orientation",
    )  # fmt: skip
    found = regionprops_table(labels, density, properties=wanted)
    area = np.asarray(found["area"], dtype=np.float64) * um_per_px**2
    darkness = np.asarray(found["mean_intensity"], dtype=np.float64)
    tile_um2 = labels.size * um_per_px**2
    outside = labels == 0
    mean_darkness = _mean(darkness)
    nearest = _nearest(np.column_stack([found["centroid-0"], found["centroid-1"]])) * um_per_px
    return NuclearFeatures(
        n_nuclei=float(len(area)),
        density_per_mm2=len(area) / (tile_um2 * 1e-6),
        nuclear_fraction=float(area.sum()) / tile_um2,
        area_um2=_mean(area),
        area_variation=_deviation(area) / _mean(area),
        eccentricity=_mean(found["eccentricity"]),
        solidity=_mean(found["solidity"]),
        darkness=mean_darkness,
        darkness_variation=_deviation(darkness),
        contrast=mean_darkness - _mean(density[outside]),
        neighbor_um=_mean(nearest),
        neighbor_variation=_deviation(nearest) / _mean(nearest) if len(nearest) > 2 else np.nan,
        orientation_entropy=_entropy(found["orientation"][found["eccentricity"] > _LONG]),
        lymphocyte_like=_mean(
            (area < _SMALL_UM2) & (found["eccentricity"] < _ROUND) & (darkness > mean_darkness)
        ),
    )


def measure_tile(tile: NDArray[np.uint8], *, threshold: float = 0.5) -> NuclearFeatures:
    """Cut and measure the nuclei of one tile of a bag, (h, w, 4) uint8 at 0.571 um/px."""
    return measure_nuclei(find_nuclei(tile[..., 3], threshold=threshold), tile[..., :3])


def nuclear_feature_table(bag: BagArray, *, threshold: float = 0.5) -> Matrix:
    """Measure every tile of a bag: (n, p) float64, columns `NuclearFeatures.names`."""
    rows = [astuple(measure_tile(tile, threshold=threshold)) for tile in bag]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(NuclearFeatures.names()))


def red_optical_density(rgb: RGB) -> NDArray[np.float64]:
    """Optical density of the red channel, -ln(max(R, 1) / 255): hematoxylin, hardly eosin."""
    density: NDArray[np.float64] = -np.log(np.maximum(rgb[..., 0], 1) / 255.0)
    return density


def _nearest(centers: Matrix) -> Vector:
    """Distance from each center to the nearest other one, pixels; empty below two."""
    if len(centers) < 2:
        return np.empty(0)
    return np.asarray(KDTree(centers).query(centers, k=2)[0][:, 1], dtype=np.float64)


def _entropy(angles: NDArray[np.float64]) -> float:
    """Entropy of directions (half a turn) in twelve bins, over that of equal bins."""
    if len(angles) < _FEWEST_LONG:
        return float("nan")
    counts, _ = np.histogram(angles, bins=_BINS, range=(-np.pi / 2, np.pi / 2))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum() / np.log(_BINS))


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _deviation(values: NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
