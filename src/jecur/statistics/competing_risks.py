"""The study's statistics where death competes with the endpoint."""

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from jecur.arrays import BoolVector
from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.statistics.cox_models import row_without_number, rows_of_term
from jecur.statistics.results import CompetingRisks, EvaluationInput, UnivariableRow
from jecur.statistics.terms import (
    Term,
    classifier_term,
    estimate_or_reason,
    make_term,
    not_estimable,
    not_testable,
    tested_or_none,
)
from jecur.survival.competing import CumulativeIncidence, cumulative_incidence, gray_test
from jecur.survival.estimate import ChiSquared, Reported, ReportedTest
from jecur.survival.fine_gray import FineGray, fit_fine_gray

__all__ = ["competing_risks"]


def competing_risks(
    patients: EvaluationInput, settings: StatisticsSettings
) -> CompetingRisks | None:
    """Cumulative incidence by risk group and Fine-Gray models of one covariate each.

    None if the study declares no competing event.
    """
    other = patients.competing
    if other is None:
        return None
    rows = _rows(classifier_term(patients.high_risk, patients.label), other, patients, settings)
    for covariate in patients.covariates:
        term, reason = estimate_or_reason(lambda c=covariate: make_term(c, patients.months.size))  # type: ignore[misc]
        if term is None:
            rows.append(row_without_number(covariate, reason, patients, settings))
        else:
            rows.extend(_rows(term, other, patients, settings))
    groups = (("high", patients.high_risk), ("low", ~patients.high_risk))
    curves = [(name, _curve(inside, other, patients, settings)) for name, inside in groups]
    return CompetingRisks(
        int(other.sum()),
        tuple((name, curve) for name, curve in curves if curve is not None),
        _gray(patients, other),
        tuple(rows),
    )


def _curve(
    rows: BoolVector, other: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> CumulativeIncidence | None:
    value, _ = estimate_or_reason(
        lambda: cumulative_incidence(
            patients.months[rows],
            patients.event[rows],
            other[rows],
            interval=settings.interval,
            level=settings.level,
        )
    )
    return value


def _gray(patients: EvaluationInput, other: BoolVector) -> ReportedTest:
    counts = patients.months.size, int(patients.event.sum())
    return tested_or_none(
        lambda: gray_test(patients.months, patients.event, other, patients.high_risk),
        counts,
        "Gray's test",
    )


def _rows(
    term: Term, other: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> list[UnivariableRow]:
    known = term.known
    counts = int(known.sum()), int(patients.event[known].sum())
    names = tuple(f"{term.label} ({c})" for c in term.contrasts)

    def fit() -> FineGray:
        if not known.any():
            raise NotEstimableError("expected patients without missing values, found none")
        return fit_fine_gray(
            term.columns[known],
            patients.months[known],
            patients.event[known],
            other[known],
            names=names,
            ties=settings.ties,
        )

    model, reason = estimate_or_reason(fit)
    gone = not_estimable(counts, settings.level, "Fine-Gray", reason)
    test: ReportedTest = not_testable(counts, "Wald test", reason)
    ratios: tuple[Reported, ...] = (gone,) * len(names)
    if model:
        fitted, ratios = model, model.hazard_ratios(level=settings.level)
        test = tested_or_none(lambda: _wald(fitted), counts, "Wald test")
    return rows_of_term(term, ratios, test)


def _wald(model: FineGray) -> ChiSquared:
    chi2 = float(model.coefficients @ np.linalg.solve(model.covariance, model.coefficients))
    df = len(model.names)
    p = float(chi2_distribution.sf(chi2, df))
    return ChiSquared(chi2, df, p, model.n_patients, model.n_events, "Wald test, sandwich variance")
