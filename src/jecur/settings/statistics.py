"""Settings of the statistics."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from jecur.settings.base import CountOrZero, Positive, Probability, Seed, Stage

__all__ = ["ScoreSettings", "StatisticsSettings"]


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
    n_optimism: CountOrZero = 0
    """Bootstrap replicates that correct the clinical models with and without the score for having been
    fitted to the patients they are compared in; 0 leaves the correction out, and the report says so."""
    seed: Seed = 0
    """Seed of both bootstraps."""

    def contradictions(self) -> Iterator[str]:
        """Yield horizons out of order, and a level that rounding makes 1."""
        if 0.5 + self.level / 2 >= 1:
            yield f"expected level below 1 by more than rounding, found {self.level!r}"
        if list(self.horizons_months) != sorted(set(self.horizons_months)):
            yield f"expected horizons_months to rise, found {list(self.horizons_months)}"


class ScoreSettings(Stage, frozen=True):
    """Which column of a table of scores is meant, and what it means. Nothing is chosen by outcome."""

    patient: str = "patient_id"
    """Column of patient identifiers, the same texts as in the clinical table."""
    column: str = "risk"
    """Column of the score: numbers, or two texts that name the groups."""
    higher: Literal["", "worse", "better"] = ""
    """Whether a higher number means an earlier event. Needed for every column of numbers but
    ``risk``, in which higher is worse by definition."""
    high_value: str = ""
    """Text that means high risk, where the column holds two texts."""
    cutoff: float | None = None
    """High risk lies beyond it, on the side of an earlier event; fixed before these patients were
    seen. Without one, two values are two groups and more are cut at their median."""
    probability: bool | None = None
    """The score is the probability of the event by the landmark; calibration, Brier score and
    decision curve need one. If not said, so for ``risk`` alone."""
    label: str = ""
    """Name in tables and figures; the column's if empty."""
    missing_values: tuple[str, ...] = ("", "NA")
    """Texts that mean there is no score."""
