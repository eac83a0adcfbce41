"""Time and event from dates: surgery, recurrence, death, last contact.

The clock starts at surgery. It stops at the endpoint's event, else (time to recurrence) at death,
else at the last contact. An order of dates that cannot be true is refused with its rows.
"""

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from jecur.cohort.follow_up import DAYS_PER_MONTH, FollowUp, close_follow_up
from jecur.cohort.table import Table, name_rows
from jecur.errors import EndpointError, Problems
from jecur.settings import DateSettings, EndpointSettings

__all__ = ["dates_by_column", "days_between", "ends_alone", "follow_up_from_dates", "read_dates"]

_ISO = "%Y-%m-%d"


def follow_up_from_dates(
    table: Table, settings: EndpointSettings, dates: DateSettings, missing: tuple[str, ...]
) -> FollowUp:
    """Derive follow-up.

    Parameters
    ----------
    table
        Clinical table.
    settings
        The endpoint.
    dates
        Its columns of dates.
    missing
        Texts that mean unknown.

    Raises
    ------
    EndpointError
        If a text is no date in the declared format, dates contradict each other, or the endpoint
        cannot be told from dates; names columns and rows.
    """
    _check_columns(settings, dates)
    never = tuple(dates.never_values)
    again = "" if settings.kind == "overall survival" else dates.recurrence
    problems, read = Problems(), []
    for column, texts in (
        (dates.surgery, ()),
        (dates.last_contact, ()),
        (again, never),
        (dates.death, never),
    ):
        with problems.gathering():
            read.append(_Dates(table, column, dates.format, missing, texts))
    problems.refuse()
    start, contact, recurrence, death = read
    for first, later, how in (
        (start, [recurrence, death, contact], {}),
        (recurrence, [death], {"until_death": True}),
        (contact, [death], {"until_death": True}),
        (recurrence, [contact], {"unless": death}),
    ):
        with problems.gathering():
            _check_order(table, first, later, **how)
    problems.refuse()

    reasons = pd.Series("", index=table.frame.index)
    days, event, competing = [], [], []
    for row in table.frame.index:
        stop, happened, by_death, reason = _stop(row, settings, recurrence, death, contact)
        begun = start.value[row]
        if begun is None:
            reason = f"{dates.surgery} unknown"
        reasons[row] = reason
        days.append(np.nan if stop is None or begun is None else (stop - begun).days)
        event.append(happened)
        competing.append(by_death)
    months = np.array(days, dtype=np.float64) / DAYS_PER_MONTH
    return close_follow_up(months, np.array(event), np.array(competing), reasons, settings)


def ends_alone(dates: DateSettings) -> bool:
    """Whether follow-up has one end, whatever it is, and the event column says what happened then."""
    return not (dates.recurrence or dates.death)


def read_dates(
    table: Table, column: str, form: str, missing: tuple[str, ...]
) -> dict[int, date | None]:
    """Row -> date of one column; None where it is unknown."""
    return _Dates(table, column, form, missing).value


def days_between(
    table: Table, dates: DateSettings, missing: tuple[str, ...]
) -> tuple[pd.Series, pd.Series]:
    """Days from surgery to the end of follow-up, NaN where unknown, and why they are, by row."""
    problems, read = Problems(), []
    for column in (dates.surgery, dates.last_contact):
        with problems.gathering():
            read.append(_Dates(table, column, dates.format, missing))
    problems.refuse()
    start, end = read
    _check_order(table, start, [end])
    reasons, days = pd.Series("", index=table.frame.index), {}
    for row in table.frame.index:
        first, last = start.value[row], end.value[row]
        days[row] = np.nan if first is None or last is None else float((last - first).days)
        if first is None or last is None:
            reasons[row] = f"{dates.surgery if first is None else dates.last_contact} unknown"
    return pd.Series(days, dtype=np.float64), reasons


def dates_by_column(
    table: Table, settings: EndpointSettings, dates: DateSettings, missing: tuple[str, ...]
) -> dict[str, dict[int, date | None]]:
    """Column -> row -> date, of every declared column of dates; None where there is none."""
    never = {dates.recurrence: dates.never_values, dates.death: dates.never_values}
    recurrence = "" if settings.kind == "overall survival" else dates.recurrence
    named = (dates.surgery, recurrence, dates.death, dates.last_contact)
    return {
        column: _Dates(table, column, dates.format, missing, never.get(column, ())).value
        for column in named
        if column
    }


