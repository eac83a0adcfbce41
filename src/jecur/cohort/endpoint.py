"""Follow-up with a name: what the time runs to, and what counts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jecur.arrays import BoolVector, Vector
from jecur.cohort.table import Table
from jecur.errors import EndpointError
from jecur.settings import ColumnSettings, EndpointSettings

__all__ = ["DAYS_PER_MONTH", "DEFINITIONS", "FollowUp", "endpoint_definition", "read_follow_up"]

DAYS_PER_MONTH = 365.25 / 12
_MONTHS = {"days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0}

DEFINITIONS = {
    "recurrence-free survival": (
        "months from treatment to recurrence or death of any cause, whichever is first"
    ),
    "time to recurrence": "months from treatment to recurrence; death without recurrence censors",
    "overall survival": "months from treatment to death of any cause",
    "disease-specific survival": "months from treatment to death of the cancer; other death censors",
}


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Time and event of n patients.

    Parameters
    ----------
    months
        (n,) above 0; NaN where unknown.
    event
        (n,) True if the event happened; False also where unknown.
    unknown
        (n,) reason a patient has no usable follow-up, "" if he has.
    """

    months: Vector
    event: BoolVector
    unknown: tuple[str, ...]


def endpoint_definition(settings: EndpointSettings) -> str:
    """Definition to print beside every number."""
    return settings.definition or DEFINITIONS[settings.kind]


def read_follow_up(
    table: Table, columns: ColumnSettings, settings: EndpointSettings, missing: tuple[str, ...]
) -> FollowUp:
    """Read the endpoint; a missing time or event is said, never censored, nothing is recoded.

    Raises
    ------
    EndpointError
        If an event text was not declared, a time is negative, or the two lists of texts overlap.
    """
    both = set(settings.event_values) & set(settings.censored_values)
    if both:
        raise EndpointError(
            f"expected event_values and censored_values to differ, found {sorted(both)[0]!r} in both"
        )
    text = table.column(columns.event, "event")
    absent = text.isin(missing)
    event = text.isin(settings.event_values)
    undeclared = text[~absent & ~event & ~text.isin(settings.censored_values)]
    if len(undeclared):
        declared = ", ".join(map(repr, (*settings.event_values, *settings.censored_values)))
        raise EndpointError(
            f"{table.name}: expected {declared} in column '{columns.event}', found "
            f"{undeclared.iloc[0]!r} in row {undeclared.index[0]}; declare it under [cohort.endpoint]"
        )
    time = table.numbers(columns.time, "time", missing)
    negative = time[time < 0]
    if len(negative):
        raise EndpointError(
            f"{table.name}: expected times of 0 or more in column '{columns.time}', found "
            f"{negative.iloc[0]:g} in row {negative.index[0]}; correct it"
        )
    reasons = pd.Series("", index=text.index)
    reasons[time == 0] = "no follow-up: time 0"
    reasons[time.isna()] = "time unknown"
    reasons[absent] = "event unknown"
    months = time.to_numpy() * _MONTHS[settings.unit]
    usable = (reasons == "").to_numpy()
    return FollowUp(
        months=np.where(usable, months, np.nan),
        event=(event.to_numpy() & usable).astype(bool),
        unknown=tuple(reasons),
    )
