"""Fine and Gray's regression of the cumulative incidence: the subdistribution hazard.

Patients who had the competing event stay in the risk set of later events, with the chance that
they would still have been followed, G(t-) / G(T-), as weight. The ratio says how a covariate moves
the cumulative incidence, and so mixes its effect on the event with its effect on what competes
it; a cause-specific Cox model, which the rest of the report holds, speaks of the event alone.

The likelihood, its sums over risk sets and its maximum are those of Cox's model
(`jecur.survival.partial_likelihood`); only who is at risk differs.

References
----------
.. [1] J. P. Fine, R. J. Gray. A proportional hazards model for the subdistribution of a competing
   risk. J. Am. Stat. Assoc. 94(446), 496-509, 1999.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.errors import NotEstimableError, require_choice
from jecur.survival.censoring import censoring_curve
from jecur.survival.competing import check_competing
from jecur.survival.covariates import check_covariates, standardize
from jecur.survival.cox import HazardRatio, wald_ratio
from jecur.survival.follow_up import check_follow_up, check_level
from jecur.survival.inputs import column_names, same_patients
from jecur.survival.newton import inverse, maximize_likelihood, require_moved, require_units
from jecur.survival.partial_likelihood import CoxLikelihood, Evaluation, score_residuals
from jecur.survival.risk_sets import Lingering, RiskSets, Ties, risk_sets

__all__ = ["FineGray", "fit_fine_gray"]


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
        errors = np.sqrt(np.diag(self.covariance)).tolist()
        counts = self.n_patients, self.n_events
        return tuple(
            wald_ratio(name, b, error, (z, level), counts, self.method)
            for name, b, error in zip(self.names, self.coefficients.tolist(), errors, strict=True)
        )


@same_patients
def fit_fine_gray(
    covariates: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    competing: ArrayLike,
    *,
    names: tuple[str, ...] | None = None,
    ties: Ties = "efron",
) -> FineGray:
    """Fit by the weighted partial likelihood [1]_.

    Parameters
    ----------
    covariates
        (n, p) numbers, no missing values, or a DataFrame with one column each.
    time, event
        Follow-up of the same n patients: months, and whether the event of interest was seen.
    competing
        (n,) whether follow-up ended by the competing event.
    names
        One per covariate; the columns of a DataFrame if left out.
    ties
        As of ``coxph(..., weights = fgwt)`` on R's ``finegray`` data, whose coefficients these
        are under either. ``cmprsk::crr`` gives the same where no times are tied, with the same
        standard errors; with ties it weights censoring at the time of an event in another way.

    Raises
    ------
    NotEstimableError
        No event; a covariate that is constant, collinear or separates events from the rest.
    TableError, EndpointError
        Shapes that do not fit, missing values, a patient with both events.
    """
    require_choice("ties", ties, Ties)
    named = column_names(covariates, names)
    months, seen = check_follow_up(time, event)
    other = check_competing(competing, seen)
    x = check_covariates(covariates, months.size, named)
    if not seen.any():
        raise NotEstimableError(
            f"expected at least one event, found none among {months.size} patients"
        )
    sets = _risk_sets(months, seen, other, ties)
    z, scale = standardize(x[sets.order], named, sets.counted)
    found = maximize_likelihood(CoxLikelihood(z, sets), named)
    at = found.at
    inverted = inverse(at.information)
    known = score_residuals(z, sets, at)
    with_g = known + _through_g(z, sets, at, months, seen | other)
    with np.errstate(over="ignore", divide="ignore"):
        out = 1.0 / np.outer(scale, scale)
        coefficients = require_units(found.beta, scale, inverted * out, named)
    sandwich = inverted @ (with_g.T @ with_g) @ inverted
    require_moved(sandwich, inverted, named)
    return FineGray(
        named,
        coefficients,
        sandwich * out,
        inverted @ (known.T @ known) @ inverted * out,
        at.log_likelihood,
        months.size,
        int(seen.sum()),
        f"Fine-Gray, {ties} ties, sandwich variance",
    )


def _risk_sets(time: Vector, event: BoolVector, other: BoolVector, ties: Ties) -> RiskSets:
    sets = risk_sets(time, event, np.zeros(time.size, dtype=np.int64), ties)
    # a competing event leaves before the censorings of its time, like any event
    before = censoring_curve(time, event | other).before(time[sets.order])
    stay = np.zeros(time.size)
    left = other[sets.order]
    stay[left] = 1.0 / before[left]
    return replace(sets, lingering=Lingering(stay, before[sets.event]))


def _through_g(
    x: Matrix, sets: RiskSets, at: Evaluation, time: Vector, observed: BoolVector
) -> Matrix:
    """Add up what the estimate of G brings to each patient's part of the score, (n, p), sorted."""
    lingering = sets.lingering
    if lingering is None:
        return np.zeros_like(x)
    curve = censoring_curve(time, observed)
    position = curve.table.position[sets.order]
    row = position[sets.first[sets.slot_row]]
    k = curve.table.time.size

    def after(values: Vector) -> Vector:
        """Sum over events later than each distinct time; censoring at u moves G beyond u."""
        plain = np.bincount(row, weights=values, minlength=k)
        return np.append(np.cumsum(plain[::-1])[::-1][1:], 0.0)

    def until(values: Vector) -> Vector:
        """Sum over competing events up to each distinct time."""
        return np.asarray(np.cumsum(np.bincount(position, weights=values, minlength=k)))

    able = np.maximum(curve.n_at_risk * (1.0 - curve.hazard), 1.0)  # as `censoring_part`
    out = np.zeros_like(x)
    left_before = observed[sets.order]
    for layer in at.layers:
        hazard = np.where(layer.slots, lingering.follow / at.slot_denominator, 0.0)
        staying = layer.risk * lingering.stay
        r0, b0 = after(hazard), until(staying)
        for j in range(x.shape[1]):
            q = until(staying * x[:, j]) * r0 - b0 * after(hazard * at.slot_mean[:, j])
            jump = np.where(left_before, 0.0, (q / able)[position])
            drift = np.cumsum(q * curve.hazard / able)
            before = drift - q * curve.hazard / able
            out[:, j] += jump - np.where(left_before, before[position], drift[position])
    return out
