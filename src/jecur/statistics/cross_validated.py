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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from jecur.arrays import BoolVector, IntVector
from jecur.errors import NotEstimableError
from jecur.printable import counted
from jecur.settings import StatisticsSettings
from jecur.statistics.results import (
    SCORE,
    AucCurve,
    AucPoint,
    EvaluationInput,
    GroupStatistics,
    Reported,
    ReportedTest,
)
from jecur.statistics.subgroups import compare_groups, describe_group
from jecur.statistics.terms import estimate_or_reason, horizons_tied, not_estimable
from jecur.survival.auc import TimeDependentAuc, time_dependent_auc
from jecur.survival.concordance_index import (
    NO_ERROR,
    Concordance,
    concordance,
    proportion_interval,
)
from jecur.survival.estimate import Estimate

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
    """What the held-out risks of all folds say; groups, ratio, test and AUC are of the first repeat."""

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
    """High versus low risk, stratified by fold."""
    folds: tuple[FoldStatistics, ...]
    endpoint_name: str
    level: float
    horizons_months: tuple[float, ...]
    logrank: ReportedTest
    """High versus low risk, stratified by fold."""
    overall: GroupStatistics
    groups: tuple[GroupStatistics, ...]
    """High, then low, each patient in the group that the model of the other folds gave."""
    auc: AucCurve
    """Of each fold, weighted by its pairs of a case and a control."""
    n_competing: int | None = None
    """Patients whose follow-up another event ended; None where nothing competes."""

    def lines(self) -> list[str]:
        """Sentences for people."""
        named = (
            ("Concordance, pairs within folds", self.concordance),
            ("Concordance, mean over folds", self.concordance_mean),
            ("Concordance, pairs across folds too (mixes the scales of models)", self.concordance_across),
            ("Hazard ratio, high versus low, stratified by fold", self.hazard_ratio),
        )  # fmt: skip
        return [f"{name}: {_text(value)}" for name, value in named]


def held_out_statistics(
    rows: EvaluationInput,
    *,
    repeat: IntVector,
    fold: IntVector,
    settings: StatisticsSettings,
) -> HeldOutStatistics:
    """Compute what can be said; what cannot is None beside a reason.

    Parameters
    ----------
    rows
        (m,) one row a patient and repeat; risks of two folds are on two scales.
    repeat, fold
        (m,) which model scored the row.
    settings
        Level and ties.
    """
    rows = replace(rows, months=horizons_tied(rows.months, settings))
    one = np.asarray(repeat == repeat.min())
    counts = int(one.sum()), int(rows.event[one].sum())
    repeats = np.unique(repeat)
    per_fold = [
        _one_fold(rows, (repeat == r) & (fold == f), int(r), int(f))
        for r in repeats
        for f in np.unique(fold[repeat == r])
    ]

    def pooled(strata: IntVector | None) -> Reported:
        found, reason = estimate_or_reason(
            lambda: [
                concordance(
                    rows.risk[repeat == r],
                    rows.months[repeat == r],
                    rows.event[repeat == r],
                    strata=None if strata is None else strata[repeat == r],
                    level=settings.level,
                )
                for r in repeats
            ]
        )
        if found is None:
            return not_estimable(counts, settings.level, "Harrell's C", reason)
        patient = np.array(rows.patient_ids)
        orders = [np.argsort(patient[repeat == r], kind="stable") for r in repeats]
        return _averaged(found, orders, settings.level, stratified=strata is not None)

    ratio, test = compare_groups(one, rows, settings, strata=fold)
    return HeldOutStatistics(
        n=counts[0],
        events=counts[1],
        n_repeats=len(repeats),
        concordance=pooled(fold),
        concordance_mean=_mean(per_fold, counts, settings.level),
        concordance_across=pooled(None),
        hazard_ratio=ratio,
        folds=tuple(per_fold),
        endpoint_name=rows.endpoint_name,
        level=settings.level,
        horizons_months=settings.horizons_months,
        logrank=test,
        overall=describe_group("all", one, rows, settings),
        groups=(
            describe_group("high", one & rows.high_risk, rows, settings),
            describe_group("low", one & ~rows.high_risk, rows, settings),
        ),
        auc=_auc_within_folds(rows, one, fold, settings),
        n_competing=None if rows.competing is None else int(rows.competing[one].sum()),
    )


