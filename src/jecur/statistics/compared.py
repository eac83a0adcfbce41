"""Several models of the same patients: what each is worth, and whether two of them differ.

Scores of two divisions of the patients (folds) are on two scales, so patients are compared within a division,
as in `jecur.statistics.cross_validated`. Differences are paired: patients are drawn with replacement,
within divisions, and every model is measured on the same draw.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.statistics.auc_of_draws import auc_of_draws
from jecur.statistics.cross_validated import HeldOutStatistics, held_out_statistics
from jecur.statistics.results import EvaluationInput
from jecur.statistics.terms import estimate_or_none, not_estimable
from jecur.survival.brier import brier_score
from jecur.survival.concordance_index import NO_ERROR
from jecur.survival.estimate import Estimate, Reported
from jecur.survival.follow_up import tied_times

__all__ = [
    "ComparedModel",
    "ModelComparison",
    "ModelDifference",
    "ModelRisks",
    "compare_models_of",
    "concordance_of_draws",
]

_BLOCK = 512
"""Patients whose pairs are held in memory at once."""
CONCORDANCE, BRIER = "Concordance", "Brier score"
Measured = tuple[Vector | None, str]
"""A measure of each draw, everybody once first; or why there is none."""


@dataclass(frozen=True, slots=True)
class ModelRisks:
    """What one model says of n patients."""

    name: str
    title: str
    patients: EvaluationInput
    """Its risk and groups; the same patients in the same order for every model."""
    by_landmark: Vector | None
    """(n,) probability of the event by the landmark."""
    no_probability: str = ""
    """Why there is none."""


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One row of the comparison."""

    name: str
    title: str
    statistics: HeldOutStatistics
    """Of one division, it is the ordinary statistics."""
    brier: Reported


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """One model less another."""

    model: str
    reference: str
    measure: str
    difference: Reported
    draws_without: int | None = None
    """Draws in which one of the two does not exist; None where it does not for the patients themselves."""


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """All models, and their differences to the references."""

    n: int
    events: int
    models: tuple[ComparedModel, ...]
    differences: tuple[ModelDifference, ...]
    landmark_months: float
    level: float
    n_bootstrap: int


def compare_models_of(
    models: Sequence[ModelRisks],
    division: IntVector,
    references: Sequence[str],
    *,
    settings: StatisticsSettings,
    n_bootstrap: int,
) -> ModelComparison:
    """Measure every model and its difference to each reference.

    Parameters
    ----------
    models
        At least one; patients in one order.
    division
        (n,) which division a patient was held out in.
    references
        Names of models that the others are compared with.
    settings
        Horizons, landmark, level, ties, seed of the draws.
    n_bootstrap
        Draws; 0 leaves the differences out.
    """
    first = models[0].patients
    n, once = first.months.size, np.ones(first.months.size, dtype=np.int64)
    counts = n, int(first.event.sum())
    compared = tuple(
        ComparedModel(
            m.name,
            m.title,
            held_out_statistics(m.patients, repeat=once, fold=division, settings=settings),
            _brier(m, settings),
        )
        for m in models
    )
    differences: tuple[ModelDifference, ...] = ()
    if n_bootstrap and len(models) > 1:
        drawn = _draws(division, n_bootstrap, np.random.default_rng(settings.seed))
        differences = tuple(
            d
            for measure, values in _measures(models, division, drawn, settings)
            for d in _differences(
                measure,
                values,
                [m.name for m in models],
                references,
                (*counts, settings.level),
            )
        )
    return ModelComparison(
        *counts, compared, differences, settings.landmark_months, settings.level, n_bootstrap
    )


def _brier(model: ModelRisks, settings: StatisticsSettings) -> Reported:
    patients, predicted = model.patients, model.by_landmark
    counts = patients.months.size, int(patients.event.sum())
    method = f"Brier score at {settings.landmark_months:g} months"
    if predicted is None:
        return not_estimable(counts, settings.level, method, model.no_probability)

    def compute() -> Estimate:
        found = brier_score(
            predicted, patients.months, patients.event, settings.landmark_months,
            competing=patients.competing, level=settings.level,
        )  # fmt: skip
        return Estimate(
            found.estimate, found.lower, found.upper, None, None, *counts, settings.level, method
        )

    return estimate_or_none(compute, counts, settings.level, method)


def _draws(division: IntVector, n_draws: int, rng: np.random.Generator) -> Matrix:
    """(n, 1 + draws) how often each patient is in each draw; the first is everybody once."""
    times = np.ones((division.size, 1 + n_draws))
    for k in np.unique(division):
        rows = np.flatnonzero(division == k)
        times[rows, 1:] = rng.multinomial(rows.size, np.full(rows.size, 1 / rows.size), n_draws).T
    return times


