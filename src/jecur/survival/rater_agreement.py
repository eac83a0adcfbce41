"""Agreement of two readings of the same tiles: how often they agree, and how far beyond chance.

Cohen's kappa takes as chance what two readers with these frequencies would agree on if they were
blind; where nearly everything is present (or absent) it falls although they agree nearly always. Gwet's
AC1 does not fall so; both are given, with how often either reader saw the feature. Their usual
intervals take tiles as independent; `clustered_agreement` takes patients as the unit.

References
----------
.. [1] J. Cohen. A coefficient of agreement for nominal scales. Educ. Psychol. Meas. 20(1), 37-46, 1960.
.. [2] J. L. Fleiss, J. Cohen, B. S. Everitt. Large sample standard errors of kappa and weighted
   kappa. Psychol. Bull. 72(5), 323-327, 1969.
.. [3] K. L. Gwet. Computing inter-rater reliability and its variance in the presence of high
   agreement. Br. J. Math. Stat. Psychol. 61(1), 29-48, 2008.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jecur.arrays import Vector
from jecur.errors import NotEstimableError, TableError
from jecur.survival.estimate import Estimate
from jecur.survival.follow_up import Labels, check_level, label_codes

__all__ = ["PairCounts", "clustered_agreement", "cohen_kappa", "gwet_ac1", "pair_counts"]

ROUNDING = 1e-12
"""Standard error that is rounding."""


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


@dataclass(frozen=True, slots=True)
class _Coefficient:
    """A coefficient of agreement, and how each kind of tile pulls at it."""

    value: float
    pull: Vector
    """(2, 2) first-order influence of a tile of each cell; its mean over tiles is 0."""
    name: str


def cohen_kappa(counts: PairCounts, *, level: float = 0.95) -> Estimate:
    """Cohen's kappa [1]_ with its large-sample interval [2]_, cut at -1 and 1.

    Where all tiles agree, or none, the large-sample variance is 0 and there is no interval.

    Raises
    ------
    NotEstimableError
        Fewer than two tiles, or a reading that says the same of every tile: kappa is then 0, or 0 over
        0, whatever the other says.
    """
    return _over_tiles(_kappa(counts), counts, level)


def gwet_ac1(counts: PairCounts, *, level: float = 0.95) -> Estimate:
    """Gwet's AC1 of two readings with its large-sample interval [3]_, cut at -1 and 1.

    Where all tiles agree, or none, the large-sample variance is 0 and there is no interval.

    Raises
    ------
    NotEstimableError
        Fewer than two tiles.
    """
    return _over_tiles(_ac1(counts), counts, level)


def clustered_agreement(
    kind: Literal["kappa", "ac1"],
    first: ArrayLike,
    second: ArrayLike,
    patient: Labels,
    *,
    level: float = 0.95,
) -> Estimate:
    """Kappa or AC1 with an interval that knows tiles belong to patients.

    The pulls of a patient's tiles are summed first, and their spread over patients is taken: the
    linearized (cluster-robust) variance with the factor K / (K - 1). With one tile a patient it is the
    interval over tiles but for that factor.

    Parameters
    ----------
    kind
        Which coefficient.
    first, second
        (n,) as `pair_counts`.
    patient
        (n,) labels.

    Raises
    ------
    NotEstimableError
        As the coefficient; tiles of fewer than two patients; all tiles agree, or none; or patients who
        are all alike.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    counts = pair_counts(a, b)
    known = np.isfinite(a) & np.isfinite(b)
    found = _kappa(counts) if kind == "kappa" else _ac1(counts)
    names, code = label_codes(np.asarray(patient)[known], int(known.sum()))
    k = len(names)
    if k < 2 or counts.agreement in (0.0, 1.0):
        raise NotEstimableError(
            "expected tiles of two patients that do not all agree or all differ, found less; there is "
            "no interval over patients"
        )
    pull = found.pull[1 - a[known].astype(np.int64), 1 - b[known].astype(np.int64)]
    by_patient = np.bincount(code, weights=pull, minlength=k)
    variance = float(np.sum(by_patient**2)) / counts.n**2 * k / (k - 1)
    if variance <= ROUNDING**2:
        raise NotEstimableError(
            "expected patients who differ in how often two readings agree, found none; there is no interval "
            "over patients"
        )
    return _estimate(found.value, variance, counts, level, f"{found.name}, patients as clusters")


def _kappa(counts: PairCounts) -> _Coefficient:
    _require_tiles(counts)
    p = counts.shares
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    if max(rows.max(), columns.max()) == 1:
        raise NotEstimableError(
            "expected a feature that varies, found a reading that says the same of every tile; kappa "
            "says nothing there"
        )
    # the marginals that a cell (k, l) adds to: columns of its row's category, rows of its column's
    reach = columns[:, None] + rows[None, :]
    return _coefficient(p, float(rows @ columns), reach, "Cohen's kappa")


def _ac1(counts: PairCounts) -> _Coefficient:
    _require_tiles(counts)
    p = counts.shares
    share = (p.sum(axis=1) + p.sum(axis=0)) / 2
    reach = 2 - (share[:, None] + share[None, :])
    return _coefficient(p, float(np.sum(share * (1 - share))), reach, "Gwet's AC1")


def _coefficient(p: Vector, chance: float, reach: Vector, name: str) -> _Coefficient:
    """Agreement beyond ``chance``; ``reach`` is the slope of chance in each cell's share."""
    agreed = float(np.trace(p))
    value = (agreed - chance) / (1 - chance)
    pull = np.eye(2) - (1 - value) * reach - (agreed - 2 * (1 - value) * chance)
    return _Coefficient(value, pull / (1 - chance), name)


def _require_tiles(counts: PairCounts) -> None:
    if counts.n < 2:
        raise NotEstimableError(
            f"expected at least two tiles that both readings judged, found {counts.n}"
        )


def _over_tiles(found: _Coefficient, counts: PairCounts, level: float) -> Estimate:
    variance = float(np.sum(counts.shares * found.pull**2)) / counts.n
    return _estimate(found.value, variance, counts, level, f"{found.name}, large-sample interval")


def _estimate(
    value: float, variance: float, counts: PairCounts, level: float, method: str
) -> Estimate:
    half = float(ndtri(0.5 + check_level(level) / 2)) * float(np.sqrt(variance))
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
