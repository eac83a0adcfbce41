"""Settings of learning the prognosis, and of scoring with it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from jecur.settings.base import Count, CountOrZero, Positive, Probability, Seed, Stage, rising

__all__ = ["PRESETS", "LossName", "PoolingName", "Preset", "ScoringSettings", "TrainingSettings"]

Preset = Literal["paper", "jecur"]

PoolingName = Literal[
    "generalized-mean",
    "mean",
    "max",
    "log-sum-exp",
    "noisy-and",
    "top-bottom",
    "attention",
    "tile-labels",
]
LossName = Literal["cutoff", "cross-entropy", "cox"]


class TrainingSettings(Stage, frozen=True):
    """Multiple-instance learning of the prognosis. The defaults are the preset ``paper``.

    Raises
    ------
    ValueError
        If tiles are to inherit a label that the loss does not have.
    """

    preset: Preset = "paper"
    """Where the settings that a study file leaves out come from, see `PRESETS`."""
    encoder: str = "mobilenetv2_100"
    """A timm architecture; not used where slides come as features (HDF5)."""
    start: str = "builtin"
    """Starting weights: "builtin" (made here, see its card), "imagenet" (timm, needs a network),
    "random", or the path of a safetensors file."""
    channels: Literal["rgb+nuclei", "rgb"] = "rgb+nuclei"
    features_hidden: CountOrZero = 0
    """Frozen features: units of a hidden layer before the score; 0 is a linear head."""
    pooling: PoolingName = "generalized-mean"
    """From tile scores to the patient's, see docs/training.md. "tile-labels": every tile learns the
    patient's label, and the patient is the mean of their probabilities."""
    pooling_exponent: Annotated[float, Meta(ge=0.01, le=100)] = 3.0
    """p of the paper's Eq. 2."""
    pooling_reduction: Literal["mean", "sum"] = "mean"
    """Eq. 2 as printed is a sum and grows with the bag; the mean does not."""
    pooling_sharpness: Annotated[float, Meta(ge=1e-6, le=1e4)] = 1.0
    """r of log-sum-exp: towards 0 the mean, towards infinity the maximum."""
    pooling_steepness: Annotated[float, Meta(ge=1e-6, le=1e4)] = 10.0
    """a of noisy-and (Kraus 2016)."""
    pooling_ends: Annotated[int, Meta(ge=1, le=100_000)] = 25
    """Highest and lowest tile scores that top-bottom sees (Saillard 2020)."""
    pooling_hidden: Count = 64
    """Units of the hidden layer of top-bottom and of gated attention."""
    loss: LossName = "cutoff"
    """"cutoff": Eq. 3 and 4; "cross-entropy": the same with t = 1/2; both learn from distinct outcomes.
    "cox": partial likelihood of everybody's follow-up, Efron's ties."""
    patients_per_step: CountOrZero = 0
    """Patients whose loss makes one step; 0 is one, as in the paper, and all of them for Cox."""
    cutoff: Probability = 0.4457
    """t of Eq. 3: inside the loss, and the locked cut-off of the model. With cross-entropy the cut-off
    is 1/2, with Cox the median risk of the training patients."""
    l2: Annotated[float, Meta(ge=0)] = 0.02
    """alpha of Eq. 4, times the sum of squares (no 1/2)."""
    l2_on: Literal["kernels", "all"] = "kernels"
    """Convolution and linear kernels, or every parameter."""
    learning_rate: Positive = 1e-4
    standardize: bool = True
    """Standardize the last layer's input by fixed statistics of the training tiles."""
    head_rate: Positive = 1.0
    """The last layer, which always starts at random, learns this many times as fast."""
    halve_every: Count = 10
    """Epochs after which the learning rate halves."""
    settle_offset: bool = True
    """After the last epoch, shift all tile scores by the one number that minimizes the loss over the
    training bags: steps of one bag leave that offset, and so the cut-off, to the last few bags."""
    epochs: Count = 30
    """Passes over the training bags; the paper does not say how many."""
    batch_norm: Literal["frozen", "train"] = "frozen"
    """One bag a step: "train" normalizes every bag by itself."""
    encoder_learns: bool = True
    """False: tiles are described once by the encoder as it starts; head, gate and pooling learn, without
    augmentation."""
    frozen_blocks: CountOrZero = 0
    """Leading encoder stages kept as they start; 0 trains all of it, as the paper does."""
    tiles_per_bag: CountOrZero = 0
    """Tiles drawn a bag and epoch; 0 takes all, as the paper does."""
    chunk_size: Count = 16
    """Tiles held in memory with their graph: bounds memory, changes no gradient."""
    augment: bool = True
    """Flips and quarter turns, drawn once a bag and epoch."""
    augment_stain: bool = False
    """Scale, shift and turn the stains of each tile (`jecur.stain.augmentation`), drawn once a bag and
    epoch. For normalized tiles; the paper does not do it."""
    good_months: Positive = 48.0
    """Good outcome: followed at least this long without the event."""
    poor_months: Positive = 19.2
    """Poor outcome: the event before this (1.6 years, exclusive)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network while it learns; scores are always float32."""
    seed: Seed = 0

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot be trained."""
        yield from rising(self, "poor_months", "good_months")
        if self.pooling == "tile-labels" and self.loss == "cox":
            yield 'expected a loss with labels for pooling = "tile-labels", found "cox"'
        if self.loss == "cox" and self.patients_per_step == 1:
            yield "expected 0 (all) or at least 2 patients_per_step for Cox, found 1"

    @property
    def n_channels(self) -> int:
        """Channels of a tile that the encoder sees."""
        return 4 if self.channels == "rgb+nuclei" else 3


PRESETS: dict[str, dict[str, object]] = {
    "paper": {},
    "jecur": {
        "encoder_learns": False,
        "pooling": "mean",
        "loss": "cox",
        "l2": 0.5,
        "learning_rate": 2e-3,
        "epochs": 100,
        "halve_every": 1000,
    },
}
"""What a preset sets otherwise than the defaults. ``jecur`` was chosen by cross-validation inside the
training patients of virtual cohorts, see benchmarks/results/mil.md."""


class ScoringSettings(Stage, frozen=True):
    """Score tiles and show what drove the risk."""

    batch_size: Annotated[int, Meta(ge=1, le=4096)] = 32
    """Tiles a call of the network."""
    n_top_tiles: Count = 24
    """Tiles shown of each end."""
    max_tiles_per_patient: Count = 3
    """At most so many of one patient among them: tiles of one patient are not independent."""
    n_heatmaps: CountOrZero = 8
    """Heat maps in the report; all are written to the run folder."""
