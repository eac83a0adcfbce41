"""Who is at risk at which event: laid out once from the follow-up, used by every likelihood."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from jecur.arrays import BoolVector, IntVector, Vector
from jecur.errors import require_choice
from jecur.survival.running import running, running_from_end

__all__ = ["Lingering", "RiskSets", "Ties", "risk_sets"]

Ties = Literal["efron", "breslow"]


@dataclass(frozen=True, slots=True)
class Lingering:
    """Patients who stay in later risk sets with a falling weight, in one stratum (Fine-Gray)."""

    stay: Vector
    """(n,) sorted; 1 / G(T-) of patients who had the competing event, else 0."""
    follow: Vector
    """(e,) G(t-) at each slot: such a patient's weight there is stay x follow."""


@dataclass(frozen=True, slots=True)
class RiskSets:
    """Who is at risk when: fixed by follow-up alone, shared by every step of the fit.

    Rows are patients sorted by stratum, then time. A *time row* is one distinct time of one
    stratum.
    """

    order: IntVector
    """(n,) row -> patient."""
    event: BoolVector
    """(n,) in sorted order."""
    time_row: IntVector
    """(n,) time row of each sorted patient, non-decreasing."""
    first: IntVector
    """(k,) first sorted patient of each time row."""
    edges: IntVector
    """(strata + 1,) where the sorted patients of each stratum start; 0 and n included."""
    row_edges: IntVector
    """(strata + 1,) the same of time rows; 0 and k included."""
    slot_row: IntVector
    """(e,) time row of each event slot."""
    slot_fraction: Vector
    """(e,) l / d, or 0 with Breslow."""
    slot_time: Vector
    """(e,) months."""
    weight: Vector | None
    """(n,) case weights in sorted order, > 0; None where all are 1."""
    slot_weight: Vector
    """(e,) mean case weight of the events at the slot's time."""
    lingering: Lingering | None = None

    @property
    def stratum(self) -> IntVector | None:
        """(n,) stratum of each sorted patient; None where there is one only."""
        if self.edges.size == 2:
            return None
        return np.repeat(np.arange(self.edges.size - 1), np.diff(self.edges))

    @property
    def counted(self) -> BoolVector:
        """(n,) whether the sorted patient is at risk at any event at all."""
        last = np.zeros(self.first.size)
        last[self.slot_row] = 1.0
        counted = running(last, self.row_edges)[self.time_row] > 0
        if self.lingering is not None:
            later = running_from_end(last, self.row_edges)
            counted |= (self.lingering.stay > 0) & (np.append(later, 0.0)[self.time_row + 1] > 0)
        return np.asarray(counted)


def risk_sets(
    time: Vector,
    event: BoolVector,
    stratum: IntVector,
    ties: Ties,
    weight: Vector | None = None,
) -> RiskSets:
    """Sort patients and lay out the event slots; ``weight`` is (n,), in the order given."""
    require_choice("ties", ties, Ties)
    order = np.lexsort((time, stratum))
    t, s, d = time[order], stratum[order], event[order]
    new_stratum = s[1:] != s[:-1]
    new = np.ones(t.size, dtype=bool)
    new[1:] = (t[1:] != t[:-1]) | new_stratum
    first = np.flatnonzero(new)
    row = np.cumsum(new) - 1
    edges = np.concatenate([[0], np.flatnonzero(new_stratum) + 1, [t.size]])
    slot_row = row[d]
    count = np.bincount(slot_row, minlength=first.size)
    offset = np.cumsum(count) - count
    rank = np.arange(slot_row.size) - offset[slot_row]
    fraction = rank / count[slot_row] if ties == "efron" else np.zeros(slot_row.size)
    w = None if weight is None else weight[order]
    slot_weight = np.ones(slot_row.size)
    if w is not None:
        total = np.bincount(slot_row, weights=w[d], minlength=first.size)
        slot_weight = total[slot_row] / count[slot_row]
    return RiskSets(
        order.astype(np.int64),
        d,
        row.astype(np.int64),
        first.astype(np.int64),
        edges.astype(np.int64),
        np.searchsorted(first, edges).astype(np.int64),
        slot_row.astype(np.int64),
        fraction.astype(np.float64),
        t[d],
        w,
        slot_weight,
    )
