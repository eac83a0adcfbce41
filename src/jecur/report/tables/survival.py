"""The statistics of a study as tables; each number as it was computed, none computed here."""

from collections.abc import Callable
from typing import Any

from jecur.report.tables.table import Column, Kind, Table, Value
from jecur.report.wording import competing_words, event_words
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.results import (
    GroupStatistics,
    HorizonSurvival,
    MultivariableModel,
    StratifiedFactor,
    StudyStatistics,
    Subgroup,
    UnivariableRow,
)

__all__ = [
    "FACTOR",
    "count_columns",
    "estimate_columns",
    "group_name",
    "median_table",
    "multivariable_table",
    "part_of",
    "percent",
    "reason_column",
    "stratified_table",
    "survival_table",
    "univariable_table",
]

FACTOR = (
    Column("factor", "Factor", "text", lambda r: r.label, once=True),
    Column("contrast", "Contrast", "text", lambda r: r.contrast),
)


def median_table(statistics: StudyStatistics | HeldOutStatistics) -> Table:
    """Patients, events and median survival: everybody, high risk and low risk."""
    competing = statistics.n_competing is not None
    event, other = (
        event_words(statistics.endpoint_name)[0],
        competing_words(statistics.endpoint_name),
    )
    beside = Column("n_competing", other.capitalize(), "count", lambda g: g.n_competing)
    columns = (
        Column("group", "Group", "text", group_name),
        *count_columns(),
        *((beside,) if competing else ()),
        *estimate_columns(
            "median_months", f"Median, months ({percent(statistics)} CI)", "months", _median
        ),
        reason_column(lambda g: g.median.reason),
    )
    caption = (
        f"Median time free of {event} and {other}"
        if competing
        else f"Median, {statistics.endpoint_name}"
    )
    return Table.of("median", caption, columns, (statistics.overall, *statistics.groups))


def _median(group: GroupStatistics) -> object:
    return group.median


def survival_table(statistics: StudyStatistics | HeldOutStatistics) -> Table:
    """Survival at the horizons and patients still at risk there, by group."""
    groups = [g for g in (statistics.overall, *statistics.groups) if g.survival]
    columns = (
        Column("months", "Month", "count", lambda i: statistics.horizons_months[i]),
        *(column for group in groups for column in _survival_columns(group)),
    )
    note = (
        f"Kaplan–Meier with {percent(statistics)} intervals; – where nobody was followed so long."
    )
    horizons = range(len(statistics.horizons_months))
    return Table.of("survival", "Event-free survival", columns, horizons, note)


def _survival_columns(group: GroupStatistics) -> tuple[Column, ...]:
    """Survival of a group at the horizon of a given number, and who is still at risk."""

    def followed(i: int) -> HorizonSurvival:
        return group.survival[i]

    key = f"survival_{group.name}"
    return (
        Column(key, group_name(group), "percent", part_of("survival", followed)),
        Column(f"{key}_lower", "", "lower", part_of("lower", followed)),
        Column(f"{key}_upper", "", "upper", part_of("upper", followed)),
        Column(
            f"n_at_risk_{group.name}", "at risk", "count", lambda i: group.survival[i].n_at_risk
        ),
    )


def univariable_table(rows: tuple[UnivariableRow, ...], level: float) -> Table:
    """One Cox model a factor."""
    columns = (
        *FACTOR,
        *count_columns(lambda r: r.hazard_ratio),
        Column("n_missing", "Missing", "count", lambda r: r.n_missing),
        *_ratio(level),
        Column("z", "z", "number", lambda r: r.hazard_ratio.z),
        Column("p", "p", "p", lambda r: r.hazard_ratio.p),
        Column("p_factor", "p, whole factor", "p", lambda r: r.term.p, once=True),
        reason_column(lambda r: r.hazard_ratio.reason),
    )
    note = "z and p by Wald; the whole factor by likelihood ratio."
    return Table.of("univariable", "Univariable Cox regression", columns, rows, note)


