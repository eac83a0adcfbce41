"""The score of a model read as a probability: a Cox model of the score, fitted where the model was trained.

The patients who are held out have no part in it. A model that has learned its training patients by heart is
too sure of itself, and pays for that in the Brier score, as it should.
"""

from collections.abc import Sequence

import numpy as np

from jecur.arrays import Vector
from jecur.cohort.cohort import Patient
from jecur.errors import NotEstimableError
from jecur.evaluation.patients import competing_of
from jecur.rivals.bench import RivalScores
from jecur.settings import StudySettings
from jecur.survival.baseline import baseline_hazard
from jecur.survival.covariates import linear_predictor
from jecur.survival.cox import fit_cox
from jecur.survival.fine_gray import fit_fine_gray
from jecur.survival.fine_gray_baseline import subdistribution_baseline
from jecur.survival.outcome_at import outcome_at

__all__ = ["probabilities"]

_LARGEST = 600.0
"""Of a linear predictor: beyond, the probability is 0 or 1 to the last digit, and exp overflows."""


def probabilities(
    scores: RivalScores,
    trained_on: Sequence[Patient],
    held_out: Sequence[str],
    study: StudySettings,
) -> Vector:
    """Probability of the event by the landmark of those held out, (m,).

    Parameters
    ----------
    scores
        Of one division.
    trained_on
        The patients whose scores ``scores.training`` has, with their follow-up.
    held_out
        Patients of ``scores.held_out``.
    study
        Landmark, ties, and whether death competes.

    Raises
    ------
    NotEstimableError
        If the score has no Cox model where it was trained: it separates those with the event from those
        without. If nobody trained on was followed to the landmark: what the others had by then is not known.
    """
    known = [p for p in trained_on if p.id in scores.training]
    x = np.array([[scores.training[p.id]] for p in known])
    new = np.array([[scores.held_out[name]] for name in held_out])
    months = np.array([p.months for p in known])
    event = np.array([p.event for p in known], dtype=np.bool_)
    names, ties, landmark = ("score",), study.statistics.ties, study.statistics.landmark_months
    other = competing_of(known, declared=study.cohort.endpoint.competing_death == "competes")
    if x.size == 0:
        raise NotEstimableError(
            "expected scores of the patients trained on, found none; the score has no probability"
        )
    everybody = outcome_at(months, event, landmark, competing=other)
    if not everybody.known:
        raise NotEstimableError(
            f"expected patients trained on who were followed to {landmark:g} months, found none; the score "
            "has no probability by then: take an earlier landmark (landmark_months)"
        )
    if np.ptp(x) == 0:  # a model that knows nothing says what happened to everybody
        return np.full(len(new), everybody.estimate)
    if other is None or not other.any():
        model = fit_cox(x, months, event, names=names, ties=ties)
        base = baseline_hazard(model, x, months, event)
        return np.asarray(1.0 - base.survival(new, [landmark])[:, 0])
    gray = fit_fine_gray(x, months, event, other, names=names, ties=ties)
    center = x.mean(axis=0)
    curve = subdistribution_baseline(
        linear_predictor(x - center, gray.coefficients), months, event, other
    )
    linear = np.clip(linear_predictor(new - center, gray.coefficients), -_LARGEST, _LARGEST)
    return np.asarray(curve.incidence(linear, [landmark])[:, 0])
