"""Settings: one frozen structure a stage, strict TOML in and out.

A name that does not exist, a value of the wrong type or out of range is refused with the
place in the file named. Every number that can change a result is here, with its unit.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from jecur.errors import SettingsError

__all__ = [
    "CohortSettings",
    "ColumnSettings",
    "Covariate",
    "EndpointSettings",
    "NucleiSettings",
    "QualitySettings",
    "ScoringSettings",
    "StainSettings",
    "StatisticsSettings",
    "StudySettings",
    "TilingSettings",
    "TissueSettings",
    "TrainingSettings",
    "read_study",
]

Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Probability = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every stage's settings."""


class TissueSettings(Stage):
    """Where tissue is, on an overview of the slide."""

    overview_um_per_px: Positive = 8.0
    """Scale of the overview, micrometers per pixel."""
    min_area_mm2: Annotated[float, Meta(ge=0)] = 0.01
    """Specks smaller than this are glass."""


class TilingSettings(Stage):
    """Square fields over the tissue. The paper: 512 px at 0.25 um/px, resized to 224 px."""

    side_um: Positive = 128.0
    """Side of a tile, micrometers."""
    output_px: Count = 224
    """Side of a tile given to the networks, pixels."""
    min_tissue_fraction: Fraction = 0.5
    """Tiles with less tissue are not made."""
    overlap_um: Annotated[float, Meta(ge=0)] = 0.0
    """Overlap of neighbors, micrometers."""
    max_tiles: CountOrZero = 0
    """At most this many tiles a slide, drawn with ``seed``; 0 keeps all."""
    seed: int = 0
    """Seed of the draw."""
    batch_size: Count = 32
    """Tiles read at a time."""


class QualitySettings(Stage):
    """What is not worth scoring."""

    max_corrupt_fraction: Fraction = 0.01
    """A slide that loses more of its tiles than this to read errors fails."""
    min_tiles: Count = 1
    """A slide with fewer tiles fails."""


class StainSettings(Stage):
    """Color normalization."""

    method: Literal["vahadane", "macenko", "reinhard", "none"] = "vahadane"
    """The paper's ref. 21 by default."""
    sparsity: Annotated[float, Meta(ge=0)] = 0.02
    """Weight of the L1 penalty on concentrations; 0.02 is the authors' own."""
    n_pixels: Count = 200_000
    """Tissue pixels sampled over the slide to fit its stains."""
    percentile: Annotated[float, Meta(gt=50, le=100)] = 99.0
    """Concentration percentile that is matched to the reference."""
    seed: int = 0
    """Seed of the sample."""
    on_refusal: Literal["fail", "reference"] = "fail"
    """A slide whose stains cannot be fitted: fail it, or use the reference's stains and flag it."""


class NucleiSettings(Stage):
    """The fourth channel."""

    model: str = "builtin"
    """"builtin", or the path of an ONNX file that keeps the same contract."""
    batch_size: Count = 16
    """Tiles a call."""
