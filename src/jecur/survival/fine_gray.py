"""Fine and Gray's regression of the cumulative incidence: the subdistribution hazard.

Patients who had the competing event stay in the risk set of later events, with the chance that
they would still have been followed, G(t-) / G(T-), as weight. The ratio says how a covariate moves
the cumulative incidence, and so mixes its effect on the event with its effect on what forestalls
it; a cause-specific Cox model, which the rest of the report holds, speaks of the event alone.

All sums over risk sets are running sums, so the time grows with n log n.

References
----------
.. [1] J. P. Fine, R. J. Gray. A proportional hazards model for the subdistribution of a competing
   risk. J. Am. Stat. Assoc. 94(446), 496-509, 1999.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import NotEstimableError
from jecur.survival.censoring import censoring_curve
from jecur.survival.competing import check_competing
from jecur.survival.cox import HazardRatio, check_covariates, standardize
from jecur.survival.follow_up import check_follow_up, check_level
from jecur.survival.partial_likelihood import Ties

__all__ = ["FineGray", "fit_fine_gray"]

TOLERANCE = 1e-10
MAX_ITERATIONS = 40
FLAT = 1e-8
"""Share of the information at 0 below which the likelihood counts as flat."""


@dataclass(frozen=True, slots=True)
class FineGray:
    """A fitted model."""

    names: tuple[str, ...]
    coefficients: Vector
    """(p,) log subdistribution hazard ratio per unit."""
    covariance: Matrix
    """(p, p) sandwich, the estimate of G included [1]_."""
    covariance_known_g: Matrix
    """(p, p) sandwich with G taken as known, as R's weighted ``coxph`` with clusters."""
    log_likelihood: float
    n_patients: int
    n_events: int
    method: str

    def hazard_ratios(self, *, level: float = 0.95) -> tuple[HazardRatio, ...]:
        """Subdistribution hazard ratios with Wald intervals."""
        z = float(ndtri(0.5 + check_level(level) / 2))
        out = []
        for name, b, variance in zip(
            self.names, self.coefficients.tolist(), np.diag(self.covariance).tolist(), strict=True
        ):
            se = float(np.sqrt(variance))
            ratio, lower, upper = np.exp([b, b - z * se, b + z * se]).tolist()
            p = float(2 * ndtr(-abs(b / se)))
            n, events = self.n_patients, self.n_events
            out.append(
                HazardRatio(
                    name, ratio, lower, upper, b / se, p, b, se, level, n, events, self.method
                )
            )
        return tuple(out)


@dataclass(frozen=True, slots=True)
class _Data:
    """Patients sorted by time, and where each event time lies among them."""

    x: Matrix
    event: BoolVector
    other: BoolVector
    stay: Vector
    """(n,) 1 / G(T-) of patients with the competing event, else 0."""
    first: IntVector
    """(e,) first patient at the event slot's time."""
    g: Vector
    """(e,) G(t-)."""
    slot_of: IntVector
    """(e,) which distinct event time the slot is of."""
    fraction: Vector
    """(e,) Efron's share of the tied events taken out."""
    tied_end: IntVector
    """(e,) one past the last patient at that time."""
    order: IntVector


@dataclass(frozen=True, slots=True)
class _Sums:
    log_likelihood: float
    gradient: Vector
    information: Matrix
    mean: Matrix
    """(e, p)"""
    denominator: Vector
    """(e,)"""
    risk: Vector
    """(n,)"""


