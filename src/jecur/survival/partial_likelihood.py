"""Cox's partial likelihood over one pass of the risk sets, with Efron's or Breslow's ties.

Every event gets a slot. With d events tied at one time and r_i = w_i exp(x_i . beta), slot
l = 0 .. d - 1 has

    denominator  S0 - (l / d) D0        S0 = sum of r over the patients at risk
    mean         (S1 - (l / d) D1) / denominator       D0 = sum of r over the d events

(S1, D1: the same sums of r x). Breslow's approximation drops the l / d. Log-likelihood,
gradient and information are sums over slots, each with the mean case weight w of its d events;
the information needs no (n, p, p) array, since the sum over slots of S2 / denominator is
X' diag(r a) X with a(i) accumulated over time.

Every sum is scaled by what is at risk in it (`jecur.survival.running`), never by the largest of
all patients, and sums of one stratum never meet those of another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import IntVector, Matrix, Vector
from jecur.survival.risk_sets import RiskSets
from jecur.survival.running import Layer, layers_of, running, running_from_end

__all__ = [
    "CoxLikelihood",
    "Evaluation",
    "evaluate_likelihood",
    "score_residuals",
]

CANCELLED = 0.01
"""Share of a second moment below which a variance has lost digits worth having."""


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
    """(e,) divided by exp(slot_base)."""
    slot_base: Vector
    """(e,)"""
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class CoxLikelihood:
    """The likelihood of given patients as a function of beta, for `maximize_likelihood`."""

    x: Matrix
    """(n, p) in sorted order, centered, scaled."""
    sets: RiskSets

    def at(self, beta: Vector) -> Evaluation:
        """Evaluate."""
        return evaluate_likelihood(beta, self.x, self.sets)

    @property
    def events(self) -> IntVector:
        """(e,) row of each slot's own event."""
        return np.flatnonzero(self.sets.event)

    def leaders(self, eta: Vector) -> IntVector:
        """(e,) row of a patient with the largest eta in each slot's risk set."""
        sets = self.sets
        start = sets.first[sets.slot_row]
        rank = np.empty(eta.size)  # one leader a rank, so that the largest is found by its rank
        rank[np.argsort(eta, kind="stable")] = np.arange(eta.size)
        top = running_from_end(rank, sets.edges, np.maximum)[start]
        if sets.lingering is not None:
            gone = np.where(sets.lingering.stay > 0, rank, -1.0)
            top = np.maximum(top, _before(np.maximum.accumulate(gone), start, -1.0))
        patient = np.empty(eta.size, dtype=np.int64)
        patient[rank.astype(np.int64)] = np.arange(eta.size)
        return np.asarray(patient[top.astype(np.int64)])


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
        (e,) multiplies each slot's part of gradient and information (not the likelihood), and is
        the same at all slots of a time; the score test of proportional hazards weights slots by
        a function of time.
    """
    eta = x @ beta
    layers, base = _layers(eta, sets)
    denominator, mean = _slots(x, sets, layers)
    weight = sets.slot_weight if slot_weight is None else sets.slot_weight * slot_weight
    own = np.ones(base.size) if sets.weight is None else sets.weight[sets.event]
    log_likelihood = own @ (eta[sets.event] - base) - sets.slot_weight @ np.log(denominator)
    of_event = np.zeros(eta.size)
    of_event[sets.event] = own if slot_weight is None else own * slot_weight
    per_patient = _per_patient(weight / denominator, layers, sets)
    return Evaluation(
        float(log_likelihood),
        of_event @ x - weight @ mean,
        _information(x, per_patient, mean, weight, sets),
        mean,
        denominator,
        base,
        layers,
    )


def score_residuals(x: Matrix, sets: RiskSets, at: Evaluation) -> Matrix:
    """Each patient's part of the gradient, weight included, (n, p), sorted order; sums to it."""
    part = np.zeros_like(x)
    row = sets.slot_row
    n_rows = sets.first.size
    count = np.bincount(row, minlength=n_rows).astype(np.float64)
    mean_sum = _by_row(at.slot_mean, row, n_rows)
    events = sets.event
    own = x[events] - (mean_sum / np.maximum(count, 1)[:, None])[sets.time_row[events]]
    part[events] = own if sets.weight is None else own * sets.weight[events, None]
    for layer in at.layers:
        rate = np.where(layer.slots, sets.slot_weight / at.slot_denominator, 0.0)
        hazard = _accumulated(rate, sets)
        mean_hazard = _accumulated(at.slot_mean * rate[:, None], sets)
        part -= layer.risk[:, None] * (x * hazard[:, None] - mean_hazard)
    return part


def _layers(eta: Vector, sets: RiskSets) -> tuple[tuple[Layer, ...], Vector]:
    weighted = eta if sets.weight is None else eta + np.log(sets.weight)
    start = sets.first[sets.slot_row]
    top = running_from_end(weighted, sets.edges, np.maximum)[start]
    if sets.lingering is not None:
        gone = np.where(sets.lingering.stay > 0, weighted, -np.inf)
        top = np.maximum(top, _before(np.maximum.accumulate(gone), start, -np.inf))
    stratum = sets.stratum
    return layers_of(
        weighted, top, stratum, None if stratum is None else stratum[sets.first][sets.slot_row]
    )


