"""Settings: one frozen structure a stage, strict TOML in and out.

A name that does not exist, a value of the wrong type or out of range is refused with the
place in the file named. Every number that can change a result is here, with its unit.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

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
    "SimulationSettings",
    "StainSettings",
    "StatisticsSettings",
    "StudySettings",
    "TilingSettings",
    "TissueSettings",
    "TrainingSettings",
    "read_study",
    "write_study",
]

Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Probability = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every stage's settings."""


class TissueSettings(Stage, frozen=True):
    """Where tissue is, on an overview of the slide."""

    overview_um_per_px: Positive = 8.0
    """Scale of the overview, micrometers per pixel."""
    min_area_mm2: Annotated[float, Meta(ge=0)] = 0.01
    """Specks smaller than this are glass."""
    min_magenta: Annotated[float, Meta(ge=0)] = 0.04
    """Least green absorption above the mean of red and blue, base e, that can be tissue."""
    max_magenta: Positive = 0.08
    """Green excess above which a pixel is tissue whatever the rest of the slide."""
    closing_um: Annotated[float, Meta(ge=0)] = 24.0
    """Gaps up to twice this, micrometers, are closed: fat and sinusoids stay tissue."""
    max_hole_mm2: Annotated[float, Meta(ge=0)] = 0.02
    """Holes up to this area are filled."""
    ink_margin_um: Annotated[float, Meta(ge=0)] = 24.0
    """Strip around pen marks that is left out, micrometers."""


class TilingSettings(Stage, frozen=True):
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


class QualitySettings(Stage, frozen=True):
    """What is not worth scoring."""

    max_corrupt_fraction: Fraction = 0.01
    """A slide that loses more of its tiles than this to read errors fails."""
    min_tiles: Count = 1
    """A slide with fewer tiles fails."""
    min_focus: Annotated[float, Meta(ge=0)] = 30.0
    """Variance of the Laplacian below which a tile is out of focus, at the default tile scale."""
    max_ink_fraction: Fraction = 0.2
    """A tile with more pen or black than this is inked."""
    max_bad_fraction: Fraction = 0.5
    """A slide with more blurred or inked tiles than this is flagged."""


class StainSettings(Stage, frozen=True):
    """Color normalization. Thresholds and the measurements behind them: docs/color.md."""

    method: Literal["vahadane", "macenko", "reinhard", "none"] = "vahadane"
    """The paper's ref. 21 by default."""
    sparsity: Annotated[float, Meta(ge=0)] = 0.02
    """L1 penalty on concentrations when the stains are fitted; the authors' own. StainTools: 0.1."""
    separation_sparsity: Annotated[float, Meta(ge=0)] = 0.02
    """L1 penalty when concentrations are read with fitted stains. StainTools: 0.01."""
    n_pixels: Count = 200_000
    """Tissue pixels sampled over the slide to fit its stains."""
    percentile: Annotated[float, Meta(gt=50, le=100)] = 99.0
    """Concentration percentile that is matched to the reference."""
    seed: int = 0
    """Seed of the sample."""
    on_refusal: Literal["fail", "reference"] = "fail"
    """A slide whose stains cannot be fitted: fail it, or use the reference's stains and flag it."""
    min_optical_density: Positive = 0.15
    """Pixels paler than this (mean over channels, base e) are glass."""
    min_tissue_pixels: Annotated[int, Meta(ge=2)] = 1_000
    """Fewer stained pixels than this: ``too-little-tissue``."""
    max_dark_fraction: Fraction = 0.5
    """More nearly black pixels than this: ``inverted``."""
    max_saturated_fraction: Fraction = 0.25
    """More pixels with a channel at zero than this: ``saturated``."""
    min_color_spread: Fraction = 0.03
    """Second over first singular value of the optical densities; less: ``one-stain-only``."""
    min_concentration: Positive = 0.1
    """Percentile either stain must reach, optical density; less: ``one-stain-only``."""
    min_separation_degrees: Annotated[float, Meta(ge=0, le=90)] = 8.0
    """Angle between the two stains; less: ``collinear-stains``."""
    max_hematoxylin_degrees: Annotated[float, Meta(ge=0, le=90)] = 30.0
    """Angle to Ruifrok's hematoxylin; more: ``not-hematoxylin-eosin``."""
    max_eosin_degrees: Annotated[float, Meta(ge=0, le=90)] = 40.0
    """Angle to Ruifrok's eosin; more: ``not-hematoxylin-eosin``."""


