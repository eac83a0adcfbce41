"""The network to train: features of a tile -> its score (and gate), and the pooling of a bag."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from jecur.settings import TrainingSettings
from jecur.training.device import training_device
from jecur.training.pooling import BagPooling

__all__ = ["BagModel", "FeatureModel", "Gate", "start_small"]


class Gate(nn.Module):
    """Gated attention (Ilse 2018): features (n, d) -> gate before the softmax, (n,)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, hidden)
        self.passage = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, 1, bias=False)  # a softmax does not see a shift

    def forward(self, features: Tensor) -> Tensor:
        """Gate each tile by itself."""
        passed = torch.tanh(self.content(features)) * torch.sigmoid(self.passage(features))
        gate: Tensor = self.out(passed)
        return gate.flatten()


class BagModel(nn.Module):
    """Tiles as stored -> outputs; subclasses say what the features are.

    Parameters
    ----------
    width
        Features of a tile.
    channels
        Leading channels of a tile that are looked at; 0 where tiles are features.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.gate: Gate | None = None
        self.pooling: BagPooling | None = None
        self.of_covariates: nn.Linear | None = None
        self.half_precision = False
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_std", torch.ones(width))

    @property
    def head(self) -> nn.Linear:
        """Last layer, features -> logit."""
        raise NotImplementedError

    def features(self, tiles: Tensor) -> Tensor:
        """Turn stored tiles into (n, width) features."""
        raise NotImplementedError

    def embed(self, features: Tensor) -> Tensor:
        """Standardized (n, width) features -> (n, d), what head and gate see."""
        return features

    def add_pooling(self, settings: TrainingSettings) -> BagPooling:
        """Give it the pooling of a recipe, and the gate that attention needs."""
        if settings.pooling.method == "attention":
            self.gate = Gate(self.head.in_features, settings.pooling.hidden_units)
        self.pooling = BagPooling(settings)
        precision = settings.encoder.precision
        on_card = precision == "auto" and training_device().type != "cpu"
        self.half_precision = precision == "bfloat16" or on_card
        return self.pooling

    def add_covariates(self, start: Sequence[float]) -> nn.Linear | None:
        """Give the last layer weights of a patient's covariates, as they start; none if there are none."""
        if start:
            self.of_covariates = nn.Linear(len(start), 1, bias=False)  # the last layer has one
            with torch.no_grad():
                self.of_covariates.weight.copy_(torch.tensor([list(start)]))
        return self.of_covariates

    def new_parameters(self) -> list[nn.Parameter]:
        """List what starts anew whatever the encoder: last layer, gate, pooling, weights of covariates."""
        own = (self.head, self.gate, self.pooling, self.of_covariates)
        parts = [part for part in own if part is not None]
        return [parameter for part in parts for parameter in part.parameters()]

    def forward(self, tiles: Tensor) -> Tensor:
        """Score tiles: (n,) logits, higher = earlier recurrence, or (n, 2) logits and gates."""
        if self.training and self.half_precision:
            with torch.autocast(tiles.device.type, dtype=torch.bfloat16):
                return self._outputs(tiles).float()
        return self._outputs(tiles)

    def _outputs(self, tiles: Tensor) -> Tensor:
        features = (self.features(tiles) - self.feature_mean) / self.feature_std  # (n, width)
        seen = self.embed(features)  # (n, d)
        logits: Tensor = self.head(seen).flatten()  # (n,)
        return logits if self.gate is None else torch.stack([logits, self.gate(seen)], 1)

    @torch.no_grad()
    def standardize_features(self, tiles: Iterable[Tensor]) -> None:
        """Fix mean and spread of the features from batches of training tiles.

        What all tiles have in common then adds nothing to a score, and one bag a step does not
        push all scores up and down together.
        """
        self.eval()
        found = torch.cat([self.features(batch) for batch in tiles])
        self.feature_mean.copy_(found.mean(0))
        self.feature_std.copy_(found.std(0).clamp(min=1e-3))


class FeatureModel(BagModel):
    """Tiles that are features already, of any foundation model -> outputs.

    Parameters
    ----------
    width
        Features of a tile.
    hidden
        Units of a hidden layer; 0 is a linear head.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, channels=0)
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.score = nn.Linear(hidden or width, 1)
        start_small(self.score)

    @property
    def head(self) -> nn.Linear:
        """Last layer."""
        return self.score

    def features(self, tiles: Tensor) -> Tensor:
        """(n, width) floats as they are."""
        return tiles

    def new_parameters(self) -> list[nn.Parameter]:
        """List everything: nothing here was trained before."""
        return list(self.parameters())

    def embed(self, features: Tensor) -> Tensor:
        """One hidden layer, if asked for."""
        return features if self.hidden is None else torch.relu(self.hidden(features))


def start_small(head: nn.Linear) -> None:
    """Draw a last layer whose scores are about 1/2 in size."""
    nn.init.normal_(head.weight, std=0.5 / head.in_features**0.5)
    nn.init.zeros_(head.bias)
