"""The study's statistics where death can forestall the endpoint."""

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from jecur.arrays import BoolVector
from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.statistics.cox_models import row_without_number
from jecur.statistics.results import CompetingRisks, EvaluationInput, ReportedTest, UnivariableRow
from jecur.statistics.terms import (
    Term,
    classifier_term,
    estimate_or_reason,
    make_term,
    report_ratio,
)
from jecur.survival.competing import CumulativeIncidence, cumulative_incidence, gray_test
from jecur.survival.cox import ModelTest
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
    test, reason = estimate_or_reason(
        lambda: gray_test(patients.months, patients.event, other, patients.high_risk)
    )
    if test is None:
        return ReportedTest(None, None, None, *counts, "Gray's test", reason)
    return ReportedTest(test.chi2, test.df, test.p, *counts, test.method)


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
    ratios = model.hazard_ratios(level=settings.level) if model else (None,) * len(names)
    wald, why = estimate_or_reason(lambda: _wald(model)) if model else (None, reason)
    test = (
        ReportedTest(None, None, None, *counts, "Wald test", why)
        if wald is None
        else ReportedTest(wald.chi2, wald.df, wald.p, *counts, wald.method)
    )
    return [
        UnivariableRow(
            term.name,
            term.label,
            contrast,
            report_ratio(ratio, reason, counts, settings.level),
            test,
            int(known.size - known.sum()),
        )
        for contrast, ratio in zip(term.contrasts, ratios, strict=True)
    ]


def _wald(model: FineGray) -> ModelTest:
    chi2 = float(model.coefficients @ np.linalg.solve(model.covariance, model.coefficients))
    df = len(model.names)
    p = float(chi2_distribution.sf(chi2, df))
    return ModelTest(chi2, df, p, model.n_patients, model.n_events, "Wald test, sandwich variance")
