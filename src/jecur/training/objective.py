"""What a step wants: the loss of some patients, from the outputs of their tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

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


@dataclass(frozen=True)
class Objective:
    """The loss and the pooling of a recipe.

    Parameters
    ----------
    settings
        Names them.
    pooling
        With its trained parameters.
    """

    settings: TrainingSettings
    pooling: BagPooling

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
        scores = torch.stack([self.pooling(bag) for bag in outputs])
        if self.settings.loss.name == "cox":
            return cox_loss(scores, np.array([p.months for p in patients]), recurred)
        sides = (True, False)
        parts = [self._of_label(scores[torch.from_numpy(recurred == y)], y) for y in sides]
        return torch.cat(parts).mean()

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

    def cutoff(self, outputs: Sequence[Tensor]) -> float:
        """Risk above which a patient is at high risk, from the training patients' outputs."""
        if self.settings.loss.name != "cox":
            return self.indifferent
        return risk_from_score(float(np.median([float(self.pooling(bag)) for bag in outputs])))


def _shifted(outputs: Tensor, offset: float) -> Tensor:
    if outputs.ndim == 1:
        return outputs + offset
    return torch.cat([outputs[:, :1] + offset, outputs[:, 1:]], 1)
