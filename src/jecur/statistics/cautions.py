"""What a reader must know before believing a number: few events, a unit too small or too large for its ratio.

Rules of thumb, not laws: below 10 events a parameter coefficients of a Cox model are biased away from
0 and their intervals do not hold what they say [1]_, [2]_. Nothing is left out for it.

References
----------
.. [1] P. Peduzzi et al. Importance of events per independent variable in proportional hazards
   regression analysis II. J. Clin. Epidemiol. 48(12), 1503-1510, 1995.
.. [2] E. Vittinghoff, C. E. McCulloch. Relaxing the rule of ten events per variable in logistic and
   Cox regression. Am. J. Epidemiol. 165(6), 710-718, 2007.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jecur.statistics.results import (
    AddedValue,
    Caution,
    CovariateColumn,
    EvaluationInput,
    ModelRow,
    MultivariableModel,
    Reported,
    StratifiedFactor,
    UnivariableRow,
    factor_column,
)
from jecur.statistics.terms import missing, numeric_values

__all__ = ["EVENTS_IN_ALL", "EVENTS_PER_PARAMETER", "find_cautions", "reads_one"]

EVENTS_IN_ALL = 20
"""With fewer events the comparison of high with low risk carries a caution."""

EVENTS_PER_PARAMETER = 10
"""A model with fewer events for each of its coefficients carries one."""

MOST_READABLE = 1e6
"""A ratio or limit beyond it, or below its inverse, says that the unit is too large."""

MOST_NAMED = 6


def find_cautions(
    patients: EvaluationInput,
    univariable: Sequence[UnivariableRow],
    multivariable: MultivariableModel,
    stratified: Sequence[StratifiedFactor],
    added: AddedValue | None = None,
) -> tuple[Caution, ...]:
    """Everything to be careful about, in the order of the report."""
    found = (
        *_few_events(int(patients.event.sum())),
        *_few_in_subgroups(stratified),
        *_few_univariable(univariable),
        *_unreadable_units(patients.covariates, [*univariable, *multivariable.rows]),
        *_few_multivariable(multivariable),
        *_few_added(added),
    )
    return tuple(found)


def reads_one(ratio: Reported) -> bool:
    """Whether a ratio and both limits, with two decimals, are 0.99 to 1.01, and so say nothing."""
    values = ratio.estimate, ratio.lower, ratio.upper
    return all(v is not None and np.isfinite(v) and abs(round(100 * v) - 100) <= 1 for v in values)


def _is_astronomic(ratio: Reported) -> bool:
    """Whether a ratio or a limit lies beyond what can be read, or beyond float64."""
    values = [v for v in (ratio.estimate, ratio.lower, ratio.upper) if v is not None]
    return any(not 1 / MOST_READABLE <= v <= MOST_READABLE for v in values)


def _few_events(events: int) -> Iterator[Caution]:
    if events < EVENTS_IN_ALL:
        yield Caution(
            "few-events",
            "headline",
            f"Caution: {_events(events)} in all, fewer than {EVENTS_IN_ALL}. The comparison of high "
            "with low risk is uncertain whatever its p-value says.",
        )


def _few_in_subgroups(factors: Sequence[StratifiedFactor]) -> Iterator[Caution]:
    few = [
        f"{factor.label} {level.level.replace('<=', '≤')} ({level.events})"
        for factor in factors
        for level in factor.levels
        if level.hazard_ratio.estimate is not None and level.events < EVENTS_PER_PARAMETER
    ]
    if few:
        yield Caution(
            "few-events-per-parameter",
            "stratified",
            f"Caution: fewer than {EVENTS_PER_PARAMETER} events in {_list(few)}. Hazard ratios of such "
            "subgroups are unstable.",
        )


def _few_univariable(rows: Sequence[UnivariableRow]) -> Iterator[Caution]:
    models: dict[str, list[UnivariableRow]] = {}
    for row in rows:
        if row.hazard_ratio.estimate is not None:
            models.setdefault(row.covariate, []).append(row)
    few = [
        f"{group[0].label} ({_events(group[0].hazard_ratio.events)}, {_parameters(len(group))})"
        for group in models.values()
        if group[0].hazard_ratio.events < EVENTS_PER_PARAMETER * len(group)
    ]
    if few:
        yield Caution("few-events-per-parameter", "univariable", _too_few(_list(few)))


def _few_multivariable(model: MultivariableModel) -> Iterator[Caution]:
    estimated = sum(row.hazard_ratio.estimate is not None for row in model.rows)
    if estimated and model.events < EVENTS_PER_PARAMETER * estimated:
        what = f"the multivariable model ({_events(model.events)}, {_parameters(estimated)})"
        yield Caution("few-events-per-parameter", "multivariable", _too_few(what))


def _few_added(added: AddedValue | None) -> Iterator[Caution]:
    parameters = added.n_parameters if added and added.reason is None else 0
    if added and parameters and added.events < EVENTS_PER_PARAMETER * parameters:
        what = f"the clinical model with the score ({_events(added.events)}, {_parameters(parameters)})"
        yield Caution("few-events-per-parameter", "added_value", _too_few(what))


def _unreadable_units(
    covariates: Sequence[CovariateColumn], rows: Sequence[UnivariableRow | ModelRow]
) -> Iterator[Caution]:
    by_name = {c.name: c for c in covariates if c.kind == "numeric"}
    told = set()
    for row in rows:
        covariate, ratio = by_name.get(row.covariate), row.hazard_ratio
        if covariate is None or covariate.name in told or ratio.estimate is None:
            continue
        small, large = reads_one(ratio), _is_astronomic(ratio)
        if not (small or large):
            continue
        told.add(covariate.name)
        shown = f"reads {ratio.estimate:.2f} ({ratio.lower:.2f}–{ratio.upper:.2f}), too close to 1"
        if large:
            values = ratio.estimate, ratio.lower, ratio.upper
            middle, low, high = (f"{v:.2g}".replace("inf", "∞") for v in values)
            shown = f"reads {middle} ({low}–{high}), too far from 1"
        yield Caution(
            "unit-too-large" if large else "unit-too-small",
            "univariable",
            f"The hazard ratio of {row.label} {row.contrast} {shown} to be read. "
            f"{_remedy(covariate, smaller=large)} under [[cohort.covariates]], column = "
            f'"{factor_column(covariate.name)}".',
        )


def _remedy(covariate: CovariateColumn, *, smaller: bool) -> str:
    """Which setting gives a ratio that can be read."""
    known = numeric_values(covariate)[~missing(covariate)]
    spread = float(np.subtract(*np.quantile(known, [0.75, 0.25]))) or float(known.std())
    if smaller and covariate.scale != "linear":
        return f'It hardly varies on the scale {covariate.scale}: set scale = "linear", or leave it out'
    if smaller:
        return f"Set per = {10.0 ** np.floor(np.log10(spread)):g}"
    per = 10.0 ** np.ceil(np.log10(max(spread, 10.0 * (covariate.per or 1.0))))
    step = f"per = {per:g}"
    if covariate.scale == "linear" and known.min() > 0:
        return f'Set scale = "log2" (hazard ratio per doubling) or {step}'
    return f"Set {step}"


def _too_few(what: str) -> str:
    return (
        f"Caution: fewer than {EVENTS_PER_PARAMETER} events per estimated parameter in {what}. Such "
        "hazard ratios tend to be too far from 1 and their intervals too narrow."
    )


def _list(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    shown = "; ".join(names[:MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _events(n: int) -> str:
    return f"{n} event{'' if n == 1 else 's'}"


def _parameters(n: int) -> str:
    return f"{n} parameter{'' if n == 1 else 's'}"
