"""Late fusion: the score of a model and the clinical covariates, weighted by Cox's model.

A model's scores of the patients it was trained on are too good, and would get all the weight. So the weights
are fitted to scores of inner folds, each by a model that has not seen the patient; every model's scores are
brought to the mean and spread that it gives to the patients it was trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jecur.arrays import Matrix, Vector
from jecur.cohort.cohort import Patient
from jecur.cohort.splits import split_patients
from jecur.errors import TrainingError
from jecur.rivals.bench import Bench, Division, Rival, RivalScores, follow_up, locked_scores
from jecur.rivals.clinical import clinical_columns, fit_linear, require_covariates
from jecur.rivals.one import scores_of
from jecur.runs.folder import RunFolder
from jecur.settings import StudySettings
from jecur.survival.covariates import linear_predictor
from jecur.survival.elastic_net import columns_that_vary

__all__ = ["SUFFIX", "LateFusion"]

SUFFIX = "+clinical"
N_INNER = 3
"""Inner folds that give each patient a score by a model that has not seen them."""


@dataclass(frozen=True, slots=True)
class LateFusion:
    """Any model, and the covariates of the study file.

    Parameters
    ----------
    model
        Its score is one column beside the covariates.
    """

    model: Rival

    @property
    def name(self) -> str:
        """``scnn+clinical``."""
        return f"{self.model.name}{SUFFIX}"

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{self.model.title} + covariates"

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:
        """Need covariates, and whatever the model needs."""
        require_covariates(study)
        self.model.require(study, divisions)

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Give the model's inputs, the covariates and the inner folds."""
        study = bench.study
        own = (study.cohort.covariates, study.statistics.ties, study.training.seed, N_INNER)
        return (self.model.name, *self.model.inputs(bench), *own)

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:  # noqa: ARG002
        """Train the model on inner folds and on everybody, then weigh its score beside the covariates."""
        patients = (*division.training, *division.tuning)
        apart = self._scores_of_inner_folds(bench, division, patients)
        _, whole = scores_of(self.model, bench, division)
        known = [p for p in patients if p.id in apart]
        months, event = follow_up(tuple(known))
        columns = clinical_columns(bench.study.cohort.covariates, known)

        def joined(who: Sequence[Patient], scores: Mapping[str, float]) -> Matrix:
            score = np.array([[scores[p.id]] for p in who]).reshape(-1, 1)
            return np.hstack([score, columns.of(who)])

        names = ("score", *columns.names)
        weights, how = fit_linear(joined(known, apart), months, event, names, bench)
        held = [p for p in division.held_out if p.id in whole.held_out]
        own = _standardized(whole.held_out, whole)
        return locked_scores(
            _by_id(held, linear_predictor(joined(held, own), weights)),
            _by_id(known, linear_predictor(joined(known, apart), weights)),
            {"fit": how, "weight_of_score": float(weights[0]), "trained_on": len(known)},
        )

    def _scores_of_inner_folds(
        self, bench: Bench, division: Division, patients: Sequence[Patient]
    ) -> dict[str, float]:
        folds = split_patients(
            patients, n_folds=N_INNER, site_preserving=False, seed=bench.study.training.seed
        )
        found: dict[str, float] = {}
        for k in range(N_INNER):
            inner = Division(
                f"{division.name}-inner-{k + 1}",
                k + 1,
                tuple(p for p, of in zip(patients, folds.fold_of, strict=True) if of != k),
                (),
                tuple(p for p, of in zip(patients, folds.fold_of, strict=True) if of == k),
            )
            _, scores = scores_of(self.model, bench, inner)
            found |= _standardized(scores.held_out, scores)
        return found


def _standardized(scores: Mapping[str, float], of: RivalScores) -> dict[str, float]:
    """Bring scores to the mean and spread of the patients that their model was trained on."""
    own = np.array(list(of.training.values()))
    # the deviation of one value over and over is not 0 but what rounding leaves of it
    if own.size == 0 or not columns_that_vary(own[:, None])[0]:
        raise TrainingError(
            "expected a model whose scores vary among the patients it was trained on, found one value; "
            "there is nothing to join with the covariates"
        )
    mean, spread = float(own.mean()), float(own.std())
    return {name: (score - mean) / spread for name, score in scores.items()}


def _by_id(patients: Sequence[Patient], scores: Vector) -> dict[str, float]:
    return {p.id: float(s) for p, s in zip(patients, scores, strict=True)}
