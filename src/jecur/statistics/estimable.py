"""Clinical factors that can enter one model together; each of the others with the reason why not.

A factor that is constant, nowhere known, follows from those before it or separates events from the
rest costs itself, not the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jecur.arrays import BoolVector
from jecur.settings import StatisticsSettings
from jecur.statistics.cox_models import fit_terms
from jecur.statistics.independent import independent_terms
from jecur.statistics.results import CovariateColumn, EvaluationInput
from jecur.statistics.terms import Term, estimate_or_reason, make_term

__all__ = ["EstimableTerms", "estimable_terms"]


@dataclass(frozen=True, slots=True)
class EstimableTerms:
    """What enters, and in whom all of it is known."""

    terms: tuple[Term, ...]
    left_out: tuple[str, ...]
    """"label: reason" of the factors that cannot enter."""
    rows: BoolVector
    """(n,)"""


def estimable_terms(
    covariates: Sequence[CovariateColumn], patients: EvaluationInput, settings: StatisticsSettings
) -> EstimableTerms:
    """Take the factors in their order; leave out whichever the model cannot be fitted with."""
    n = patients.months.size
    terms: list[Term] = []
    left_out = []
    for covariate in covariates:
        term, reason = estimate_or_reason(lambda c=covariate: make_term(c, n))  # type: ignore[misc]
        if term is None:
            left_out.append(f"{covariate.label}: {reason}")
        else:
            terms.append(term)
    kept, dropped = independent_terms(terms, _known(terms, n))
    left_out += dropped.values()
    terms = kept
    if (
        terms
        and estimate_or_reason(lambda: fit_terms(terms, _known(terms, n), patients, settings))[0]
        is None
    ):
        terms, refused = _one_by_one(terms, patients, settings)
        left_out += refused
    return EstimableTerms(tuple(terms), tuple(left_out), _known(terms, n))


def _one_by_one(
    terms: Sequence[Term], patients: EvaluationInput, settings: StatisticsSettings
) -> tuple[list[Term], list[str]]:
    kept: list[Term] = []
    refused = []
    for term in terms:
        together = [*kept, term]
        rows = _known(together, patients.months.size)
        model, reason = estimate_or_reason(
            lambda t=together, r=rows: fit_terms(t, r, patients, settings)  # type: ignore[misc]
        )
        if model is None:
            refused.append(f"{term.label}: {reason}")
        else:
            kept.append(term)
    return kept, refused


def _known(terms: Sequence[Term], n: int) -> BoolVector:
    known = np.ones(n, dtype=np.bool_)
    for term in terms:
        known &= term.known
    return known