def _auc_within_folds(
    rows: EvaluationInput, one: BoolVector, fold: IntVector, settings: StatisticsSettings
) -> AucCurve:
    """AUC of each fold at each horizon, averaged with its case-control pairs as weights."""
    horizons = [*settings.horizons_months, settings.landmark_months]

    def of(inside: BoolVector) -> Callable[[], TimeDependentAuc]:
        return lambda: time_dependent_auc(
            rows.risk[inside],
            rows.months[inside],
            rows.event[inside],
            horizons,
            competing=None if rows.competing is None else rows.competing[inside],
            recipe=settings.auc_recipe,
            level=settings.level,
        )

    found = [estimate_or_reason(of(one & (fold == f))) for f in np.unique(fold[one])]
    folds = [value for value, _ in found if value is not None]
    reason = next((r for value, r in found if value is None), None)
    points = tuple(_average_point(folds, k, t, settings, reason) for k, t in enumerate(horizons))
    counts = int(one.sum()), int(rows.event[one].sum())
    method = "IPCW AUC of each fold, weighted by its pairs of a case and a control"
    difference = not_estimable(counts, settings.level, "paired difference", "the marker itself")
    return AucCurve(
        SCORE, "Risk, within folds", points[:-1], points[-1], difference, *counts, 0, method
    )


def _average_point(
    folds: Sequence[TimeDependentAuc],
    k: int,
    months: float,
    settings: StatisticsSettings,
    reason: str | None,
) -> AucPoint:
    """One horizon; folds without a case or a control there have no pair and no say."""
    known = [f for f in folds if np.isfinite(f.estimate[k])]
    at_risk = int(sum(f.n_at_risk[k] for f in folds))
    cases, controls = (
        int(sum(n[k] for n in counts))
        for counts in ([f.n_cases for f in folds], [f.n_controls for f in folds])
    )
    if not known:
        reason = reason or next((f.reasons[k] for f in folds if f.reasons[k]), "no fold")
        return AucPoint(months, None, None, None, cases, controls, at_risk, reason)
    weight = np.array([float(f.n_cases[k] * f.n_controls[k]) for f in known])
    weight /= weight.sum()
    estimate = float(weight @ [f.estimate[k] for f in known])
    error = float(np.sqrt(weight**2 @ np.array([f.standard_error[k] ** 2 for f in known])))
    lower, upper = proportion_interval(estimate, error, settings.level, "logit")
    return AucPoint(months, estimate, lower, upper, cases, controls, at_risk)


def _one_fold(rows: EvaluationInput, inside: BoolVector, repeat: int, fold: int) -> FoldStatistics:
    event = rows.event[inside]
    counts = repeat, fold, int(inside.sum()), int(event.sum())
    try:
        found = concordance(rows.risk[inside], rows.months[inside], event)
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
    method = f"{found[0].method}; {where}; {counted(len(found), 'repeat')}"
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
    if np.ptp(values) <= NO_ERROR:  # folds of one pair or so, all right: no certainty
        return Estimate(mean, None, None, None, None, *counts, level, method)
    half = float(student.ppf(0.5 + level / 2, max(n - 1, 1)) * values.std(ddof=1) / np.sqrt(n))
    lower, upper = max(mean - half, 0.0), min(mean + half, 1.0)
    return Estimate(mean, lower, upper, None, None, *counts, level, method)


def _text(value: Reported) -> str:
    if value.estimate is None:
        return f"not estimable ({value.reason})"
    interval = "no interval"
    if value.lower is not None and value.upper is not None:
        interval = f"{100 * value.level:g}% interval {value.lower:.3f} to {value.upper:.3f}"
    return (
        f"{value.estimate:.3f} ({interval}; n = {value.n}, events = {value.events}; {value.method})"
    )
