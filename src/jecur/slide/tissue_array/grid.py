"""Lay points on rows and columns: grown from neighbor to neighbor, so that the grid may bend.

Each core predicts where its four neighbors are; a prediction without a core stands in for a missing
one, so that growth crosses gaps. Predictions use the steps found nearby.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import IntVector, Vector

__all__ = ["Layout", "lay_out"]

_STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))
_MOST_HOPS = 2
"""Missing cores in a line that growth crosses."""
_LONE_COVERAGE = 0.4
"""Alone in an outermost line, a core with less tissue than this is debris."""

Points = NDArray[np.float64]
Cell = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Points on a grid.

    Parameters
    ----------
    cells
        (n, 2) row and column from 0; -1 for points that lie off the grid.
    places
        (rows, columns, 2) x, y where each core is or should be.
    rotation_deg
        Of the rows against the horizontal, positive clockwise as seen.
    """

    cells: NDArray[np.int64]
    places: Points
    rotation_deg: float


def lay_out(
    points: Points, coverage: Vector, *, diameter: float, size: tuple[int, int], reach: float
) -> Layout:
    """Lay points on rows and columns.

    Parameters
    ----------
    points
        (n, 2) x, y, at least one.
    coverage
        (n,) share of tissue; decides what is debris.
    diameter
        Of a core, in the unit of the points.
    size
        Rows and columns if known, else 0.
    reach
        How far a core may lie off its predicted place, in pitches.
    """
    angle = _angle(points, diameter)
    turned = points @ _turn(angle).T
    steps = _pitches(turned, diameter)
    cells = _grow(turned, steps, diameter, reach)
    cells = _attach(turned, cells, steps, reach)
    cells = _without_lone_debris(cells, coverage)
    cells = _within(cells, size)
    used = cells[cells[:, 0] >= 0]
    shape = used.max(axis=0) + 1 if len(used) else np.array([0, 0])
    shape = (max(int(shape[0]), size[0]), max(int(shape[1]), size[1]))
    places = _places(turned, cells, shape, steps) @ _turn(angle)
    return Layout(cells, places, float(np.rad2deg(angle)))


