"""Cox proportional hazards regression with Efron's or Breslow's handling of ties.

The hazard of patient i is ``h0(t) * exp(x_i . beta)``; ``h0`` cancels from the partial
likelihood, which Newton-Raphson maximizes over ``beta``.

Written here, and not taken from a library, to stay linear in the number of patients, to match
R to the last digits with strata and clusters, and to name the covariate when a model cannot
be estimated.

References
----------
.. [1] D. R. Cox. Regression models and life-tables. J. R. Stat. Soc. B 34(2), 187-220, 1972.
.. [2] B. Efron. The efficiency of Cox's likelihood function for censored data. J. Am. Stat.
   Assoc. 72(359), 557-565, 1977.
.. [3] D. Y. Lin, L. J. Wei. The robust inference for the Cox proportional hazards model. J.
   Am. Stat. Assoc. 84(408), 1074-1078, 1989.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import chi2 as chi2_distribution

from jecur.arrays import Matrix, Vector
from jecur.errors import NotEstimableError, TableError, require_choice
from jecur.survival.covariates import check_covariates, linear_predictor, standardize
from jecur.survival.estimate import ChiSquared, Estimate
from jecur.survival.follow_up import Labels, check_follow_up, check_level, label_codes
from jecur.survival.inputs import column_names, in_model_order, numbers, same_patients
from jecur.survival.newton import inverse, maximize_likelihood, require_moved, require_units
from jecur.survival.partial_likelihood import CoxLikelihood, score_residuals
from jecur.survival.risk_sets import Ties, risk_sets

__all__ = [
    "CoxModel",
    "HazardRatio",
    "fit_cox",
    "likelihood_ratio_test",
    "wald_ratio",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardRatio(Estimate):
    """Effect of one covariate, per unit of it (unitless), with its Wald interval and test."""

    name: str
    lower: float
    upper: float
    z: float
    p: float
    """Two-sided Wald test of ratio 1."""
    coefficient: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class CoxModel:
    """A fitted model; never changes after the fit."""

    names: tuple[str, ...]
    coefficients: Vector
    """(p,) log hazard ratio per unit of each covariate."""
    covariance: Matrix
    """(p, p) inverse observed information, or the cluster-robust sandwich."""
    model_covariance: Matrix
    """(p, p) inverse observed information always."""
    log_likelihood: float
    null_log_likelihood: float
    score_chi2: float
    """Score test of all coefficients at 0."""
    n_patients: int
    n_events: int
    iterations: int
    ties: Ties
    method: str
    stratified: bool = False
    weighted: bool = False
    """Whether patients had case weights."""

    def require_fitted_on(self, n: int, events: int, *, stratified: bool) -> None:
        """Refuse other patients than those of the fit, weights, and strata that are not its own.

        Raises
        ------
        NotEstimableError
            What follows from a fit needs the same data.
        """
        if (n, events) != (self.n_patients, self.n_events):
            raise NotEstimableError(
                f"expected the {self.n_patients} patients ({self.n_events} events) that the model was "
                f"fitted on, found {n} ({events}); give the same rows"
            )
        if self.weighted:
            raise NotEstimableError(
                "expected a model without case weights, found one with; fit it without them"
            )
        if stratified != self.stratified:
            raise NotEstimableError(
                f"expected {'the strata' if self.stratified else 'no strata, as there were none'} of the "
                f"fit, found {'some' if stratified else 'none'}; fit a model of the same strata"
            )

    def risk(self, covariates: ArrayLike) -> Vector:
        """Linear predictor of (m, p) covariates, (m,); higher means earlier event.

        Raises
        ------
        TableError
            If they are not those of the model: a DataFrame is taken by name, an array in its order.
        """
        return linear_predictor(self.own_covariates(covariates), self.coefficients)

    def own_covariates(self, covariates: ArrayLike) -> Matrix:
        """Return (m, p) covariates in the model's order; errors as `risk`."""
        x = numbers(in_model_order(covariates, self.names), "covariates")
        if x.shape[-1:] != self.coefficients.shape:
            raise TableError(
                f"expected {len(self.names)} covariates a patient ({', '.join(self.names)}), found "
                f"shape {x.shape}; give one row a patient"
            )
        return x

    def hazard_ratios(self, *, level: float = 0.95) -> tuple[HazardRatio, ...]:
        """Hazard ratios with Wald intervals, in the order of ``names``."""
        quantile = float(ndtri(0.5 + check_level(level) / 2))
        return tuple(self._ratio(k, quantile, level) for k in range(len(self.names)))

    def likelihood_ratio(self) -> ChiSquared:
        """Likelihood-ratio test of all coefficients at 0."""
        return self._test(
            2 * (self.log_likelihood - self.null_log_likelihood), "likelihood-ratio test"
        )

    def wald(self) -> ChiSquared:
        """Wald test of all coefficients at 0."""
        solved = np.linalg.solve(self.covariance, self.coefficients)
        return self._test(float(self.coefficients @ solved), "Wald test")

    def score(self) -> ChiSquared:
        """Score test of all coefficients at 0; with one group indicator, the log-rank test."""
        return self._test(self.score_chi2, "score test")

    def _ratio(self, k: int, quantile: float, level: float) -> HazardRatio:
        error = float(np.sqrt(self.covariance[k, k]))
        counts = self.n_patients, self.n_events
        return wald_ratio(
            self.names[k],
            float(self.coefficients[k]),
            error,
            (quantile, level),
            counts,
            self.method,
        )

    def _test(self, chi2: float, method: str) -> ChiSquared:
        df = len(self.names)
        p = float(chi2_distribution.sf(chi2, df))
        return ChiSquared(chi2, df, p, self.n_patients, self.n_events, method)


