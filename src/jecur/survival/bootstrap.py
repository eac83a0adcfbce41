"""Bootstrap by patient: whole patients are drawn with replacement, never tiles or slides.

References
----------
.. [1] B. Efron, R. Tibshirani. An introduction to the bootstrap. Chapman & Hall, 1993.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jecur.arrays import IntVector, Vector
from jecur.errors import NotEstimableError
from jecur.survival.follow_up import check_level

__all__ = ["BootstrapInterval", "bootstrap_interval"]

MIN_SUCCESS = 0.9
"""Smallest share of replicates in which the statistic must exist."""


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """A statistic with its percentile interval."""

    estimate: float
    lower: float
    upper: float
    standard_error: float
    replicates: Vector
    """(b,) the statistic of each replicate in which it could be computed."""
    n_failed: int
    level: float
    n: int
    method: str


def bootstrap_interval(
    statistic: Callable[[IntVector], float],
    n: int,
    *,
    rng: np.random.Generator,
    n_replicates: int = 2000,
    level: float = 0.95,
) -> BootstrapInterval:
    """Percentile interval [1]_ of a statistic of n patients.

    Parameters
    ----------
    statistic
        Takes the rows of the patients drawn, (n,) with repeats, and returns a number; may raise
        NotEstimableError or return NaN for a draw that does not determine it.
    n
        Patients.
    rng
        Draws the patients.
    n_replicates
        Draws.
    level
        Coverage.

    Returns
    -------
    BootstrapInterval
        With the number of draws that failed.

    Raises
    ------
    NotEstimableError
        If the statistic does not exist for the patients themselves, or fails in more than a
        tenth of the draws.
    """
    check_level(level)
    estimate = float(statistic(np.arange(n, dtype=np.int64)))
    values = []
    for _ in range(n_replicates):
        try:
            value = float(statistic(rng.integers(0, n, size=n)))
        except NotEstimableError:
            continue
        if np.isfinite(value):
            values.append(value)
    if len(values) < max(2.0, MIN_SUCCESS * n_replicates):
        raise NotEstimableError(
            f"expected the statistic in {MIN_SUCCESS:.0%} of {n_replicates} draws, found it in "
            f"{len(values)}; there are too few events for a bootstrap"
        )
    replicates = np.array(values)
    tail = (1 - level) / 2
    lower, upper = np.quantile(replicates, [tail, 1 - tail])
    return BootstrapInterval(
        estimate,
        float(lower),
        float(upper),
        float(replicates.std(ddof=1)),
        replicates,
        n_replicates - len(values),
        level,
        n,
        f"percentile bootstrap by patient, {len(values)} replicates",
    )
