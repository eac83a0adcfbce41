"""Voronoi cells, Delaunay triangles, minimum spanning tree and neighbors of points in the plane.

What reaches across a gap (glass, a fold, tiles left out) says nothing of how nuclei stand: cells,
triangles and edges longer than `MAX_GAP_UM` are not counted.

References
----------
.. [1] S. Doyle et al. Automated grading of breast cancer histopathology using spectral clustering
   with textural and architectural image features. ISBI 2008.
.. [2] M.-Y. Ji et al. Nuclear shape, architecture and orientation features from H&E images are able
   to predict recurrence in node-negative gastric adenocarcinoma. J. Transl. Med. 17, 92, 2019.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import Delaunay, KDTree, QhullError, Voronoi

from jecur.arrays import Matrix, Vector

__all__ = [
    "MAX_GAP_UM",
    "Edges",
    "Triangulation",
    "local_density",
    "neighbor_distances",
    "spanning_tree",
    "triangulate",
    "voronoi_cells",
]

MAX_GAP_UM = 100.0
"""Nuclei farther apart than this are not neighbors."""

_FLAT = 1e-10
"""Area over the square of the longest side, up to which three points lie on one line but for rounding."""

_CHUNK = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Pairs of neighbors."""

    pairs: NDArray[np.int64]
    """(m, 2) numbers of the points, the smaller first."""
    length: Vector
    """(m,) in the points' unit."""

    def no_longer_than(self, limit: float) -> "Edges":
        """Return the short ones."""
        kept = self.length <= limit
        return Edges(self.pairs[kept], self.length[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Triangulation:
    """Delaunay triangles and their edges, each once."""

    edges: Edges
    triangle_area: Vector
    longest_side: Vector
    """(t,) of each triangle."""


def triangulate(xy: Matrix) -> Triangulation:
    """Delaunay triangulation of (n, 2) points; nothing of fewer than three, or of points on a line."""
    try:
        corners = Delaunay(xy).simplices.astype(np.int64) if len(xy) > 2 else np.empty((0, 3), int)
    except QhullError:  # all on one line
        corners = np.empty((0, 3), dtype=np.int64)
    # Where the outermost points lie on a line, rounding spans triangles of no area along it.
    area, longest = _sizes(xy, corners)
    kept = area > _FLAT * longest**2
    corners, area, longest = corners[kept], area[kept], longest[kept]
    sides = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    pairs = np.unique(np.sort(sides, axis=1), axis=0)
    return Triangulation(
        Edges(pairs, np.linalg.norm(xy[pairs[:, 0]] - xy[pairs[:, 1]], axis=1)), area, longest
    )


def _sizes(xy: Matrix, corners: NDArray[np.int64]) -> tuple[Vector, Vector]:
    """Area and longest side, (t,) each, of triangles whose corners are numbers of points, (t, 3)."""
    a, b, c = (xy[corners[:, k]] for k in range(3))
    u, v = b - a, c - a
    longest = np.sqrt(
        np.max([((p - q) ** 2).sum(axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    )
    return np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2, longest


def spanning_tree(edges: Edges, n: int) -> Vector:
    """Lengths of the edges of the Euclidean minimum spanning tree of ``n`` points.

    It is a part of their Delaunay triangulation, whose edges are given.
    """
    weights = coo_matrix((edges.length, tuple(edges.pairs.T)), shape=(n, n)).tocsr()
    return np.asarray(minimum_spanning_tree(weights).data, dtype=np.float64)


def voronoi_cells(
    xy: Matrix, *, max_reach: float = MAX_GAP_UM / 2
) -> tuple[Vector, Vector, Vector]:
    """Area, perimeter and reach (farthest corner) of the Voronoi cell of each of (n, 2) points.

    Returns
    -------
    tuple of numpy.ndarray
        (n,) each; NaN for cells that are open or reach farther than ``max_reach``: a corner as far as
        half the largest gap has points around it that are no neighbors.
    """
    n = len(xy)
    nowhere = np.full(n, np.nan)
    if n < 4:
        return nowhere, nowhere.copy(), nowhere.copy()
    try:
        found = Voronoi(xy)
    except QhullError:  # all on one line
        return nowhere, nowhere.copy(), nowhere.copy()
    ends, points = np.asarray(found.ridge_vertices), np.asarray(found.ridge_points)
    is_open = np.zeros(n, dtype=bool)
    is_open[points[(ends < 0).any(axis=1)].ravel()] = True
    closed = (ends >= 0).all(axis=1)
    ends, owner = np.tile(ends[closed], (2, 1)), points[closed].T.ravel()
    first, second = (found.vertices[ends[:, k]] - xy[owner] for k in range(2))
    slice_area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    area = np.bincount(owner, slice_area, minlength=n)
    perimeter = np.bincount(owner, np.linalg.norm(first - second, axis=1), minlength=n)
    reach = np.zeros(n)
    for corner in (first, second):
        np.maximum.at(reach, owner, np.linalg.norm(corner, axis=1))
    left_out = is_open | (reach > max_reach) | (area == 0)
    return tuple(np.where(left_out, np.nan, value) for value in (area, perimeter, reach))  # type: ignore[return-value]


def neighbor_distances(xy: Matrix, nth: tuple[int, ...]) -> dict[int, Vector]:
    """Distance to the k-th nearest other point, for each k asked for; NaN where there are too few."""
    if len(xy) <= 1:
        return {k: np.full(len(xy), np.nan) for k in nth}
    distance, _ = KDTree(xy).query(xy, k=max(nth) + 1)
    return {k: np.where(np.isfinite(distance[:, k]), distance[:, k], np.nan) for k in nth}


def local_density(xy: Matrix, others: Matrix, radius: float) -> Vector:
    """Count ``others`` within a radius of each point, over the area of the disc; (n,)."""
    if not len(xy) or not len(others):
        return np.zeros(len(xy))
    tree = KDTree(others)
    parts = [
        tree.query_ball_point(xy[start : start + _CHUNK], radius, return_length=True)
        for start in range(0, len(xy), _CHUNK)
    ]
    return np.concatenate(parts) / (np.pi * radius**2)
