"""Probabilities as tables: cumulative incidence, calibration, Brier scores and decision curves."""

from typing import Any

import numpy as np

from jecur.report.tables.survival import (
    FACTOR,
    count_columns,
    estimate_columns,
    group_name,
    part_of,
    percent,
    reason_column,
)
from jecur.report.tables.table import Column, Table
from jecur.report.wording import competing_words, event_words
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.probabilities import BrierOverTime, Calibration
from jecur.statistics.results import StudyStatistics, UnivariableRow
from jecur.survival.decision import DecisionCurve
from jecur.survival.estimate import Reported

__all__ = [
    "accuracy_summary_table",
    "calibration_table",
    "decision_curve_table",
    "decision_table",
    "fine_gray_table",
    "incidence_table",
]

SHOWN_ROWS = 10
"""Rows of the page's decision table; the CSV file has every per cent."""


def incidence_table(statistics: StudyStatistics | HeldOutStatistics) -> Table:
    """Cumulative incidence of both events and event-free survival, by group and horizon."""
    event, other = (
        event_words(statistics.endpoint_name)[0],
        competing_words(statistics.endpoint_name),
    )
    columns = (
        Column("group", "Group", "text", lambda row: group_name(row[0]), once=True),
        Column("months", "Month", "count", lambda row: row[1].months),
        Column("incidence", event.capitalize(), "percent", lambda row: row[1].incidence),
        Column("incidence_lower", "", "lower", lambda row: row[1].lower),
        Column("incidence_upper", "", "upper", lambda row: row[1].upper),
        Column("competing", other.capitalize(), "percent", lambda row: row[1].competing),
        Column("competing_lower", "", "lower", lambda row: row[1].competing_lower),
        Column("competing_upper", "", "upper", lambda row: row[1].competing_upper),
        Column("event_free", "Free of both", "percent", lambda row: row[2] and row[2].survival),
        Column("event_free_lower", "", "lower", lambda row: row[2] and row[2].lower),
        Column("event_free_upper", "", "upper", lambda row: row[2] and row[2].upper),
        Column("n_at_risk", "At risk", "count", lambda row: row[1].n_at_risk),
    )
    rows = [
        (group, found, None if found.incidence is None else free)
        for group in (statistics.overall, *statistics.groups)
        for found, free in zip(group.incidence_at, group.survival, strict=True)
    ]
    curve = statistics.overall.incidence
    method = f" {curve.method[:1].upper()}{curve.method[1:]}." if curve else ""
    note = (
        f"Probability by month, {percent(statistics)} intervals; the three add up to 100 %.{method} "
        "– where nobody was followed so long."
    )
    return Table.of("cumulative_incidence", "Cumulative incidence", columns, rows, note)


def fine_gray_table(statistics: StudyStatistics) -> Table:
    """Subdistribution beside cause-specific hazard ratios, one covariate at a time."""
    level = f"{percent(statistics)} CI"
    cox = {(r.covariate, r.contrast): r.hazard_ratio for r in statistics.univariable}

    def beside(row: UnivariableRow) -> Reported | None:
        return cox.get((row.covariate, row.contrast))

    columns = (
        *FACTOR,
        *count_columns(lambda r: r.hazard_ratio),
        *estimate_columns("cause_specific", f"Cox, cause-specific ({level})", "ratio", beside),
        Column("p_cause_specific", "p", "p", part_of("p", beside)),
        *estimate_columns(
            "subdistribution", f"Fine–Gray ({level})", "ratio", lambda r: r.hazard_ratio
        ),
        Column("p_subdistribution", "p", "p", lambda r: r.hazard_ratio.p),
        reason_column(lambda r: r.hazard_ratio.reason or part_of("reason", beside)(r)),
    )
    found = statistics.competing.subdistribution if statistics.competing else ()
    note = (
        "Univariable. Cox: the rate of the event among those still free of both events. "
        "Fine–Gray: the cumulative incidence, on which the competing event acts too."
    )
    return Table.of("fine_gray", "Fine–Gray beside Cox regression", columns, found, note)


