"""Sections of probabilities: cumulative incidence, calibration, decision curve."""

from collections.abc import Callable
from functools import partial

import numpy as np

from jecur.report.figures.canvas import COLUMN_INCHES
from jecur.report.figures.incidence import incidence_figure, incidence_panel
from jecur.report.figures.probability import (
    CalibrationPoints,
    calibration_figure,
    decision_figure,
)
from jecur.report.tables.probability import (
    accuracy_summary_table,
    calibration_table,
    decision_curve_table,
    decision_table,
    fine_gray_table,
    incidence_table,
)
from jecur.report.tables.survival import median_table
from jecur.report.views import FigureView, Section
from jecur.report.wording import competing_words, event_words, p_sentence
from jecur.statistics.results import CompetingRisks, GroupStatistics, StudyStatistics, Subgroup
from jecur.survival.competing import CumulativeIncidence

__all__ = [
    "calibration_section",
    "decision_section",
    "fine_gray_section",
    "incidence_curves",
    "incidence_section",
    "subgroup_incidence",
    "view",
]


def view(name: str, draw: Callable[..., str], label: str, caption: str) -> FigureView:
    """Draw a figure for the page, and again for one column of a journal."""
    return FigureView(name, draw(), label, caption, draw(width=COLUMN_INCHES))


def incidence_curves(groups: tuple[GroupStatistics, ...]) -> dict[str, CumulativeIncidence]:
    """Curves by heading; an empty group has none."""
    names = {"high": "High risk", "low": "Low risk"}
    return {names.get(g.name, g.name): g.incidence for g in groups if g.incidence is not None}


def incidence_section(statistics: StudyStatistics, competing: CompetingRisks) -> Section:
    """Cumulative incidence by risk group, in place of Kaplan-Meier curves."""
    event = event_words(statistics.endpoint_name)[0]
    other = competing_words(statistics.endpoint_name)
    gray = _gray(competing)
    curves = incidence_curves(statistics.groups)
    figures: tuple[FigureView, ...] = ()
    if curves:
        draw = partial(
            incidence_figure, curves, outcome=event, competing=other, facts=(f"Gray’s test {gray}",)
        )
        caption = (
            f"Cumulative incidence of {event} (Aalen–Johansen) with pointwise "
            f"{100 * statistics.level:g} % intervals; thin dotted lines: {other}."
        )
        label = f"Cumulative incidence of {event} by risk group. Gray’s test {gray}."
        figures = (view("cumulative_incidence", draw, label, caption),)
    lead = (
        f"{other.capitalize()} competes with {event}: after it, {event} cannot happen. "
        f"{competing.n_competing} of {statistics.n} patients had it. Every probability in this report "
        f"is that of {event} in a world with such deaths; 1 − Kaplan–Meier, which takes them as "
        "censored, is higher and is not shown."
    )
    notes = (
        f"Gray’s test of equal cumulative incidence, high versus low risk: {gray}. Hazard ratios, "
        f"log-rank tests and concordance in this report are cause-specific: they count {other} as "
        "censored.",
    )
    tables = (incidence_table(statistics), median_table(statistics))
    return Section("survival", "Cumulative incidence", lead, figures, (), tables, notes)


def fine_gray_section(statistics: StudyStatistics, competing: CompetingRisks) -> Section | None:
    """Subdistribution beside cause-specific hazard ratios."""
    if not competing.subdistribution:
        return None
    lead = "The same factors with the competing event taken into account: a ratio above 1 means a "
    lead += "higher cumulative incidence."
    return Section("fine_gray", "Fine–Gray regression", lead, tables=(fine_gray_table(statistics),))


def subgroup_incidence(
    label: str, level: Subgroup, facts: tuple[str, ...], name: str, last: float | None
) -> FigureView:
    """Small cumulative incidence curves of one level of a factor."""
    curves = incidence_curves((level.high, level.low))
    svg = incidence_panel(curves, title=label, facts=facts, last_month=last)
    return FigureView(name, svg, f"{label}, {facts[0]}. Cumulative incidence.")


def calibration_section(statistics: StudyStatistics) -> Section:
    """Predicted against observed probability, and how far off it is in numbers."""
    found = statistics.calibration
    summary = accuracy_summary_table(found, statistics.integrated_brier, statistics.level)
    if not found.groups:
        lead = f"Calibration is not estimable: {found.reason or 'no groups'}."
        return Section("calibration", "Calibration", lead, tables=(summary,))
    columns = ("predicted", "observed", "lower", "upper", "n")
    points = CalibrationPoints(
        *(np.array([getattr(g, name) for g in found.groups], dtype=np.float64) for name in columns)
    )
    svg = calibration_figure(points, month=found.months, curve=found.curve, level=statistics.level)
    what = "cumulative incidence" if statistics.competing else "1 − Kaplan–Meier"
    lead = (
        f"Read as the probability of {event_words(statistics.endpoint_name)[0]} by month "
        f"{found.months:g}, does the risk agree with what was observed ({what})? On the dashed line "
        "it does."
    )
    caption = f"Groups with {100 * statistics.level:g} % intervals" + (
        f"; smooth curve with its interval ({found.curve.method})."
        if found.curve is not None
        else f". No smooth curve: {found.curve_reason}."
    )
    label = "Observed against predicted probability; numbers in the table below."
    figure = FigureView("calibration", svg, label, caption)
    tables = (calibration_table(statistics), summary)
    notes = (f"Not estimable: {found.reason}.",) if found.reason else ()
    return Section("calibration", "Calibration", lead, (figure,), (), tables, notes)


def decision_section(statistics: StudyStatistics) -> Section | None:
    """Net benefit of acting on the risk; nothing where it is no probability."""
    if statistics.meaning != "probability":
        return None
    title, found = "Decision curve analysis", statistics.decision
    if found.curve is None:
        return Section("decision", title, f"Not estimable: {found.reason}.")
    event = event_words(statistics.endpoint_name)[0]
    how = "cumulative incidence" if statistics.competing else "Kaplan–Meier"
    lead = (
        f"If patients whose risk of {event} by month {found.months:g} reaches a threshold were "
        "treated, would they gain more than if everybody or nobody were? The threshold says how many "
        "needless treatments one needed treatment is worth."
    )
    label = "the risk" if statistics.label == "Classifier" else statistics.label
    draw = partial(decision_figure, found.curve, label=f"Treat by {label}")
    caption = (
        f"Net benefit with pointwise {100 * found.curve.level:g} % interval; censoring by {how} "
        "among those at or above the threshold."
    )
    figure = view(
        "decision_curve", draw, "Net benefit by threshold; numbers in the table below.", caption
    )
    files = (decision_curve_table(found.curve),)
    tables = (decision_table(found.curve),)
    return Section("decision", title, lead, (figure,), (), tables, files=files)


def _gray(competing: CompetingRisks) -> str:
    test = competing.gray
    return p_sentence(test.p) if test.p is not None else f"not estimable ({test.reason})"
