"""What the score adds to the clinical factors: two models of the same patients, with and without it.

Both are fitted to the patients on which they are compared, so either looks better than it is; the
one with more parameters by more. The bootstrap corrects for that [1]_: both models are fitted anew to
patients drawn with replacement, and what they lose from there to the patients themselves is taken off.
Intervals and tests of differences are paired, by influence functions, and count the fitted
coefficients as given, as R's ``survival::concordance`` and ``riskRegression::Score`` do. The test that
takes them as estimated is the likelihood-ratio test.

Where another event competes, probabilities and AUC are those of two Fine-Gray models; likelihood and
concordance those of Cox models in which it censors.

References
----------
.. [1] F. E. Harrell, K. L. Lee, D. B. Mark. Multivariable prognostic models: issues in developing
   models, evaluating assumptions and adequacy, and measuring and reducing errors. Stat. Med. 15(4),
   361-387, 1996.
"""

from collections.abc import Callable, Sequence

import numpy as np

from jecur.arrays import BoolVector, Matrix
from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.statistics.estimable import estimable_terms
from jecur.statistics.optimism import optimism_of
from jecur.statistics.results import AddedMeasure, AddedValue, EvaluationInput
from jecur.statistics.terms import (
    Term,
    estimate_or_reason,
    not_estimable,
    not_testable,
    score_term,
    tested_or_none,
)
from jecur.survival.auc import cases_and_controls, time_dependent_auc
from jecur.survival.brier import IntegratedBrier, integrated_brier_score
from jecur.survival.concordance_index import (
    compare_concordance,
    concordance,
    paired_difference,
)
from jecur.survival.cox import likelihood_ratio_test
from jecur.survival.estimate import Estimate, Reported
from jecur.survival.fitted_pair import FittedModel, FittedPair, ModelData, fit_pair

__all__ = ["added_value"]


def added_value(patients: EvaluationInput, settings: StatisticsSettings) -> AddedValue | None:
    """Compare the model of all clinical factors with the same model and the score.

    Returns
    -------
    AddedValue or None
        None without clinical factors; with a reason where no model can be fitted.
    """
    if not patients.covariates:
        return None
    found = estimable_terms(patients.covariates, patients, settings)
    rows = found.rows
    counts = int(rows.sum()), int(patients.event[rows].sum())
    pair, reason = estimate_or_reason(lambda: _fit(found.terms, rows, patients, settings))
    if pair is None:
        test = not_testable(counts, "likelihood-ratio test", reason)
        return AddedValue(
            tuple(t.label for t in found.terms), found.left_out, *counts,
            int(np.sum(~rows)), 0, test, (), 0, settings.n_optimism, settings.seed, reason,
        )  # fmt: skip
    horizons = sorted({*settings.horizons_months, settings.landmark_months})
    corrected, n_drawn = optimism_of(pair.data, horizons, settings)
    return AddedValue(
        tuple(t.label for t in found.terms),
        found.left_out,
        *counts,
        int(np.sum(~rows)),
        pair.data.with_score.shape[1],
        tested_or_none(
            lambda: likelihood_ratio_test(pair.with_score.cox, pair.clinical.cox),
            counts,
            "likelihood-ratio test",
        ),
        tuple(
            _measure((name, months), three, corrected.get((name, months)), pair.data, settings)
            for name, months, three in _apparent(pair, horizons, settings)
        ),
        n_drawn,
        settings.n_optimism,
        settings.seed,
    )


def _fit(
    terms: Sequence[Term], rows: BoolVector, patients: EvaluationInput, settings: StatisticsSettings
) -> FittedPair:
    if not terms:
        raise NotEstimableError("expected a clinical factor that can enter a model, found none")
    score = score_term(patients.risk, patients.label)
    clinical = np.concatenate([t.columns[rows] for t in terms], axis=1)
    names = tuple(f"{t.label} ({c})" for t in terms for c in t.contrasts)
    other = patients.competing
    return fit_pair(
        ModelData(
            clinical,
            np.hstack([clinical, score.columns[rows]]),
            (names, (*names, f"{score.label} ({score.contrasts[0]})")),
            patients.months[rows],
            patients.event[rows],
            None if other is None else other[rows],
            settings.ties,
        )
    )