class NucleiSettings(Stage, frozen=True):
    """The fourth channel."""

    model: str = "builtin"
    """"builtin", or the path of an ONNX file that keeps the same contract."""
    batch_size: Count = 16
    """Tiles a call."""


class ColumnSettings(Stage, frozen=True):
    """The user's own column names in the clinical table: one row a patient."""

    patient: str = "patient_id"
    """Patient identifier, read as text: ``007`` stays ``007``."""
    time: str = "time"
    """Follow-up time to the event or to censoring."""
    event: str = "event"
    """Event indicator, coded as `EndpointSettings` declares."""
    role: str = "role"
    """Training, tuning or validation, coded as `CohortSettings.roles` declares."""
    slide: str = "slide"
    """Slide file name or names, separated by ``;``, under `CohortSettings.slide_folder`."""
    site: str = ""
    """Hospital or tissue-source site; empty if unknown."""
    mpp: str = ""
    """Micrometers per pixel that overrides the slide file's; empty if there is no such column."""


EndpointKind = Literal[
    "recurrence-free survival",
    "time to recurrence",
    "overall survival",
    "disease-specific survival",
]


class EndpointSettings(Stage, frozen=True):
    """What the time runs to, and how the table codes it. Nothing is guessed."""

    kind: EndpointKind
    """Recurrence-free survival counts death as an event; time to recurrence censors it."""
    unit: Literal["days", "weeks", "months", "years"]
    """Unit of the time column."""
    event_values: tuple[str, ...]
    """Texts in the event column that mean the event happened."""
    censored_values: tuple[str, ...]
    """Texts in the event column that mean it had not by the end of follow-up."""
    definition: str = ""
    """Printed wherever a number appears; a sentence made from ``kind`` if empty."""


class RoleValues(Stage, frozen=True):
    """Texts in the role column for each role."""

    training: tuple[str, ...] = ("training", "train")
    tuning: tuple[str, ...] = ("tuning",)
    validation: tuple[str, ...] = ("validation", "test", "external validation")


class Covariate(Stage, frozen=True):
    """A clinical factor to set beside the classifier."""

    column: str
    """Column in the clinical table."""
    label: str = ""
    """Name in tables and figures; the column's if empty."""
    kind: Literal["numeric", "categorical"] = "numeric"
    levels: tuple[str, ...] = ()
    """Categorical: the levels in order, the first being the reference. Others are refused."""
    unit: str = ""
    """Numeric: the unit, for axis and table."""
    split_at: float | None = None
    """Numeric: where stratified analyses cut it; the median if not given."""
    missing_values: tuple[str, ...] = ("", "NA")
    """Texts that mean unknown in this column."""


class CohortSettings(Stage, frozen=True):
    """Patients, their follow-up, and the slides they have."""

    endpoint: EndpointSettings
    table: str = "clinical.csv"
    """CSV, TSV or Excel file; relative to the study file."""
    slide_folder: str = "slides"
    """Folder that holds every slide named in the table; relative to the study file."""
    columns: ColumnSettings = ColumnSettings()
    roles: RoleValues = RoleValues()
    covariates: tuple[Covariate, ...] = ()
    missing_values: tuple[str, ...] = ("", "NA")
    """Texts that mean unknown in the time, event and role columns."""


