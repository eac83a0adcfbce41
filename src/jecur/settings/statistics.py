"""Settings of the statistics."""

from typing import Annotated, Literal

from msgspec import Meta

from jecur.settings.base import CountOrZero, Positive, Probability, Stage

__all__ = ["StatisticsSettings"]


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
