"""Tables of counts: Fisher, chi-squared, and a comparison that knows tiles belong to patients.

Fisher's and the chi-squared test take every tile as independent. Tiles of one patient are not:
`clustered_difference` sums each patient's part of the score first and compares the sum with their
spread over patients (the score test of a generalized estimating equation with independence as
working correlation), so that 200 tiles of three patients weigh as three patients do.

References
----------
.. [1] R. A. Fisher. The logic of inductive inference. J. R. Stat. Soc. 98(1), 39-82, 1935.
.. [2] K.-Y. Liang, S. L. Zeger. Longitudinal data analysis using generalized linear models.
   Biometrika 73(1), 13-22, 1986.
.. [3] A. C. Cameron, J. B. Gelbach, D. L. Miller. Bootstrap-based improvements for inference
   with clustered errors. Rev. Econ. Stat. 90(3), 414-427, 2008.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr, ndtri
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import hypergeom

from jecur.arrays import Vector
from jecur.errors import NotEstimableError, TableError
from jecur.survival.follow_up import Labels, check_level, label_codes

__all__ = [
    "ChiSquared",
    "ClusteredDifference",
    "FisherExact",
    "chi_squared",
    "clustered_difference",
    "fisher_exact",
]

SAME_PROBABILITY = 1 + 1e-7
"""Tables this close in probability count as equally likely, as in R."""
_SIGNS_AT_ONCE = 2**18
"""Of the wild bootstrap: a few MB."""
ROUNDING = 1e-10
"""A score over patients, whose parts are of the size of 1, is no more than rounding below this."""


@dataclass(frozen=True, slots=True)
class FisherExact:
    """Fisher's exact test of a 2 x 2 table."""

    p: float
    """Two-sided: tables no more likely than the one seen."""
    p_greater: float
    p_less: float
    p_mid: float
    """Two-sided, equally likely tables counted one half."""
    odds_ratio: float
    """Conditional maximum likelihood, as R's ``fisher.test``; may be 0 or infinite."""
    lower: float
    upper: float
    level: float
    n: int
    method: str


@dataclass(frozen=True, slots=True)
class ChiSquared:
    """Pearson's test of independence."""

    chi2: float
    df: int
    p: float
    n: int
    smallest_expected: float
    """Below 5 the approximation is doubtful."""
    method: str


@dataclass(frozen=True, slots=True)
class ClusteredDifference:
    """Difference of two proportions, first minus second, with patients as the unit."""

    first: float
    second: float
    difference: float
    lower: float
    """NaN, as ``upper``, where every patient has the feature in one group always, and never in the other."""
    upper: float
    z: float
    p: float
    """Score test over patients."""
    p_wild: float | None
    """The same with signs of whole patients drawn at random; fit for few patients."""
    design_effect: float
    """Variance of the score over patients, relative to independent tiles."""
    n: int
    n_patients_first: int
    n_patients_second: int
    level: float
    method: str


def fisher_exact(table: ArrayLike, *, level: float = 0.95) -> FisherExact:
    """Test a 2 x 2 table of counts given its margins [1]_.

    Parameters
    ----------
    table
        (2, 2) counts; rows are the groups.
    level
        Coverage of the exact interval of the odds ratio.

    Raises
    ------
    TableError
        If it is not a 2 x 2 table of counts.
    """
    counts = _check_counts(table, shape=(2, 2))
    a, first = int(counts[0, 0]), int(counts[0].sum())
    second, column = int(counts[1].sum()), int(counts[:, 0].sum())
    support = np.arange(max(0, column - second), min(first, column) + 1, dtype=np.float64)
    law = hypergeom(first + second, first, column)
    probability = law.pmf(support)
    seen = float(law.pmf(a))
    alike = np.abs(probability - seen) <= seen * (SAME_PROBABILITY - 1)
    lower, upper = _odds_limits(support, law.logpmf(support), a, 1 - check_level(level))
    return FisherExact(
        min(1.0, float(probability[probability <= seen * SAME_PROBABILITY].sum())),
        min(1.0, float(probability[support >= a].sum())),
        min(1.0, float(probability[support <= a].sum())),
        float(probability[(probability < seen) & ~alike].sum() + probability[alike].sum() / 2),
        _odds_ratio(support, law.logpmf(support), a),
        lower,
        upper,
        level,
        first + second,
        "Fisher's exact test, conditional maximum-likelihood odds ratio",
    )


def chi_squared(table: ArrayLike, *, yates: bool = False) -> ChiSquared:
    """Pearson's test of an (r, c) table of counts.

    Parameters
    ----------
    table
        (r, c) counts.
    yates
        Continuity correction; 2 x 2 tables only.

    Raises
    ------
    NotEstimableError
        If fewer than two rows or columns have counts.
    TableError
        If it is no table of counts, or corrected and not 2 x 2.
    """
    counts = _check_counts(table)
    if yates and counts.shape != (2, 2):
        raise TableError(f"expected a 2 x 2 table for Yates's correction, found {counts.shape}")
    kept = counts[np.ix_(counts.sum(axis=1) > 0, counts.sum(axis=0) > 0)]
    if min(kept.shape) < 2:
        raise NotEstimableError(
            "expected counts in two rows and two columns, found fewer; nothing to compare"
        )
    expected = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / kept.sum()
    gap = np.abs(kept - expected)
    if yates:
        gap -= min(0.5, float(gap.min()))
    chi2 = float(np.sum(gap**2 / expected))
    df = (kept.shape[0] - 1) * (kept.shape[1] - 1)
    return ChiSquared(
        chi2,
        df,
        float(chi2_distribution.sf(chi2, df)),
        int(kept.sum()),
        float(expected.min()),
        "chi-squared test" + (", Yates's correction" if yates else ""),
    )