def concordance_of_draws(
    risk: Vector, months: Vector, event: BoolVector, division: IntVector, times: Matrix
) -> Vector:
    """Harrell's C within divisions of each draw of patients, (draws,); NaN without a comparable pair.

    Parameters
    ----------
    risk, months, event, division
        (n,) of the patients.
    times
        (n, draws) how often each patient was drawn.
    """
    right, pairs = np.zeros(times.shape[1]), np.zeros(times.shape[1])
    months = tied_times(months)
    for k in np.unique(division):
        rows = np.flatnonzero(division == k)
        t, e, r, w = months[rows], event[rows], risk[rows], times[rows]
        for start in range(0, rows.size, _BLOCK):
            here = np.s_[start : start + _BLOCK]
            # j outlives i's event: followed beyond it, or to the same time without one
            later = e[here, None] & (
                (t[None, :] > t[here, None]) | ((t[None, :] == t[here, None]) & ~e[None, :])
            )
            higher = (r[here, None] > r[None, :]) + 0.5 * (r[here, None] == r[None, :])
            right += (w[here] * ((later * higher) @ w)).sum(axis=0)
            pairs += (w[here] * (later.astype(np.float64) @ w)).sum(axis=0)
    found: Vector = np.divide(right, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
    return found


def _measures(
    models: Sequence[ModelRisks], division: IntVector, times: Matrix, settings: StatisticsSettings
) -> Iterator[tuple[str, Sequence[Measured]]]:
    """Every measure by name, with what each model has of it in every draw."""
    yield CONCORDANCE, [_concordances(m, division, times) for m in models]
    horizons = sorted({*settings.horizons_months, settings.landmark_months})
    of_models = [_aucs(m, division, times, horizons, settings) for m in models]
    for k, t in enumerate(horizons):
        reason = (
            f"expected events by {t:g} months and patients followed beyond, found no fold with both"
        )
        yield f"AUC at {t:g} months", [(found[k], reason) for found in of_models]
    yield BRIER, [_briers(m, times, settings) for m in models]


def _aucs(
    model: ModelRisks,
    division: IntVector,
    times: Matrix,
    horizons: Sequence[float],
    settings: StatisticsSettings,
) -> Matrix:
    p = model.patients
    return auc_of_draws(
        p.risk, p.months, p.event, division, times, np.array(horizons),
        competing=p.competing, recipe=settings.auc_recipe,
    )  # fmt: skip


def _concordances(model: ModelRisks, division: IntVector, times: Matrix) -> Measured:
    p = model.patients
    return concordance_of_draws(p.risk, p.months, p.event, division, times), ""


def _briers(model: ModelRisks, times: Matrix, settings: StatisticsSettings) -> Measured:
    if model.by_landmark is None:
        return None, model.no_probability
    out = np.full(times.shape[1], np.nan)
    p, other = model.patients, model.patients.competing
    for k, column in enumerate(times.T):
        rows = np.repeat(np.arange(p.months.size), column.astype(np.int64))
        try:
            out[k] = brier_score(
                model.by_landmark[rows], p.months[rows], p.event[rows], settings.landmark_months,
                competing=None if other is None else other[rows],
            ).estimate  # fmt: skip
        except NotEstimableError as error:
            if k == 0:
                return None, error.message
    return out, ""


MIN_SUCCESS = 0.9
"""Smallest share of draws in which a difference must exist."""


def _differences(
    measure: str,
    values: Sequence[Measured],
    names: Sequence[str],
    references: Sequence[str],
    about: tuple[int, int, float],
) -> list[ModelDifference]:
    """Each model less each reference; a model is not compared with itself, nor a pair twice."""
    n, events, level = about
    by_name = dict(zip(names, values, strict=True))
    out: list[ModelDifference] = []
    seen: set[frozenset[str]] = set()
    for reference in dict.fromkeys(references):
        for name in names:
            pair = frozenset({name, reference})
            if name == reference or reference not in by_name or pair in seen:
                continue
            seen.add(pair)
            found = estimate_or_none(
                _difference(by_name[name], by_name[reference], about),
                (n, events),
                level,
                "paired bootstrap by patient",
            )
            without = _draws_without(by_name[name], by_name[reference])
            out.append(ModelDifference(name, reference, measure, found, without))
    return out


def _draws_without(one: Measured, other: Measured) -> int | None:
    """Draws in which one of two measures does not exist; None without either of the patients themselves."""
    if one[0] is None or other[0] is None or not np.isfinite(one[0][0] - other[0][0]):
        return None
    return int(np.sum(~np.isfinite(one[0][1:] - other[0][1:])))


def _difference(
    one: Measured, other: Measured, about: tuple[int, int, float]
) -> Callable[[], Estimate]:
    def compute() -> Estimate:
        n, events, level = about
        for values, reason in (one, other):
            if values is None or not np.isfinite(values[0]):
                raise NotEstimableError(reason or "expected a comparable pair, found none")
        moved = np.asarray(one[0], dtype=np.float64) - np.asarray(other[0], dtype=np.float64)
        drawn = moved[1:][np.isfinite(moved[1:])]
        if drawn.size < max(2.0, MIN_SUCCESS * (moved.size - 1)):
            raise NotEstimableError(
                f"expected the difference in {MIN_SUCCESS:.0%} of {moved.size - 1} draws, found it in "
                f"{drawn.size}; there are too few events for a bootstrap"
            )
        lower, upper = (float(v) for v in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
        method = f"paired percentile bootstrap by patient, {drawn.size} draws"
        rest = None, None, n, events, level, method
        if moved[0] != 0 and np.ptp(drawn) <= NO_ERROR:  # no draw moves it, which is no certainty
            return Estimate(float(moved[0]), None, None, *rest)
        return Estimate(float(moved[0]), lower, upper, *rest)

    return compute
