"""Statistics of risks that come from several models: those of cross-validation folds.

Risks of two models are on two scales, so a pair of patients is compared only if one model scored
both. Harrell's C is pooled over such pairs: concordant pairs of all folds over comparable pairs of
all folds, which is the concordance stratified by fold. Its jackknife interval speaks of other
patients scored by these models; that the models share most of their training patients makes the
truth more uncertain than any such interval says, and no unbiased estimate of that variance exists
[1]_. The same for the mean over folds. With repeats, estimates are averaged and a patient's
influence is averaged before it is squared: repeats add no patients.

References
----------
.. [1] Y. Bengio, Y. Grandvalet. No unbiased estimator of the variance of k-fold cross-validation.
   J. Mach. Learn. Res. 5, 1089-1105, 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from jecur.arrays import BoolVector, IntVector, Vector
from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.statistics.terms import estimate_or_none, estimate_or_reason, not_estimable
from jecur.survival.concordance_index import Concordance, concordance, proportion_interval
from jecur.survival.cox import HazardRatio, fit_cox
from jecur.survival.estimate import Estimate, Reported

__all__ = ["FoldStatistics", "HeldOutStatistics", "held_out_statistics"]


@dataclass(frozen=True, slots=True)
class FoldStatistics:
    """One fold of one repeat."""

    repeat: int
    fold: int
    n: int
    events: int
    concordance: float | None
    pairs: float
    """Comparable pairs."""
    reason: str | None


@dataclass(frozen=True, slots=True)
class HeldOutStatistics:
    """What the held-out risks of all folds say."""

    n: int
    events: int
    n_repeats: int
    concordance: Reported
    """Pairs within folds, pooled by their number."""
    concordance_mean: Reported
    """Mean over folds with Student's interval over folds."""
    concordance_across: Reported
    """All pairs, also between folds: mixes scales; for comparison only."""
    hazard_ratio: Reported
    """High versus low risk, stratified by fold, first repeat."""
    folds: tuple[FoldStatistics, ...]

    def lines(self) -> list[str]:
        """Sentences for people."""
        named = (
            ("Concordance, pairs within folds", self.concordance),
            ("Concordance, mean over folds", self.concordance_mean),
            ("Concordance, pairs across folds too (mixes the scales of models)", self.concordance_across),
            ("Hazard ratio, high versus low, stratified by fold", self.hazard_ratio),
        )  # fmt: skip
        return [f"{name}: {_text(value)}" for name, value in named]


def held_out_statistics(  # noqa: PLR0913 -- risk, response in two parts, who and where
    risk: Vector,
    months: Vector,
    event: BoolVector,
    *,
    high_risk: BoolVector,
    patient: Sequence[str],
    repeat: IntVector,
    fold: IntVector,
    settings: StatisticsSettings,
) -> HeldOutStatistics:
    """Compute what can be said; what cannot is None beside a reason.

    Parameters
    ----------
    risk, months, event, high_risk
        (m,) one row a patient and repeat.
    patient
        (m,) identifier.
    repeat, fold
        (m,) the model that scored the row.
    settings
        Level and ties.
    """
    one = repeat == repeat.min()
    counts = int(one.sum()), int(event[one].sum())
    repeats = np.unique(repeat)
    per_fold = [
        _one_fold(risk, months, event, (repeat == r) & (fold == f), int(r), int(f))
        for r in repeats
        for f in np.unique(fold[repeat == r])
    ]

    def pooled(strata: IntVector | None) -> Reported:
        found, reason = estimate_or_reason(
            lambda: [
                concordance(
                    risk[repeat == r],
                    months[repeat == r],
                    event[repeat == r],
                    strata=None if strata is None else strata[repeat == r],
                    level=settings.level,
                )
                for r in repeats
            ]
        )
        if found is None:
            return not_estimable(counts, settings.level, "Harrell's C", reason)
        orders = [np.argsort(np.array(patient)[repeat == r], kind="stable") for r in repeats]
        return _averaged(found, orders, settings.level, stratified=strata is not None)

    def ratio() -> HazardRatio:
        return fit_cox(
            high_risk[one].astype(float)[:, None],
            months[one],
            event[one],
            names=("high versus low risk",),
            ties=settings.ties,
            strata=fold[one],
        ).hazard_ratios(level=settings.level)[0]

    return HeldOutStatistics(
        n=counts[0],
        events=counts[1],
        n_repeats=len(repeats),
        concordance=pooled(fold),
        concordance_mean=_mean(per_fold, counts, settings.level),
        concordance_across=pooled(None),
        hazard_ratio=estimate_or_none(ratio, counts, settings.level, "Cox"),
        folds=tuple(per_fold),
    )


def _one_fold(
    risk: Vector, months: Vector, event: BoolVector, rows: BoolVector, repeat: int, fold: int
) -> FoldStatistics:
    counts = repeat, fold, int(rows.sum()), int(event[rows].sum())
    try:
        found = concordance(risk[rows], months[rows], event[rows])
    except NotEstimableError as error:
        return FoldStatistics(*counts, None, 0.0, error.message)
    pairs = found.concordant + found.discordant + found.tied_marker
    return FoldStatistics(*counts, found.estimate, pairs, None)


def _averaged(
    found: Sequence[Concordance], orders: Sequence[IntVector], level: float, *, stratified: bool
) -> Reported:
    """Mean over repeats; each patient's influence is averaged over them."""
    estimate = float(np.mean([c.estimate for c in found]))
    influence = np.mean([c.influence[order] for c, order in zip(found, orders, strict=True)], 0)
    error = float(np.sqrt(np.sum(influence**2)))
    lower, upper = proportion_interval(estimate, error, level, "logit")
    where = "pairs within folds" if stratified else "pairs within and across folds"
    method = f"{found[0].method}; {where}; {len(found)} repeat(s)"
    return Estimate(estimate, lower, upper, None, None, found[0].n, found[0].events, level, method)


def _mean(folds: Sequence[FoldStatistics], counts: tuple[int, int], level: float) -> Reported:
    values = np.array([f.concordance for f in folds if f.concordance is not None])
    method = "mean over folds, Student's interval; folds share training patients: too narrow"
    if len(values) < 2:
        reason = f"expected at least 2 folds with a comparable pair, found {len(values)}"
        return not_estimable(counts, level, method, reason)
    mean = float(values.mean())
    # Repeats divide the same patients again: they do not add degrees of freedom.
    n = min(len(values), sum(f.repeat == folds[0].repeat for f in folds))
    half = float(student.ppf(0.5 + level / 2, max(n - 1, 1)) * values.std(ddof=1) / np.sqrt(n))
    lower, upper = max(mean - half, 0.0), min(mean + half, 1.0)
    return Estimate(mean, lower, upper, None, None, *counts, level, method)


def _text(value: Reported) -> str:
    if value.estimate is None:
        return f"not estimable ({value.reason})"
    return (
        f"{value.estimate:.3f} ({value.level:.0%} interval {value.lower:.3f} to {value.upper:.3f}; "
        f"n = {value.n}, events = {value.events}; {value.method})"
    )