def wald_ratio(
    name: str,
    coefficient: float,
    error: float,
    coverage: tuple[float, float],
    counts: tuple[int, int],
    method: str,
) -> HazardRatio:
    """Hazard ratio of a log hazard ratio with its standard error; ``coverage`` is (z, level)."""
    quantile, level = coverage
    with np.errstate(over="ignore"):
        ends = [coefficient, coefficient - quantile * error, coefficient + quantile * error]
        ratio, lower, upper = (float(v) for v in np.exp(ends))
    z = coefficient / error
    p = float(2 * ndtr(-abs(z)))
    return HazardRatio(
        estimate=ratio,
        lower=lower,
        upper=upper,
        p=p,
        z=z,
        n=counts[0],
        events=counts[1],
        level=level,
        method=method,
        name=name,
        coefficient=coefficient,
        standard_error=error,
    )


@same_patients
def fit_cox(  # noqa: PLR0913 -- the response has two parts, the rest are options
    covariates: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    names: tuple[str, ...] | None = None,
    ties: Ties = "efron",
    strata: Labels | None = None,
    weights: ArrayLike | None = None,
    robust_cluster: Labels | None = None,
) -> CoxModel:
    """Fit by maximum partial likelihood [1]_.

    Parameters
    ----------
    covariates
        (n, p) numbers, no missing values, or a DataFrame with one column each; standardized inside
        each stratum, so shifting a covariate, of everybody or of one stratum, changes nothing and
        rescaling it changes only its own ratio.
    time, event
        Follow-up of the same n patients: months, and whether the event was seen.
    names
        One per covariate; the columns of a DataFrame if left out.
    ties
        "efron" [2]_ unless reproducing a result that used "breslow".
    strata
        (n,) labels; each stratum has its own baseline hazard.
    weights
        (n,) case weights above 0, as R's ``weights``: a patient of weight 2 counts as two in
        every sum. The variance takes them as counts of patients; with sampling weights ask for
        the robust one.
    robust_cluster
        (n,) labels; rows of one label are not independent and the covariance becomes the
        grouped sandwich [3]_.

    Returns
    -------
    CoxModel
        The maximum and its curvature.

    Raises
    ------
    NotEstimableError
        No event; a covariate that is constant, a combination of others or separates events
        from the rest (the likelihood then rises for ever). The covariates are named.
    TableError, EndpointError
        Shapes that do not fit, missing values.
    """
    require_choice("ties", ties, Ties)
    named = column_names(covariates, names)
    months, seen = check_follow_up(time, event)
    x = check_covariates(covariates, months.size, named)
    _, stratum = label_codes(strata, months.size)
    if not seen.any():
        raise NotEstimableError(
            f"expected at least one event, found none among {months.size} patients; "
            "no hazard ratio can be estimated"
        )
    sets = risk_sets(months, seen, stratum, ties, _check_weights(weights, months.size))
    centered, scale = standardize(x[sets.order], named, sets.counted, sets.stratum)
    found = maximize_likelihood(CoxLikelihood(centered, sets), named)
    at, null = found.at, found.null
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # refused below
        covariance = inverse(at.information) / np.outer(scale, scale)
    robust = covariance
    if robust_cluster is not None:
        _, cluster = label_codes(robust_cluster, months.size)
        residuals = score_residuals(centered, sets, at) * scale @ covariance
        sums = np.zeros((int(cluster.max()) + 1, len(named)))
        np.add.at(sums, cluster[sets.order], residuals)
        robust = sums.T @ sums
    coefficients = require_units(found.beta, scale, covariance, named)
    if robust_cluster is not None:
        require_moved(robust, covariance, named)
    return CoxModel(
        named,
        coefficients,
        robust,
        covariance,
        at.log_likelihood,
        null.log_likelihood,
        float(null.gradient @ inverse(null.information) @ null.gradient),
        months.size,
        int(seen.sum()),
        found.iterations,
        ties,
        f"{'stratified ' if strata is not None else ''}Cox, {ties} ties, Wald"
        + (", case weights" if weights is not None else "")
        + (", cluster-robust variance" if robust_cluster is not None else ""),
        stratified=strata is not None,
        weighted=weights is not None,
    )


def likelihood_ratio_test(larger: CoxModel, smaller: CoxModel) -> ChiSquared:
    """Test what the covariates of ``larger`` add to those of ``smaller``.

    Raises
    ------
    NotEstimableError
        If the models are not nested or were fitted on different patients.
    """
    extra = len(larger.names) - len(smaller.names)
    nested = set(smaller.names) < set(larger.names)
    same = (larger.n_patients, larger.n_events) == (smaller.n_patients, smaller.n_events)
    # at 0 two models of the same patients, strata and weights have one likelihood
    same &= math.isclose(larger.null_log_likelihood, smaller.null_log_likelihood, rel_tol=1e-9)
    if not (nested and same and larger.ties == smaller.ties):
        raise NotEstimableError(
            f"expected nested models of the same patients, found {smaller.names} "
            f"(n = {smaller.n_patients}) within {larger.names} (n = {larger.n_patients}); "
            "fit both on the complete rows of the larger, with the same strata and weights"
        )
    chi2 = max(0.0, 2 * (larger.log_likelihood - smaller.log_likelihood))
    p = float(chi2_distribution.sf(chi2, extra))
    return ChiSquared(chi2, extra, p, larger.n_patients, larger.n_events, "likelihood-ratio test")


def _check_weights(weights: ArrayLike | None, n: int) -> Vector | None:
    if weights is None:
        return None
    w = numbers(weights, "case weights")
    if w.shape != (n,) or not np.all(np.isfinite(w) & (w > 0)):
        raise TableError(
            f"expected {n} case weights above 0, found shape {w.shape} or other values; "
            "leave out patients of weight 0"
        )
    return w
