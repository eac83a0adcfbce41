"""Tiles in scan order through an LSTM to one score a patient (Bychkov 2018), by Cox's partial likelihood.

References
----------
.. [1] D. Bychkov et al. Deep learning based tissue analysis predicts outcome in colorectal cancer.
   Sci. Rep. 8, 3395, 2018.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.nn.utils.rnn import pack_sequence

from jecur.arrays import BoolVector, FeatureArray, Vector
from jecur.training.device import training_device
from jecur.training.losses import cox_loss

__all__ = ["SequenceModel", "SequenceRecipe", "score_sequences", "train_sequences"]


@dataclass(frozen=True, slots=True)
class SequenceRecipe:
    """How the LSTM is made and trained; tuned on nothing."""

    units: int = 64
    epochs: int = 30
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    patients_per_step: int = 16
    most_tiles: int = 256
    """Of a patient; more are thinned evenly, in order."""


class SequenceModel(nn.Module):
    """Standardized features of a patient's tiles, in order -> score.

    Parameters
    ----------
    mean, spread
        (d,) of the training tiles.
    units
        Of the LSTM.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, mean: Tensor, spread: Tensor, units: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.lstm = nn.LSTM(len(mean), units)
        self.score = nn.Linear(units, 1)

    def forward(self, patients: Sequence[Tensor]) -> Tensor:
        """Score patients, each (n_i, d): (b,), higher = earlier event."""
        scaled = [(tiles - self.mean) / self.spread for tiles in patients]
        _, (last, _) = self.lstm(pack_sequence(scaled, enforce_sorted=False))
        found: Tensor = self.score(last[-1]).flatten()
        return found


def train_sequences(
    bags: Sequence[FeatureArray],
    months: Vector,
    event: BoolVector,
    recipe: SequenceRecipe,
    *,
    seed: int,
) -> SequenceModel:
    """Train on patients; the same seed gives the same model on the CPU.

    Parameters
    ----------
    bags
        (n_i, d) float32 features of each patient's tiles, in scan order.
    months, event
        Follow-up of the same patients.
    recipe, seed
        How, and from where.
    """
    torch.manual_seed(seed)
    thinned = [_thinned(bag, recipe.most_tiles) for bag in bags]
    everything = torch.cat(thinned)
    spread = everything.std(0).clamp(min=1e-3)
    model = SequenceModel(everything.mean(0), spread, recipe.units).to(training_device())
    optimizer = optim.Adam(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    for epoch in range(recipe.epochs):
        for step in _steps(len(bags), recipe.patients_per_step, event, [seed, epoch]):
            optimizer.zero_grad(set_to_none=True)
            scores = model([thinned[i].to(training_device()) for i in step])
            torch.autograd.backward(cox_loss(scores, months[step], event[step]))
            optimizer.step()
    return model.eval()


def _steps(n: int, size: int, event: BoolVector, seed: list[int]) -> Iterator[list[int]]:
    """Divide the patients of an epoch; a group without an event has no Cox loss."""
    order = np.random.default_rng(seed).permutation(n)
    for start in range(0, n, size):
        step = [int(i) for i in order[start : start + size]]
        if event[step].any() and len(step) > 1:
            yield step


@torch.no_grad()
def score_sequences(
    model: SequenceModel, bags: Sequence[FeatureArray], recipe: SequenceRecipe
) -> list[float]:
    """Score patients one by one, in order."""
    return [
        float(model([_thinned(bag, recipe.most_tiles).to(training_device())])[0]) for bag in bags
    ]


def _thinned(bag: FeatureArray, most: int) -> Tensor:
    chosen = np.unique(np.linspace(0, len(bag) - 1, min(most, len(bag))).round().astype(np.int64))
    return torch.from_numpy(np.array(bag[chosen], dtype=np.float32))