def clustered_difference(
    present: ArrayLike,
    first_group: ArrayLike,
    patient: Labels,
    *,
    rng: np.random.Generator | None = None,
    n_replicates: int = 9999,
    level: float = 0.95,
) -> ClusteredDifference:
    """Compare how often a feature is present in two groups of tiles [2]_.

    Parameters
    ----------
    present
        (n,) bool, the feature was recorded in the tile.
    first_group
        (n,) bool, the tile is of the first group (high score), else of the second.
    patient
        (n,) labels of the patients the tiles come from; one patient may have tiles in both.
    rng
        Draws the signs of the wild bootstrap of the score [3]_; none is made if left out.
    n_replicates
        Draws.
    level
        Coverage of the interval, from the cluster-robust variance.

    Raises
    ------
    NotEstimableError
        One group empty, one patient only, a feature always or never present, or as often in both groups of
        every patient.
    """
    y, g = np.asarray(present, dtype=np.float64), np.asarray(first_group, dtype=np.bool_)
    names, code = label_codes(patient, y.size)
    if g.shape != y.shape or not g.any() or g.all() or len(names) < 2 or y.min() == y.max():
        raise NotEstimableError(
            "expected two groups of tiles from several patients and a feature that varies, found "
            "less; nothing to compare"
        )
    k = len(names)
    score = (g - g.mean()) * (y - y.mean())
    by_patient = np.bincount(code, weights=score, minlength=k).astype(np.float64)
    total, variance = float(by_patient.sum()), float(np.sum(by_patient**2))
    if variance <= ROUNDING**2:
        raise NotEstimableError(
            "expected patients in whom the feature is seen more often in one group than in the other, found "
            "none; over patients there is nothing to compare"
        )
    z = total / np.sqrt(variance)
    first, second = float(y[g].mean()), float(y[~g].mean())
    residual = np.where(g, (y - first) / g.sum(), -(y - second) / (~g).sum())
    error = np.sqrt(np.sum(np.bincount(code, weights=residual, minlength=k) ** 2) * k / (k - 1))
    half = float(ndtri(0.5 + check_level(level) / 2) * error)
    half = half if error > ROUNDING else float("nan")  # no patient moves it, which is no certainty
    independent = float(np.sum((g - g.mean()) ** 2) * y.mean() * (1 - y.mean()))
    return ClusteredDifference(
        first,
        second,
        first - second,
        first - second - half,
        first - second + half,
        float(z),
        float(2 * ndtr(-abs(z))),
        None if rng is None else _wild(by_patient, rng, n_replicates),
        variance / independent,
        int(y.size),
        int(np.unique(code[g]).size),
        int(np.unique(code[~g]).size),
        level,
        "score test with patients as clusters",
    )


def _wild(by_patient: Vector, rng: np.random.Generator, n_replicates: int) -> float:
    """Share of sign draws with a total at least as large as the one seen."""
    seen = abs(by_patient.sum()) * (1 - 1e-12)
    beyond, at_once = 0, max(1, _SIGNS_AT_ONCE // by_patient.size)
    for done in range(0, n_replicates, at_once):
        size = (min(at_once, n_replicates - done), by_patient.size)
        signs = rng.integers(0, 2, size=size) * 2.0 - 1.0
        beyond += int(np.count_nonzero(np.abs(signs @ by_patient) >= seen))
    return (beyond + 1) / (n_replicates + 1)


def _check_counts(table: ArrayLike, shape: tuple[int, int] | None = None) -> Vector:
    counts = np.asarray(table, dtype=np.float64)
    fits = counts.ndim == 2 and (shape is None or counts.shape == shape)
    if not fits or not np.all((counts >= 0) & (counts == np.round(counts))) or counts.sum() == 0:
        raise TableError(
            f"expected {'a 2 x 2 table' if shape else 'a table'} of counts, found "
            f"{counts.tolist()}; give whole numbers, not shares"
        )
    return counts


def _tilted(support: Vector, log_pmf: Vector, log_odds: float) -> Vector:
    """Probabilities of the table's corner cell at another odds ratio."""
    log_p = log_pmf + support * log_odds
    return np.asarray(np.exp(log_p - logsumexp(log_p)))


def _odds_ratio(support: Vector, log_pmf: Vector, a: int) -> float:
    if a == support[0]:
        return float("nan") if support.size == 1 else 0.0
    if a == support[-1]:
        return float("inf")

    def excess(log_odds: float) -> float:
        return float(_tilted(support, log_pmf, log_odds) @ support - a)

    return float(np.exp(brentq(excess, -60, 60, xtol=1e-14)))


def _odds_limits(support: Vector, log_pmf: Vector, a: int, alpha: float) -> tuple[float, float]:
    """Odds ratios at which the table seen is just improbable enough, each tail alpha / 2."""

    def upper_tail(log_odds: float) -> float:
        return float(_tilted(support, log_pmf, log_odds)[support >= a].sum() - alpha / 2)

    def lower_tail(log_odds: float) -> float:
        return float(_tilted(support, log_pmf, log_odds)[support <= a].sum() - alpha / 2)

    low = 0.0 if a == support[0] else float(np.exp(brentq(upper_tail, -60, 60, xtol=1e-14)))
    high = (
        float("inf") if a == support[-1] else float(np.exp(brentq(lower_tail, -60, 60, xtol=1e-14)))
    )
    return low, high
