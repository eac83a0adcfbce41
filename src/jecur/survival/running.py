"""Running sums inside segments, and exponentials that follow the risk set.

A sum of exp(eta) over a risk set spans more than a float can hold as soon as one patient's eta
lies far above the others': scaled by the largest of all patients, the sums of the risk sets that
patient has left vanish. So event slots are put into *layers* by the largest eta of their own risk
set. Inside a layer exp(eta - base) neither overflows nor lets a sum vanish. With ordinary
covariates there is one layer; the number grows with the largest eta, not with the patients.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import BoolVector, IntVector, Vector

__all__ = ["Layer", "layers_of", "running", "running_from_end"]

ROOM = 300.0
"""Height of a layer in units of eta; exp(2 x 300), the most a product needs, is a float."""
FEW = 64
"""With fewer than one segment for so many values, segments are gone through one by one."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Event slots whose risk sets are of like height."""

    slots: BoolVector
    """(e,) the slots of this layer."""
    risk: Vector
    """(n,) exp(eta - base) of whoever is in a risk set of these slots; of others anything finite,
    and not to be used."""


def layers_of(
    eta: Vector, top: Vector, patient_segment: IntVector | None, slot_segment: IntVector | None
) -> tuple[tuple[Layer, ...], Vector]:
    """Put event slots into layers.

    Parameters
    ----------
    eta
        (n,) finite linear predictors.
    top
        (e,) largest eta of each slot's risk set.
    patient_segment, slot_segment
        (n,) and (e,) stratum of each; None where there is one only.

    Returns
    -------
    tuple of Layer, and Vector
        The layers, and (e,) the base that was subtracted from eta at each slot.
    """
    if slot_segment is None or patient_segment is None:
        floor = top.min(initial=float(eta.max()))  # where no slot is, too
        slot_floor = np.full(top.size, floor)
        above = eta - floor
    else:
        lowest = np.zeros(int(patient_segment.max()) + 1)
        lowest[slot_segment] = np.inf
        np.minimum.at(lowest, slot_segment, top)
        slot_floor = lowest[slot_segment]
        above = eta - lowest[patient_segment]
    level = np.floor((top - slot_floor) / ROOM)
    layers = [
        Layer(level == number, np.exp(np.minimum(above - number * ROOM, ROOM)))
        for number in (np.unique(level) if level.any() else (0.0,))
    ]
    return tuple(layers), slot_floor + level * ROOM


def running(
    values: NDArray[np.float64], edges: IntVector, operation: np.ufunc = np.add
) -> NDArray[np.float64]:
    """Sum (or take the maximum) along the first axis as it runs, begun anew in each segment.

    A difference of two running sums of everything would lose the small segments beside large ones.

    Parameters
    ----------
    values
        (n, ...).
    edges
        (m + 1,) where segments start, 0 and n included.
    operation
        np.add or np.maximum.
    """
    if edges.size == 2:
        return np.asarray(operation.accumulate(values, axis=0))
    out = np.array(values, dtype=np.float64)
    if (edges.size - 1) * FEW <= len(values):
        for start, stop in itertools.pairwise(edges.tolist()):
            operation.accumulate(values[start:stop], axis=0, out=out[start:stop])
        return out
    size = np.diff(edges)
    place = np.arange(len(values)) - np.repeat(edges[:-1], size)
    step = 1
    while step < size.max():
        rows = np.flatnonzero(place >= step)
        out[rows] = operation(out[rows], out[rows - step])
        step *= 2
    return out


def running_from_end(
    values: NDArray[np.float64], edges: IntVector, operation: np.ufunc = np.add
) -> NDArray[np.float64]:
    """Do as `running`, from the end of each segment towards its start."""
    mirrored = (edges[-1] - edges)[::-1]
    return running(values[::-1], mirrored, operation)[::-1]
