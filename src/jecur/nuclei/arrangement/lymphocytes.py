"""Lymphocytes among the other nuclei: how many, and how they are arranged.

A nucleus is lymphocyte-like if it is small (below 40 square micrometers: a disk of 7.1 um), round
(eccentricity below 0.75) and darker than the slide's larger nuclei are on average. The others it is held
against are larger ones that are not spindles (eccentricity below 0.85): tumor cells and hepatocytes,
as a rule. The sizes were set beforehand and fitted to nothing.

References
----------
.. [1] G. Corredor et al. Spatial architecture and arrangement of tumor-infiltrating lymphocytes for
   predicting likelihood of recurrence in early-stage non-small cell lung cancer. Clin. Cancer Res.
   25(5), 1526-1534, 2019.
"""

import numpy as np
from scipy.spatial import KDTree

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.nuclei.arrangement.flock import nearest_center
from jecur.nuclei.arrangement.graphs import local_density
from jecur.nuclei.arrangement.mean_shift import Clusters, hulls, mean_shift
from jecur.nuclei.arrangement.pattern import Measures, NuclearPattern, summaries

__all__ = ["lymphocyte_like", "lymphocyte_measures", "tumor_like"]

SMALL_UM2, ROUND, NOT_SPINDLE = 40.0, 0.75, 0.85
CLUSTER_UM = 60.0
"""Bandwidth of the clusters, micrometers."""

NEAR_UM = 30.0
"""Within this of a nucleus a lymphocyte is near it: about two cells."""


def lymphocyte_like(nuclei: NuclearPattern) -> BoolVector:
    """(n,) whether each nucleus is small, round and dark."""
    large = nuclei.area >= SMALL_UM2
    limit = float(nuclei.density[large].mean()) if large.any() else 0.0
    found: BoolVector = ~large & (nuclei.eccentricity < ROUND) & (nuclei.density > limit)
    return found


def tumor_like(nuclei: NuclearPattern) -> BoolVector:
    """(n,) whether each nucleus is large and no spindle."""
    found: BoolVector = (nuclei.area >= SMALL_UM2) & (nuclei.eccentricity < NOT_SPINDLE)
    return found


def lymphocyte_measures(nuclei: NuclearPattern) -> Measures:
    """Percentage, nearness and clusters of the lymphocyte-like nuclei of one slide."""
    small, large = lymphocyte_like(nuclei), tumor_like(nuclei)
    til, others = nuclei.xy[small], nuclei.xy[large]
    both = len(til) and len(others)
    til_groups = hulls(til, mean_shift(til / CLUSTER_UM))
    other_groups = hulls(others, mean_shift(others / CLUSTER_UM))
    values = {
        "til_to_tumor_um": _nearest(til, others),
        "tumor_to_til_um": _nearest(others, til),
        "tumor_near_til_per_mm2": 1e6 * local_density(til, others, NEAR_UM) if both else _none(),
        "til_near_tumor_per_mm2": 1e6 * local_density(others, til, NEAR_UM) if both else _none(),
        "til_group_nuclei": til_groups.size,
        "til_group_hull_um2": til_groups.hull_area,
        "til_group_density": 1e6 * til_groups.density,
        "til_group_apart_um": nearest_center(til_groups.center),
        "til_group_mixed": _mixed(til_groups, others),
        "tumor_group_density": 1e6 * other_groups.density,
        "tumor_group_mixed": _mixed(other_groups, til),
    }
    return {
        "til_percent": 100.0 * float(small.mean()) if len(nuclei) else np.nan,
        "til_per_tumor_nucleus": len(til) / len(others) if len(others) else np.nan,
        "til_share_in_groups": float((til_groups.label >= 0).mean()) if len(til) else np.nan,
        "til_groups_per_tumor_group": len(til_groups) / len(other_groups)
        if len(other_groups)
        else np.nan,
        **summaries(values),
    }


def _none() -> Vector:
    return np.empty(0)


def _nearest(points: Matrix, others: Matrix) -> Vector:
    """Distance from each point to the nearest of the others; empty where either is."""
    if not len(points) or not len(others):
        return _none()
    return np.asarray(KDTree(others).query(points)[0], dtype=np.float64)


def _mixed(groups: Clusters, others: Matrix) -> Vector:
    """(k,) share of foreign nuclei among all in each group's hull: how the two kinds overlap."""
    foreign = np.bincount(groups.holding(others)[0], minlength=len(groups))
    return foreign / (foreign + groups.size)
