"""High versus low risk: in everybody, and within every level of every clinical factor."""

import numpy as np

from jecur.arrays import BoolVector, IntVector
from jecur.errors import NotEstimableError
from jecur.printable import plain_number
from jecur.settings import StatisticsSettings
from jecur.statistics.results import (
    CovariateColumn,
    EvaluationInput,
    GroupStatistics,
    HorizonIncidence,
    HorizonSurvival,
    StratifiedFactor,
    Subgroup,
)
from jecur.statistics.terms import (
    estimate_or_none,
    estimate_or_reason,
    factor_levels,
    missing,
    not_estimable,
    numeric_values,
    tested_or_none,
)
from jecur.survival.competing import CumulativeIncidence, cumulative_incidence
from jecur.survival.cox import HazardRatio, fit_cox, likelihood_ratio_test
from jecur.survival.estimate import ChiSquared, Reported, ReportedTest
from jecur.survival.logrank_test import LogRank, logrank
from jecur.survival.survival_curve import KaplanMeier, kaplan_meier

__all__ = ["compare_groups", "describe_group", "stratified_factor"]


def describe_group(
    name: str, rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> GroupStatistics:
    """Survival of the patients ``rows`` picks; an empty group says so."""
    counts = int(rows.sum()), int(patients.event[rows].sum())
    ended = patients.event if patients.competing is None else patients.event | patients.competing
    curve, reason = estimate_or_reason(
        lambda: kaplan_meier(
            patients.months[rows], ended[rows], interval=settings.interval, level=settings.level
        )
    )
    if curve is None:
        median = not_estimable(counts, settings.level, "", reason)
        return GroupStatistics(name, *counts, median, (), None, reason)
    incidence = _incidence(rows, patients, settings)
    return GroupStatistics(
        name,
        *counts,
        curve.median(),
        tuple(_at(curve, t) for t in settings.horizons_months),
        curve,
        n_competing=incidence.n_competing if incidence else 0,
        incidence=incidence,
        incidence_at=tuple(_incidence_at(incidence, t) for t in settings.horizons_months)
        if incidence
        else (),
    )


def _incidence(
    rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> CumulativeIncidence | None:
    if patients.competing is None:
        return None
    return cumulative_incidence(
        patients.months[rows],
        patients.event[rows],
        patients.competing[rows],
        interval=settings.interval,
        level=settings.level,
    )


def _incidence_at(curve: CumulativeIncidence, months: float) -> HorizonIncidence:
    at_risk = int(curve.n_at_risk([months])[0])
    if not curve.known_at(months):
        return HorizonIncidence(months, None, None, None, None, None, None, at_risk)
    wanted = (curve.at(months), *curve.interval_at(months))
    own, low, high = (_or_none(float(v[0])) for v in wanted)
    other, other_low, other_high = (_or_none(float(v[0])) for v in curve.competing_at(months))
    return HorizonIncidence(months, own, low, high, other, other_low, other_high, at_risk)


def compare_groups(
    rows: BoolVector,
    patients: EvaluationInput,
    settings: StatisticsSettings,
    *,
    strata: IntVector | None = None,
) -> tuple[Reported, ReportedTest]:
    """Hazard ratio and log-rank test of high versus low among the patients ``rows`` picks.

    With ``strata``, (n,), patients are compared within a stratum only.
    """
    strata = None if strata is None else strata[rows]
    high, months, event = patients.high_risk[rows], patients.months[rows], patients.event[rows]
    counts = int(rows.sum()), int(event.sum())

    def ratio() -> HazardRatio:
        _require_two(high)
        model = fit_cox(
            high[:, None],
            months,
            event,
            names=("high versus low risk",),
            ties=settings.ties,
            strata=strata,
        )
        return model.hazard_ratios(level=settings.level)[0]

    def test() -> LogRank:
        _require_two(high)
        return logrank(months, event, high, strata=strata)

    return (
        estimate_or_none(ratio, counts, settings.level, "Cox"),
        tested_or_none(test, counts, "log-rank"),
    )


def stratified_factor(
    covariate: CovariateColumn, patients: EvaluationInput, settings: StatisticsSettings
) -> StratifiedFactor:
    """Compare high with low risk within each level of one covariate."""
    coded, reason = estimate_or_reason(lambda: _levels(covariate))
    names, code = coded or ((), np.full(patients.months.size, -1, dtype=np.int64))
    known = code >= 0
    subgroups = tuple(
        _subgroup(name, code == k, patients, settings) for k, name in enumerate(names)
    )
    high, months, event = patients.high_risk[known], patients.months[known], patients.event[known]
    counts = int(known.sum()), int(event.sum())

    def pooled() -> LogRank:
        _require_two(high, reason)
        return logrank(months, event, high, strata=code[known])

    def interaction() -> ChiSquared:
        _require_two(high, reason)
        marks = [(code[known] == k).astype(float) for k in range(1, len(names))]
        if not marks:
            raise NotEstimableError("expected two levels or more, found one")
        main = np.stack([high.astype(float), *marks], axis=1)
        product = np.stack([high * mark for mark in marks], axis=1)
        labels = ("high versus low risk", *names[1:])
        crossed = tuple(f"high risk in {name}" for name in names[1:])
        smaller = fit_cox(main, months, event, names=labels, ties=settings.ties)
        larger = fit_cox(
            np.hstack([main, product]), months, event, names=labels + crossed, ties=settings.ties
        )
        return likelihood_ratio_test(larger, smaller)

    return StratifiedFactor(
        covariate.name,
        covariate.label,
        subgroups,
        int(np.sum(~known)),
        tested_or_none(pooled, counts, "stratified log-rank"),
        tested_or_none(interaction, counts, "likelihood-ratio test of interaction"),
    )


def _subgroup(
    name: str, rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> Subgroup:
    ratio, test = compare_groups(rows, patients, settings)
    return Subgroup(
        name,
        int(rows.sum()),
        int(patients.event[rows].sum()),
        ratio,
        test,
        describe_group("high", rows & patients.high_risk, patients, settings),
        describe_group("low", rows & ~patients.high_risk, patients, settings),
    )


def _levels(covariate: CovariateColumn) -> tuple[tuple[str, ...], IntVector]:
    """Names of the levels and each patient's index among them, -1 where missing."""
    gone = missing(covariate)
    if gone.all():
        raise NotEstimableError(
            f"expected {covariate.name} to be known in somebody, found no value"
        )
    if covariate.kind == "numeric":
        values = numeric_values(covariate)
        cut = covariate.cut if covariate.cut is not None else float(np.median(values[~gone]))
        unit = f" {covariate.unit}" if covariate.unit else ""
        shown = plain_number(cut, 15 if covariate.cut is not None else 6)
        code = np.where(gone, -1, (values > cut).astype(np.int64))
        return (f"<= {shown}{unit}", f"> {shown}{unit}"), code
    names = factor_levels(covariate)
    index = {name: k for k, name in enumerate(names)}
    pairs = zip(covariate.values, gone, strict=True)
    return names, np.array([-1 if g else index[str(v)] for v, g in pairs], dtype=np.int64)


def _require_two(high: BoolVector, reason: str | None = None) -> None:
    if reason is not None:
        raise NotEstimableError(reason)
    if high.all() or not high.any():
        which = "high" if high.size and high.all() else "low"
        raise NotEstimableError(
            f"expected patients of high and of low risk, found {high.size} of {which} risk only"
        )


def _at(curve: KaplanMeier, months: float) -> HorizonSurvival:
    at_risk, survival = int(curve.n_at_risk(months)[0]), float(curve.at(months)[0])
    if at_risk == 0 and survival > 0:  # follow-up has ended above zero: the curve is unknown
        return HorizonSurvival(months, None, None, None, 0)
    lower, upper = curve.interval_at(months)
    limits = _or_none(float(lower[0])), _or_none(float(upper[0]))
    return HorizonSurvival(months, survival, *limits, at_risk)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
