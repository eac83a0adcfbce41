"""What is reported of probabilities: predicted against observed, and what acting on them gains.

Where the study declares a competing event all of them are those of a world in which it happens.
"""

from dataclasses import dataclass

from jecur.survival.brier import BrierScore
from jecur.survival.calibration import CalibrationCurve, CalibrationGroup
from jecur.survival.decision import DecisionCurve
from jecur.survival.estimate import Reported

__all__ = ["BrierOverTime", "Calibration", "Decision", "HorizonIncidence"]


@dataclass(frozen=True, slots=True)
class HorizonIncidence:
    """Cumulative incidence in a group by one horizon; None where nobody was followed so long."""

    months: float
    incidence: float | None
    lower: float | None
    upper: float | None
    competing: float | None
    """Of the competing event."""
    competing_lower: float | None
    competing_upper: float | None
    n_at_risk: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Risk read as the probability of the event by the landmark."""

    months: float
    groups: tuple[CalibrationGroup, ...]
    brier: BrierScore | None
    slope: Reported
    """Coefficient of log(-log(1 - risk)), not exponentiated; 1 for a perfect model."""
    intercept: Reported
    """On the same scale at slope 1; 0 for a perfect model, above 0 more events than predicted."""
    observed_expected: Reported
    """Observed over mean predicted probability; 1 for a perfect model."""
    curve: CalibrationCurve | None
    """Smooth observed along the predicted probability."""
    curve_reason: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BrierOverTime:
    """Integrated Brier score, 0 to the landmark, of a model of the risk fitted to these patients."""

    months: float
    score: Reported
    null: float | None
    """Of the average probability given to everybody at each time."""
    skill: float | None
    """1 - score / null; above 0 the risk tells more than the average."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Net benefit of treating those whose predicted probability reaches a threshold."""

    months: float
    curve: DecisionCurve | None
    reason: str | None = None