class _Dates:
    """One column: row -> date, or None where it did not happen or is unknown."""

    def __init__(
        self,
        table: Table,
        column: str,
        form: str,
        missing: tuple[str, ...],
        never: tuple[str, ...] = (),
    ) -> None:
        self.column = column
        self.value: dict[int, date | None] = dict.fromkeys(table.frame.index)
        self.unknown: set[int] = set()
        if not column:
            return
        text = table.column(column, "date")
        kinds = table.kinds.get(column, {})
        bad = []
        for row, cell in text.items():
            if cell in never or cell in missing:
                if cell not in never:
                    self.unknown.add(row)
                continue
            # a date cell may hold the time of day too: the day counts
            parsed = _parse(cell[:10], _ISO) if kinds.get(row) == "date" else _parse(cell, form)
            if parsed is None:
                bad.append(row)
            self.value[row] = parsed
        if bad:
            raise EndpointError(
                f"{table.name}: expected dates as {form} in column '{column}', found "
                f"{text[bad[0]]!r} in {name_rows(bad)}; {_date_remedy(text[bad[0]])}"
            )


def _date_remedy(cell: str) -> str:
    """Say what to do with a cell that is no date."""
    if cell.isdigit() and len(cell) == 5:
        day = date(1899, 12, 30) + timedelta(int(cell))
        return f"a spreadsheet's number for {day}? format the column as dates and save it again"
    return "correct them or declare their format"


def _parse(cell: str, form: str) -> date | None:
    try:
        return datetime.strptime(cell, form).date()
    except ValueError:
        return None


def _check_columns(settings: EndpointSettings, dates: DateSettings) -> None:
    needed = {
        "recurrence-free survival": ("recurrence", "death"),
        "time to recurrence": ("recurrence", "death"),
        "overall survival": ("death",),
    }.get(settings.kind)
    if needed is None:
        raise EndpointError(
            f"expected a time and an event column for {settings.kind}, found dates, which do not "
            "tell the cause of death; declare event_values instead of dates"
        )
    if settings.kind == "time to recurrence" and settings.competing_death == "censors":
        needed = ("recurrence",)  # whoever died was last seen alive before: that censors as well
    for name in needed:
        if not getattr(dates, name):
            raise EndpointError(
                f"expected a column of {name} dates for {settings.kind}, found none; "
                "name it under [cohort.endpoint.dates]"
            )


def _check_order(
    table: Table,
    first: _Dates,
    later: list[_Dates],
    *,
    until_death: bool = False,
    unless: _Dates | None = None,
) -> None:
    """Refuse rows in which a later day lies before the first."""
    for other in later:
        wrong = [
            row
            for row in table.frame.index
            if (a := first.value[row])
            and (b := other.value[row])
            and b < a
            and (unless is None or unless.value[row] is None)
        ]
        if wrong:
            why = "nothing happens after death" if until_death else "time runs forward"
            raise EndpointError(
                f"{table.name}: expected column '{other.column}' not before '{first.column}', found "
                f"{other.value[wrong[0]]} before {first.value[wrong[0]]} in {name_rows(wrong)}; "
                f"{why}: correct the dates"
            )


def _stop(
    row: int, settings: EndpointSettings, recurrence: _Dates, death: _Dates, contact: _Dates
) -> tuple[date | None, bool, bool, str]:
    """Return when the clock stops, whether with the event, whether by death without it, reason."""
    again, died = recurrence.value[row], death.value[row]
    if again is not None:
        return again, True, False, ""
    for dates in (recurrence, death):
        if row in dates.unknown:
            return None, False, False, f"{dates.column} unknown"
    if died is not None:
        counts = settings.kind != "time to recurrence"
        return died, counts, not counts, ""
    if contact.value[row] is None:
        return None, False, False, f"{contact.column} unknown, and no event"
    return contact.value[row], False, False, ""
