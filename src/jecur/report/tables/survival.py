"""The statistics of a study as tables; each number as it was computed, none computed here."""

from jecur.report.tables.table import Column, Kind, Table, Value
from jecur.report.wording import competing_words, event_words
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.results import (
    GroupStatistics,
    HorizonSurvival,
    MultivariableModel,
    Reported,
    StratifiedFactor,
    StudyStatistics,
    UnivariableRow,
)

__all__ = [
    "COUNTS",
    "FACTOR",
    "REASON",
    "estimate_and_limits",
    "estimate_columns",
    "group_name",
    "median_table",
    "multivariable_table",
    "percent",
    "stratified_table",
    "survival_table",
    "univariable_table",
]

COUNTS = (Column("n", "n", "count"), Column("events", "Events", "count"))
REASON = Column("reason", "", "reason")
FACTOR = (Column("factor", "Factor", "text", once=True), Column("contrast", "Contrast", "text"))


def median_table(statistics: StudyStatistics | HeldOutStatistics) -> Table:
    """Patients, events and median survival: everybody, high risk and low risk."""
    columns: tuple[Column, ...] = (
        Column("group", "Group", "text"),
        *COUNTS,
        *estimate_columns("median_months", f"Median, months ({percent(statistics)} CI)", "months"),
        REASON,
    )
    groups = (statistics.overall, *statistics.groups)
    if statistics.n_competing is None:
        rows = tuple(
            (group_name(g), g.n, g.events, *estimate_and_limits(g.median), g.median.reason)
            for g in groups
        )
        return Table("median", f"Median, {statistics.endpoint_name}", columns, rows)
    other = competing_words(statistics.endpoint_name)
    beside = Column("n_competing", other.capitalize(), "count")
    columns = (*columns[:3], beside, *columns[3:])
    competing = tuple(
        (
            group_name(g),
            g.n,
            g.events,
            g.n_competing,
            *estimate_and_limits(g.median),
            g.median.reason,
        )
        for g in groups
    )
    event = event_words(statistics.endpoint_name)[0]
    caption = f"Median time free of {event} and {other}"
    return Table("median", caption, columns, competing)


def survival_table(statistics: StudyStatistics | HeldOutStatistics) -> Table:
    """Survival at the horizons and patients still at risk there, by group."""
    groups = [g for g in (statistics.overall, *statistics.groups) if g.survival]
    columns = (
        Column("months", "Month", "count"),
        *(
            column
            for g in groups
            for column in (
                *estimate_columns(f"survival_{g.name}", group_name(g), "percent"),
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
        f"Kaplan–Meier with {percent(statistics)} intervals; – where nobody was followed so long."
    )
    return Table("survival", "Event-free survival", columns, rows, note)


def univariable_table(rows: tuple[UnivariableRow, ...], level: float) -> Table:
    """One Cox model a factor."""
    columns = (
        *FACTOR,
        *COUNTS,
        Column("n_missing", "Missing", "count"),
        *_ratio(level),
        Column("z", "z", "number"),
        Column("p", "p", "p"),
        Column("p_factor", "p, whole factor", "p", once=True),
        REASON,
    )
    body = tuple(
        (
            row.label,
            row.contrast,
            row.hazard_ratio.n,
            row.hazard_ratio.events,
            row.n_missing,
            *estimate_and_limits(row.hazard_ratio),
            row.hazard_ratio.z,
            row.hazard_ratio.p,
            row.term.p,
            row.hazard_ratio.reason,
        )
        for row in rows
    )
    note = "z and p by Wald; the whole factor by likelihood ratio."
    return Table("univariable", "Univariable Cox regression", columns, body, note)


def multivariable_table(model: MultivariableModel, level: float) -> Table:
    """All terms of one Cox model."""
    columns = (
        *FACTOR,
        *_ratio(level),
        Column("z", "z", "number"),
        Column("p", "p", "p"),
        Column("p_proportional_hazards", "p, proportional hazards", "p", once=True),
        REASON,
    )
    body = tuple(
        (
            row.label,
            row.contrast,
            *estimate_and_limits(row.hazard_ratio),
            row.hazard_ratio.z,
            row.hazard_ratio.p,
            row.proportional_hazards.p,
            row.hazard_ratio.reason,
        )
        for row in model.rows
    )
    note = f"One model: {model.rule}. {model.n} patients, {model.events} events."
    return Table("multivariable", "Multivariable Cox regression", columns, body, note)


def stratified_table(factors: tuple[StratifiedFactor, ...], level: float) -> Table:
    """High versus low risk within each level of each factor."""
    columns = (
        Column("factor", "Factor", "text", once=True),
        Column("level", "Level", "text"),
        *COUNTS,
        *_ratio(level),
        Column("p_logrank", "p, log-rank", "p"),
        Column("p_interaction", "p, interaction", "p", once=True),
        REASON,
    )
    body: list[tuple[Value, ...]] = []
    for factor in factors:
        if not factor.levels:
            gone = (factor.label, "", None, None, *(None,) * 5, factor.interaction.reason)
            body.append(gone)
        for level_row in factor.levels:
            body.append(
                (
                    factor.label,
                    _level(level_row.level),
                    level_row.n,
                    level_row.events,
                    *estimate_and_limits(level_row.hazard_ratio),
                    level_row.logrank.p,
                    factor.interaction.p,
                    level_row.hazard_ratio.reason,
                )
            )
    note = (
        "Interaction: whether the hazard ratio differs between the levels. A non-significant level "
        "is not evidence of a different effect; see the interaction test."
    )
    return Table("subgroups", "High versus low risk by subgroup", columns, tuple(body), note)


def _followed(point: HorizonSurvival) -> tuple[float | None, float | None, float | None]:
    """Survival and limits; none once follow-up has ended above zero, where the curve is unknown."""
    if point.n_at_risk == 0 and point.survival != 0:
        return None, None, None
    return point.survival, point.lower, point.upper


def group_name(group: GroupStatistics) -> str:
    """Heading of a group."""
    return {"all": "All", "high": "High risk", "low": "Low risk"}.get(group.name, group.name)


def _level(text: str) -> str:
    return text.replace("<=", "≤")


def estimate_columns(key: str, heading: str, kind: Kind) -> tuple[Column, Column, Column]:
    """Return an estimate and its limits: three columns, one cell."""
    return (
        Column(key, heading, kind),
        Column(f"{key}_lower", "", "lower"),
        Column(f"{key}_upper", "", "upper"),
    )


def _ratio(level: float) -> tuple[Column, Column, Column]:
    return estimate_columns("hazard_ratio", f"Hazard ratio ({100 * level:g} % CI)", "ratio")


def estimate_and_limits(value: Reported) -> tuple[float | None, float | None, float | None]:
    """Return estimate and limits."""
    return value.estimate, value.lower, value.upper


def percent(statistics: StudyStatistics | HeldOutStatistics) -> str:
    """Coverage of the intervals: "95 %"."""
    return f"{100 * statistics.level:g} %"
