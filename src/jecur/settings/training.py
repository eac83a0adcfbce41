"""Settings of training the prognosis, and of scoring with it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from jecur.settings.base import (
    Count,
    CountOrZero,
    Positive,
    Probability,
    Seed,
    Stage,
    make_settings,
    rising,
)

__all__ = [
    "EVIDENT_PRESET",
    "PRESETS",
    "AugmentationSettings",
    "EncoderSettings",
    "LossName",
    "LossSettings",
    "OptimizerSettings",
    "PoolingName",
    "PoolingSettings",
    "Preset",
    "ScoringSettings",
    "TrainingSettings",
    "nested",
    "preset_training",
]

Preset = Literal["paper", "paper-literal", "jecur", "chowder", "coudray", "scnn"]

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
PenaltyOn = Literal["kernels", "all"]
PenaltyForm = Literal["sum", "mean", "decoupled"]
LossName = Literal["cutoff", "cross-entropy", "cox"]


class EncoderSettings(Stage, frozen=True):
    """The network that sees one tile."""

    architecture: str = "mobilenetv2_100"
    """A timm architecture; not used where slides come as features (HDF5)."""
    start: str = "builtin"
    """Starting weights: "builtin" (made here, see its card), "imagenet" (timm, needs a network),
    "random", or the path of a safetensors file."""
    channels: Literal["rgb+nuclei", "rgb"] = "rgb+nuclei"
    trained: bool = True
    """False: tiles are described once by the encoder as it starts; head, gate and pooling are trained,
    without augmentation."""
    frozen_blocks: CountOrZero = 0
    """Leading encoder stages kept as they start; 0 trains all of it, as the paper does."""
    batch_norm: Literal["frozen", "train"] = "frozen"
    """One bag a step: "train" normalizes every bag by itself."""
    hidden_units: CountOrZero = 0
    """Frozen features: units of a hidden layer before the score; 0 is a linear head."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Of the network during training; "auto" is bfloat16 on a graphics card. Weights and scores are always
    float32."""


class PoolingSettings(Stage, frozen=True):
    """From tile scores to the patient's, see docs/training.md."""

    method: PoolingName = "generalized-mean"
    """"tile-labels": every tile takes the patient's label, and the patient is the mean of their
    probabilities."""
    exponent: Annotated[float, Meta(ge=0.01, le=100)] = 3.0
    """p of the paper's Eq. 2."""
    reduction: Literal["mean", "sum"] = "mean"
    """Eq. 2 as printed is a sum and grows with the bag; the mean does not."""
    sharpness: Annotated[float, Meta(ge=1e-6, le=1e4)] = 1.0
    """r of log-sum-exp: towards 0 the mean, towards infinity the maximum."""
    steepness: Annotated[float, Meta(ge=1e-6, le=1e4)] = 10.0
    """a of noisy-and (Kraus 2016)."""
    ends: Annotated[int, Meta(ge=1, le=100_000)] = 25
    """Highest and lowest tile scores that top-bottom sees (Saillard 2020)."""
    hidden_units: Count = 64
    """Units of the hidden layer of top-bottom and of gated attention."""
    second_hidden_units: CountOrZero = 0
    """Units of a second hidden layer of top-bottom; 0 has none, CHOWDER has 100 behind 200."""


