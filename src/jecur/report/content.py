"""What a report is made of: plain values that the study hands over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from jecur.arrays import BoolVector, Vector
from jecur.errors import JecurError
from jecur.report.methods import LIMITS, Paragraph
from jecur.report.tables.table import Table
from jecur.settings import StudySettings
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.results import StudyStatistics
from jecur.statistics.reviewers import ClosedReview
from jecur.statistics.tile_features import TileFeatures

__all__ = [
    "FlowStep",
    "HeatmapPicture",
    "PlantedFeature",
    "PlantedTruth",
    "Reason",
    "ReportContent",
    "RiskValues",
    "SlideRow",
    "TilePicture",
    "check_flow",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why patients left, and how many."""

    text: str
    n: int


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One box of the patient flow: who was there, and who left on the way to the next box."""

    label: str
    n: int
    left: tuple[Reason, ...] = ()
    outcomes: tuple[Reason, ...] = ()
    """What became of those analyzed: events, competing events, free of both."""


@dataclass(frozen=True, slots=True)
class SlideRow:
    """What became of one slide."""

    slide: str
    patient: str
    status: Literal["ok", "flagged", "failed"]
    code: str = ""
    reason: str = ""
    n_tiles: int = 0


@dataclass(frozen=True, slots=True)
class HeatmapPicture:
    """One slide: its thumbnail and the same with tile scores on it, as PNG or JPEG bytes."""

    patient: str
    slide: str
    thumbnail_png: bytes
    heatmap_png: bytes
    risk: float
    group: Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class TilePicture:
    """One of the most predictive tiles, as PNG or JPEG bytes."""

    png: bytes
    patient: str
    score: float
    end: Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class RiskValues:
    """Risks of the patients in the statistics."""

    risk: Vector
    """(n,) higher means earlier event."""
    event: BoolVector
    """(n,)"""
    cutoff: float | None
    """None where there is none to draw."""
    label: str = "Risk"
    """Of the axis."""


@dataclass(frozen=True, slots=True)
class PlantedFeature:
    """One feature of virtual tissue: the effect it was given, and what the risk knows of it."""

    name: str
    log_hazard_per_sd: float
    """Planted log hazard ratio per standard deviation of the feature; 0 in a control."""
    correlation: float | None
    """Spearman's rank correlation of the feature with the risk; None where one of them is constant."""


@dataclass(frozen=True, slots=True)
class PlantedTruth:
    """What was built into a virtual cohort, beside what was found."""

    oracle_concordance: float
    """Harrell's C of the true risk that made the follow-up times."""
    achieved_concordance: float
    """Harrell's C of the classifier on the same patients."""
    features: tuple[PlantedFeature, ...] = ()
    """Measured on the same patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything one report shows.

    Parameters
    ----------
    title
        Name of the study.
    kicker
        Printed above it: what kind of report this is.
    created
        Date, as text.
    endpoint_name, endpoint_definition
        The endpoint's kind and the sentence that defines it.
    flow
        From the clinical table to the patients analyzed; must add up, see `check_flow`.
    statistics
        Of one model's risks, or of those of a cross-validation. None if there are none;
        ``no_statistics_reason`` then says why.
    settings
        The study's settings; the methods are written from them.
    methods
        In place of those, where the study made no model.
    limits
        Sentences to keep in mind.
    cutoff_locked
        The cut-off was fixed before these patients were seen.
    features
        Of tiles with high and low scores.
    review
        A closed blinded review of the most predictive tiles.
    statements
        Sentences printed under the verdict.
    facts
        How the run was made: heading -> name -> value (versions, seeds, hashes).
    baseline
        Baseline characteristics, see `jecur.report.tables.baseline.baseline_table`.
    risks
        For the distribution of risks beside the cut-off.
    slides
        Every slide of the study.
    model_card
        Nested mappings of what is known of the model.
    training_curve
        (step, loss) in order.
    banner
        Printed on top: that a cohort is virtual, or that labels were shuffled.
    truth
        For virtual cohorts alone.
    """

    title: str
    created: str
    endpoint_name: str
    endpoint_definition: str
    flow: tuple[FlowStep, ...] = ()
    statistics: StudyStatistics | HeldOutStatistics | None = None
    no_statistics_reason: str = ""
    settings: StudySettings | None = None
    methods: tuple[Paragraph, ...] = ()
    limits: tuple[str, ...] = LIMITS
    cutoff_locked: bool = True
    features: TileFeatures | None = None
    review: ClosedReview | None = None
    statements: tuple[str, ...] = ()
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    baseline: Table | None = None
    risks: RiskValues | None = None
    slides: tuple[SlideRow, ...] = ()
    heatmaps: tuple[HeatmapPicture, ...] = ()
    tiles: tuple[TilePicture, ...] = ()
    model_card: Mapping[str, Any] = field(default_factory=dict)
    training_curve: tuple[tuple[float, float], ...] = ()
    training_unit: str = "Epoch"
    heatmap_legend: str = ""
    """What the colors of the heat maps mean."""
    banner: str = ""
    kicker: str = "Histology risk study"
    truth: PlantedTruth | None = None

    @property
    def of_one_model(self) -> StudyStatistics | None:
        """Statistics of risks on one scale; None where there are none, or several models."""
        return self.statistics if isinstance(self.statistics, StudyStatistics) else None


def check_flow(steps: Sequence[FlowStep], n_analyzed: int | None) -> None:
    """Check that nobody appears or vanishes between two boxes of the patient flow.

    Parameters
    ----------
    steps
        Each box holds the patients of the one before it, less those who left.
    n_analyzed
        Patients in the statistics; must be those in the last box. None if there are none.

    Raises
    ------
    JecurError
        With code ``flow-mismatch`` and both counts.
    """
    for before, after in pairwise(steps):
        expected = before.n - sum(reason.n for reason in before.left)
        if after.n != expected:
            raise JecurError(
                f"expected {expected} patients in {after.label!r} ({before.n} in {before.label!r} "
                f"less those who left), found {after.n}; count every reason once",
                code="flow-mismatch",
            )
    if steps and steps[-1].left:
        raise JecurError(
            f"expected nobody to leave the last box {steps[-1].label!r}, found reasons; "
            "add the box of those who stayed",
            code="flow-mismatch",
        )
    if steps and n_analyzed is not None and steps[-1].n != n_analyzed:
        raise JecurError(
            f"expected the {n_analyzed} patients of the statistics in the last box "
            f"{steps[-1].label!r}, found {steps[-1].n}; end the flow with those analyzed",
            code="flow-mismatch",
        )
