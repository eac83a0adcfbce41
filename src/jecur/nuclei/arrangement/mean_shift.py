"""Mean-shift clusters: every point climbs to a place where points are densest.

The kernel is a ball of radius 1 (scale the axes to the bandwidths first), so each step goes to the mean
of the points in the ball, and comes to rest after finitely many. Points whose resting places meet are
one cluster, whatever their order.

References
----------
.. [1] D. Comaniciu, P. Meer. Mean shift: a robust approach toward feature space analysis. IEEE
   Trans. Pattern Anal. Mach. Intell. 24(5), 603-619, 2002.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, KDTree, QhullError

from jecur.arrays import IntVector, Matrix, Vector

__all__ = ["Clusters", "hulls", "mean_shift"]

_MEETING, _RESTING, _MAX_STEPS = 0.5, 1e-3, 60
"""Bandwidths: resting places this near are one; a step this short is the last. Steps at most."""

_CHUNK = 5_000


def mean_shift(points: Matrix) -> IntVector:
    """Cluster of each of (n, d) points, in bandwidths: (n,) numbers from 0, in any order."""
    if not len(points):
        return np.empty(0, dtype=np.int64)
    rest = climb(points)
    # Whole clusters rest at one place: it is taken once, or its pairs would fill the memory.
    _, first, place = np.unique(
        np.rint(rest / _RESTING), axis=0, return_index=True, return_inverse=True
    )
    pairs = KDTree(rest[first]).query_pairs(_MEETING, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(first),) * 2)
    label: IntVector = connected_components(links, directed=False)[1].astype(np.int64)
    return label[place.ravel()]


def climb(points: Matrix) -> Matrix:
    """Resting place of each of (n, d) points."""
    tree, at = KDTree(points), points.copy()
    moving = np.arange(len(points))
    for _ in range(_MAX_STEPS):
        ahead = np.concatenate([_means(tree, points, at[part]) for part in _chunks(moving)])
        step = np.linalg.norm(ahead - at[moving], axis=1)
        at[moving] = ahead
        moving = moving[step > _RESTING]
        if not len(moving):
            break
    return at


def _chunks(numbers: IntVector) -> Iterator[IntVector]:
    for start in range(0, len(numbers), _CHUNK):
        yield numbers[start : start + _CHUNK]


def _means(tree: KDTree, points: Matrix, at: Matrix) -> Matrix:
    """Mean of the points in the ball around each of some places."""
    near = KDTree(at).sparse_distance_matrix(tree, 1.0, output_type="ndarray")
    here, other = near["i"], points[near["j"]]
    count = np.bincount(here, minlength=len(at))
    total = [np.bincount(here, other[:, k], minlength=len(at)) for k in range(points.shape[1])]
    means = np.stack(total, axis=1) / np.maximum(count, 1)[:, None]
    return np.where(count[:, None] > 0, means, at)


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Clusters of three points or more in the plane, with their convex hulls."""

    label: IntVector
    """(n,) cluster of each point, -1 for those of none."""
    size: Vector
    """(k,) points."""
    center: Matrix
    """(k, 2) mean place."""
    hull_area: Vector
    """(k,)"""
    spread: Vector
    """(k,) root mean squared distance to the center."""
    reach: Vector
    """(k,) largest distance to it."""
    sides: tuple[Matrix, ...]
    """Half-planes (a, b, c) of each hull: a x + b y + c <= 0 inside."""

    def __len__(self) -> int:
        return len(self.size)

    @property
    def density(self) -> Vector:
        """(k,) points over the area of the even disc of the same spread; three in a line have one, too."""
        return self.size / (2 * np.pi * self.spread**2)

    def spread_of(self, values: Vector) -> Vector:
        """(k,) standard deviation of the points' values within each cluster."""
        inside = self.label >= 0
        mean = np.bincount(self.label[inside], values[inside], minlength=len(self)) / self.size
        off = (values[inside] - mean[self.label[inside]]) ** 2
        return np.sqrt(np.bincount(self.label[inside], off, minlength=len(self)) / (self.size - 1))

    def holding(self, xy: Matrix) -> tuple[IntVector, IntVector]:
        """Pairs (cluster, point) of the points that lie in a cluster's hull."""
        nothing = np.empty(0, dtype=np.int64)
        if not len(self) or not len(xy):
            return nothing, nothing
        found = KDTree(xy).query_ball_point(self.center, self.reach * (1 + 1e-9))
        kept: list[tuple[int, NDArray[np.int64]]] = []
        for k, candidates in enumerate(found):
            at = np.asarray(candidates, dtype=np.int64)
            side = self.sides[k]
            inside = (xy[at] @ side[:, :2].T + side[:, 2] <= 1e-9).all(axis=1)
            kept.append((k, at[inside]))
        cluster = np.concatenate([np.full(len(at), k, dtype=np.int64) for k, at in kept])
        return cluster, np.concatenate([at for _, at in kept])


def hulls(xy: Matrix, label: IntVector, *, fewest: int = 3) -> Clusters:
    """Describe clusters of points in the plane.

    Parameters
    ----------
    xy
        (n, 2)
    label
        (n,) cluster of each, from 0.
    fewest
        Smaller clusters, and those on one line, are no clusters.
    """
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(label))[:-1]) if len(label) else []
    new = np.full(len(label), -1, dtype=np.int64)
    facts: list[tuple[float, float, float, float, float, float]] = []
    sides: list[Matrix] = []
    for part in parts:
        if len(part) < fewest:
            continue
        try:
            hull = ConvexHull(xy[part])
        except QhullError:  # on one line
            continue
        new[part] = len(sides)
        center = xy[part].mean(axis=0)
        off = np.linalg.norm(xy[part] - center, axis=1)
        facts.append(
            (len(part), *center.tolist(), hull.volume, np.sqrt((off**2).mean()), off.max())
        )
        sides.append(hull.equations)
    table = np.array(facts, dtype=np.float64).reshape(-1, 6)
    return Clusters(
        new, table[:, 0], table[:, 1:3], table[:, 3], table[:, 4], table[:, 5], tuple(sides)
    )
