"""Probabilities as tables: cumulative incidence, calibration, Brier scores and decision curves."""

import numpy as np

from jecur.report.tables.survival import (
    COUNTS,
    FACTOR,
    REASON,
    estimate_and_limits,
    estimate_columns,
    group_name,
    percent,
)
from jecur.report.tables.table import Column, Table, Value
from jecur.report.wording import competing_words, event_words
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.probabilities import BrierOverTime, Calibration
from jecur.statistics.results import StudyStatistics
from jecur.survival.decision import DecisionCurve

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
        Column("group", "Group", "text", once=True),
        Column("months", "Month", "count"),
        *estimate_columns("incidence", event.capitalize(), "percent"),
        *estimate_columns("competing", other.capitalize(), "percent"),
        *estimate_columns("event_free", "Free of both", "percent"),
        Column("n_at_risk", "At risk", "count"),
    )
    rows: list[tuple[Value, ...]] = []
    for group in (statistics.overall, *statistics.groups):
        for found, free in zip(group.incidence_at, group.survival, strict=True):
            known = found.incidence is not None
            rows.append(
                (
                    group_name(group),
                    found.months,
                    found.incidence,
                    found.lower,
                    found.upper,
                    found.competing,
                    found.competing_lower,
                    found.competing_upper,
                    *((free.survival, free.lower, free.upper) if known else (None, None, None)),
                    found.n_at_risk,
                )
            )
    curve = statistics.overall.incidence
    method = f" {curve.method[:1].upper()}{curve.method[1:]}." if curve else ""
    note = (
        f"Probability by month, {percent(statistics)} intervals; the three add up to 100 %.{method} "
        "– where nobody was followed so long."
    )
    return Table("cumulative_incidence", "Cumulative incidence", columns, tuple(rows), note)


def fine_gray_table(statistics: StudyStatistics) -> Table:
    """Subdistribution beside cause-specific hazard ratios, one covariate at a time."""
    level = f"{percent(statistics)} CI"
    columns = (
        *FACTOR,
        *COUNTS,
        *estimate_columns("cause_specific", f"Cox, cause-specific ({level})", "ratio"),
        Column("p_cause_specific", "p", "p"),
        *estimate_columns("subdistribution", f"Fine–Gray ({level})", "ratio"),
        Column("p_subdistribution", "p", "p"),
        REASON,
    )
    cox = {(r.covariate, r.contrast): r.hazard_ratio for r in statistics.univariable}
    found = statistics.competing.subdistribution if statistics.competing else ()
    rows = []
    for row in found:
        ratio, beside = row.hazard_ratio, cox.get((row.covariate, row.contrast))
        rows.append(
            (
                row.label,
                row.contrast,
                ratio.n,
                ratio.events,
                *(estimate_and_limits(beside) if beside else (None, None, None)),
                beside.p if beside else None,
                *estimate_and_limits(ratio),
                ratio.p,
                ratio.reason or (beside.reason if beside else None),
            )
        )
    note = (
        "Univariable. Cox: the rate of the event among those still free of both events. "
        "Fine–Gray: the cumulative incidence, on which the competing event acts too."
    )
    return Table("fine_gray", "Fine–Gray beside Cox regression", columns, tuple(rows), note)


def calibration_table(statistics: StudyStatistics) -> Table:
    """Predicted and observed probability of the event in groups of rising risk."""
    calibration = statistics.calibration
    event = event_words(statistics.endpoint_name)[0]
    columns = (
        Column("group", "Group", "count"),
        Column("n", "n", "count"),
        Column("events", f"Events by month {calibration.months:g}", "count"),
        Column("n_at_risk", f"At risk at month {calibration.months:g}", "count"),
        Column("predicted", "Predicted", "percent"),
        *estimate_columns("observed", f"Observed ({percent(statistics)} CI)", "percent"),
    )
    body = tuple(
        (i, g.n, g.events, g.n_at_risk, g.predicted, g.observed, g.lower, g.upper)
        for i, g in enumerate(calibration.groups, 1)
    )
    observed = "1 − Kaplan–Meier" if statistics.competing is None else "cumulative incidence"
    note = f"Observed: {observed}, so that censoring is accounted for; – where nobody was followed so long."
    name = f"{event.capitalize()} by month {calibration.months:g}, groups of rising risk"
    return Table("calibration", name, columns, body, note)


def accuracy_summary_table(
    calibration: Calibration, integrated: BrierOverTime, level: float
) -> Table:
    """Slope, intercept, observed/expected, Brier score and integrated Brier score."""
    columns = (
        Column("statistic", "Statistic", "text"),
        *estimate_columns("estimate", f"Estimate ({100 * level:g} % CI)", "score"),
        Column("null", "Average for all", "score"),
        Column("perfect", "Perfect", "count"),
        Column("method", "Method", "text"),
        REASON,
    )
    month = f"month {calibration.months:g}"
    rows: list[tuple[Value, ...]] = []
    if calibration.reason is None or calibration.groups:
        for label, value, perfect in (
            (f"Observed/expected at {month}", calibration.observed_expected, 1),
            ("Calibration intercept", calibration.intercept, 0),
            ("Calibration slope", calibration.slope, 1),
        ):
            rows.append(
                (label, *estimate_and_limits(value), None, perfect, value.method, value.reason)
            )
    brier = calibration.brier
    if brier is not None:
        limits = brier.estimate, brier.lower, brier.upper
        rows.append((f"Brier score at {month}", *limits, brier.null, 0, brier.method, None))
    score = integrated.score
    name = f"Integrated Brier score to {month}"
    rows.append((name, *estimate_and_limits(score), integrated.null, 0, score.method, score.reason))
    note = (
        "Slope and intercept are on the scale log(−log(1 − probability)). A slope below 1: risks too "
        "extreme. An intercept above 0, or a ratio above 1: more events than predicted. Average for "
        "all: the Brier score if everybody is given the average probability."
    )
    return Table(
        "calibration_summary", "Calibration and overall accuracy", columns, tuple(rows), note
    )


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
        Column("threshold", "Threshold", "percent"),
        Column("n_treated", "At or above", "count"),
        *estimate_columns(
            "net_benefit", f"Net benefit of the risk ({100 * curve.level:g} % CI)", "score"
        ),
        Column("treat_all", "Treat everybody", "score"),
        Column("treat_none", "Treat nobody", "score"),
    )
    body = tuple(
        (
            float(curve.thresholds[k]),
            int(curve.n_treated[k]),
            float(curve.net_benefit[k]),
            float(curve.lower[k]),
            float(curve.upper[k]),
            float(curve.treat_all[k]),
            0.0,
        )
        for k in rows
    )
    return Table(name, f"Net benefit by month {curve.horizon:g}", columns, body, note)