def calibration_table(statistics: StudyStatistics) -> Table:
    """Predicted and observed probability of the event in groups of rising risk."""
    calibration = statistics.calibration
    event = event_words(statistics.endpoint_name)[0]
    columns = (
        Column("group", "Group", "count", lambda row: row[0]),
        Column("n", "n", "count", lambda row: row[1].n),
        Column(
            "events",
            f"Events by month {calibration.months:g}",
            "count",
            lambda row: row[1].events,
        ),
        Column(
            "n_at_risk",
            f"At risk at month {calibration.months:g}",
            "count",
            lambda row: row[1].n_at_risk,
        ),
        Column("predicted", "Predicted", "percent", lambda row: row[1].predicted),
        Column(
            "observed",
            f"Observed ({percent(statistics)} CI)",
            "percent",
            lambda row: row[1].observed,
        ),
        Column("observed_lower", "", "lower", lambda row: row[1].lower),
        Column("observed_upper", "", "upper", lambda row: row[1].upper),
    )
    observed = "1 − Kaplan–Meier" if statistics.competing is None else "cumulative incidence"
    note = f"Observed: {observed}, so that censoring is accounted for; – where nobody was followed so long."
    name = f"{event.capitalize()} by month {calibration.months:g}, groups of rising risk"
    return Table.of("calibration", name, columns, enumerate(calibration.groups, 1), note)


def accuracy_summary_table(
    calibration: Calibration, integrated: BrierOverTime, level: float
) -> Table:
    """Slope, intercept, observed/expected, Brier score and integrated Brier score."""
    columns = (
        Column("statistic", "Statistic", "text", lambda row: row[0]),
        *estimate_columns(
            "estimate", f"Estimate ({100 * level:g} % CI)", "score", lambda row: row[1]
        ),
        Column("null", "Average for all", "score", lambda row: row[2]),
        Column("perfect", "Perfect", "count", lambda row: row[3]),
        Column("method", "Method", "text", lambda row: row[1].method),
        reason_column(lambda row: getattr(row[1], "reason", None)),
    )
    month = f"month {calibration.months:g}"
    rows: list[tuple[str, Any, float | None, int]] = []
    if calibration.reason is None or calibration.groups:
        rows = [
            (f"Observed/expected at {month}", calibration.observed_expected, None, 1),
            ("Calibration intercept", calibration.intercept, None, 0),
            ("Calibration slope", calibration.slope, None, 1),
        ]
    brier = calibration.brier
    if brier is not None:
        rows.append((f"Brier score at {month}", brier, brier.null, 0))
    name = f"Integrated Brier score to {month}"
    rows.append((name, integrated.score, integrated.null, 0))
    note = (
        "Slope and intercept are on the scale log(−log(1 − probability)). A slope below 1: risks too "
        "extreme. An intercept above 0, or a ratio above 1: more events than predicted. Average for "
        "all: the Brier score if everybody is given the average probability."
    )
    return Table.of("calibration_summary", "Calibration and overall accuracy", columns, rows, note)


def decision_table(curve: DecisionCurve) -> Table:
    """Net benefit at some ten thresholds, up to the last that anybody reaches."""
    note = (
        "Net benefit per patient: share of true positives, less that of false positives weighed by the "
        "odds of the threshold. Treating nobody: 0. Every per cent is in decision_curve.csv."
    )
    reached = int(np.sum(curve.n_treated > 0))
    step = next((k for k in (1, 2, 5) if reached <= SHOWN_ROWS * k), 10)
    rows = np.arange(step - 1, max(reached, step), step)
    return _decision(curve, rows, "decision", note)


def decision_curve_table(curve: DecisionCurve) -> Table:
    """Net benefit at every per cent, for the CSV file."""
    return _decision(curve, np.arange(curve.thresholds.size), "decision_curve", "")


def _decision(
    curve: DecisionCurve, rows: np.ndarray[tuple[int], np.dtype[np.int64]], name: str, note: str
) -> Table:
    columns = (
        Column("threshold", "Threshold", "percent", lambda k: float(curve.thresholds[k])),
        Column("n_treated", "At or above", "count", lambda k: int(curve.n_treated[k])),
        Column(
            "net_benefit",
            f"Net benefit of the risk ({100 * curve.level:g} % CI)",
            "score",
            lambda k: float(curve.net_benefit[k]),
        ),
        Column("net_benefit_lower", "", "lower", lambda k: float(curve.lower[k])),
        Column("net_benefit_upper", "", "upper", lambda k: float(curve.upper[k])),
        Column("treat_all", "Treat everybody", "score", lambda k: float(curve.treat_all[k])),
        Column("treat_none", "Treat nobody", "score", lambda k: 0.0),  # noqa: ARG005 - by definition
    )
    return Table.of(name, f"Net benefit by month {curve.horizon:g}", columns, rows, note)
