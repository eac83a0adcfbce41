"""Cox's partial likelihood over one pass of the risk sets, with Efron's or Breslow's ties.

Every event gets a slot. With d events tied at one time and r_i = exp(x_i . beta), slot
l = 0 .. d - 1 has

    denominator  S0 - (l / d) D0        S0 = sum of r over the patients at risk
    mean         (S1 - (l / d) D1) / denominator       D0 = sum of r over the d events

(S1, D1: the same sums of r x). Breslow's approximation drops the l / d. Log-likelihood,
gradient and information are sums over slots; the information needs no (n, p, p) array, since
the sum over slots of S2 / denominator is X' diag(r a) X with a(i) accumulated over time.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import BoolVector, IntVector, Matrix, Vector

__all__ = ["Evaluation", "RiskSets", "Ties", "evaluate_likelihood", "risk_sets", "score_residuals"]

Ties = Literal["efron", "breslow"]


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
    stratum_end: IntVector
    """(k,) one past the last sorted patient of the row's stratum."""
    stratum_start_row: IntVector
    """(k,) first time row of the row's stratum."""
    slot_row: IntVector
    """(e,) time row of each event slot."""
    slot_fraction: Vector
    """(e,) l / d, or 0 with Breslow."""
    slot_time: Vector
    """(e,) months."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The partial likelihood at one beta; slots weighted if asked."""

    log_likelihood: float
    gradient: Vector
    """(p,)"""
    information: Matrix
    """(p, p)"""
    slot_mean: Matrix
    """(e, p)"""
    slot_denominator: Vector
    """(e,)"""
    relative_risk: Vector
    """(n,) exp(x . beta), sorted, scaled by a constant."""
    log_scale: float
    """Logarithm of that constant."""


def risk_sets(time: Vector, event: BoolVector, stratum: IntVector, ties: Ties) -> RiskSets:
    """Sort patients and lay out the event slots."""
    order = np.lexsort((time, stratum))
    t, s, d = time[order], stratum[order], event[order]
    new = np.ones(t.size, dtype=bool)
    new[1:] = (t[1:] != t[:-1]) | (s[1:] != s[:-1])
    first = np.flatnonzero(new)
    row = np.cumsum(new) - 1
    last_of_stratum = np.append(np.flatnonzero(s[1:] != s[:-1]) + 1, t.size)
    row_stratum = np.searchsorted(last_of_stratum, first, side="right")
    start_row = np.searchsorted(row_stratum, row_stratum, side="left")
    slot_row = row[d]
    count = np.bincount(slot_row, minlength=first.size)
    offset = np.cumsum(count) - count
    rank = np.arange(slot_row.size) - offset[slot_row]
    fraction = rank / count[slot_row] if ties == "efron" else np.zeros(slot_row.size)
    return RiskSets(
        order.astype(np.int64),
        d,
        row.astype(np.int64),
        first.astype(np.int64),
        last_of_stratum[row_stratum].astype(np.int64),
        start_row.astype(np.int64),
        slot_row.astype(np.int64),
        fraction.astype(np.float64),
        t[d],
    )


def evaluate_likelihood(
    beta: Vector, x: Matrix, sets: RiskSets, slot_weight: Vector | None = None
) -> Evaluation:
    """Log partial likelihood, gradient and information at ``beta``.

    Parameters
    ----------
    beta
        (p,) coefficients.
    x
        (n, p) covariates in sorted order, centered.
    sets
        Risk sets of the same patients.
    slot_weight
        (e,) multiplies each slot's part of gradient and information (not the likelihood);
        the score test of proportional hazards weights slots by a function of time.
    """
    eta = x @ beta
    scale = float(eta.max())
    r = np.exp(eta - scale)
    weighted = r[:, None] * x
    event_risk = np.where(sets.event, r, 0.0)
    s0 = _at_risk_sum(r, sets)
    s1 = _at_risk_sum(weighted, sets)
    d0 = np.bincount(sets.time_row, weights=event_risk, minlength=sets.first.size)
    d1 = np.add.reduceat(event_risk[:, None] * x, sets.first, axis=0)
    row, fraction = sets.slot_row, sets.slot_fraction
    denominator = s0[row] - fraction * d0[row]
    mean = (s1[row] - fraction[:, None] * d1[row]) / denominator[:, None]
    weight = np.ones(row.size) if slot_weight is None else slot_weight
    per_patient = r * _accumulated(weight / denominator, sets)
    information = (x * per_patient[:, None]).T @ x - (mean * weight[:, None]).T @ mean
    return Evaluation(
        float((eta[sets.event] - scale).sum() - np.log(denominator).sum()),
        weight @ (x[sets.event] - mean),
        (information + information.T) / 2,
        mean,
        denominator,
        r,
        scale,
    )


def score_residuals(x: Matrix, sets: RiskSets, at: Evaluation) -> Matrix:
    """Each patient's part of the gradient, (n, p), sorted order; they sum to it."""
    own = np.zeros_like(x)
    row = sets.slot_row
    n_rows = sets.first.size
    count = np.bincount(row, minlength=n_rows).astype(np.float64)
    mean_sum = _by_row(at.slot_mean, row, n_rows)
    events = sets.event
    own[events] = x[events] - (mean_sum / np.maximum(count, 1)[:, None])[sets.time_row[events]]
    hazard = _accumulated(1.0 / at.slot_denominator, sets)
    mean_hazard = _accumulated(at.slot_mean / at.slot_denominator[:, None], sets)
    return own - at.relative_risk[:, None] * (x * hazard[:, None] - mean_hazard)


def _at_risk_sum(values: NDArray[np.float64], sets: RiskSets) -> NDArray[np.float64]:
    """Sum over the patients at risk at every time row, (k, ...)."""
    n = values.shape[0]
    tail = np.zeros((n + 1, *values.shape[1:]))
    tail[:n] = np.cumsum(values[::-1], axis=0)[::-1]
    return np.asarray(tail[sets.first] - tail[sets.stratum_end])


def _accumulated(per_slot: NDArray[np.float64], sets: RiskSets) -> NDArray[np.float64]:
    """Sum the slots up to each patient's own time, (n, ...).

    An event takes part in slot l of its own time with weight 1 - l / d.
    """
    k = sets.first.size
    total = _by_row(per_slot, sets.slot_row, k)
    shape = (-1,) + (1,) * (per_slot.ndim - 1)
    removed = _by_row(per_slot * sets.slot_fraction.reshape(shape), sets.slot_row, k)
    running = np.zeros((k + 1, *total.shape[1:]))
    running[1:] = np.cumsum(total, axis=0)
    within = running[1:] - running[sets.stratum_start_row]
    taken = np.where(sets.event.reshape(shape), removed[sets.time_row], 0.0)
    return np.asarray(within[sets.time_row] - taken)


def _by_row(values: NDArray[np.float64], row: IntVector, k: int) -> NDArray[np.float64]:
    """Add slots of one time row together, (k, ...)."""
    if values.ndim == 1:
        return np.asarray(np.bincount(row, weights=values, minlength=k), dtype=np.float64)
    columns = [np.bincount(row, weights=column, minlength=k) for column in values.T]
    return np.stack(columns, axis=1)