def _slots(x: Matrix, sets: RiskSets, layers: tuple[Layer, ...]) -> tuple[Vector, Matrix]:
    """Denominator (e,) and mean (e, p) of every slot."""
    e, p = sets.slot_row.size, x.shape[1]
    denominator, mean = np.ones(e), np.zeros((p, e))
    for layer in layers:
        slots = layer.slots if len(layers) > 1 else slice(None)
        denominator[slots] = _at_slots(layer.risk, sets)[slots]
        for k in range(p):
            mean[k, slots] = _at_slots(layer.risk * x[:, k], sets)[slots] / denominator[slots]
    return denominator, mean.T


def _at_slots(values: Vector, sets: RiskSets) -> Vector:
    """Sum over whoever is at risk at each slot, (e,)."""
    row = sets.slot_row
    at_row = running_from_end(values, sets.edges)[sets.first]
    if sets.lingering is None:
        out = at_row[row]
    else:
        left = _before(np.cumsum(values * sets.lingering.stay), sets.first, 0.0)
        out = at_row[row] + sets.lingering.follow * left[row]
    if sets.slot_fraction.any():
        gone = np.add.reduceat(values * sets.event, sets.first)
        out -= sets.slot_fraction * gone[row]
    return np.asarray(out)


def _per_patient(rate: Vector, layers: tuple[Layer, ...], sets: RiskSets) -> Vector:
    """Sum of each patient's share of the slots they are at risk in, (n,)."""
    if len(layers) == 1:
        return np.asarray(layers[0].risk * _accumulated(rate, sets))
    parts = (la.risk * _accumulated(np.where(la.slots, rate, 0.0), sets) for la in layers)
    return np.asarray(np.sum(list(parts), axis=0))


def _information(
    x: Matrix, per_patient: Vector, mean: Matrix, weight: Vector, sets: RiskSets
) -> Matrix:
    """Second moments less squared means, (p, p), symmetric.

    Where little is left of the difference, it is taken again about the middle of the slots' means.
    """
    second = (x * per_patient[:, None]).T @ x
    information = second - (mean * weight[:, None]).T @ mean
    if np.any(np.abs(np.diag(information)) < CANCELLED * np.abs(np.diag(second))):
        of_slot, of_patient = _middle(mean, sets)
        x, mean = x - of_patient, mean - of_slot
        information = (x * per_patient[:, None]).T @ x - (mean * weight[:, None]).T @ mean
    return np.asarray((information + information.T) / 2)


def _middle(mean: Matrix, sets: RiskSets) -> tuple[Matrix, Matrix]:
    """Mean of the slots' means in their stratum: of each slot (e, p), of each patient (n, p)."""
    stratum = sets.stratum
    if stratum is None:
        middle = mean.mean(axis=0)[None]
        return middle, middle
    slot_stratum = stratum[sets.first][sets.slot_row]
    count = np.bincount(slot_stratum, minlength=sets.edges.size - 1)
    middle = _by_row(mean, slot_stratum, count.size) / np.maximum(count, 1)[:, None]
    return middle[slot_stratum], middle[stratum]


def _accumulated(per_slot: NDArray[np.float64], sets: RiskSets) -> NDArray[np.float64]:
    """Sum the slots up to each patient's own time, (n, ...).

    An event takes part in slot l of its own time with weight 1 - l / d; who lingers, in later ones.
    """
    k = sets.first.size
    shape = (-1,) + (1,) * (per_slot.ndim - 1)
    total = running(_by_row(per_slot, sets.slot_row, k), sets.row_edges)[sets.time_row]
    if sets.slot_fraction.any():
        removed = _by_row(per_slot * sets.slot_fraction.reshape(shape), sets.slot_row, k)
        total -= np.where(sets.event.reshape(shape), removed[sets.time_row], 0.0)
    if sets.lingering is not None:
        later = _by_row(per_slot * sets.lingering.follow.reshape(shape), sets.slot_row, k)
        after = np.concatenate([running_from_end(later, sets.row_edges), later[:1] * 0.0])
        total += sets.lingering.stay.reshape(shape) * after[sets.time_row + 1]
    return np.asarray(total)


def _before(values: NDArray[np.float64], row: IntVector, nothing: float) -> NDArray[np.float64]:
    """Values of the patient before ``row``, ``nothing`` before the first."""
    head = np.full((1, *values.shape[1:]), nothing)
    return np.asarray(np.concatenate([head, values])[row])


def _by_row(values: NDArray[np.float64], row: IntVector, k: int) -> NDArray[np.float64]:
    """Add slots of one time row together, (k, ...)."""
    if values.ndim == 1:
        return np.asarray(np.bincount(row, weights=values, minlength=k), dtype=np.float64)
    columns = [np.bincount(row, weights=column, minlength=k) for column in values.T]
    return np.stack(columns, axis=1)
