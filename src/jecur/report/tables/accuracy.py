"""Discrimination and time-dependent AUC as tables; none computed here."""

from collections.abc import Callable
from typing import Literal

from jecur.report.tables.survival import count_columns, estimate_columns, percent, reason_column
from jecur.report.tables.table import Column, Table
from jecur.statistics.results import AucCurve, AucPoint, MarkerConcordance, StudyStatistics
from jecur.survival.estimate import Reported

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
        Column("statistic", "Statistic", "text", lambda row: row[0]),
        *estimate_columns(
            "estimate", f"Estimate ({percent(statistics)} CI)", "score", lambda row: row[1]
        ),
        Column("p", "p", "p", lambda row: row[1].p),
        Column("method", "Method", "text", lambda row: row[1].method),
        reason_column(lambda row: row[1].reason),
    )
    named = (
        ("Harrell’s C, continuous risk", statistics.concordance),
        ("Uno’s C, continuous risk", statistics.concordance_uno),
        ("Harrell’s C, high or low", statistics.concordance_groups),
        ("Harrell’s C, bootstrap", statistics.concordance_bootstrap),
        ("Hazard ratio, high versus low risk", statistics.hazard_ratio),
        ("Hazard ratio per SD of risk", statistics.hazard_ratio_per_sd),
    )
    rows = [row for row in named if row[1] is not None]
    note = "C: 0.5 is no discrimination, 1 perfect ranking."
    return Table.of("discrimination", "Discrimination", columns, rows, note)


def auc_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Time-dependent AUC of every marker at every horizon."""
    columns = (
        Column("marker", "Marker", "text", lambda row: row[0].label),
        Column("months", "Months", "count", lambda row: row[1].months),
        *estimate_columns("auc", f"AUC ({100 * level:g} % CI)", "score", lambda row: row[1]),
        Column("n_cases", "Cases", "count", lambda row: row[1].n_cases),
        Column("n_controls", "Controls", "count", lambda row: row[1].n_controls),
        Column("n_at_risk", "At risk", "count", lambda row: row[1].n_at_risk),
        Column("n_missing", "Missing", "count", lambda row: row[0].n_missing),
        reason_column(lambda row: row[1].reason),
    )
    rows = [(curve, point) for curve in curves for point in curve.points]
    return Table.of("auc", "Time-dependent AUC", columns, rows)


def auc_by_horizon_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Show AUC by marker and horizon, with the first marker's counts in the headings."""

    def at(i: int) -> Callable[[AucCurve], AucPoint]:
        return lambda curve: curve.points[i]

    columns = [Column("marker", "Marker", "text", lambda curve: curve.label)]
    for i, point in enumerate(curves[0].points):
        heading = f"{point.months:g} months: {point.n_cases}/{point.n_controls}"
        columns += estimate_columns(f"auc_{point.months:g}", heading, "number", at(i))
    columns.append(
        reason_column(
            lambda curve: "; ".join(dict.fromkeys(p.reason for p in curve.points if p.reason))
        )
    )
    kind = ", competing risks" if "competing" in curves[0].method else ""
    caption = f"Time-dependent AUC{kind} ({100 * level:g} % CI)"
    note = (
        f"Above each column: cases/controls of {curves[0].label}. A factor with missing values has fewer; "
        "its own counts are in auc.csv."
    )
    return Table.of("auc_by_horizon", caption, columns, curves, note)


def auc_difference_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Continuous risk less each other marker at the landmark, on the same patients."""
    columns = (
        Column("marker", "Risk minus", "text", lambda c: c.label),
        *count_columns(lambda c: c.difference),
        *estimate_columns(
            "difference",
            f"Difference in AUC ({100 * level:g} % CI)",
            "score",
            lambda c: c.difference,
        ),
        Column("p", "p", "p", lambda c: c.difference.p),
        reason_column(lambda c: c.difference.reason),
    )
    months = f"{curves[0].landmark.months:g}" if curves else ""
    caption = f"Difference in AUC between the risk and each factor, {months} months"
    return Table.of("auc_difference", caption, columns, curves[1:])


def concordance_table(
    statistics: StudyStatistics, weight: Literal["harrell", "uno"] = "harrell"
) -> Table:
    """Concordance of the risk and of every clinical factor, and how far the risk is ahead."""
    ci = f"({percent(statistics)} CI)"
    harrell = weight == "harrell"

    def own(row: MarkerConcordance) -> Reported:
        return row.harrell if harrell else row.uno

    def ahead(row: MarkerConcordance) -> Reported:
        return row.difference if harrell else row.difference_uno

    def reason(row: MarkerConcordance) -> str | None:
        # the risk is not ahead of itself: a dash, and no reason
        return own(row).reason or (None if row.marker == "risk" else ahead(row).reason)

    columns = (
        Column("marker", "Marker", "text", lambda row: row.label),
        *count_columns(own),
        Column("n_missing", "Missing", "count", lambda row: row.n_missing),
        *estimate_columns(weight, f"{weight.capitalize()}’s C {ci}", "score", own),
        *estimate_columns("difference", f"Risk minus marker {ci}", "score", ahead),
        Column("p", "p", "p", lambda row: ahead(row).p),
        reason_column(reason),
    )
    note = (
        "Differences in the same patients, paired. A clinical factor is the linear predictor of its "
        "own Cox model on these patients, which flatters it a little. Uno’s C is in concordance_uno.csv."
    )
    name = "concordance" if harrell else "concordance_uno"
    caption = "Concordance of the risk and of each factor"
    return Table.of(name, caption, columns, statistics.concordances, note)