def _apparent(
    pair: FittedPair, horizons: Sequence[float], settings: StatisticsSettings
) -> list[tuple[str, float | None, tuple[Reported, Reported, Reported]]]:
    """Every measure in the patients that the models were fitted to: clinical, with score, difference."""
    out: list[tuple[str, float | None, tuple[Reported, Reported, Reported]]] = [
        ("Harrell’s C", None, _concordances(pair, settings))
    ]
    out += [("AUC", t, _aucs(pair, t, settings)) for t in horizons]
    landmark = settings.landmark_months
    return [*out, ("Integrated Brier score", landmark, _briers(pair, landmark, settings))]


def _concordances(
    pair: FittedPair, settings: StatisticsSettings
) -> tuple[Reported, Reported, Reported]:
    data, level = pair.data, settings.level
    markers = [model.cox_risk(x) for model, x in pair.models(data)]

    def compute() -> tuple[Reported, Reported, Reported]:
        one, two = (concordance(m, data.months, data.event, level=level) for m in markers)
        gain = compare_concordance(markers[1], markers[0], data.months, data.event, level=level)
        return one, two, gain

    return _or_none(compute, pair, level, "Harrell's C")


def _aucs(
    pair: FittedPair, months: float, settings: StatisticsSettings
) -> tuple[Reported, Reported, Reported]:
    data, level = pair.data, settings.level

    def compute() -> tuple[Reported, Reported, Reported]:
        found = [
            time_dependent_auc(
                model.risk(x), data.months, data.event, [months],
                competing=data.competing, recipe=settings.auc_recipe, level=level,
            )
            for model, x in pair.models(data)
        ]  # fmt: skip
        if found[0].reasons[0] is not None:
            raise NotEstimableError(found[0].reasons[0])
        one, two = (
            Estimate(
                float(a.estimate[0]), _or_nothing(a.lower[0]), _or_nothing(a.upper[0]),
                None, None, a.n, a.events, level, a.method,
            )
            for a in found
        )  # fmt: skip
        move = found[1].influence[0] - found[0].influence[0]
        error = float(np.sqrt(np.sum(move**2) * move.size / max(move.size - 1, 1)))
        gain = paired_difference(
            float(found[1].estimate[0] - found[0].estimate[0]), error, level, data.counts,
            f"difference of {found[0].method}, influence function",
        )  # fmt: skip
        return one, two, gain

    return _or_none(compute, pair, level, f"AUC at {months:g} months")


def _or_nothing(limit: float) -> float | None:
    return float(limit) if np.isfinite(limit) else None


def _briers(
    pair: FittedPair, months: float, settings: StatisticsSettings
) -> tuple[Reported, Reported, Reported]:
    data, level = pair.data, settings.level

    def one(model: FittedModel, x: Matrix) -> IntegratedBrier:
        return integrated_brier_score(
            lambda t: np.asarray(model.probability(x, np.array([t]))[:, 0]),
            data.months, data.event, months, competing=data.competing, level=level,
        )  # fmt: skip

    def compute() -> tuple[Reported, Reported, Reported]:
        a, b = (one(model, x) for model, x in pair.models(data))
        move = b.influence - a.influence
        error = float(np.sqrt(np.sum(move**2) * move.size / max(move.size - 1, 1)))
        gain = paired_difference(
            b.estimate - a.estimate, error, level, data.counts,
            f"difference of {a.method}, influence function",
        )  # fmt: skip
        return a, b, gain

    return _or_none(compute, pair, level, f"integrated Brier score, 0 to {months:g} months")


def _or_none(
    compute: Callable[[], tuple[Reported, Reported, Reported]],
    pair: FittedPair,
    level: float,
    method: str,
) -> tuple[Reported, Reported, Reported]:
    found, reason = estimate_or_reason(compute)
    gone = not_estimable(pair.data.counts, level, method, reason)
    return found or (gone, gone, gone)


def _measure(
    what: tuple[str, float | None],
    found: tuple[Reported, Reported, Reported],
    optimism: tuple[float, float] | None,
    data: ModelData,
    settings: StatisticsSettings,
) -> AddedMeasure:
    clinical, with_score, _ = found
    corrected: tuple[float | None, float | None, float | None] = None, None, None
    if optimism and clinical.estimate is not None and with_score.estimate is not None:
        one, two = clinical.estimate - optimism[0], with_score.estimate - optimism[1]
        corrected = one, two, two - one
    if what[0] != "AUC" or what[1] is None:
        return AddedMeasure(*what, *found, *corrected)
    other = np.zeros_like(data.event) if data.competing is None else data.competing
    case, control = cases_and_controls(data.months, data.event, other, what[1], settings.auc_recipe)
    return AddedMeasure(*what, *found, *corrected, int(case.sum()), int(control.sum()))
