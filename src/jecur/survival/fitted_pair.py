"""Two models of the same patients, one with a column more, and what each predicts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.survival.baseline import baseline_hazard
from jecur.survival.covariates import linear_predictor
from jecur.survival.cox import CoxModel, fit_cox
from jecur.survival.fine_gray import fit_fine_gray
from jecur.survival.fine_gray_baseline import subdistribution_baseline
from jecur.survival.risk_sets import Ties

__all__ = ["FittedModel", "FittedPair", "ModelData", "fit_pair"]

LARGEST = 600.0
"""Of a linear predictor: beyond, the probability is 0 or 1 to the last digit, and exp overflows."""


@dataclass(frozen=True, slots=True)
class ModelData:
    """n complete patients."""

    clinical: Matrix
    """(n, p)"""
    with_score: Matrix
    """(n, p + 1)"""
    names: tuple[tuple[str, ...], tuple[str, ...]]
    """Of the columns of both."""
    months: Vector
    event: BoolVector
    competing: BoolVector | None
    ties: Ties

    @property
    def counts(self) -> tuple[int, int]:
        """Patients and events."""
        return self.months.size, int(self.event.sum())

    def rows(self, picked: IntVector) -> "ModelData":
        """Return some of the patients, with repeats."""
        other = self.competing
        return ModelData(
            self.clinical[picked],
            self.with_score[picked],
            self.names,
            self.months[picked],
            self.event[picked],
            None if other is None else other[picked],
            self.ties,
        )


@dataclass(frozen=True, slots=True)
class FittedModel:
    """One model: linear predictors (m,) and probabilities (m, t) of (m, p) covariates."""

    cox: CoxModel
    cox_risk: Callable[[Matrix], Vector]
    """Of the Cox model, in which a competing event censors."""
    risk: Callable[[Matrix], Vector]
    """By which the probabilities rise: Fine-Gray's where another event competes."""
    probability: Callable[[Matrix, Vector], Matrix]
    """Of the event by each time, months."""


@dataclass(frozen=True, slots=True)
class FittedPair:
    """Both models of the same patients."""

    data: ModelData
    clinical: FittedModel
    with_score: FittedModel

    def models(
        self, data: ModelData
    ) -> tuple[tuple[FittedModel, Matrix], tuple[FittedModel, Matrix]]:
        """Each model with the columns that it reads of some patients, these or others."""
        return (self.clinical, data.clinical), (self.with_score, data.with_score)


def fit_pair(data: ModelData) -> FittedPair:
    """Fit both models.

    Raises
    ------
    NotEstimableError
        As `fit_cox` and `fit_fine_gray`.
    """
    return FittedPair(data, _fit(data.clinical, data, 0), _fit(data.with_score, data, 1))


def _fit(x: Matrix, on: ModelData, which: int) -> FittedModel:
    names = on.names[which]
    cox = fit_cox(x, on.months, on.event, names=names, ties=on.ties)
    center = x.mean(axis=0)

    def cox_risk(new: Matrix) -> Vector:
        return cox.risk(new - center)

    if on.competing is None:
        base = baseline_hazard(cox, x, on.months, on.event)
        return FittedModel(cox, cox_risk, cox_risk, lambda new, t: 1.0 - base.survival(new, t))
    gray = fit_fine_gray(x, on.months, on.event, on.competing, names=names, ties=on.ties)

    def risk(new: Matrix) -> Vector:
        return linear_predictor(new - center, gray.coefficients)

    def probability(new: Matrix, times: Vector) -> Matrix:
        return base_gray.incidence(np.clip(risk(new), -LARGEST, LARGEST), times)

    base_gray = subdistribution_baseline(risk(x), on.months, on.event, on.competing)
    return FittedModel(cox, cox_risk, risk, probability)
