"""The same nuclei, arranged otherwise: crowded here and there, or lymphocytes apart from the others."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from jecur.arrays import IntVector
from jecur.simulate.fields import COARSE, smooth_field
from jecur.simulate.regions import TissuePlan

__all__ = ["crowded", "crowding", "place_apart"]

_CROWD_UM, _SHIFT_UM = 60.0, 12.0
"""Spacing of the field that crowds nuclei, and their typical way at full disorder."""

_RIM = 0.011
"""Least tissue margin under a nucleus, as where they are placed."""

_CLEAR_UM = 6.5
"""Least distance of a lymphocyte's middle from a hepatocyte's, or one would hide the other."""

Points = NDArray[np.float64]


Way = NDArray[np.float64]
"""(rows, columns, 2) by how many pixels nuclei move along x and y, at each node of the coarse maps."""


def crowding(plan: TissuePlan, rng: np.random.Generator) -> Way | None:
    """Draw the slope of a smooth field: along it some nuclei draw together, as many draw apart.

    None, and nothing drawn, where the plan has no disorder.
    """
    if plan.disorder == 0.0:
        return None
    shape = plan.band.shape
    field = smooth_field((shape[0], shape[1]), _CROWD_UM / (COARSE * plan.um_per_px), rng)
    slope = np.stack([np.gradient(field, axis=1), np.gradient(field, axis=0)], axis=-1)
    slope /= np.sqrt((slope**2).sum(axis=-1).mean())
    way: Way = slope * (plan.disorder * _SHIFT_UM / plan.um_per_px)
    return way


def crowded(
    plan: TissuePlan, way: Way | None, x: IntVector, y: IntVector
) -> tuple[IntVector, IntVector]:
    """Move nuclei of the frame; none is added or taken, and none leaves the tissue."""
    if way is None:
        return x, y
    height, width = plan.size_px
    to_x, to_y = np.rint(np.stack([x, y]) + way[plan.nodes(x, y)].T).astype(np.int64)
    framed = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)
    to_x, to_y = np.where(framed, to_x, x), np.where(framed, to_y, y)
    held = plan.tissue_margin[plan.nodes(to_x, to_y)] > _RIM
    return np.where(held, to_x, x), np.where(held, to_y, y)


def place_apart(
    plan: TissuePlan, density: NDArray[np.float64], hepatocytes: Points, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Place lymphocytes in the stroma or among the hepatocytes, (n, 2) x, y.

    Parameters
    ----------
    plan
        Its ``til_apart`` is the share of them that lies in the stroma.
    density
        Lymphocytes a square millimeter at each node, as they would lie anywhere; their sum is kept.
    hepatocytes
        (m, 2) where the others are.
    """
    if plan.til_apart is None:
        raise ValueError("expected a share")
    cell_mm2 = (COARSE * plan.um_per_px / 1000.0) ** 2
    height, width = (n // COARSE for n in plan.size_px)
    frame = np.s_[1 : 1 + height, 1 : 1 + width]
    total = int(np.floor(float(density[frame].sum()) * cell_mm2 + rng.uniform()))
    margin = plan.stroma_margin[frame]
    inside = density[frame] > 0
    far = int(np.rint(plan.til_apart * total))
    tree = cKDTree(hepatocytes) if len(hepatocytes) else None
    clear = _CLEAR_UM / plan.um_per_px
    parts = [
        _clear_of(tree, clear, _groups(zone, n, plan, rng), n)
        for zone, n in ((inside & (margin > 0.05), far), (inside & (margin < -0.05), total - far))
    ]
    return np.concatenate(parts)


def _groups(
    zone: NDArray[np.bool_], n: int, plan: TissuePlan, rng: np.random.Generator
) -> NDArray[np.float64]:
    """More points than ``n`` in a zone, in loose groups of about six, in random order."""
    place = np.argwhere(zone)
    if not len(place) or n <= 0:
        return np.empty((0, 2))
    centers = place[rng.integers(0, len(place), n)][:, ::-1] * COARSE
    members = np.repeat(centers, 6, axis=0).astype(np.float64)
    members += rng.normal(scale=10.0 / plan.um_per_px, size=members.shape)
    row, column = (np.rint(members[:, k] / COARSE).astype(np.int64) for k in (1, 0))
    framed = (row >= 0) & (row < zone.shape[0]) & (column >= 0) & (column < zone.shape[1])
    members = members[framed]
    members = members[zone[row[framed], column[framed]]]
    shuffled: NDArray[np.float64] = members[rng.permutation(len(members))]
    return shuffled


def _clear_of(
    tree: cKDTree | None, clear: float, points: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Return the first ``n`` points that lie clear of the hepatocytes and of each other."""
    if tree is not None and len(points):
        points = points[tree.query(points)[0] > clear]
    kept = np.ones(len(points), dtype=bool)
    for first, second in sorted(cKDTree(points).query_pairs(clear * 0.85)) if len(points) else ():
        if kept[first]:
            kept[second] = False
    return points[kept][:n]
