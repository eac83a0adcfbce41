"""Nuclear architecture of a slide: what Ji et al. 2019 measure, in micrometers.

Shape, Voronoi cells, Delaunay triangles, minimum spanning tree, distances to neighbors, local density at
several radii, co-occurring orientations. Values of single nuclei, edges or local graphs are summed up by
their mean, spread and tails.
"""

import numpy as np

from jecur.arrays import Matrix, Vector
from jecur.nuclei.arrangement.graphs import (
    MAX_GAP_UM,
    local_density,
    neighbor_distances,
    spanning_tree,
    triangulate,
    voronoi_cells,
)
from jecur.nuclei.arrangement.orientation import co_occurring_orientations
from jecur.nuclei.arrangement.pattern import Measures, NuclearPattern, summaries, variations

__all__ = ["architecture_measures", "arrangement_values"]

NEIGHBORS = (1, 3, 5, 7)
RADII_UM = (20.0, 40.0, 80.0)


def architecture_measures(nuclei: NuclearPattern) -> Measures:
    """Shape, architecture and orientation of one slide's nuclei."""
    shape = {"area_um2": nuclei.area, "eccentricity": nuclei.eccentricity}
    turned = co_occurring_orientations(nuclei.xy, nuclei.orientation, nuclei.eccentricity)
    stand = arrangement_values(nuclei.xy)
    return {**summaries({**shape, **stand, **turned}), **variations(stand)}


def arrangement_values(xy: Matrix) -> dict[str, Vector]:
    """Values of the architecture alone.

    Parameters
    ----------
    xy
        (n, 2) centroids, micrometers.

    Returns
    -------
    dict
        Name -> values, one a cell, triangle, edge or nucleus; NaN where a cell is open or reaches across
        a gap. Areas in square micrometers, lengths in micrometers, densities a square millimeter.
    """
    cell_area, cell_perimeter, cell_reach = voronoi_cells(xy)
    found = triangulate(xy)
    whole = found.longest_side <= MAX_GAP_UM
    tree = spanning_tree(found.edges, len(xy)) if len(xy) else np.empty(0)
    values = {
        "voronoi_area_um2": cell_area,
        "voronoi_perimeter_um": cell_perimeter,
        "voronoi_reach_um": cell_reach,
        "delaunay_edge_um": found.edges.no_longer_than(MAX_GAP_UM).length,
        "delaunay_area_um2": found.triangle_area[whole],
        "tree_edge_um": tree[tree <= MAX_GAP_UM],
    }
    for k, distance in neighbor_distances(xy, NEIGHBORS).items():
        values[f"neighbor_{k}_um"] = np.where(distance <= MAX_GAP_UM, distance, np.nan)
    for radius in RADII_UM:
        others = local_density(xy, xy, radius) - 1 / (np.pi * radius**2)
        values[f"density_{radius:.0f}_um"] = 1e6 * np.maximum(others, 0.0)
    return values
