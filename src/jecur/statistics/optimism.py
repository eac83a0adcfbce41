"""How much better models look in the patients they were fitted to: Harrell's bootstrap.

References
----------
.. [1] F. E. Harrell, K. L. Lee, D. B. Mark. Multivariable prognostic models: issues in developing
   models, evaluating assumptions and adequacy, and measuring and reducing errors. Stat. Med. 15(4),
   361-387, 1996.
"""

from collections.abc import Sequence

import numpy as np

from jecur.arrays import Matrix
from jecur.settings import StatisticsSettings
from jecur.statistics.terms import estimate_or_reason
from jecur.survival.auc import time_dependent_auc
from jecur.survival.censoring import censoring_curve
from jecur.survival.concordance_index import concordance
from jecur.survival.fitted_pair import FittedModel, FittedPair, ModelData, fit_pair

__all__ = ["Optimism", "optimism_of"]

Optimism = dict[tuple[str, float | None], tuple[float, float]]
"""(measure, months) -> optimism of the model without and with the score."""

GRID = 40
"""Times of the integrated Brier score: enough for the difference of two of them."""

MIN_SUCCESS = 0.9


def optimism_of(
    data: ModelData, horizons: Sequence[float], settings: StatisticsSettings
) -> tuple[Optimism, int]:
    """Mean loss from patients drawn with replacement to the patients themselves [1]_.

    Parameters
    ----------
    data
        The patients.
    horizons
        Months, of AUC.
    settings
        Replicates (``n_optimism``) and seed.

    Returns
    -------
    tuple
        Optimism by measure; empty, and 0 replicates, where the models could not be fitted in a tenth
        of the draws or nobody asked for it. A measure that does not exist in as many draws is missing.
    """
    n = data.months.size
    rng = np.random.default_rng(settings.seed)
    keys = [("Harrell’s C", None), *(("AUC", t) for t in horizons)]
    keys.append(("Integrated Brier score", settings.landmark_months))
    losses = []
    for _ in range(settings.n_optimism):
        drawn = data.rows(rng.integers(0, n, size=n))
        loss, _ = estimate_or_reason(lambda d=drawn: _loss(d, data, horizons, settings))  # type: ignore[misc]
        if loss is not None:
            losses.append(loss)
    if not losses or len(losses) < MIN_SUCCESS * settings.n_optimism:
        return {}, 0
    table = np.stack(losses)  # (draws, measures, 2)
    enough = np.isfinite(table).all(axis=2).mean(axis=0) >= MIN_SUCCESS
    means = {
        key: tuple(float(v) for v in np.nanmean(table[:, k], axis=0))
        for k, key in enumerate(keys)
        if enough[k]
    }
    return {key: (pair[0], pair[1]) for key, pair in means.items()}, len(losses)


def _loss(
    drawn: ModelData, data: ModelData, horizons: Sequence[float], settings: StatisticsSettings
) -> Matrix:
    """(measures, 2) performance in the patients drawn less that in the patients themselves."""
    pair = fit_pair(drawn)
    here = _performance(pair, drawn, horizons, settings)
    return here - _performance(pair, data, horizons, settings)


def _performance(
    pair: FittedPair, data: ModelData, horizons: Sequence[float], settings: StatisticsSettings
) -> Matrix:
    """(measures, 2) of both models in ``data``; NaN where one does not exist."""
    columns = []
    for model, x in pair.models(data):
        found = time_dependent_auc(
            model.risk(x), data.months, data.event, horizons,
            competing=data.competing, recipe=settings.auc_recipe,
        )  # fmt: skip
        c = concordance(model.cox_risk(x), data.months, data.event).estimate
        brier = _integrated_brier(model, x, data, settings.landmark_months)
        columns.append([c, *(float(v) for v in found.estimate), brier])
    return np.array(columns).T


def _integrated_brier(model: FittedModel, x: Matrix, data: ModelData, horizon: float) -> float:
    months, seen = data.months, data.event
    if not np.any(months > horizon):
        return float("nan")
    other = np.zeros_like(seen) if data.competing is None else data.competing
    times = np.linspace(0, horizon, GRID, endpoint=False)
    curve = censoring_curve(months, seen | other)
    by = months[:, None] <= times[None, :]
    g = np.where(by, curve.before(months)[:, None], curve.at(times)[None, :])
    known = ~by | (seen | other)[:, None]
    weight = np.where(known, 1.0 / np.maximum(g, 1e-300), 0.0)
    happened = by & seen[:, None]
    return float((weight * (happened - model.probability(x, times)) ** 2).mean())
