"""The statistics of a study as tables; each number as it was computed, none computed here."""

from jecur.report.tables import Column, Kind, Table, Value
from jecur.survival.study import (
    AucCurve,
    Calibration,
    GroupStatistics,
    HorizonSurvival,
    MultivariableModel,
    Reported,
    StratifiedFactor,
    StudyStatistics,
    UnivariableRow,
)

__all__ = [
    "auc_by_horizon_table",
    "auc_difference_table",
    "auc_table",
    "calibration_table",
    "discrimination_table",
    "median_table",
    "multivariable_table",
    "stratified_table",
    "survival_table",
    "univariable_table",
]

COUNTS = (Column("n", "n", "count"), Column("events", "Events", "count"))
REASON = Column("reason", "", "reason")
FACTOR = (Column("factor", "Factor", "text"), Column("contrast", "Contrast", "text"))


def median_table(statistics: StudyStatistics) -> Table:
    """Patients, events and median survival: everybody, high risk and low risk."""
    columns = (
        Column("group", "Group", "text"),
        *COUNTS,
        *_estimate("median_months", f"Median, months ({_percent(statistics)} CI)", "months"),
        REASON,
    )
    rows = tuple(
        (_group_name(g), g.n, g.events, *_three(g.median), g.median.reason)
        for g in (statistics.overall, *statistics.groups)
    )
    return Table("median", f"Median, {statistics.endpoint_name}", columns, rows)


def survival_table(statistics: StudyStatistics) -> Table:
    """Survival at the horizons and patients still at risk there, by group."""
    groups = [g for g in (statistics.overall, *statistics.groups) if g.survival]
    columns = (
        Column("months", "Month", "count"),
        *(
            column
            for g in groups
            for column in (
                *_estimate(f"survival_{g.name}", _group_name(g), "percent"),
                Column(f"n_at_risk_{g.name}", "at risk", "count"),
            )
        ),
    )
    rows = tuple(
        (
            months,
            *(
                value
                for g in groups
                for value in (*_followed(g.survival[i]), g.survival[i].n_at_risk)
            ),
        )
        for i, months in enumerate(statistics.horizons_months)
    )
    note = (
        f"Kaplan–Meier with {_percent(statistics)} intervals; – where nobody was followed so long."
    )
    return Table("survival", "Free of the event, by month", columns, rows, note)


def univariable_table(rows: tuple[UnivariableRow, ...], level: float) -> Table:
    """One Cox model a factor."""
    columns = (
        *FACTOR,
        *COUNTS,
        Column("n_missing", "Missing", "count"),
        *_ratio(level),
        Column("z", "z", "number"),
        Column("p", "p", "p"),
        Column("p_factor", "p, whole factor", "p"),
        REASON,
    )
    body = tuple(
        (
            row.label,
            row.contrast,
            row.hazard_ratio.n,
            row.hazard_ratio.events,
            row.n_missing,
            *_three(row.hazard_ratio),
            row.hazard_ratio.z,
            row.hazard_ratio.p,
            row.term.p,
            row.hazard_ratio.reason,
        )
        for row in rows
    )
    note = "z and p by Wald; the whole factor by likelihood ratio."
    return Table("univariable", "One factor at a time", columns, body, note)


def multivariable_table(model: MultivariableModel, level: float) -> Table:
    """All terms of one Cox model."""
    columns = (
        *FACTOR,
        *_ratio(level),
        Column("z", "z", "number"),
        Column("p", "p", "p"),
        Column("p_proportional_hazards", "p, proportional hazards", "p"),
        REASON,
    )
    body = tuple(
        (
            row.label,
            row.contrast,
            *_three(row.hazard_ratio),
            row.hazard_ratio.z,
            row.hazard_ratio.p,
            row.proportional_hazards.p,
            row.hazard_ratio.reason,
        )
        for row in model.rows
    )
    note = f"One model: {model.rule}. {model.n} patients, {model.events} events."
    return Table("multivariable", "All factors together", columns, body, note)


def stratified_table(factors: tuple[StratifiedFactor, ...], level: float) -> Table:
    """High against low risk within each level of each factor."""
    columns = (
        Column("factor", "Factor", "text"),
        Column("level", "Level", "text"),
        *COUNTS,
        *_ratio(level),
        Column("p_logrank", "p, log-rank", "p"),
        Column("p_interaction", "p, interaction", "p"),
        REASON,
    )
    body: list[tuple[Value, ...]] = []
    for factor in factors:
        for index, level_row in enumerate(factor.levels):
            body.append(
                (
                    factor.label if index == 0 else "",
                    _level(level_row.level),
                    level_row.n,
                    level_row.events,
                    *_three(level_row.hazard_ratio),
                    level_row.logrank.p,
                    factor.interaction.p if index == 0 else "",
                    level_row.hazard_ratio.reason,
                )
            )
    note = (
        "Interaction: whether the hazard ratio differs between the levels. A level in which "
        "nothing is shown, among levels that do not differ, is no exception."
    )
    return Table("stratified", "High against low risk within levels", columns, tuple(body), note)