class TrainingSettings(Stage, frozen=True):
    """Multiple-instance learning of the prognosis. The defaults are the preset ``paper``."""

    encoder: str = "mobilenetv2_100"
    """A timm architecture."""
    start: str = "builtin"
    """Starting weights: "builtin" (made here, see its card), "imagenet" (timm, needs a network),
    "random", or the path of a safetensors file."""
    channels: Literal["rgb+nuclei", "rgb"] = "rgb+nuclei"
    pooling_exponent: Positive = 3.0
    """p of the paper's Eq. 2."""
    pooling_reduction: Literal["mean", "sum"] = "mean"
    """Eq. 2 as printed is a sum and grows with the bag; the mean does not."""
    cutoff: Probability = 0.4457
    """t of Eq. 3: inside the loss, and the locked cut-off of the model."""
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
    frozen_blocks: CountOrZero = 0
    """Leading encoder stages kept as they start; 0 trains all of it, as the paper does."""
    tiles_per_bag: CountOrZero = 0
    """Tiles drawn a bag and epoch; 0 takes all, as the paper does."""
    chunk_size: Count = 16
    """Tiles held in memory with their graph: bounds memory, changes no gradient."""
    augment: bool = True
    """Flips and quarter turns, drawn once a bag and epoch."""
    good_months: Positive = 48.0
    """Good outcome: followed at least this long without the event."""
    poor_months: Positive = 19.2
    """Poor outcome: the event before this (1.6 years, exclusive)."""
    seed: int = 0

    @property
    def n_channels(self) -> int:
        """Channels of a tile that the encoder sees."""
        return 4 if self.channels == "rgb+nuclei" else 3


class ScoringSettings(Stage, frozen=True):
    """Score tiles and show what drove the risk."""

    batch_size: Count = 32
    """Tiles a call of the network."""
    n_top_tiles: Count = 24
    """Tiles shown of each end."""
    max_tiles_per_patient: Count = 3
    """At most so many of one patient among them: tiles of one patient are not independent."""
    n_heatmaps: CountOrZero = 8
    """Heat maps in the report; all are written to the run folder."""


class StatisticsSettings(Stage, frozen=True):
    """What is computed from risks, follow-up and covariates, and how."""

    horizons_months: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (
        12.0,
        24.0,
        36.0,
        48.0,
        60.0,
    )
    """Times at which survival and AUC are reported, months, rising."""
    landmark_months: Positive = 36.0
    """The one horizon of calibration and of the headline AUC, months (Fig. 3B: 36, 5B: 72)."""
    interval: Literal["log", "log-log", "plain"] = "log"
    """Kaplan-Meier interval; "log" is R's default, "log-log" is that of lifelines."""
    ties: Literal["efron", "breslow"] = "efron"
    """Tied event times in Cox models."""
    auc_recipe: Literal["score", "timeroc"] = "score"
    """Cases at a horizon t: T <= t (riskRegression::Score) or T < t (timeROC)."""
    multivariable: Literal["significant", "all"] = "significant"
    """Covariates beside the classifier: univariable p < ``alpha`` (the paper), or all."""
    adjust: Literal["holm", "bh", "bonferroni", "none"] = "holm"
    """Correction of pairwise comparisons."""
    level: Probability = 0.95
    """Coverage of every interval."""
    alpha: Probability = 0.05
    """Significance level that picks covariates for the multivariable model."""
    n_calibration_groups: Annotated[int, Meta(ge=2, le=20)] = 5
    """Groups of rising risk compared with observed recurrence."""
    n_bootstrap: CountOrZero = 0
    """Replicates of the bootstrap interval of the concordance; 0 leaves it out."""
    seed: int = 0
    """Seed of the bootstrap."""


class StudySettings(Stage, frozen=True):
    """A whole study: everything ``jecur run`` needs to know."""

    name: str
    """Title of the report."""
    cohort: CohortSettings
    virtual: bool = False
    """The cohort was simulated: the report, the model file and every score of it say so."""
    tissue: TissueSettings = TissueSettings()
    tiling: TilingSettings = TilingSettings()
    quality: QualitySettings = QualitySettings()
    stain: StainSettings = StainSettings()
    nuclei: NucleiSettings = NucleiSettings()
    training: TrainingSettings = TrainingSettings()
    scoring: ScoringSettings = ScoringSettings()
    statistics: StatisticsSettings = StatisticsSettings()


