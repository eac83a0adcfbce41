"""Cox models of a study: one covariate at a time, and the classifier among the others."""

from collections.abc import Sequence

import numpy as np

from jecur.arrays import BoolVector
from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.survival.cox import CoxModel, ModelTest, fit_cox, likelihood_ratio_test
from jecur.survival.design import (
    Term,
    attempt,
    classifier_term,
    make_term,
    report_ratio,
    report_test,
    score_term,
)
from jecur.survival.proportional_hazards import ProportionalHazards, proportional_hazards_test
from jecur.survival.study import (
    CovariateColumn,
    EvaluationInput,
    ModelRow,
    MultivariableModel,
    Reported,
    ReportedTest,
    UnivariableRow,
)

__all__ = [
    "fit_terms",
    "multivariable_model",
    "proportionality_of_terms",
    "row_without_number",
    "univariable_table",
]


def fit_terms(
    terms: Sequence[Term], rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> CoxModel:
    """Fit a model of several terms on the patients ``rows`` picks.

    Raises
    ------
    NotEstimableError
        As `fit_cox`, or if ``rows`` picks nobody.
    """
    if not rows.any():
        raise NotEstimableError("expected patients without missing values, found none")
    return fit_cox(
        np.concatenate([t.columns[rows] for t in terms], axis=1),
        patients.months[rows],
        patients.event[rows],
        names=_names(terms),
        ties=settings.ties,
    )


def proportionality_of_terms(
    model: CoxModel, terms: Sequence[Term], rows: BoolVector, patients: EvaluationInput
) -> ProportionalHazards:
    """Test the terms of a model fitted by `fit_terms` on the same rows."""
    groups, start = {}, 0
    for term in terms:
        width = term.columns.shape[1]
        groups[term.name] = tuple(range(start, start + width))
        start += width
    return proportional_hazards_test(
        model,
        np.concatenate([t.columns[rows] for t in terms], axis=1),
        patients.months[rows],
        patients.event[rows],
        terms=groups,
    )


def univariable_table(
    patients: EvaluationInput, settings: StatisticsSettings
) -> tuple[UnivariableRow, ...]:
    """One model a covariate, the classifier first; a row a contrast."""
    rows = list(
        _univariable(classifier_term(patients.high_risk, patients.label), patients, settings)
    )
    for covariate in patients.covariates:
        term, reason = attempt(lambda c=covariate: make_term(c, patients.months.size))  # type: ignore[misc]
        if term is None:
            rows.append(row_without_number(covariate, reason, patients, settings))
        else:
            rows.extend(_univariable(term, patients, settings))
    return tuple(rows)


def multivariable_model(
    patients: EvaluationInput,
    univariable: tuple[UnivariableRow, ...],
    settings: StatisticsSettings,
) -> MultivariableModel:
    """Fit the classifier with the covariates that the rule picks, on complete rows.

    With "significant" a covariate enters if its univariable likelihood-ratio test has
    p < alpha; the classifier always does.
    """
    terms, left_out = _picked(patients, univariable, settings)
    rows = np.logical_and.reduce([t.known for t in terms])
    counts = int(rows.sum()), int(patients.event[rows].sum())
    model, reason = attempt(lambda: fit_terms(terms, rows, patients, settings))
    hazards, ph_reason = None, reason
    without, added_reason = None, reason
    if model is not None:
        fitted = model
        hazards, ph_reason = attempt(
            lambda: proportionality_of_terms(fitted, terms, rows, patients)
        )
        without, added_reason = attempt(
            lambda: _without_classifier(terms, rows, patients, settings)
        )
    added = likelihood_ratio_test(model, without) if model and without else None
    return MultivariableModel(
        _rule(settings),
        tuple(t.name for t in terms),
        left_out,
        _model_rows(model, hazards, terms, (reason, ph_reason), counts, settings),
        *counts,
        int(rows.size - rows.sum()),
        report_test(hazards.global_test if hazards else None, ph_reason, counts, "score test"),
        report_test(
            model.likelihood_ratio() if model else None, reason, counts, "likelihood ratio"
        ),
        report_test(added, added_reason, counts, "likelihood-ratio test of the classifier"),
        _added_by_score(terms, rows, patients, settings),
        reason,
    )


def _added_by_score(
    terms: Sequence[Term], rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> ReportedTest:
    """Test what the continuous risk adds to the covariates."""
    counts = int(rows.sum()), int(patients.event[rows].sum())

    def test() -> ModelTest:
        without = _without_classifier(terms, rows, patients, settings)
        with_score = [score_term(patients.risk, patients.label), *terms[1:]]
        return likelihood_ratio_test(fit_terms(with_score, rows, patients, settings), without)

    return report_test(*attempt(test), counts, "likelihood-ratio test of the continuous risk")


def _without_classifier(
    terms: Sequence[Term], rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> CoxModel:
    if len(terms) == 1:
        raise NotEstimableError("no covariate beside the classifier")
    return fit_terms(terms[1:], rows, patients, settings)


def _rule(settings: StatisticsSettings) -> str:
    if settings.multivariable == "all":
        return "the classifier and every covariate"
    return f"the classifier and covariates with univariable p < {settings.alpha:g}"


def _names(terms: Sequence[Term]) -> tuple[str, ...]:
    return tuple(f"{t.label} ({c})" for t in terms for c in t.contrasts)


def _univariable(
    term: Term, patients: EvaluationInput, settings: StatisticsSettings
) -> list[UnivariableRow]:
    rows = term.known
    counts = int(rows.sum()), int(patients.event[rows].sum())
    model, reason = attempt(lambda: fit_terms([term], rows, patients, settings))
    test = report_test(
        model.likelihood_ratio() if model else None, reason, counts, "likelihood-ratio test"
    )
    ratios = model.hazard_ratios(level=settings.level) if model else (None,) * len(term.contrasts)
    return [
        UnivariableRow(
            term.name,
            term.label,
            contrast,
            report_ratio(ratio, reason, counts, settings.level),
            test,
            int(rows.size - rows.sum()),
        )
        for contrast, ratio in zip(term.contrasts, ratios, strict=True)
    ]


def row_without_number(
    covariate: CovariateColumn,
    reason: str | None,
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> UnivariableRow:
    """Show a covariate that cannot be coded, with the reason."""
    counts = patients.months.size, int(np.sum(patients.event))
    return UnivariableRow(
        covariate.name,
        covariate.label,
        "",
        report_ratio(None, reason, counts, settings.level),
        report_test(None, reason, counts, "likelihood-ratio test"),
        sum(v is None or v != v for v in covariate.values),  # noqa: PLR0124
    )


def _picked(
    patients: EvaluationInput,
    univariable: tuple[UnivariableRow, ...],
    settings: StatisticsSettings,
) -> tuple[list[Term], tuple[str, ...]]:
    tests = {row.covariate: row.term for row in univariable}
    terms, left_out = [classifier_term(patients.high_risk, patients.label)], []
    for covariate in patients.covariates:
        test = tests[covariate.name]
        if test.p is None:
            left_out.append(f"{covariate.label}: {test.reason}")
        elif settings.multivariable == "significant" and test.p >= settings.alpha:
            left_out.append(f"{covariate.label}: univariable p = {test.p:.3g}")
        else:
            terms.append(make_term(covariate, patients.months.size))
    return terms, tuple(left_out)


def _model_rows(
    model: CoxModel | None,
    hazards: ProportionalHazards | None,
    terms: Sequence[Term],
    reasons: tuple[str | None, str | None],
    counts: tuple[int, int],
    settings: StatisticsSettings,
) -> tuple[ModelRow, ...]:
    width = sum(len(t.contrasts) for t in terms)
    ratios = iter(model.hazard_ratios(level=settings.level) if model else (None,) * width)
    out = []
    for k, term in enumerate(terms):
        test: ReportedTest = report_test(
            hazards.tests[k] if hazards else None, reasons[1], counts, "score test"
        )
        for contrast in term.contrasts:
            ratio: Reported = report_ratio(next(ratios), reasons[0], counts, settings.level)
            out.append(ModelRow(term.name, term.label, contrast, ratio, test))
    return tuple(out)
