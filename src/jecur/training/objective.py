"""What a step wants: the loss of some patients, from the outputs of their tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from jecur.mil.bag import Bag
from jecur.mil.pooling import risk_from_score
from jecur.settings import TrainingSettings
from jecur.training.losses import cox_loss, cutoff_cross_entropy
from jecur.training.pooling import BagPooling

__all__ = ["LabeledBag", "Objective"]


@dataclass(frozen=True, slots=True)
class LabeledBag:
    """A patient to train on."""

    patient: str
    bag: Bag
    recurred: bool
    """Poor outcome (True) or good (False); for Cox, with event (True) or without (False)."""
    months: float = float("nan")
    """Follow-up; Cox alone asks for it."""
    covariates: tuple[float, ...] = ()
    """Standardized, where the last layer sees them beside the tiles."""


@dataclass(frozen=True)
class Objective:
    """The loss and the pooling of a recipe.

    Parameters
    ----------
    settings
        Names them.
    pooling
        With its trained parameters.
    of_covariates
        Trained weights of the patient's covariates, which their pooled score is added to; None without.
    """

    settings: TrainingSettings
    pooling: BagPooling
    of_covariates: nn.Linear | None = None

    @property
    def indifferent(self) -> float:
        """Risk at which the loss is indifferent; t of Eq. 3."""
        return self.settings.loss.cutoff if self.settings.loss.name == "cutoff" else 0.5

    def loss(self, outputs: Sequence[Tensor], patients: Sequence[LabeledBag]) -> Tensor:
        """Mean loss of some patients, a scalar; for Cox over the number of events.

        Parameters
        ----------
        outputs
            Of all tiles of each patient's bag, (n_i,) or (n_i, 2).
        patients
            In the same order.
        """
        recurred = np.array([p.recurred for p in patients])
        if self.settings.pooling.method == "tile-labels":
            pairs = zip(outputs, patients, strict=True)
            tiles = [self._of_label(bag, patient.recurred).mean() for bag, patient in pairs]
            return torch.stack(tiles).mean()
        scores = self.scores(outputs, patients)
        if self.settings.loss.name == "cox":
            return cox_loss(scores, np.array([p.months for p in patients]), recurred)
        sides = (True, False)
        parts = [self._of_label(scores[torch.from_numpy(recurred == y)], y) for y in sides]
        return torch.cat(parts).mean()

    def scores(self, outputs: Sequence[Tensor], patients: Sequence[LabeledBag]) -> Tensor:
        """Score patients, (n,), higher = earlier event: tiles pooled, and covariates beside them."""
        pooled = torch.stack([self.pooling(bag) for bag in outputs])
        if self.of_covariates is None:
            return pooled
        rows = torch.tensor([p.covariates for p in patients], dtype=pooled.dtype)
        beside: Tensor = self.of_covariates(rows.to(pooled.device))
        return pooled + beside.flatten()

    def plain_scores(
        self, outputs: Sequence[Tensor], patients: Sequence[LabeledBag]
    ) -> tuple[float, ...]:
        """Score patients as `scores` does, pooled in double precision as a model file has it."""
        pooling = self.pooling.plain()
        pooled = [pooling.pool(out.detach().cpu().numpy()) for out in outputs]
        if self.of_covariates is None:
            return tuple(pooled)
        weights = self.of_covariates.weight.detach().cpu().double().numpy()[0]
        rows = np.array([p.covariates for p in patients]).reshape(len(patients), len(weights))
        return tuple(s + float(row @ weights) for s, row in zip(pooled, rows, strict=True))

    def _of_label(self, scores: Tensor, recurred: bool) -> Tensor:
        return cutoff_cross_entropy(scores, recurred, cutoff=self.indifferent)

    def best_offset(self, outputs: Sequence[Tensor], patients: Sequence[LabeledBag]) -> float:
        """Find the shift of all tile scores that minimizes the mean loss of some bags."""

        def mean_loss(offset: float) -> float:
            moved = [_shifted(bag, offset) for bag in outputs]
            return float(self.loss(moved, patients))

        reach = 2.0 + max(float(bag.abs().max()) for bag in outputs)
        grid = np.linspace(-reach, reach, 201)  # pooled scores bend: the loss may have two valleys
        best = int(np.argmin([mean_loss(offset) for offset in grid]))
        bounds = (grid[max(best - 1, 0)], grid[min(best + 1, 200)])
        return float(minimize_scalar(mean_loss, bounds=bounds, method="bounded").x)

    def cutoff(self, outputs: Sequence[Tensor], patients: Sequence[LabeledBag]) -> float:
        """Risk above which a patient is at high risk, from the training patients' outputs."""
        if self.settings.loss.name != "cox":
            return self.indifferent
        return risk_from_score(float(np.median(self.scores(outputs, patients).tolist())))


def _shifted(outputs: Tensor, offset: float) -> Tensor:
    if outputs.ndim == 1:
        return outputs + offset
    return torch.cat([outputs[:, :1] + offset, outputs[:, 1:]], 1)
