"""Does a hazard ratio stay constant in time? The score test of R's ``cox.zph`` since survival 3.

The model is enlarged by x_j g(t); the score test of its coefficient at 0, given the fitted
beta, needs the information of both parts only:

    U   = sum over events of g(t) (x - mean(t))
    I22 = sum of g(t)^2 V(t),  I12 = sum of g(t) V(t),  I11 = sum of V(t)

with V(t) the covariance of the covariates in the risk set. (Before survival 3, and in some
libraries today, V(t) was taken as constant in time; the numbers differ.)

References
----------
.. [1] P. M. Grambsch, T. M. Therneau. Proportional hazards tests and diagnostics based on
   weighted residuals. Biometrika 81(3), 515-526, 1994.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import rankdata

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.errors import NotEstimableError, SettingsError, require_choice
from jecur.survival.covariates import check_covariates, standardize
from jecur.survival.cox import CoxModel
from jecur.survival.estimate import ChiSquared
from jecur.survival.follow_up import Labels, check_follow_up, label_codes, life_table
from jecur.survival.inputs import in_model_order, same_patients
from jecur.survival.newton import inverse
from jecur.survival.partial_likelihood import evaluate_likelihood
from jecur.survival.risk_sets import RiskSets, risk_sets

__all__ = ["ProportionalHazards", "TimeTransform", "proportional_hazards_test"]

TimeTransform = Literal["km", "rank", "identity", "log"]


@dataclass(frozen=True, slots=True)
class ProportionalHazards:
    """One test a term and one for all of them."""

    terms: tuple[str, ...]
    tests: tuple[ChiSquared, ...]
    global_test: ChiSquared
    transform: TimeTransform


@same_patients
def proportional_hazards_test(  # noqa: PLR0913 -- a model and the data it was fitted on
    model: CoxModel,
    covariates: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    transform: TimeTransform = "km",
    strata: Labels | None = None,
    terms: dict[str, tuple[int, ...]] | None = None,
) -> ProportionalHazards:
    """Test that hazard ratios do not change with time [1]_.

    Parameters
    ----------
    model
        Fitted on the same rows.
    covariates, time, event, strata
        As given to `fit_cox`.
    transform
        g(t): "km" is 1 - S(t-) of all patients (R's default), "rank" among all times,
        "identity" or "log".
    terms
        Columns that belong together (a factor's indicators), by name; one term a column if
        left out.

    Returns
    -------
    ProportionalHazards
        Chi-squared tests; small p speaks against proportional hazards.

    Raises
    ------
    NotEstimableError
        If the enlarged model has no information, as with a single event time; if the model has case
        weights, other strata, or was fitted on other patients.
    """
    require_choice("transform", transform, TimeTransform)
    months, seen = check_follow_up(time, event)
    model.require_fitted_on(months.size, int(seen.sum()), stratified=strata is not None)
    x = check_covariates(in_model_order(covariates, model.names), months.size, model.names)
    _, stratum = label_codes(strata, months.size)
    sets = risk_sets(months, seen, stratum, model.ties)
    z, scale = standardize(x[sets.order], model.names, sets.counted, sets.stratum)
    g = _transformed(months, seen, sets, transform)
    score, information = _enlarged(z, model.coefficients * scale, sets, g - g.mean())
    p = len(model.names)
    groups = _terms(terms, p) if terms else {name: (k,) for k, name in enumerate(model.names)}
    tests = [_score_test(score, information, p, columns, model) for columns in groups.values()]
    everything = _score_test(score, information, p, tuple(range(p)), model)
    return ProportionalHazards(tuple(groups), tuple(tests), everything, transform)


def _terms(terms: dict[str, tuple[int, ...]], p: int) -> dict[str, tuple[int, ...]]:
    """Refuse terms of columns that are not there, or of one column twice."""
    for name, columns in terms.items():
        if not columns or len(set(columns)) < len(columns) or not set(columns) <= set(range(p)):
            raise SettingsError(
                f"terms: expected columns of {name!r} from 0 to {p - 1}, each once, found {columns!r}"
            )
    return terms


def _transformed(
    time: Vector, event: BoolVector, sets: RiskSets, transform: TimeTransform
) -> Vector:
    """Return g at every event slot, (e,)."""
    t = sets.slot_time
    if transform == "identity":
        return t
    if transform == "rank":
        return np.asarray(rankdata(time)[sets.order][sets.event])
    if transform == "log":
        if np.any(t <= 0):
            raise NotEstimableError(
                'expected event times above 0 for the "log" transform, found 0; use "km"'
            )
        return np.log(t)
    table = life_table(time, event)
    before = np.concatenate([[1.0], np.cumprod(1.0 - table.n_event / table.n_risk)])
    return np.asarray(1.0 - before[np.searchsorted(table.time, t)])


def _enlarged(z: Matrix, beta: Vector, sets: RiskSets, g: Vector) -> tuple[Vector, Matrix]:
    """Score (2p,) and information (2p, 2p) of the model with x and x g(t)."""
    plain = evaluate_likelihood(beta, z, sets)
    by_g = evaluate_likelihood(beta, z, sets, slot_weight=g)
    by_g2 = evaluate_likelihood(beta, z, sets, slot_weight=g**2)
    information = np.block(
        [[plain.information, by_g.information], [by_g.information, by_g2.information]]
    )
    return np.concatenate([plain.gradient, by_g.gradient]), information


def _score_test(
    score: Vector, information: Matrix, p: int, columns: tuple[int, ...], model: CoxModel
) -> ChiSquared:
    kept = np.array([*range(p), *(p + c for c in columns)])
    matrix = information[np.ix_(kept, kept)]
    try:
        inverted = inverse(matrix)
    except NotEstimableError as error:
        raise NotEstimableError(
            "expected several event times with patients left at risk, found too few; "
            "proportional hazards cannot be tested"
        ) from error
    u = score[kept]
    chi2 = float(u @ inverted @ u)
    df = len(columns)
    return ChiSquared(
        chi2,
        df,
        float(chi2_distribution.sf(chi2, df)),
        model.n_patients,
        model.n_events,
        "score test of a coefficient that changes with time",
    )
