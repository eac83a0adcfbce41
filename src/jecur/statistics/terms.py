"""Covariates as columns of a model: indicators of a factor's levels, numbers as they are."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.errors import JecurError, NotEstimableError, TableError
from jecur.printable import plain_number
from jecur.settings import StatisticsSettings
from jecur.statistics.results import CLASSIFIER, SCORE, CovariateColumn
from jecur.survival.estimate import (
    ChiSquared,
    Estimate,
    NotEstimable,
    NotTestable,
    Reported,
    ReportedTest,
)
from jecur.survival.follow_up import tied_times

__all__ = [
    "Term",
    "classifier_term",
    "estimate_or_none",
    "estimate_or_reason",
    "horizons_tied",
    "make_term",
    "missing",
    "not_estimable",
    "not_testable",
    "score_term",
    "tested_or_none",
    "with_seen_reference",
]

T = TypeVar("T")
UNKNOWN = "unknown"
MAX_LEVELS = 20
"""A factor with more levels than this is refused."""


@dataclass(frozen=True, slots=True)
class Term:
    """A covariate ready for a model."""

    name: str
    label: str
    columns: Matrix
    """(n, k) float64, NaN where missing."""
    contrasts: tuple[str, ...]
    """(k,) what a unit of each column means."""
    levels: tuple[str, ...] = ()
    """(k + 1,) of a categorical covariate, the reference first; none of a number."""

    @property
    def known(self) -> BoolVector:
        """(n,) not missing."""
        return np.asarray(np.isfinite(self.columns).all(axis=1))


def classifier_term(high_risk: BoolVector, label: str = "Classifier") -> Term:
    """High versus low risk."""
    column = high_risk.astype(np.float64)[:, None]
    return Term(CLASSIFIER, label, column, ("high vs low",))


def score_term(risk: Vector, label: str = "Classifier") -> Term:
    """Code the continuous risk, per standard deviation."""
    spread = float(risk.std(ddof=1)) if risk.size > 1 else 0.0
    return Term(SCORE, label, risk[:, None] / (spread or 1.0), ("per SD",))


def make_term(covariate: CovariateColumn, n: int) -> Term:
    """Code a covariate of n patients.

    Raises
    ------
    TableError
        If it has another length, or a level or reference that does not exist.
    NotEstimableError
        If fewer than two values were seen.
    """
    if len(covariate.values) != n:
        raise TableError(
            f"expected {n} values of {covariate.name}, found {len(covariate.values)}; "
            "give one a patient"
        )
    if covariate.kind == "numeric":
        values = numeric_values(covariate)
        seen = np.unique(values[np.isfinite(values)])
        if seen.size < 2:
            found = "one value only" if seen.size else "no value"
            raise NotEstimableError(f"expected {covariate.name} to vary, found {found}")
        column = _scaled(covariate, values)[:, None]
        return Term(covariate.name, covariate.label, column, (_step(covariate),))
    known = ~missing(covariate)
    levels = factor_levels(covariate)
    if len(levels) < 2:
        found = "one level only" if levels else "no value"
        raise NotEstimableError(f"expected {covariate.name} to vary, found {found}")
    text = np.array([str(v) for v in covariate.values])
    columns = np.stack([(text == level).astype(np.float64) for level in levels[1:]], axis=1)
    columns[~known] = np.nan
    return Term(covariate.name, covariate.label, columns, _contrasts(levels), levels)


def _contrasts(levels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{level} vs {levels[0]}" for level in levels[1:])


def with_seen_reference(term: Term, rows: BoolVector) -> Term:
    """Compare with the first level that a model's patients have, (n,) ``rows``, if none has the reference.

    The columns would be the same model, but "II vs I" would be the ratio of II to whichever level is left
    out for following from the others.
    """
    inside = term.columns[rows]
    if not term.levels or not inside.size or np.any(inside.sum(axis=1) == 0):
        return term
    first = 1 + int(np.flatnonzero(inside.any(axis=0))[0])
    everybody = np.column_stack([1.0 - term.columns.sum(axis=1), term.columns])
    order = [first, *(k for k in range(len(term.levels)) if k != first)]
    levels = tuple(term.levels[k] for k in order)
    return Term(term.name, term.label, everybody[:, order[1:]], _contrasts(levels), levels)


def _scaled(covariate: CovariateColumn, values: Vector) -> Vector:
    """(n,) what enters the model: one step of it is what `_step` says."""
    if covariate.scale == "linear":
        return values / (covariate.per or 1.0)
    low = values[values <= 0]
    if low.size:
        raise TableError(
            f"expected values above 0 in {covariate.name}, whose scale is {covariate.scale}, found "
            f"{low[0]:g} in {low.size} of {values.size} patients; declare these values missing or "
            'take scale = "linear" with per = 100'
        )
    return np.asarray({"log2": np.log2, "log10": np.log10}[covariate.scale](values))


def _step(covariate: CovariateColumn) -> str:
    """Name what a hazard ratio is of: "per year", "per 100 ng/ml", "per doubling"."""
    if covariate.scale != "linear":
        return {"log2": "per doubling", "log10": "per tenfold increase"}[covariate.scale]
    unit = covariate.unit or "unit"
    if covariate.per in (None, 1.0):
        return f"per {_SINGULAR.get(unit, unit)}"
    plural = "units" if unit == "unit" else unit
    return f"per {plain_number(covariate.per)} {plural}"


_SINGULAR = {"years": "year", "months": "month", "weeks": "week", "days": "day"}


def missing(covariate: CovariateColumn) -> BoolVector:
    """(n,) True where there is no value."""
    return np.array([v is None or v != v for v in covariate.values], dtype=np.bool_)  # noqa: PLR0124


def numeric_values(covariate: CovariateColumn) -> Vector:
    """(n,) float64, NaN where missing.

    Raises
    ------
    TableError
        If a value is no number.
    """
    try:
        return np.array([np.nan if v is None else float(v) for v in covariate.values])
    except ValueError as error:
        raise TableError(
            f"expected numbers in {covariate.name}, found text ({error}); declare it categorical"
        ) from error


def factor_levels(covariate: CovariateColumn) -> tuple[str, ...]:
    """Levels seen, the reference first, the others in the order declared, or as they sort.

    Raises
    ------
    NotEstimableError
        If there are more levels than a table can hold, as in a column of identifiers.
    TableError
        If the reference was not seen.
    """
    seen = sorted(
        {str(v) for v, gone in zip(covariate.values, missing(covariate), strict=True) if not gone}
    )
    if len(seen) > MAX_LEVELS:
        raise NotEstimableError(
            f"expected at most {MAX_LEVELS} levels of {covariate.name}, found {len(seen)}; "
            "group them"
        )
    if covariate.levels:
        place = {level: i for i, level in enumerate(covariate.levels)}
        seen.sort(key=lambda level: place.get(level, len(place)))
    if covariate.reference is None or not seen:
        return tuple(seen)
    if covariate.reference not in seen:
        raise TableError(
            f"expected the reference {covariate.reference!r} among the levels of "
            f"{covariate.name}, found {', '.join(seen)}; name one of them"
        )
    return (covariate.reference, *(level for level in seen if level != covariate.reference))


def horizons_tied(months: Vector, settings: StatisticsSettings) -> Vector:
    """Make follow-up equal that differs by rounding only, from that of others or from a horizon, (n,)."""
    return tied_times(months, [*settings.horizons_months, settings.landmark_months])


def estimate_or_reason(compute: Callable[[], T]) -> tuple[T | None, str | None]:
    """Return (value, None), or (None, why not) where the data do not determine it.

    A fault of our own must neither take the whole report with it nor pass for something the data
    did: the reason names it, and Python's warnings tell it where the command runs.
    """
    try:
        return compute(), None
    except JecurError as error:
        return None, error.message
    except Exception as fault:  # noqa: BLE001 -- one number's fault must not lose the others
        what = f"{type(fault).__name__}: {fault}"
        warnings.warn(f"a statistic failed with {what}", RuntimeWarning, stacklevel=2)
        return None, (
            f"a fault of Jecur and not of the data ({what}); please report it with the table"
        )


def estimate_or_none(
    compute: Callable[[], Estimate], counts: tuple[int, int], level: float, method: str
) -> Reported:
    """Return what an estimator gives, or why there is nothing; counts, level and method are of that."""
    value, reason = estimate_or_reason(compute)
    return not_estimable(counts, level, method, reason) if value is None else value


def tested_or_none(
    compute: Callable[[], ChiSquared], counts: tuple[int, int], method: str
) -> ReportedTest:
    """Return what a test gives, or why there is nothing."""
    value, reason = estimate_or_reason(compute)
    return not_testable(counts, method, reason) if value is None else value


def not_estimable(
    counts: tuple[int, int], level: float, method: str, reason: str | None
) -> NotEstimable:
    """Report that there is no number, and why."""
    return NotEstimable(reason or UNKNOWN, *counts, level, method)


def not_testable(counts: tuple[int, int], method: str, reason: str | None) -> NotTestable:
    """Report that there is no test, and why."""
    return NotTestable(reason or UNKNOWN, *counts, method)
