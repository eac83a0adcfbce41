"""Figures of groups and of discrimination that several kinds of report show, and their words."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from jecur.report.evidence_probability import view
from jecur.report.figures.accuracy import AucSeries, auc_figure
from jecur.report.figures.survival import km_figure
from jecur.report.verdict import interval_words
from jecur.report.views import FigureView
from jecur.report.wording import p_sentence
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.results import AucCurve, GroupStatistics, ReportedTest, StudyStatistics
from jecur.survival.survival_curve import KaplanMeier

__all__ = ["auc_views", "curves_of_groups", "short_words", "survival_views", "words_of_test"]

NAN = float("nan")


def survival_views(
    statistics: StudyStatistics | HeldOutStatistics, *, how: str = ""
) -> tuple[FigureView, ...]:
    """Kaplan-Meier curves by risk group; nothing where no group has one.

    Parameters
    ----------
    statistics
        Groups, hazard ratio and log-rank test.
    how
        Further words on ratio and test: ``stratified by fold``.
    """
    curves = curves_of_groups(statistics.groups)
    if not curves:
        return ()
    outcome = statistics.endpoint_name[:1].upper() + statistics.endpoint_name[1:]
    ratio, test = interval_words(statistics.hazard_ratio), words_of_test(statistics.logrank)
    beside = f", {how}" if how else ""
    facts = (f"Hazard ratio {short_words(ratio)}, log-rank {short_words(test)}{beside}",)
    draw = partial(km_figure, curves, outcome=_free_of(statistics.endpoint_name), facts=facts)
    caption = (
        f"Kaplan–Meier curves with pointwise {100 * statistics.level:g} % intervals; upright "
        "ticks mark patients whose follow-up ended."
    )
    label = f"{outcome} by risk group. Hazard ratio {ratio}, log-rank {test}{beside}."
    return (view("kaplan_meier", draw, label, caption),)


def auc_views(
    curves: Sequence[AucCurve], level: float, label: str, or_competing: str
) -> tuple[FigureView, ...]:
    """AUC over time; nothing where no horizon has one."""
    series = [s for s in map(_auc_series, curves) if np.isfinite(s.auc).any()]
    if not series:
        return ()
    caption = (
        "The chance that a patient with the event by then had the higher marker than one "
        f"still free of it{or_competing}; 0.5 (dashed) is no discrimination. Late "
        "horizons rest on few controls."
    )
    return (view("auc", partial(auc_figure, series, level=level), label, caption),)


def curves_of_groups(groups: tuple[GroupStatistics, ...]) -> dict[str, KaplanMeier]:
    """Curves by heading; an empty group has none."""
    names = {"high": "High risk", "low": "Low risk"}
    return {names.get(g.name, g.name): g.curve for g in groups if g.curve is not None}


def words_of_test(test: ReportedTest) -> str:
    """Return "p = 0.012", or the reason why there is no test."""
    return p_sentence(test.p) if test.p is not None else f"not estimable ({test.reason})"


def short_words(words: str) -> str:
    """Shorten: reasons stand below the tables; a figure has room for the fact alone."""
    return "not estimable" if words.startswith("not estimable") else words


def _auc_series(curve: AucCurve) -> AucSeries:
    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        values = (getattr(p, name) for p in curve.points)
        return np.array([NAN if v is None else float(v) for v in values])

    names = ("months", "estimate", "lower", "upper", "n_cases", "n_controls", "n_at_risk")
    return AucSeries(curve.label, *(column(name) for name in names))


def _free_of(endpoint: str) -> str:
    """Name of the vertical axis."""
    survival = {"time to recurrence": "Free of recurrence"}
    return survival.get(endpoint.lower(), endpoint[:1].upper() + endpoint[1:])
