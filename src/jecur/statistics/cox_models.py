"""Cox models of a study: one covariate at a time, and the classifier among the others."""

from collections.abc import Sequence

import numpy as np

from jecur.arrays import BoolVector
from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.statistics.independent import independent_terms
from jecur.statistics.results import (
    CLASSIFIER,
    CovariateColumn,
    EvaluationInput,
    ModelRow,
    MultivariableModel,
    UnivariableRow,
)
from jecur.statistics.terms import (
    Term,
    classifier_term,
    estimate_or_reason,
    make_term,
    missing,
    not_estimable,
    not_testable,
    score_term,
    tested_or_none,
    with_seen_reference,
)
from jecur.survival.cox import CoxModel, fit_cox, likelihood_ratio_test
from jecur.survival.estimate import ChiSquared, Reported, ReportedTest
from jecur.survival.proportional_hazards import ProportionalHazards, proportional_hazards_test

__all__ = [
    "fit_terms",
    "multivariable_model",
    "proportionality_of_terms",
    "row_without_number",
    "rows_of_term",
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
        term, reason = estimate_or_reason(lambda c=covariate: make_term(c, patients.months.size))  # type: ignore[misc]
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
    terms = [with_seen_reference(t, rows) for t in terms]
    counts = int(rows.sum()), int(patients.event[rows].sum())
    entered, dropped = independent_terms(terms, rows)
    model, reason = estimate_or_reason(lambda: _fit_some(entered, rows, patients, settings))
    hazards, ph_reason = None, reason
    if model is not None:
        fitted = model
        hazards, ph_reason = estimate_or_reason(
            lambda: proportionality_of_terms(fitted, entered, rows, patients)
        )
    refused = {r.covariate: r for r in univariable if r.term.p is None}
    return MultivariableModel(
        _rule(settings),
        tuple(t.name for t in entered),
        left_out,
        (
            *_model_rows(
                (model, hazards), (terms, entered), (reason, ph_reason, dropped), counts, settings
            ),
            *(
                _refused_row(r, counts, settings)
                for r in refused.values()
                if r.covariate != CLASSIFIER
            ),
        ),
        *counts,
        int(rows.size - rows.sum()),
        hazards.global_test if hazards else not_testable(counts, "score test", ph_reason),
        model.likelihood_ratio() if model else not_testable(counts, "likelihood ratio", reason),
        _added_by(terms[0], terms[1:], rows, patients, settings),
        _added_by(score_term(patients.risk, patients.label), terms[1:], rows, patients, settings),
        reason,
    )


def _fit_some(
    terms: Sequence[Term], rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> CoxModel:
    if not terms:
        raise NotEstimableError(
            "expected a factor that varies in the patients of the model, found none"
        )
    return fit_terms(terms, rows, patients, settings)


def _added_by(
    extra: Term,
    clinical: Sequence[Term],
    rows: BoolVector,
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> ReportedTest:
    """Test what the risk, in groups or continuous, adds to the covariates."""
    counts = int(rows.sum()), int(patients.event[rows].sum())
    what = "classifier" if extra.name == CLASSIFIER else "continuous risk"

    def test() -> ChiSquared:
        if not clinical:
            raise NotEstimableError("no covariate beside the classifier")
        smaller, _ = independent_terms(clinical, rows)
        larger, dropped = independent_terms([*clinical, extra], rows)
        for reason in (why for (name, _), why in dropped.items() if name == extra.name):
            raise NotEstimableError(reason)
        return likelihood_ratio_test(
            _fit_some(larger, rows, patients, settings),
            _fit_some(smaller, rows, patients, settings),
        )

    return tested_or_none(test, counts, f"likelihood-ratio test of the {what}")


def _refused_row(
    row: UnivariableRow, counts: tuple[int, int], settings: StatisticsSettings
) -> ModelRow:
    """Show a factor of which there is no model at all: it is not estimable here either."""
    reason = row.term.reason
    return ModelRow(
        row.covariate,
        row.label,
        row.contrast,
        not_estimable(counts, settings.level, "Cox", reason),
        not_testable(counts, "score test", reason),
    )


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
    model, reason = estimate_or_reason(lambda: fit_terms([term], rows, patients, settings))
    gone = not_estimable(counts, settings.level, "Cox", reason)
    test: ReportedTest = not_testable(counts, "likelihood-ratio test", reason)
    ratios: tuple[Reported, ...] = (gone,) * len(term.contrasts)
    if model:
        test, ratios = model.likelihood_ratio(), model.hazard_ratios(level=settings.level)
    return rows_of_term(term, ratios, test)


def rows_of_term(
    term: Term, ratios: Sequence[Reported], test: ReportedTest
) -> list[UnivariableRow]:
    """Rows of a covariate alone: a ratio a contrast, the test of them all, and who has no value."""
    n_missing = int(term.known.size - term.known.sum())
    return [
        UnivariableRow(term.name, term.label, contrast, ratio, test, n_missing)
        for contrast, ratio in zip(term.contrasts, ratios, strict=True)
    ]


def row_without_number(
    covariate: CovariateColumn,
    reason: str | None,
    patients: EvaluationInput,
    settings: StatisticsSettings,
) -> UnivariableRow:
    """Show a covariate that cannot be coded, with the reason."""
    known = ~missing(covariate)
    counts = int(known.sum()), int(patients.event[known].sum())
    return UnivariableRow(
        covariate.name,
        covariate.label,
        "",
        not_estimable(counts, settings.level, "Cox", reason),
        not_testable(counts, "likelihood-ratio test", reason),
        int(known.size - known.sum()),
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
    fitted: tuple[CoxModel | None, ProportionalHazards | None],
    terms: tuple[Sequence[Term], Sequence[Term]],
    reasons: tuple[str | None, str | None, dict[tuple[str, str], str]],
    counts: tuple[int, int],
    settings: StatisticsSettings,
) -> tuple[ModelRow, ...]:
    """Give every contrast of every term a row: of the model, or why it is not in it."""
    (model, hazards), (all_terms, entered), (reason, ph_reason, dropped) = fitted, terms, reasons
    found = iter(model.hazard_ratios(level=settings.level) if model else ())
    ratios = {(t.name, c): next(found, None) for t in entered for c in t.contrasts}
    tests = {t.name: hazards.tests[k] for k, t in enumerate(entered)} if hazards else {}
    out = []
    for term in all_terms:
        gone = [dropped[term.name, c] for c in term.contrasts if (term.name, c) in dropped]
        why = ph_reason or (gone[0] if len(gone) == len(term.contrasts) else None)
        test = tests.get(term.name) or not_testable(counts, "score test", why)
        for contrast in term.contrasts:
            key = term.name, contrast
            ratio = ratios.get(key) or not_estimable(
                counts, settings.level, "Cox", dropped.get(key) or reason
            )
            out.append(ModelRow(term.name, term.label, contrast, ratio, test))
    return tuple(out)
