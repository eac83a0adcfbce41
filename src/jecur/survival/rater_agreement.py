"""Agreement of two readings of the same tiles: how often they agree, and how far beyond chance.

Cohen's kappa takes as chance what two readers with these frequencies would agree on if they were
blind; where nearly everything is present (or absent) it falls although they agree nearly always. Gwet's
AC1 does not fall so; both are given, with how often either reader saw the feature.

References
----------
.. [1] J. Cohen. A coefficient of agreement for nominal scales. Educ. Psychol. Meas. 20(1), 37-46, 1960.
.. [2] J. L. Fleiss, J. Cohen, B. S. Everitt. Large sample standard errors of kappa and weighted
   kappa. Psychol. Bull. 72(5), 323-327, 1969.
.. [3] K. L. Gwet. Computing inter-rater reliability and its variance in the presence of high
   agreement. Br. J. Math. Stat. Psychol. 61(1), 29-48, 2008.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jecur.arrays import Vector
from jecur.errors import NotEstimableError, TableError
from jecur.survival.estimate import Estimate
from jecur.survival.follow_up import check_level

__all__ = ["PairCounts", "cohen_kappa", "gwet_ac1", "pair_counts"]


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Two readings of the same tiles, counted where both judged."""

    both: int
    """Present in both readings."""
    first_only: int
    second_only: int
    neither: int
    left_out: int
    """Tiles that one of the readings, or both, could not judge."""

    @property
    def n(self) -> int:
        """Tiles that both judged."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def agreement(self) -> float | None:
        """Share of tiles on which both say the same; None without tiles."""
        return (self.both + self.neither) / self.n if self.n else None

    @property
    def prevalence(self) -> tuple[float, float] | None:
        """How often the first, and the second reading, saw the feature; None without tiles."""
        if not self.n:
            return None
        return (self.both + self.first_only) / self.n, (self.both + self.second_only) / self.n

    @property
    def shares(self) -> Vector:
        """(2, 2) shares of tiles; rows are the first reading's present and absent."""
        counts = [[self.both, self.first_only], [self.second_only, self.neither]]
        return np.asarray(counts, dtype=np.float64) / self.n


def pair_counts(first: ArrayLike, second: ArrayLike) -> PairCounts:
    """Count two readings of the same tiles.

    Parameters
    ----------
    first, second
        (n,) 1 present, 0 absent, NaN where it could not be judged; such tiles are left out.

    Raises
    ------
    TableError
        If a value is none of these, or the lengths differ.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    known = np.isfinite(a) & np.isfinite(b) if a.shape == b.shape else np.zeros(0, np.bool_)
    said = np.concatenate([a[~np.isnan(a)], b[~np.isnan(b)]])
    if a.shape != b.shape or a.ndim != 1 or not np.all(np.isin(said, (0, 1))):
        raise TableError(
            "expected two readings of the same tiles with 1, 0 or missing, found others; code "
            "presence as 1"
        )
    a, b = a[known] == 1, b[known] == 1
    return PairCounts(
        int((a & b).sum()),
        int((a & ~b).sum()),
        int((~a & b).sum()),
        int((~a & ~b).sum()),
        int((~known).sum()),
    )


def cohen_kappa(counts: PairCounts, *, level: float = 0.95) -> Estimate:
    """Cohen's kappa [1]_ with its large-sample interval [2]_, cut at -1 and 1.

    Where all tiles agree, or none, the large-sample variance is 0 and there is no interval.

    Raises
    ------
    NotEstimableError
        Fewer than two tiles, or a reading that says the same of every tile: kappa is then 0, or 0 over
        0, whatever the other says.
    """
    _require_tiles(counts)
    p = counts.shares
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    if max(rows.max(), columns.max()) == 1:
        raise NotEstimableError(
            "expected a feature that varies, found a reading that says the same of every tile; kappa "
            "says nothing there"
        )
    chance = float(rows @ columns)
    agreed = float(np.trace(p))
    kappa = (agreed - chance) / (1 - chance)
    # the marginals that a cell (k, l) adds to: columns of its row's category, rows of its column's
    reach = columns[:, None] + rows[None, :]
    spread = float(np.sum(p * (np.eye(2) - (1 - kappa) * reach) ** 2))
    variance = (spread - (agreed - 2 * (1 - kappa) * chance) ** 2) / (counts.n * (1 - chance) ** 2)
    method = "Cohen's kappa, interval of Fleiss, Cohen and Everitt"
    return _estimate(kappa, variance, counts, level, method)


def gwet_ac1(counts: PairCounts, *, level: float = 0.95) -> Estimate:
    """Gwet's AC1 of two readings with its large-sample interval [3]_, cut at -1 and 1.

    Where all tiles agree, or none, the large-sample variance is 0 and there is no interval.

    Raises
    ------
    NotEstimableError
        Fewer than two tiles.
    """
    _require_tiles(counts)
    p = counts.shares
    share = (p.sum(axis=1) + p.sum(axis=0)) / 2
    chance = float(np.sum(share * (1 - share)))
    agreed = float(np.trace(p))
    ac1 = (agreed - chance) / (1 - chance)
    reach = 1 - (share[:, None] + share[None, :]) / 2
    spread = float(np.sum(p * (np.eye(2) - 2 * (1 - ac1) * reach) ** 2))
    variance = (spread - (agreed - 2 * (1 - ac1) * chance) ** 2) / (counts.n * (1 - chance) ** 2)
    return _estimate(ac1, variance, counts, level, "Gwet's AC1, large-sample interval")


def _require_tiles(counts: PairCounts) -> None:
    if counts.n < 2:
        raise NotEstimableError(
            f"expected at least two tiles that both readings judged, found {counts.n}"
        )


def _estimate(
    value: float, variance: float, counts: PairCounts, level: float, method: str
) -> Estimate:
    half = float(ndtri(0.5 + check_level(level) / 2)) * float(np.sqrt(max(0.0, variance)))
    one_kind = counts.agreement in (0.0, 1.0)
    return Estimate(
        value,
        None if one_kind else max(-1.0, value - half),
        None if one_kind else min(1.0, value + half),
        None,
        None,
        counts.n,
        counts.both + counts.neither,
        level,
        method,
    )