def fit_fine_gray(
    covariates: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    competing: ArrayLike,
    *,
    names: tuple[str, ...],
    ties: Ties = "efron",
) -> FineGray:
    """Fit by the weighted partial likelihood [1]_.

    Parameters
    ----------
    covariates
        (n, p) float64, no missing values.
    time, event
        Follow-up of the same n patients: months, and whether the event of interest was seen.
    competing
        (n,) whether follow-up ended by the competing event.
    names
        One per covariate.
    ties
        "efron", as R's ``finegray`` with ``coxph``; "breslow", as ``cmprsk::crr``.

    Raises
    ------
    NotEstimableError
        No event; a covariate that is constant, collinear or separates events from the rest.
    TableError, EndpointError
        Shapes that do not fit, missing values, a patient with both events.
    """
    months, seen = check_follow_up(time, event)
    other = check_competing(competing, seen)
    x = check_covariates(covariates, months.size, names)
    if not seen.any():
        raise NotEstimableError(
            f"expected at least one event, found none among {months.size} patients"
        )
    z, scale = standardize(x, names)
    data = _sorted(z, months, seen, other, ties)
    beta, at = _maximize(data, names)
    inverse = np.linalg.inv(at.information)
    known, through_g = _influence(data, at, months)
    out = 1.0 / np.outer(scale, scale)
    with_g = known + through_g
    return FineGray(
        names,
        beta / scale,
        inverse @ (with_g.T @ with_g) @ inverse * out,
        inverse @ (known.T @ known) @ inverse * out,
        at.log_likelihood,
        months.size,
        int(seen.sum()),
        f"Fine-Gray, {ties} ties, sandwich variance",
    )


def _sorted(x: Matrix, time: Vector, event: BoolVector, other: BoolVector, ties: Ties) -> _Data:
    order = np.argsort(time, kind="stable")
    t, d = time[order], event[order]
    # a competing event leaves before the censorings of its time, like any event
    curve = censoring_curve(time, event | other)
    before = np.maximum(curve.before(t), 1e-300)
    first = np.searchsorted(t, t[d], side="left")
    slot_of = np.unique(first, return_inverse=True)[1]
    count = np.bincount(slot_of)
    rank = np.arange(slot_of.size) - (np.cumsum(count) - count)[slot_of]
    fraction = rank / count[slot_of] if ties == "efron" else np.zeros(slot_of.size)
    return _Data(
        x[order],
        d,
        other[order],
        np.where(other[order], 1.0 / before, 0.0),
        first,
        before[d],
        slot_of,
        np.asarray(fraction, dtype=np.float64),
        np.searchsorted(t, t[d], side="right"),
        order,
    )


def _evaluate(beta: Vector, data: _Data) -> _Sums:
    """Likelihood, gradient and information at ``beta``."""
    eta = data.x @ beta
    shift = float(eta.max())
    risk = np.exp(eta - shift)
    p = beta.size
    pairs = [(i, j) for i in range(p) for j in range(i, p)]
    columns = [np.ones(risk.size), *data.x.T, *(data.x[:, i] * data.x[:, j] for i, j in pairs)]
    sums = [_at_slots(risk * column, data) for column in columns]
    s0 = sums[0]
    mean = np.stack(sums[1 : p + 1], axis=1) / s0[:, None]
    information = np.zeros((p, p))
    for (i, j), second in zip(pairs, sums[p + 1 :], strict=True):
        information[i, j] = information[j, i] = float(np.sum(second / s0 - mean[:, i] * mean[:, j]))
    log_likelihood = float(np.sum(eta[data.event] - shift - np.log(s0)))
    gradient = data.x[data.event].sum(axis=0) - mean.sum(axis=0)
    return _Sums(log_likelihood, gradient, information, mean, s0, risk)


def _at_slots(values: Vector, data: _Data) -> Vector:
    """Sum over the weighted risk set of each event slot, (e,)."""
    later = np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])[data.first]
    stayed = np.concatenate([[0.0], np.cumsum(values * data.stay)])[data.first]
    own = np.concatenate([[0.0], np.cumsum(np.where(data.event, values, 0.0))])
    tied = own[data.tied_end] - own[data.first]
    return np.asarray(later + data.g * stayed - data.fraction * tied)


