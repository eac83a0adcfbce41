"""Survival statistics: estimators that know arrays and DataFrames, no settings and no files.

Every function takes months and whether the event was seen, as lists, arrays or columns of a DataFrame,
gives R's numbers, and refuses what it cannot be asked. Names are imported when they are first used.

    from jecur import survival as sv
    sv.kaplan_meier(table["months"], table["event"]).median()
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jecur.survival.auc import compare_auc, roc_curve, time_dependent_auc
    from jecur.survival.baseline import baseline_hazard
    from jecur.survival.bootstrap import bootstrap_interval
    from jecur.survival.brier import brier_score, integrated_brier_score
    from jecur.survival.calibration import (
        calibration_curve,
        calibration_groups,
        calibration_slope,
        observed_expected,
    )
    from jecur.survival.competing import cumulative_incidence, gray_test
    from jecur.survival.concordance_index import compare_concordance, concordance, uno_concordance
    from jecur.survival.contingency import fisher_exact
    from jecur.survival.cox import fit_cox, likelihood_ratio_test
    from jecur.survival.decision import decision_curve
    from jecur.survival.fine_gray import fit_fine_gray
    from jecur.survival.logrank_test import logrank, pairwise_logrank
    from jecur.survival.multiplicity import adjust_p_values
    from jecur.survival.proportional_hazards import proportional_hazards_test
    from jecur.survival.survival_curve import kaplan_meier, median_follow_up

__all__ = [
    "adjust_p_values",
    "baseline_hazard",
    "bootstrap_interval",
    "brier_score",
    "calibration_curve",
    "calibration_groups",
    "calibration_slope",
    "compare_auc",
    "compare_concordance",
    "concordance",
    "cumulative_incidence",
    "decision_curve",
    "fisher_exact",
    "fit_cox",
    "fit_fine_gray",
    "gray_test",
    "integrated_brier_score",
    "kaplan_meier",
    "likelihood_ratio_test",
    "logrank",
    "median_follow_up",
    "observed_expected",
    "pairwise_logrank",
    "proportional_hazards_test",
    "roc_curve",
    "time_dependent_auc",
    "uno_concordance",
]

_HOMES = {
    "auc": ("compare_auc", "roc_curve", "time_dependent_auc"),
    "baseline": ("baseline_hazard",),
    "bootstrap": ("bootstrap_interval",),
    "brier": ("brier_score", "integrated_brier_score"),
    "calibration": (
        "calibration_curve",
        "calibration_groups",
        "calibration_slope",
        "observed_expected",
    ),
    "competing": ("cumulative_incidence", "gray_test"),
    "concordance_index": ("compare_concordance", "concordance", "uno_concordance"),
    "contingency": ("fisher_exact",),
    "cox": ("fit_cox", "likelihood_ratio_test"),
    "decision": ("decision_curve",),
    "fine_gray": ("fit_fine_gray",),
    "logrank_test": ("logrank", "pairwise_logrank"),
    "multiplicity": ("adjust_p_values",),
    "proportional_hazards": ("proportional_hazards_test",),
    "survival_curve": ("kaplan_meier", "median_follow_up"),
}
"""Module -> what the room offers of it. No module has the name of a function: it would hide it."""


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