def read_study(path: Path) -> StudySettings:
    """Read a study file.

    Parameters
    ----------
    path
        TOML. Unknown names, wrong types and values out of range are refused.

    Raises
    ------
    SettingsError
        With the place in the file, what was expected and what was found.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"expected a study file at {path.name}, found none that can be read as UTF-8 text; "
            "write one with `jecur init DIR`",
            code="no-study-file",
        ) from error
    try:
        return msgspec.convert(tomllib.loads(text), StudySettings)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path.name}: expected TOML, found: {error}; correct that line"
        ) from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path.name}: {error}; see `jecur init` for every setting") from error


class SimulationSettings(Stage, frozen=True):
    """Virtual cohorts: slides with planted features, follow-up that depends on them."""

    n_training: CountOrZero = 120
    """Patients with the role "training"."""
    n_validation: CountOrZero = 80
    """Patients with the role "validation"."""
    slides_per_patient: Annotated[int, Meta(ge=1, le=8)] = 1
    """Slides of each patient."""
    seed: Annotated[int, Meta(ge=0)] = 0
    """Seed of everything; the number of workers changes nothing."""
    null: bool = False
    """Plant no effect of the tissue: its features leave the hazard alone (covariates stay)."""
    workers: Count = 1
    """Processes that render slides."""
    size_px: Annotated[int, Meta(ge=512, le=32_768)] = 2048
    """Side of a slide, pixels."""
    um_per_px: Annotated[float, Meta(ge=0.2, le=1.5)] = 0.5
    """Scale of a slide; 0.5 is a 20x scan."""
    tissue_fraction: Annotated[float, Meta(ge=0.05, le=0.8)] = 0.45
    """Share of a slide that is tissue."""
    jpeg_quality: Annotated[int, Meta(ge=30, le=100)] = 87
    """Quality of the slides' JPEG tiles."""
    heterogeneity: Annotated[float, Meta(ge=0, le=1)] = 0.3
    """Standard deviation of a feature's local value over a slide where its mean is 1/2."""
    slide_spread: Annotated[float, Meta(ge=0, le=0.5)] = 0.03
    """Standard deviation of a slide's feature around its patient's."""
    n_sites: Annotated[int, Meta(ge=1, le=26)] = 4
    """Laboratories, each with its own stain; they have no effect on the hazard."""
    site_angle_deg: Annotated[float, Meta(ge=0, le=15)] = 4.0
    """Typical turn of a site's stain vectors, degrees."""
    slide_angle_deg: Annotated[float, Meta(ge=0, le=10)] = 1.5
    """Typical further turn of a slide's stain vectors, degrees."""
    site_intensity_sd: Annotated[float, Meta(ge=0, le=0.5)] = 0.12
    """Standard deviation of the log stain intensity between sites."""
    slide_intensity_sd: Annotated[float, Meta(ge=0, le=0.5)] = 0.06
    """The same between slides of a site."""
    log_hazard_per_sd: tuple[float, float, float, float] = (0.6, 0.65, 0.6, -0.6)
    """Log hazard ratio per standard deviation: stroma, atypia, hyperchromasia, immune."""
    clinical_effect: Annotated[float, Meta(ge=0)] = 1.0
    """Factor on the log hazard ratios of the clinical covariates; 0 makes them inert."""
    clinical_correlation: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    """Correlation of clinical severity with the tissue's hazard; taken as 0 where ``null``."""
    median_months: Positive = 40.0
    """Median time to recurrence of the patient at the mean of all factors, months."""
    weibull_shape: Positive = 0.95
    """Shape of the baseline hazard; below 1 it falls with time."""
    follow_up_months: tuple[Positive, Positive] = (48.0, 96.0)
    """Administrative end of follow-up, uniform between these, months."""
    loss_per_month: Annotated[float, Meta(ge=0)] = 0.004
    """Rate of random loss to follow-up."""


def write_study(study: StudySettings) -> str:
    """Every setting of a study as TOML text that `read_study` reads back as the same study."""
    import tomli_w  # noqa: PLC0415 - only runs that write need it

    plain: dict[str, object] = _without_none(msgspec.to_builtins(study))
    return tomli_w.dumps(plain)


def _without_none(value: Any) -> Any:  # noqa: ANN401 - any tree of plain values
    """Leave out what is not set: TOML has no null."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value]
    return value