class LossSettings(Stage, frozen=True):
    """What is minimized, and over whom."""

    name: LossName = "cutoff"
    """"cutoff": Eq. 3 and 4; "cross-entropy": the same with t = 1/2; both train on distinct outcomes.
    "cox": partial likelihood of everybody's follow-up, Efron's ties."""
    cutoff: Probability = 0.4457
    """t of Eq. 3: inside the loss, and the locked cut-off of the model. With cross-entropy the cut-off
    is 1/2, with Cox the median risk of the training patients."""
    patients_per_step: CountOrZero = 0
    """Patients whose loss makes one step; 0 is one, as in the paper, and all of them for Cox."""
    l2: Annotated[float, Meta(ge=0)] = 0.02
    """alpha of Eq. 4, times the sum of squares (no 1/2)."""
    l2_on: PenaltyOn = "kernels"
    """Convolution and linear kernels, or every parameter."""
    l2_form: PenaltyForm = "sum"
    """"sum": alpha times the sum of squares is added to the loss, Eq. 4 as printed; "mean": times their
    mean; "decoupled": each step also shrinks the weights by 2 alpha times the learning rate, past Adam's
    scaling (Loshchilov and Hutter 2019)."""
    good_months: Positive = 48.0
    """Good outcome: followed at least this long without the event."""
    poor_months: Positive = 19.2
    """Poor outcome: the event before this (1.6 years, exclusive)."""

    def contradictions(self) -> Iterator[str]:
        """Yield outcomes that overlap, and a step that Cox's likelihood cannot take."""
        yield from rising(self, "poor_months", "good_months")
        if self.name == "cox" and self.patients_per_step == 1:
            yield "expected 0 (all) or at least 2 patients_per_step for Cox, found 1"


class OptimizerSettings(Stage, frozen=True):
    """How it is minimized."""

    learning_rate: Positive = 1e-4
    head_rate: Positive = 1.0
    """Factor on the learning rate of the last layer, which always starts at random."""
    halve_every: Count = 10
    """Epochs after which the learning rate halves."""
    epochs: Count = 30
    """Passes over the training bags; the paper does not say how many."""
    tiles_per_bag: CountOrZero = 0
    """Tiles drawn a bag and epoch; 0 takes all, as the paper does."""
    chunk_size: Count = 16
    """Tiles held in memory with their graph: bounds memory, changes no gradient."""
    standardize: bool = True
    """Standardize the last layer's input by fixed statistics of the training tiles."""
    settle_offset: bool = True
    """After the last epoch, shift all tile scores by the one number that minimizes the loss over the
    training bags: steps of one bag leave that offset, and so the cut-off, to the last few bags."""


class AugmentationSettings(Stage, frozen=True):
    """What is varied, drawn once a bag and epoch."""

    flips: bool = True
    """Flips and quarter turns."""
    stain: bool = False
    """Scale, shift and turn the stains of each tile (`jecur.stain.augmentation`). For normalized tiles;
    the paper does not do it."""


class TrainingSettings(Stage, frozen=True):
    """Multiple-instance learning of the prognosis. The defaults are the preset ``paper-literal``."""

    preset: Preset = "paper-literal"
    """Where the settings that a study file leaves out come from, see `PRESETS`."""
    encoder: EncoderSettings = EncoderSettings()
    pooling: PoolingSettings = PoolingSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    seed: Seed = 0

    def contradictions(self) -> Iterator[str]:
        """Yield tiles that are to inherit a label that the loss does not have."""
        if self.pooling.method == "tile-labels" and self.loss.name == "cox":
            yield 'expected a loss with labels for pooling.method = "tile-labels", found "cox"'

    @classmethod
    def from_flat(cls, **settings: object) -> "TrainingSettings":
        """Make settings from one flat table, as study files before 0.2 had it: see `nested`.

        Raises
        ------
        SettingsError
            As for every stage.
        """
        return make_settings(nested(settings), cls, "training")

    def with_changes(self, **settings: object) -> "TrainingSettings":
        """Return these settings with some changed, named as in a flat table: see `nested`."""
        plain = msgspec.to_builtins(self)
        for name, value in nested(settings).items():
            plain[name] = {**plain[name], **value} if isinstance(value, dict) else value
        return make_settings(plain, TrainingSettings, "training")

    @property
    def n_channels(self) -> int:
        """Channels of a tile that the encoder sees."""
        return 4 if self.encoder.channels == "rgb+nuclei" else 3


