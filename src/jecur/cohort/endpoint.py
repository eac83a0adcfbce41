"""Follow-up with a name: what the time runs to, and what counts."""

import pandas as pd

from jecur.cohort.dates import days_between, ends_alone, follow_up_from_dates
from jecur.cohort.follow_up import DAYS_PER_MONTH, FollowUp, close_follow_up
from jecur.cohort.table import Table, list_cells, name_rows
from jecur.errors import EndpointError, Problems
from jecur.settings import ColumnSettings, EndpointSettings

__all__ = ["DAYS_PER_MONTH", "DEFINITIONS", "FollowUp", "endpoint_definition", "read_follow_up"]

ROUNDING = 1e-8
"""In any unit: less than a second."""
_MONTHS = {"days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0}

DEFINITIONS = {
    "recurrence-free survival": (
        "months from treatment to recurrence or death of any cause, whichever is first"
    ),
    "time to recurrence": "months from treatment to recurrence; death without recurrence {death}",
    "overall survival": "months from treatment to death of any cause",
    "disease-specific survival": "months from treatment to death of the cancer; other death {death}",
}
_DEATH = {"censors": "censors", "competes": "is a competing risk"}


def endpoint_definition(settings: EndpointSettings) -> str:
    """Definition to print beside every number."""
    if settings.definition:
        return settings.definition
    text = DEFINITIONS[settings.kind].format(death=_DEATH[settings.competing_death])
    if settings.dates is not None:
        text += f"; derived from dates, from '{settings.dates.surgery}' on"
    return text


def read_follow_up(
    table: Table, columns: ColumnSettings, settings: EndpointSettings, missing: tuple[str, ...]
) -> FollowUp:
    """Read the endpoint; a missing time or event is said, never censored, nothing is recoded.

    Raises
    ------
    EndpointError
        If an event text was not declared, a time is negative, the lists of texts overlap, or
        dates contradict each other; names columns and rows.
    """
    if settings.dates is not None and settings.event_values and ends_alone(settings.dates):
        return _from_two_dates(table, columns, settings, missing)
    if settings.dates is not None:
        return follow_up_from_dates(table, settings, settings.dates, missing)
    _check_texts(settings, missing)
    problems = Problems()
    with problems.gathering():
        event, competing, absent = _events(table, columns, settings, missing)
    with problems.gathering():
        time = _times(table, columns, missing)
    problems.refuse()
    reasons = pd.Series("", index=table.frame.index)
    reasons[time.isna()] = "time unknown"
    reasons[absent] = "event unknown"
    months = time.to_numpy() * _MONTHS[settings.unit]
    return close_follow_up(months, event.to_numpy(), competing.to_numpy(), reasons, settings)


def _from_two_dates(
    table: Table, columns: ColumnSettings, settings: EndpointSettings, missing: tuple[str, ...]
) -> FollowUp:
    """From surgery to the end of follow-up; the event column says what happened then."""
    if settings.dates is None:
        raise ValueError("expected columns of dates")
    _check_texts(settings, missing)
    problems = Problems()
    with problems.gathering():
        event, competing, absent = _events(table, columns, settings, missing)
    with problems.gathering():
        days, reasons = days_between(table, settings.dates, missing)
    problems.refuse()
    reasons[absent] = "event unknown"
    months = days.to_numpy() / DAYS_PER_MONTH
    return close_follow_up(months, event.to_numpy(), competing.to_numpy(), reasons, settings)


def _events(
    table: Table, columns: ColumnSettings, settings: EndpointSettings, missing: tuple[str, ...]
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Whether the event happened, a competing one did, or nothing is known, by row."""
    text = table.column(columns.event, "event")
    absent = text.isin(missing)
    event = text.isin(settings.event_values)
    competing = text.isin(settings.competing_values)
    undeclared = text[~absent & ~event & ~competing & ~text.isin(settings.censored_values)]
    if len(undeclared):
        known = (*settings.event_values, *settings.censored_values, *settings.competing_values)
        raise EndpointError(
            f"{table.name}: expected {', '.join(map(repr, known))} in column '{columns.event}', "
            f"found {list_cells(undeclared)}; declare it under [cohort.endpoint]"
        )
    return event, competing, absent


def _times(table: Table, columns: ColumnSettings, missing: tuple[str, ...]) -> pd.Series:
    time = table.numbers(columns.time, "time", missing)
    time = time.mask(time.abs() <= ROUNDING, 0.0)  # a spreadsheet's 62.3 - 62.3 need not be 0
    negative = time[time < 0]
    if len(negative):
        raise EndpointError(
            f"{table.name}: expected times of 0 or more in column '{columns.time}', found "
            f"{negative.iloc[0]:g} in {name_rows(negative.index)}; correct it"
        )
    return time


def _check_texts(settings: EndpointSettings, missing: tuple[str, ...]) -> None:
    """Refuse a text with two meanings."""
    seen: dict[str, str] = {}
    groups = {
        "event_values": settings.event_values,
        "censored_values": settings.censored_values,
        "competing_values": settings.competing_values,
        "missing_values": missing,
    }
    for name, values in groups.items():
        for value in values:
            if seen.setdefault(value, name) != name:
                raise EndpointError(
                    f"expected each text with one meaning, found {value!r} in both {seen[value]} "
                    f"and {name}; keep it in one"
                )