def _maximize(data: _Data, names: tuple[str, ...]) -> tuple[Vector, _Sums]:
    beta = np.zeros(data.x.shape[1])
    null = at = _evaluate(beta, data)
    floor = FLAT * float(np.linalg.eigvalsh(null.information)[-1])
    for _ in range(MAX_ITERATIONS):
        if float(np.linalg.eigvalsh(at.information)[0]) <= floor:
            break
        step = np.linalg.solve(at.information, at.gradient)
        factor = 1.0
        trial = _evaluate(beta + step, data)
        while not trial.log_likelihood >= at.log_likelihood - 1e-10 and factor > 1e-6:
            factor /= 2
            trial = _evaluate(beta + factor * step, data)
        beta, at = beta + factor * step, trial
        if np.max(np.abs(factor * step) / (1 + np.abs(beta))) <= TOLERANCE:
            return beta, at
    raise NotEstimableError(
        f"expected a finite maximum of the likelihood, found none for {', '.join(names)}: a "
        "covariate separates events from the rest; merge sparse levels or leave it out",
        code="separation",
    )


def _influence(data: _Data, at: _Sums, time: Vector) -> tuple[Matrix, Matrix]:
    """Each patient's part of the score with G known, and what its estimate adds, two (n, p).

    Rows are in the order of ``data``. With Efron's ties a slot's own events count by their
    remaining share, as in R.
    """
    p = data.x.shape[1]
    n = data.x.shape[0]
    hazard = 1.0 / at.denominator

    # integrals over a patient's own time at risk, and after his competing event
    def through(values: Vector) -> tuple[Vector, Vector]:
        """Sum over slots up to each patient's time; weighted, over slots after it."""
        plain = np.bincount(data.first, weights=values, minlength=n)
        upto = np.cumsum(plain)
        # patients of one time share its slots: read at the last patient of the time
        last = np.searchsorted(sorted_time, sorted_time, side="right") - 1
        weighted = np.bincount(data.first, weights=values * data.g, minlength=n)
        after = weighted.sum() - np.cumsum(weighted)[last]
        return np.asarray(upto[last]), np.asarray(after)

    sorted_time = time[data.order]
    part = np.zeros((n, p))
    h0, h0_after = through(hazard)
    for k in range(p):
        h1, h1_after = through(hazard * at.mean[:, k])
        part[:, k] -= at.risk * (data.x[:, k] * h0 - h1)
        part[:, k] -= at.risk * data.stay * (data.x[:, k] * h0_after - h1_after)
    slots = np.bincount(data.slot_of)
    for k in range(p):
        mean = (np.bincount(data.slot_of, weights=at.mean[:, k]) / slots)[data.slot_of]
        tied0 = np.bincount(data.slot_of, weights=hazard * data.fraction)[data.slot_of]
        tied1 = np.bincount(data.slot_of, weights=hazard * data.fraction * at.mean[:, k])
        own = data.x[data.event, k] - mean
        share = at.risk[data.event] * (data.x[data.event, k] * tied0 - tied1[data.slot_of])
        part[data.event, k] += own + share
    return part, _through_g(data, at, time)


def _through_g(data: _Data, at: _Sums, time: Vector) -> Matrix:
    """Add up what the estimate of G brings to each patient's part of the score, (n, p)."""
    seen = np.zeros(time.size, dtype=np.bool_)
    seen[data.order] = data.event | data.other
    curve = censoring_curve(time, seen)
    table = curve.table
    k, p = table.time.size, data.x.shape[1]
    position = table.position[data.order]
    hazard = data.g / at.denominator
    row = position[data.first]

    def after(values: Vector) -> Vector:
        """Sum over events later than each distinct time; censoring at u moves G beyond u."""
        plain = np.bincount(row, weights=values, minlength=k)
        return np.asarray(plain.sum() - np.cumsum(plain))

    def until(values: Vector) -> Vector:
        """Sum over competing events up to each distinct time."""
        return np.asarray(np.cumsum(np.bincount(position, weights=values, minlength=k)))

    r0 = after(hazard)
    b0 = until(at.risk * data.stay)
    able = np.maximum(curve.n_at_risk, 1.0)
    out = np.zeros((time.size, p))
    left_before = data.event | data.other
    for j in range(p):
        q = until(at.risk * data.stay * data.x[:, j]) * r0 - b0 * after(hazard * at.mean[:, j])
        jump = np.where(left_before, 0.0, (q / able)[position])
        drift = np.cumsum(q * curve.hazard / able)
        before = drift - q * curve.hazard / able
        out[:, j] = jump - np.where(left_before, before[position], drift[position])
    return out