def multivariable_table(model: MultivariableModel, level: float) -> Table:
    """All terms of one Cox model."""
    columns = (
        *FACTOR,
        *_ratio(level),
        Column("z", "z", "number", lambda r: r.hazard_ratio.z),
        Column("p", "p", "p", lambda r: r.hazard_ratio.p),
        Column(
            "p_proportional_hazards",
            "p, proportional hazards",
            "p",
            lambda r: r.proportional_hazards.p,
            once=True,
        ),
        reason_column(lambda r: r.hazard_ratio.reason),
    )
    note = f"One model: {model.rule}. {model.n} patients, {model.events} events."
    return Table.of("multivariable", "Multivariable Cox regression", columns, model.rows, note)


def stratified_table(factors: tuple[StratifiedFactor, ...], level: float) -> Table:
    """High versus low risk within each level of each factor."""

    def of_level(value: Callable[[Subgroup], Value], none: Value = None) -> Callable[[Any], Value]:
        return lambda row: none if row[1] is None else value(row[1])

    columns = (
        Column("factor", "Factor", "text", lambda row: row[0].label, once=True),
        Column("level", "Level", "text", of_level(lambda s: s.level.replace("<=", "≤"), "")),
        Column("n_missing", "Unknown", "count", lambda row: row[0].n_missing, once=True),
        Column("n", "n", "count", of_level(lambda s: s.n)),
        Column("events", "Events", "count", of_level(lambda s: s.events)),
        *_ratio(level, lambda row: row[1] and row[1].hazard_ratio),
        Column("p_logrank", "p, log-rank", "p", of_level(lambda s: s.logrank.p)),
        Column(
            "p_interaction",
            "p, interaction",
            "p",
            lambda row: row[1] and row[0].interaction.p,
            once=True,
        ),
        reason_column(
            lambda row: row[1].hazard_ratio.reason if row[1] else row[0].interaction.reason
        ),
    )
    rows = [(factor, found) for factor in factors for found in factor.levels or (None,)]
    note = (
        "Unknown: patients without a value of the factor, who are in none of its levels. Interaction: "
        "whether the hazard ratio differs between the levels. A non-significant level "
        "is not evidence of a different effect; see the interaction test."
    )
    return Table.of("subgroups", "High versus low risk by subgroup", columns, rows, note)


def group_name(group: GroupStatistics) -> str:
    """Heading of a group."""
    return {"all": "All", "high": "High risk", "low": "Low risk"}.get(group.name, group.name)


def count_columns(of: Callable[[Any], Any] = lambda r: r) -> tuple[Column, Column]:
    """Patients and events of what ``of`` fetches from a row."""
    return (
        Column("n", "n", "count", lambda r: of(r).n),
        Column("events", "Events", "count", lambda r: of(r).events),
    )


def reason_column(of: Callable[[Any], Value] = lambda r: r.reason) -> Column:
    """Why a row's numbers are missing."""
    return Column("reason", "", "reason", of)


def estimate_columns(
    key: str, heading: str, kind: Kind, of: Callable[[Any], Any] = lambda r: r
) -> tuple[Column, Column, Column]:
    """Return an estimate and its limits: three columns, one cell.

    ``of`` fetches from a row what has ``estimate``, ``lower`` and ``upper``; None where there is none.
    """
    return (
        Column(key, heading, kind, part_of("estimate", of)),
        Column(f"{key}_lower", "", "lower", part_of("lower", of)),
        Column(f"{key}_upper", "", "upper", part_of("upper", of)),
    )


def part_of(name: str, of: Callable[[Any], Any]) -> Callable[[Any], Value]:
    """Fetch an attribute of what ``of`` fetches from a row, or None if it fetches none."""

    def fetch(row: object) -> Value:
        found = of(row)
        return None if found is None else getattr(found, name)

    return fetch


def _ratio(
    level: float, of: Callable[[Any], Any] = lambda r: r.hazard_ratio
) -> tuple[Column, Column, Column]:
    return estimate_columns("hazard_ratio", f"Hazard ratio ({100 * level:g} % CI)", "ratio", of)


def percent(statistics: StudyStatistics | HeldOutStatistics) -> str:
    """Coverage of the intervals: "95 %"."""
    return f"{100 * statistics.level:g} %"