def discrimination_table(statistics: StudyStatistics) -> Table:
    """Concordance and hazard ratios of the risk, with how each was computed."""
    columns = (
        Column("statistic", "Statistic", "text"),
        *_estimate("estimate", f"Estimate ({_percent(statistics)} CI)", "score"),
        Column("p", "p", "p"),
        Column("method", "Method", "text"),
        REASON,
    )
    named = [
        ("Harrell’s C, continuous risk", statistics.concordance),
        ("Uno’s C, continuous risk", statistics.concordance_uno),
        ("Harrell’s C, high or low", statistics.concordance_groups),
        ("Harrell’s C, bootstrap", statistics.concordance_bootstrap),
        ("Hazard ratio, high against low", statistics.hazard_ratio),
        ("Hazard ratio per SD of risk", statistics.hazard_ratio_per_sd),
    ]
    body = tuple(
        (label, *_three(value), value.p, value.method, value.reason)
        for label, value in named
        if value is not None
    )
    note = "C: 0.5 is a coin, 1 a perfect order."
    return Table("discrimination", "In one number", columns, body, note)


def auc_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Time-dependent AUC of every marker at every horizon."""
    columns = (
        Column("marker", "Marker", "text"),
        Column("months", "Months", "count"),
        *_estimate("auc", f"AUC ({100 * level:g} % CI)", "score"),
        Column("n_cases", "Cases", "count"),
        Column("n_controls", "Controls", "count"),
        Column("n_at_risk", "At risk", "count"),
        Column("n_missing", "Missing", "count"),
        REASON,
    )
    body = tuple(
        (
            curve.label if index == 0 else "",
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
        for index, point in enumerate(curve.points)
    )
    return Table("auc", "Time-dependent AUC", columns, body)


def auc_by_horizon_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Show AUC by marker and horizon, with the first marker's counts in the headings."""
    columns: list[Column] = [Column("marker", "Marker", "text")]
    for point in curves[0].points:
        heading = f"{point.months:g} months: {point.n_cases}/{point.n_controls}"
        columns += _estimate(f"auc_{point.months:g}", heading, "number")
    columns.append(REASON)
    body = tuple(
        (
            curve.label,
            *(v for p in curve.points for v in (p.estimate, p.lower, p.upper)),
            next((p.reason for p in curve.points if p.reason), None),
        )
        for curve in curves
    )
    caption = f"Time-dependent AUC ({100 * level:g} % CI)"
    note = (
        f"Above each column: cases/controls of {curves[0].label}. A factor with missing values has fewer; "
        "its own counts are in auc.csv."
    )
    return Table("auc_by_horizon", caption, tuple(columns), body, note)


def auc_difference_table(curves: tuple[AucCurve, ...], level: float) -> Table:
    """Continuous risk less each other marker at the landmark, on the same patients."""
    columns = (
        Column("marker", "Risk less", "text"),
        *COUNTS,
        *_estimate("difference", f"Difference in AUC ({100 * level:g} % CI)", "score"),
        Column("p", "p", "p"),
        REASON,
    )
    body = tuple(
        (
            c.label,
            c.difference.n,
            c.difference.events,
            *_three(c.difference),
            c.difference.p,
            c.difference.reason,
        )
        for c in curves[1:]
    )
    months = f"{curves[0].landmark.months:g}" if curves else ""
    return Table("auc_difference", f"The risk beside each factor, {months} months", columns, body)


def calibration_table(calibration: Calibration, level: float) -> Table:
    """Predicted and observed probability of the event in groups of rising risk."""
    columns = (
        Column("group", "Group", "count"),
        *COUNTS,
        Column("n_at_risk", "Followed to the horizon", "count"),
        Column("predicted", "Predicted", "percent"),
        *_estimate("observed", f"Observed ({100 * level:g} % CI)", "percent"),
    )
    body = tuple(
        (i, g.n, g.events, g.n_at_risk, g.predicted, g.observed, g.lower, g.upper)
        for i, g in enumerate(calibration.groups, 1)
    )
    name = f"Event by month {calibration.months:g}, groups of rising risk"
    return Table("calibration", name, columns, body)


def _followed(point: HorizonSurvival) -> tuple[float | None, float | None, float | None]:
    """Survival and limits; none once follow-up has ended above zero, where the curve is unknown."""
    if point.n_at_risk == 0 and point.survival != 0:
        return None, None, None
    return point.survival, point.lower, point.upper


def _group_name(group: GroupStatistics) -> str:
    return {"all": "All", "high": "High risk", "low": "Low risk"}.get(group.name, group.name)


def _level(text: str) -> str:
    return text.replace("<=", "≤")


def _estimate(key: str, heading: str, kind: Kind) -> tuple[Column, Column, Column]:
    return (
        Column(key, heading, kind),
        Column(f"{key}_lower", "", "lower"),
        Column(f"{key}_upper", "", "upper"),
    )


def _ratio(level: float) -> tuple[Column, Column, Column]:
    return _estimate("hazard_ratio", f"Hazard ratio ({100 * level:g} % CI)", "ratio")


def _three(value: Reported) -> tuple[float | None, float | None, float | None]:
    return value.estimate, value.lower, value.upper


def _percent(statistics: StudyStatistics) -> str:
    return f"{100 * statistics.level:g} %"
