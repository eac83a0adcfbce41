"""Histological features in tiles of high versus low score: the paper's Table 3, done twice.

Fisher's exact test takes tiles as independent, which they are not; beside it stands the comparison
with patients as clusters. Both are corrected for the number of features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import BoolVector, Vector
from jecur.errors import TableError
from jecur.settings import StatisticsSettings
from jecur.statistics.terms import estimate_or_reason
from jecur.survival.contingency import clustered_difference, fisher_exact
from jecur.survival.follow_up import Labels
from jecur.survival.multiplicity import adjust_p_values

__all__ = ["FeatureRow", "TileFeatures", "compare_tile_features"]


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One feature."""

    feature: str
    n_high: int
    """Tiles of high score in which it was judged."""
    with_high: int
    n_low: int
    with_low: int
    odds_ratio: float | None
    lower: float | None
    upper: float | None
    p: float | None
    """Fisher, tiles as independent."""
    p_adjusted: float | None
    difference: float | None
    """Share among high less share among low."""
    difference_lower: float | None
    """With patients as clusters."""
    difference_upper: float | None
    p_clustered: float | None
    p_wild: float | None
    """The same by random signs of whole patients; for few patients."""
    p_clustered_adjusted: float | None
    patients_high: int
    patients_low: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TileFeatures:
    """All features."""

    rows: tuple[FeatureRow, ...]
    n_tiles: int
    n_patients: int
    adjustment: str
    level: float


def compare_tile_features(
    features: Mapping[str, ArrayLike],
    high: BoolVector,
    patient: Labels,
    settings: StatisticsSettings,
) -> TileFeatures:
    """Compare how often each feature was seen in tiles of high and of low score.

    Parameters
    ----------
    features
        Name -> (n,) 1 seen, 0 not seen, NaN not judged.
    high
        (n,) the tile is of high score (speaks for an early event).
    patient
        (n,) labels.
    settings
        Level, correction, seed.
    """
    rng = np.random.default_rng(settings.seed)
    labels = np.asarray(patient)
    rows = []
    for name, given in features.items():
        values = np.asarray(given, dtype=np.float64)
        if values.shape != high.shape or not np.all(np.isin(values[np.isfinite(values)], (0, 1))):
            raise TableError(
                f"expected 0, 1 or missing in feature '{name}' for each of {high.size} tiles, found "
                "others; code presence as 1"
            )
        rows.append(_row(name, values, high, labels, settings, rng))
    plain = adjust_p_values([_nan(row.p) for row in rows], settings.adjust)
    # of the two clustered p-values the one by random signs: the other trusts few patients too much
    clustered = adjust_p_values([_nan(row.p_wild) for row in rows], settings.adjust)
    done = tuple(
        replace(row, p_adjusted=_finite(a), p_clustered_adjusted=_finite(b))
        for row, a, b in zip(rows, plain.tolist(), clustered.tolist(), strict=True)
    )
    n_patients = int(np.unique(labels).size)
    return TileFeatures(done, int(high.size), n_patients, settings.adjust, settings.level)


def _row(
    name: str,
    values: Vector,
    high: BoolVector,
    patient: Labels,
    settings: StatisticsSettings,
    rng: np.random.Generator,
) -> FeatureRow:
    known = np.isfinite(values)
    seen, top, who = values[known] == 1, high[known], np.asarray(patient)[known]
    n_high, with_high = int(top.sum()), int((seen & top).sum())
    n_low, with_low = int((~top).sum()), int((seen & ~top).sum())
    table = [[with_high, n_high - with_high], [with_low, n_low - with_low]]
    exact, reason = estimate_or_reason(lambda: fisher_exact(table, level=settings.level))
    cluster, why = estimate_or_reason(
        lambda: clustered_difference(seen, top, who, rng=rng, level=settings.level)
    )
    return FeatureRow(
        feature=name,
        n_high=n_high,
        with_high=with_high,
        n_low=n_low,
        with_low=with_low,
        odds_ratio=_known(exact.odds_ratio) if exact else None,
        lower=_finite(exact.lower) if exact else None,
        upper=_known(exact.upper) if exact else None,
        p=exact.p if exact else None,
        p_adjusted=None,
        difference=cluster.difference if cluster else None,
        difference_lower=cluster.lower if cluster else None,
        difference_upper=cluster.upper if cluster else None,
        p_clustered=cluster.p if cluster else None,
        p_wild=cluster.p_wild if cluster else None,
        p_clustered_adjusted=None,
        patients_high=int(np.unique(who[top]).size),
        patients_low=int(np.unique(who[~top]).size),
        reason=reason or why,
    )


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _known(value: float) -> float | None:
    """Return a ratio, which is infinite where a feature was seen in tiles of high score alone."""
    return None if np.isnan(value) else value


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
