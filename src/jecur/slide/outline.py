"""The outline of a mask as polygons along its pixel edges, exact and closed."""

import uuid

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jecur.arrays import Mask

__all__ = ["mask_to_geojson", "trace_outlines"]

Ring = NDArray[np.int64]
"""(n, 2) x, y of the corners in pixel edges, closed: the last equals the first."""

_NAMESPACE = uuid.UUID("6f1b7d1e-2f0c-4d52-9a59-7f6f0a3a5c11")


def trace_outlines(mask: Mask) -> list[tuple[Ring, list[Ring]]]:
    """Trace every connected piece of a mask.

    Parameters
    ----------
    mask
        (h, w) bool.

    Returns
    -------
    list of tuple
        An outer ring and its holes for each piece. Pieces that touch only at a corner are
        separate. Shoelace areas of outer rings minus holes add up to the mask's area.
    """
    rings = [ring[_corners(ring)] for ring in _edge_loops(mask)]
    areas = [_signed_area(ring) for ring in rings]
    outer = [ring for ring, area in zip(rings, areas, strict=True) if area > 0]
    pieces: list[tuple[Ring, list[Ring]]] = [(ring, []) for ring in outer]
    labels = _label(mask)
    owner = {_piece_inside(ring, labels): i for i, ring in enumerate(outer)}
    for ring, area in zip(rings, areas, strict=True):
        if area < 0:
            pieces[owner[_piece_inside(ring, labels)]][1].append(ring)
    return pieces


def mask_to_geojson(
    mask: Mask, scale: float, *, label: str, origin: tuple[float, float] = (0.0, 0.0)
) -> dict[str, object]:
    """GeoJSON FeatureCollection of a mask, one polygon feature a piece.

    Parameters
    ----------
    mask
        (h, w) bool.
    scale
        Level-0 pixels per mask pixel.
    label
        Class name that QuPath shows.
    origin
        Level-0 pixels (x, y) of the mask's upper left corner.
    """
    features = []
    for number, (outer, holes) in enumerate(trace_outlines(mask)):
        rings = [np.round(ring * scale + origin, 2).tolist() for ring in (outer, *holes)]
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(_NAMESPACE, f"{label} {number} {rings[0][0]}")),
                "geometry": {"type": "Polygon", "coordinates": rings},
                "properties": {"objectType": "annotation", "classification": {"name": label}},
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _label(mask: Mask) -> NDArray[np.int32]:
    labels, _ = ndimage.label(mask)
    return np.asarray(labels, dtype=np.int32)


def _edge_loops(mask: Mask) -> list[Ring]:
    """Find the closed walks along pixel edges, tissue to the right of the walker (y down)."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    sides = (
        (inner & ~padded[:-2, 1:-1], (0, 0), (1, 0)),  # top edge, walk right
        (inner & ~padded[1:-1, 2:], (1, 0), (1, 1)),  # right edge, walk down
        (inner & ~padded[2:, 1:-1], (1, 1), (0, 1)),  # bottom edge, walk left
        (inner & ~padded[1:-1, :-2], (0, 1), (0, 0)),  # left edge, walk up
    )
    for where, start, stop in sides:
        for y, x in np.argwhere(where).tolist():
            begin = (x + start[0], y + start[1])
            following.setdefault(begin, []).append((x + stop[0], y + stop[1]))
    loops = []
    while following:
        first = next(iter(following))
        loops.append(_walk(first, following))
    return loops


def _walk(first: tuple[int, int], following: dict[tuple[int, int], list[tuple[int, int]]]) -> Ring:
    """Follow edges from ``first`` until it comes back, using them up."""
    path = [first]
    heading = (0, 0)
    while True:
        here = path[-1]
        options = following[here]
        # Where two pieces touch at a corner, turn right: stay on the same piece.
        right = (here[0] - heading[1], here[1] + heading[0])
        there = right if right in options else options[0]
        options.remove(there)
        if not options:
            del following[here]
        heading = (there[0] - here[0], there[1] - here[1])
        path.append(there)
        if there == first:
            return np.array(path, dtype=np.int64)


def _corners(ring: Ring) -> NDArray[np.bool_]:
    """Keep the first, the last and the points where the walk turns."""
    steps = np.diff(ring, axis=0)
    turns = np.any(steps[1:] != steps[:-1], axis=1)
    return np.concatenate([[True], turns, [True]])


def _signed_area(ring: Ring) -> float:
    """Shoelace area; positive for outer rings as walked here, negative for holes."""
    x, y = ring[:, 0].astype(np.float64), ring[:, 1].astype(np.float64)
    return float(0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def _piece_inside(ring: Ring, labels: NDArray[np.int32]) -> int:
    """Label of the tissue pixel to the right of the ring's first edge."""
    (x0, y0), (x1, y1) = ring[0].tolist(), ring[1].tolist()
    dx, dy = np.sign(x1 - x0), np.sign(y1 - y0)
    # Pixel right of the walker: heading (dx, dy), right (-dy, dx), y down.
    column = x0 + (0 if dx > 0 or dy < 0 else -1)
    row = y0 + (0 if dx > 0 or dy > 0 else -1)
    return int(labels[row, column])
