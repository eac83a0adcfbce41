"""Discrimination and time-dependent AUC as tables; none computed here."""

from typing import Literal

from jecur.report.tables.survival import (
    COUNTS,
    REASON,
    estimate_and_limits,
    estimate_columns,
    percent,
)
from jecur.report.tables.table import Column, Table
from jecur.statistics.results import AucCurve, StudyStatistics

__all__ = [
    "auc_by_horizon_table",
    "auc_difference_table",
    "auc_table",
    "concordance_table",
    "discrimination_table",
]


def discrimination_table(statistics: StudyStatistics) -> Table:
    """Concordance and hazard ratios of the risk, with how each was computed."""
    columns = (
        Column("statistic", "Statistic", "text"),
        *estimate_columns("estimate", f"Estimate ({percent(statistics)} CI)", "score"),
        Column("p", "p", "p"),
        Column("method", "Method", "text"),
        REASON,
    )
    named = [
        ("Harrell’s C, continuous risk", statistics.concordance),
        ("Uno’s C, continuous risk", statistics.concordance_uno),
        ("Harrell’s C, high or low", statistics.concordance_groups),
        ("Harrell’s C, bootstrap", statistics.concordance_bootstrap),
        ("Hazard ratio, high versus low risk", statistics.hazard_ratio),
        ("Hazard ratio per SD of risk", statistics.hazard_ratio_per_sd),
    ]
    body = tuple(
        (label, *estimate_and_limits(value), value.p, value.method, value.reason)
        for label, value in named
        if value is not None
    )
    note = "C: 0.5 is no discrimination, 1 perfect ranking."
    return Table("discrimination", "Discrimination", columns, body, note)


def auc_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Time-dependent AUC of every marker at every horizon."""
    columns = (
        Column("marker", "Marker", "text"),
        Column("months", "Months", "count"),
        *estimate_columns("auc", f"AUC ({100 * level:g} % CI)", "score"),
        Column("n_cases", "Cases", "count"),
        Column("n_controls", "Controls", "count"),
        Column("n_at_risk", "At risk", "count"),
        Column("n_missing", "Missing", "count"),
        REASON,
    )
    body = tuple(
        (
            curve.label,
            point.months,
            point.estimate,
            point.lower,
            point.upper,
            point.n_cases,
            point.n_controls,
            point.n_at_risk,
            curve.n_missing,
            point.reason,
        )
        for curve in curves
        for point in curve.points
    )
    return Table("auc", "Time-dependent AUC", columns, body)


def auc_by_horizon_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Show AUC by marker and horizon, with the first marker's counts in the headings."""
    columns: list[Column] = [Column("marker", "Marker", "text")]
    for point in curves[0].points:
        heading = f"{point.months:g} months: {point.n_cases}/{point.n_controls}"
        columns += estimate_columns(f"auc_{point.months:g}", heading, "number")
    columns.append(REASON)
    body = tuple(
        (
            curve.label,
            *(v for p in curve.points for v in (p.estimate, p.lower, p.upper)),
            "; ".join(dict.fromkeys(p.reason for p in curve.points if p.reason)),
        )
        for curve in curves
    )
    kind = ", competing risks" if "competing" in curves[0].method else ""
    caption = f"Time-dependent AUC{kind} ({100 * level:g} % CI)"
    note = (
        f"Above each column: cases/controls of {curves[0].label}. A factor with missing values has fewer; "
        "its own counts are in auc.csv."
    )
    return Table("auc_by_horizon", caption, tuple(columns), body, note)


def auc_difference_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Continuous risk less each other marker at the landmark, on the same patients."""
    columns = (
        Column("marker", "Risk minus", "text"),
        *COUNTS,
        *estimate_columns("difference", f"Difference in AUC ({100 * level:g} % CI)", "score"),
        Column("p", "p", "p"),
        REASON,
    )
    body = tuple(
        (
            c.label,
            c.difference.n,
            c.difference.events,
            *estimate_and_limits(c.difference),
            c.difference.p,
            c.difference.reason,
        )
        for c in curves[1:]
    )
    months = f"{curves[0].landmark.months:g}" if curves else ""
    return Table(
        "auc_difference",
        f"Difference in AUC between the risk and each factor, {months} months",
        columns,
        body,
    )


def concordance_table(
    statistics: StudyStatistics, weight: Literal["harrell", "uno"] = "harrell"
) -> Table:
    """Concordance of the risk and of every clinical factor, and how far the risk is ahead."""
    ci = f"({percent(statistics)} CI)"
    harrell = weight == "harrell"
    columns = (
        Column("marker", "Marker", "text"),
        *COUNTS,
        Column("n_missing", "Missing", "count"),
        *estimate_columns(weight, f"{weight.capitalize()}’s C {ci}", "score"),
        *estimate_columns("difference", f"Risk minus marker {ci}", "score"),
        Column("p", "p", "p"),
        REASON,
    )
    body = []
    for row in statistics.concordances:
        value = row.harrell if harrell else row.uno
        ahead = row.difference if harrell else row.difference_uno
        # the risk is not ahead of itself: a dash, and no reason
        reason = value.reason or (None if row.marker == "risk" else ahead.reason)
        counts = value.n, value.events, row.n_missing
        body.append(
            (
                row.label,
                *counts,
                *estimate_and_limits(value),
                *estimate_and_limits(ahead),
                ahead.p,
                reason,
            )
        )
    note = (
        "Differences in the same patients, paired. A clinical factor is the linear predictor of its "
        "own Cox model on these patients, which flatters it a little. Uno’s C is in concordance_uno.csv."
    )
    name = "concordance" if harrell else "concordance_uno"
    return Table(name, "Concordance of the risk and of each factor", columns, tuple(body), note)
