"""Feature-driven local cell graphs (FLocK): nuclei that lie together and look alike.

Mean shift over place, size and darkness; what is said is how large, how dense and how even
the clusters are, and how far they lie in each other.

References
----------
.. [1] C. Lu et al. Feature-driven local cell graph (FLocK): new computational pathology-based
   descriptors for prognosis of lung cancer and HPV status of oropharyngeal cancers. Med. Image Anal.
   68, 101903, 2021.
"""

import numpy as np
from scipy.spatial import KDTree

from jecur.arrays import Matrix, Vector
from jecur.nuclei.arrangement.mean_shift import Clusters, hulls, mean_shift
from jecur.nuclei.arrangement.pattern import Measures, NuclearPattern, summaries

__all__ = ["flock_clusters", "flock_measures"]

PLACE_UM, LOG_AREA, DENSITY = 60.0, 0.5, 0.35
"""Bandwidths: micrometers; natural logarithm of the area (a nucleus 1.6 times as large); optical density."""


def flock_measures(nuclei: NuclearPattern) -> Measures:
    """Describe the local cell graphs of one slide."""
    clusters = flock_clusters(nuclei)
    n = max(len(nuclei), 1)
    values = {
        "flock_nuclei": clusters.size,
        "flock_hull_um2": clusters.hull_area,
        "flock_spread_um": clusters.spread,
        "flock_density": 1e6 * clusters.density,
        "flock_area_spread": clusters.spread_of(np.log(nuclei.area)),
        "flock_darkness_spread": clusters.spread_of(nuclei.density),
        "flock_apart_um": nearest_center(clusters.center),
        "flock_strangers": _strangers(clusters, nuclei.xy),
    }
    return {
        "flock_share_in_clusters": float((clusters.label >= 0).mean()) if len(nuclei) else np.nan,
        "flock_clusters_per_1000": 1000.0 * len(clusters) / n if len(nuclei) else np.nan,
        **summaries(values),
    }


def flock_clusters(nuclei: NuclearPattern) -> Clusters:
    """Clusters of nuclei in place, logarithm of area, and darkness."""
    joint = np.column_stack(
        [nuclei.xy / PLACE_UM, np.log(nuclei.area) / LOG_AREA, nuclei.density / DENSITY]
    )
    return hulls(nuclei.xy, mean_shift(joint))


def nearest_center(center: Matrix) -> Vector:
    """Distance from each cluster's center to the nearest other one's, (k,)."""
    if len(center) < 2:
        return np.full(len(center), np.nan)
    return np.asarray(KDTree(center).query(center, k=2)[0][:, 1], dtype=np.float64)


def _strangers(clusters: Clusters, xy: Matrix) -> Vector:
    """(k,) share of the nuclei in each cluster's hull that are of another: how clusters overlap."""
    cluster, nucleus = clusters.holding(xy)
    foreign = clusters.label[nucleus] != cluster
    inside = np.bincount(cluster, minlength=len(clusters))
    return np.bincount(cluster, foreign, minlength=len(clusters)) / np.maximum(inside, 1)
