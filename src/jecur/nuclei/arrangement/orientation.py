"""Co-occurring nuclear orientations: whether neighbors lie one way.

Around every long nucleus a local graph is made of the neighboring long nuclei. How often which two
directions meet along its edges is a matrix, taken relative to the graph's own main direction, so that
turning the slide changes nothing. Entropy, energy, contrast and homogeneity of the matrix say how far
the directions go together.

References
----------
.. [1] G. Lee et al. Co-occurring gland angularity in localized subgraphs: predicting biochemical
   recurrence in intermediate-risk prostate cancer patients. PLoS ONE 9(5), e97954, 2014.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from jecur.arrays import Matrix, Vector
from jecur.nuclei.arrangement.graphs import triangulate

__all__ = ["co_occurring_orientations"]

LONG = 0.7
"""Eccentricity above which a nucleus has a direction."""

GRAPH_UM = 60.0
"""Radius of a local graph, and longest edge in it."""

BINS = 9
"""Directions of 20 degrees, the main one in the middle of the first."""

_FEWEST_EDGES, _CHUNK = 5, 5_000

_Counts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def co_occurring_orientations(
    xy: Matrix, orientation: Vector, eccentricity: Vector
) -> dict[str, Vector]:
    """Measure the local graphs of one slide.

    Parameters
    ----------
    xy
        (n, 2) centroids, micrometers.
    orientation
        (n,) direction of the long axis, radians.
    eccentricity
        (n,) in [0, 1].

    Returns
    -------
    dict
        Name -> one value a local graph of five edges or more: ``core_entropy`` (of the matrix, over that of
        equal cells: 0 = one direction, towards 1 = any), ``core_energy`` (sum of squares), ``core_contrast``
        (mean squared sine of the angle between neighbors: 0 = parallel, 1 = at right angles),
        ``core_homogeneity`` (mean of 1 / (1 + bins apart)), ``alignment`` (length of the mean
        doubled direction: 1 = all one way, 0 = no main direction).
    """
    is_long = eccentricity > LONG
    places, angle = xy[is_long], orientation[is_long]
    edges = triangulate(places).edges.no_longer_than(GRAPH_UM)
    names = ("core_entropy", "core_energy", "core_contrast", "core_homogeneity", "alignment")
    if not len(edges.pairs):
        return {name: np.empty(0) for name in names}
    ends = angle[edges.pairs]  # (m, 2)
    middles = places[edges.pairs].mean(axis=1)
    parts = [_graphs(graph, edge, ends) for graph, edge in _local_graphs(places, middles)]
    return dict(zip(names, np.concatenate(parts, axis=1), strict=True))


def _local_graphs(
    places: Matrix, middles: Matrix
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (graph, edge) of edges whose middle lies in a graph, some graphs at a time."""
    tree = KDTree(middles)
    for start in range(0, len(places), _CHUNK):
        around = KDTree(places[start : start + _CHUNK])
        near = around.sparse_distance_matrix(tree, GRAPH_UM, output_type="ndarray")
        graph, edge = near["i"].astype(np.int64), near["j"].astype(np.int64)
        enough = np.bincount(graph, minlength=around.n) >= _FEWEST_EDGES
        number = np.cumsum(enough) - 1
        kept = enough[graph]
        yield number[graph[kept]], edge[kept]


def _graphs(graph: NDArray[np.int64], edge: NDArray[np.int64], ends: Matrix) -> Matrix:
    """(5, graphs) measurements; see `co_occurring_orientations`."""
    n = int(graph.max(initial=-1)) + 1
    size = np.bincount(graph, minlength=n).astype(np.float64)
    first, second = ends[edge, 0], ends[edge, 1]
    main = np.empty((2, n))
    for k, turn in enumerate((np.cos, np.sin)):
        main[k] = np.bincount(graph, turn(2 * first) + turn(2 * second), minlength=n)
    direction = 0.5 * np.arctan2(main[1], main[0])
    contrast = np.bincount(graph, np.sin(first - second) ** 2, minlength=n) / size
    a, b = (_bin(angle - direction[graph]) for angle in (first, second))
    apart = np.abs(a - b)
    apart = np.minimum(apart, BINS - apart)
    homogeneity = np.bincount(graph, 1.0 / (1.0 + apart), minlength=n) / size
    cell = np.concatenate([(graph * BINS + a) * BINS + b, (graph * BINS + b) * BINS + a])
    filled, count = np.unique(cell, return_counts=True)
    of = filled // BINS**2
    share = count / (2 * size[of])
    entropy = np.bincount(of, -share * np.log(share), minlength=n) / np.log(BINS**2)
    energy = np.bincount(of, share**2, minlength=n)
    alignment = np.hypot(*main) / (2 * size)
    return np.stack([entropy, energy, contrast, homogeneity, alignment])


def _bin(angle: Vector) -> NDArray[np.int64]:
    return np.rint(angle / np.pi * BINS).astype(np.int64) % BINS