def _turn(angle: float) -> NDArray[np.float64]:
    """Matrix that takes points turned by ``angle`` back to level rows."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _angle(points: Points, diameter: float) -> float:
    """Turn of the grid, radians in (-pi/4, pi/4]: mean direction to near neighbors, modulo 90."""
    if len(points) < 2:
        return 0.0
    gap = points[None] - points[:, None]
    distance = np.hypot(*np.moveaxis(gap, 2, 0))
    distance[distance < 0.6 * diameter] = np.inf
    if not np.isfinite(distance).any():
        return 0.0
    pitch = float(np.median(distance.min(axis=1)[np.isfinite(distance.min(axis=1))]))
    near = distance < 1.3 * pitch
    direction = np.arctan2(gap[..., 1][near], gap[..., 0][near])
    return float(np.angle(np.exp(4j * direction).sum()) / 4)


def _pitches(turned: Points, diameter: float) -> Points:
    """(2, 2) steps: x, y from one row to the next, and from one column to the next."""
    gap = turned[None] - turned[:, None]
    pitches = []
    for axis in (0, 1):
        ahead, aside = gap[..., axis], np.abs(gap[..., 1 - axis])
        ok = (ahead > 0.7 * diameter) & (aside < 0.4 * ahead)
        nearest = np.where(ok, ahead, np.inf).min(axis=1) if len(turned) > 1 else np.array([])
        nearest = nearest[np.isfinite(nearest)]
        pitches.append(float(np.median(nearest)) if len(nearest) else float("nan"))
    known = [p for p in pitches if np.isfinite(p)] or [1.5 * diameter]
    x, y = (p if np.isfinite(p) else known[0] for p in pitches)
    return np.array([[0.0, y], [x, 0.0]])


def _grow(turned: Points, steps: Points, diameter: float, reach: float) -> NDArray[np.int64]:
    """Cells of the points that growth from the best connected one reaches; -1 for the others."""
    cells = np.full((len(turned), 2), -1 << 20, dtype=np.int64)
    gap = np.abs(turned[None] - turned[:, None])
    pitch = np.array([steps[1, 0], steps[0, 1]])
    near = ((gap < 1.4 * pitch).all(axis=2)).sum(axis=1)
    seed = int(np.argmax(near))
    low, high = turned.min(axis=0) - diameter, turned.max(axis=0) + diameter
    at: dict[Cell, tuple[Points, bool]] = {}
    labelled: set[int] = set()
    queue: list[tuple[int, float, int, Cell, int]] = [(0, 0.0, 0, (0, 0), seed)]
    ghosts: dict[int, Points] = {}
    counter = 0
    while queue:
        hops, _, _, cell, index = heapq.heappop(queue)
        if at.get(cell, (None, False))[1] or index in labelled or (index < 0 and cell in at):
            continue
        here = turned[index] if index >= 0 else ghosts[index]
        at[cell] = (here, index >= 0)
        if index >= 0:
            labelled.add(index)
            cells[index] = cell
            hops = 0  # a core that is there ends a run of missing ones
        for step in _STEPS:
            target = (cell[0] + step[0], cell[1] + step[1])
            if at.get(target, (None, False))[1]:
                continue
            predicted = here + _local_step(step, cell, at, steps)
            off = np.abs((turned - predicted) / pitch).max(axis=1)
            off[list(labelled)] = np.inf
            best = int(np.argmin(off))
            counter += 1
            if off[best] < reach:
                heapq.heappush(queue, (hops, float(off[best]), counter, target, best))
            elif (
                hops < _MOST_HOPS
                and target not in at
                and ((predicted > low) & (predicted < high)).all()
            ):
                ghosts[-counter] = predicted
                heapq.heappush(queue, (hops + 1, 0.0, counter, target, -counter))
    return cells


def _local_step(
    step: Cell, cell: Cell, at: dict[Cell, tuple[Points, bool]], steps: Points
) -> Points:
    """Mean of the general step and of the same steps found around a cell."""
    axis = 0 if step[0] else 1
    sign = step[axis]
    general = steps[axis]
    found = [2.0 * general]
    for row in range(cell[0] - 2, cell[0] + 3):
        for column in range(cell[1] - 2, cell[1] + 3):
            other = (row + 1, column) if axis == 0 else (row, column + 1)
            first, second = at.get((row, column)), at.get(other)
            if first and second and first[1] and second[1]:
                found.append(second[0] - first[0])
    mean: Points = np.sum(found, axis=0) / (len(found) + 1)
    return sign * mean


def _attach(
    turned: Points, cells: NDArray[np.int64], steps: Points, reach: float
) -> NDArray[np.int64]:
    """Give points that growth did not reach the free cell they lie on, if they lie on one."""
    out = cells.copy()
    grown = cells[:, 0] > -1 << 20
    origin = turned[grown] - cells[grown] @ steps
    for index in np.flatnonzero(~grown).tolist():
        away = np.hypot(*(turned[grown] - turned[index]).T)
        local = origin[np.argsort(away)[:4]].mean(axis=0)
        place = np.linalg.solve(steps.T, turned[index] - local)
        cell = np.round(place).astype(np.int64)
        taken = (out == cell).all(axis=1).any()
        if np.abs(place - cell).max() < reach and not taken:
            out[index] = cell
    return out


def _without_lone_debris(cells: NDArray[np.int64], coverage: Vector) -> NDArray[np.int64]:
    """Drop points with little tissue that are alone in an outermost line, and their line."""
    out = cells.copy()
    off = -1 << 20
    while True:
        used = out[:, 0] > off
        dropped = False
        for axis in (0, 1):
            for line in {out[used, axis].min(), out[used, axis].max()}:
                members = np.flatnonzero(used & (out[:, axis] == line))
                if len(members) == 1 < used.sum() and coverage[members[0]] < _LONE_COVERAGE:
                    out[members] = off
                    used = out[:, 0] > off
                    dropped = True
        if not dropped:
            break
    return out


def _within(cells: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int64]:
    """Count rows and columns from 0; lines without a core are gaps between blocks, not lines.

    Where the number of lines is known and fewer were found, empty lines inside are kept as far as
    the number allows; where more were found, the window that holds most cores is taken.
    """
    out = cells.copy()
    used = out[:, 0] > -1 << 20
    for axis in (0, 1):
        lines = np.unique(out[used, axis])
        span = int(lines.max() - lines.min()) + 1
        if not size[axis] or span > size[axis]:
            out[used, axis] = np.searchsorted(lines, out[used, axis])
        else:
            out[used, axis] -= lines.min()
    for axis in (0, 1):
        if not size[axis]:
            continue
        counts = np.bincount(out[used, axis])
        if len(counts) > size[axis]:
            windows = np.convolve(counts, np.ones(size[axis], dtype=np.int64), mode="valid")
            start = int(np.argmax(windows))
            out[used, axis] -= start
    outside = ~used | (out < 0).any(axis=1)
    for axis in (0, 1):
        if size[axis]:
            outside |= out[:, axis] >= size[axis]
    out[outside] = -1
    return out


def _places(
    turned: Points, cells: NDArray[np.int64], shape: tuple[int, int], steps: Points
) -> Points:
    """Where every cell's core is; of missing ones, where the four nearest say it should be."""
    places = np.zeros((*shape, 2))
    used = np.flatnonzero(cells[:, 0] >= 0)
    for row, column in np.ndindex(*shape):
        away: IntVector = np.abs(cells[used] - (row, column)).sum(axis=1)
        near = used[np.argsort(away, kind="stable")[:4]]
        guess = turned[near] + ((row, column) - cells[near]) @ steps
        places[row, column] = guess[0] if away.min() == 0 else guess.mean(axis=0)
    return places