_PLACES = {
    "encoder": ("encoder", "architecture"),
    "start": ("encoder", "start"),
    "channels": ("encoder", "channels"),
    "encoder_learns": ("encoder", "trained"),
    "frozen_blocks": ("encoder", "frozen_blocks"),
    "batch_norm": ("encoder", "batch_norm"),
    "features_hidden": ("encoder", "hidden_units"),
    "precision": ("encoder", "precision"),
    "pooling": ("pooling", "method"),
    "pooling_exponent": ("pooling", "exponent"),
    "pooling_reduction": ("pooling", "reduction"),
    "pooling_sharpness": ("pooling", "sharpness"),
    "pooling_steepness": ("pooling", "steepness"),
    "pooling_ends": ("pooling", "ends"),
    "pooling_hidden": ("pooling", "hidden_units"),
    "loss": ("loss", "name"),
    "cutoff": ("loss", "cutoff"),
    "patients_per_step": ("loss", "patients_per_step"),
    "l2": ("loss", "l2"),
    "l2_on": ("loss", "l2_on"),
    "l2_form": ("loss", "l2_form"),
    "good_months": ("loss", "good_months"),
    "poor_months": ("loss", "poor_months"),
    "learning_rate": ("optimizer", "learning_rate"),
    "head_rate": ("optimizer", "head_rate"),
    "halve_every": ("optimizer", "halve_every"),
    "epochs": ("optimizer", "epochs"),
    "tiles_per_bag": ("optimizer", "tiles_per_bag"),
    "chunk_size": ("optimizer", "chunk_size"),
    "standardize": ("optimizer", "standardize"),
    "settle_offset": ("optimizer", "settle_offset"),
    "augment": ("augmentation", "flips"),
    "augment_stain": ("augmentation", "stain"),
}
"""Where the settings of a flat table are now."""


def nested(training: Mapping[str, Any]) -> dict[str, Any]:
    """Put the settings of a flat table where they belong.

    What is nested already, and every name that is not known, stays as it is. A setting that is
    given flat and nested keeps its nested value.
    """
    flat = {k: v for k, v in training.items() if k in _PLACES and not isinstance(v, Mapping)}
    found: dict[str, Any] = {k: v for k, v in training.items() if k not in flat}
    for name, value in flat.items():
        group, field = _PLACES[name]
        inner = found.get(group, {})
        found[group] = {field: value, **inner} if isinstance(inner, Mapping) else inner
    return found


PRESETS: dict[str, dict[str, dict[str, object]]] = {
    "paper": {
        "encoder": {"frozen_blocks": 5},
        "optimizer": {"epochs": 8, "halve_every": 4},
    },
    "paper-literal": {},
    "jecur": {
        "encoder": {"trained": False},
        "pooling": {"method": "mean"},
        "loss": {"name": "cox", "l2": 0.5},
        "optimizer": {"learning_rate": 2e-3, "epochs": 100, "halve_every": 1000},
    },
    "chowder": {
        "encoder": {"trained": False},
        "pooling": {
            "method": "top-bottom",
            "ends": 25,
            "hidden_units": 200,
            "second_hidden_units": 100,
        },
        "loss": {"name": "cox", "patients_per_step": 10},
        "optimizer": {"learning_rate": 1e-3, "halve_every": 1000},
    },
    "coudray": {"pooling": {"method": "tile-labels"}, "loss": {"name": "cross-entropy"}},
    "scnn": {
        "pooling": {"method": "mean"},
        "loss": {"name": "cox", "patients_per_step": 14},
        "optimizer": {"learning_rate": 1e-3, "epochs": 100, "tiles_per_bag": 1},
        "augmentation": {"stain": True},
    },
}
"""What a preset sets otherwise than the defaults. ``paper-literal`` is the paper's recipe as printed, with
what it leaves open filled in; ``paper`` is the reading that learns on virtual cohorts, chosen on one and
shown on others; ``jecur`` was chosen by cross-validation inside the training patients of such cohorts: see
benchmarks/results/mil.md. The last three follow what others published (docs/rivals.md), tuned on nothing."""


def preset_training(preset: Preset, *, seed: int = 0) -> TrainingSettings:
    """Make the settings of a preset, nothing set otherwise."""
    return make_settings({"preset": preset, "seed": seed, **PRESETS[preset]}, TrainingSettings)


EVIDENT_PRESET: Preset = "jecur"
"""The preset that evidence supports, of a study that says nothing of training: on virtual cohorts it ranks
unseen patients better than ``paper`` in a fraction of the time; on real patients nothing is known."""


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
