"""Follow-up and dates that can hardly be true: the wrong unit, the future, lives too long."""

from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np
import pandas as pd

from jecur.cohort.follow_up import DAYS_PER_MONTH
from jecur.cohort.plausible.doubts import Doubt, doubt, oddity
from jecur.cohort.plausible.numbers import (
    OLDEST,
    codes_for_unknown,
    unit_in_words,
    words_of,
)
from jecur.settings import EndpointSettings

__all__ = [
    "MONTHS_IN",
    "age_doubts",
    "date_doubts",
    "exchanged_doubts",
    "since_surgery_doubts",
    "time_doubts",
]

MONTHS_IN = {"days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0}
_IMPOSSIBLE = 12.0 * OLDEST
"""Months: nobody has been followed for longer than anybody has lived."""
_LONGEST = 720.0
"""Months: 60 years after liver surgery can be, and is hardly ever true."""
_LONG_MEDIAN, _LONG_MAX = 144.0, 360.0
_SHORT_MAX, _SHORT_MEDIAN, _SHORT_MEDIAN_MAX = 12.0, 9.0, 36.0
_SHORT_MEDIAN_OF_MONTHS = 6.0
"""Where months are declared, which most tables give, a young cohort is the likelier reading."""
_USUAL_MEDIAN, _USUAL_MAX = (8.0, 144.0), 360.0
_FEWEST = 10
"""Patients from whom on the whole distribution is judged."""
_MONTHS_A_YEAR = 12
_BY_CHANCE, _RARE = (12 / 30.4, 18.4 / 30.4), 0.05
"""Shares of the days of a month, and how seldom they may part two kinds of cells by chance."""
_FIRST_SURGERY = date(1950, 1, 1)
_PLACEHOLDERS = {date(1970, 1, 1), date(1960, 1, 1), date(1999, 9, 9), date(1980, 1, 1)}
_FEW_SAME_DAYS = 3
_SURGERY = {
    "surgery",
    "operation",
    "resection",
    "transplantation",
    "transplant",
    "hepatectomy",
    "op",
}
_DATED = {"date", "year", "datum", "jahr", "day"}


def time_doubts(column: str, time: pd.Series, settings: EndpointSettings) -> Iterator[Doubt]:
    """Doubts about follow-up given as a number.

    Parameters
    ----------
    column
        Its name.
    time
        (n,) in the declared unit, NaN where unknown; the index is the row in the file.
    settings
        The unit.
    """
    known = time.dropna()
    if not len(known):
        return
    unit = settings.unit
    months = known * MONTHS_IN[unit]
    named = unit_in_words(words_of(column))
    if named and named != unit:
        yield oddity(
            "wrong-unit", column, f"{unit}, as declared", f"{named} in its name", known.index,
            f'make sure which it is, and declare unit = "{named}" or "{unit}"',
        )  # fmt: skip
    endless = months[months > _IMPOSSIBLE]
    very_long = months[months > _LONGEST]
    if len(endless):
        first = known[endless.index[0]]
        yield doubt(
            "impossible-follow-up", column, f"follow-up of at most {OLDEST:g} years",
            f"{first:g} {unit} ({endless.iloc[0] / 12:.0f} years)", endless.index,
            _unit_remedy(known, unit),
        )  # fmt: skip
    elif len(very_long):
        first = known[very_long.index[0]]
        yield oddity(
            "odd-follow-up", column, f"follow-up of at most {_LONGEST / 12:g} years",
            f"{first:g} {unit} ({very_long.iloc[0] / 12:.0f} years)", very_long.index,
            _unit_remedy(known, unit),
        )  # fmt: skip
    elif len(known) >= _FEWEST and (found := _odd_distribution(months, unit)):
        yield oddity(
            "odd-follow-up", column, "follow-up as after liver surgery", f"{found}, in {unit},",
            known.index, _unit_remedy(known, unit),
        )  # fmt: skip
    for code in codes_for_unknown(known.to_numpy(dtype=np.float64)):
        rows = [row for row in known.index[known == code] if row not in endless.index]
        if rows:
            yield oddity(
                "code-for-unknown", column, "measured times", f"{code:g}, far from the others,", rows,
                "if it means unknown, add it to missing_values in [cohort]",
        )  # fmt: skip


def _odd_distribution(months: pd.Series, unit: str) -> str:
    middle, most = float(months.median()), float(months.max())
    if middle > _LONG_MEDIAN or most > _LONG_MAX:
        return f"a median of {middle / 12:.0f} and a maximum of {most / 12:.0f} years"
    short = _SHORT_MEDIAN_OF_MONTHS if unit == "months" else _SHORT_MEDIAN
    if most < _SHORT_MAX or (middle < short and most < _SHORT_MEDIAN_MAX):
        return f"a median of {middle:.2g} and a maximum of {most:.2g} months"
    return ""


def _unit_remedy(known: pd.Series, declared: str) -> str:
    """Name the units in which the times would be usual ones."""
    low, high = _USUAL_MEDIAN
    usual = [
        unit
        for unit, factor in MONTHS_IN.items()
        if unit != declared
        and low <= float(known.median()) * factor <= high
        and float(known.quantile(0.98)) * factor <= _USUAL_MAX
    ]
    if known.between(20_000, 60_000).mean() > 0.5 and (known % 1 == 0).all():
        return "these look like a spreadsheet's numbers for dates; give [cohort.endpoint.dates]"
    if not usual:
        return "correct the times or the unit"
    units = " or ".join(f'unit = "{unit}"' for unit in usual)
    return f"are these {' or '.join(usual)}? declare {units} in [cohort.endpoint]"


def age_doubts(column: str, years: pd.Series, months: pd.Series, *, named: str) -> Iterator[Doubt]:
    """Doubts about ages at the end of follow-up.

    Parameters
    ----------
    column
        Of the age.
    years
        (n,) age at surgery; NaN where unknown.
    months
        (n,) follow-up; NaN where unknown.
    named
        Column of the time, for the message.
    """
    plausible = years.between(0, OLDEST) & (months <= _LONGEST)
    end = (years + months / 12)[plausible]
    wrong = end[end > OLDEST]
    if len(wrong):
        yield doubt(
            "impossible-follow-up", named, f"follow-up that ends before {OLDEST:g} years of age",
            f"an age ('{column}') of {wrong.iloc[0]:.0f} at its end", wrong.index,
            "correct the age, the time or its unit",
        )  # fmt: skip


def date_doubts(
    columns: Mapping[str, Mapping[int, date | None]], surgery: str, today: date
) -> Iterator[Doubt]:
    """Doubts about dates.

    Parameters
    ----------
    columns
        Column -> row -> date, None where there is none.
    surgery
        Which of them starts the clock.
    today
        No later date has happened.
    """
    for column, dates in columns.items():
        known = {row: day for row, day in dates.items() if day is not None}
        future = {row: day for row, day in known.items() if day > today}
        if future:
            yield doubt(
                "date-in-the-future", column, f"dates until today ({today})",
                str(next(iter(future.values()))), future,
                "correct them (a code for unknown? a century that was guessed?)",
            )  # fmt: skip
        early = {row: day for row, day in known.items() if day < _FIRST_SURGERY}
        if early:
            what = "surgery" if column == surgery else "dates"
            yield doubt(
                "date-too-early", column, f"{what} from {_FIRST_SURGERY.year} on",
                str(next(iter(early.values()))), early,
                "correct them (an empty cell that a spreadsheet took for a day of 1900 or 1904?)",
            )  # fmt: skip
        for day in sorted(_PLACEHOLDERS):
            rows = [row for row, found in known.items() if found == day]
            if len(rows) >= _FEW_SAME_DAYS:
                yield oddity(
                    "placeholder-date", column, "days on which something happened", str(day), rows,
                    "if it stands for unknown, add its text to missing_values",
        )  # fmt: skip


def exchanged_doubts(
    column: str, days: Mapping[int, date | None], texts: pd.Series, kinds: Mapping[int, str]
) -> Iterator[Doubt]:
    """Doubts about days of which a spreadsheet of another country took a part for its own.

    It makes 03/04/2015 a day the other way round, and leaves 25/04/2015, none to it, as text. Then its
    days all lie within the first twelve of a month, and the texts beyond.

    Parameters
    ----------
    column
        Its name.
    days
        Row -> day as it was read.
    texts, kinds
        Cells, and those that are dates in the spreadsheet.
    """
    known = {row: day.day for row, day in days.items() if day is not None}
    own = [row for row in known if kinds.get(row) == "date"]
    left = [row for row in known if kinds.get(row) != "date"]
    apart = all(known[row] <= _MONTHS_A_YEAR for row in own) and all(
        known[row] > _MONTHS_A_YEAR for row in left
    )
    if own and left and apart and _BY_CHANCE[0] ** len(own) * _BY_CHANCE[1] ** len(left) < _RARE:
        yield doubt(
            "exchanged-days", column, "days written in one way",
            f"{texts[left[0]]!r} in row {left[0]} beside {texts[own[0]]!r}", own,
            "a spreadsheet seems to have exchanged day and month wherever both are at most 12; take the "
            "column from its source again, as text",
        )  # fmt: skip


def since_surgery_doubts(
    frame: pd.DataFrame, months: pd.Series, time: str, today: date
) -> Iterator[Doubt]:
    """Doubts about follow-up that is longer than the time since surgery, where a column tells it.

    Parameters
    ----------
    frame
        Cells of the table; a column named as a date or year of surgery is looked at.
    months
        (n,) follow-up.
    time
        Column of the time, for the message.
    today
        Follow-up has ended by now.
    """
    for column in frame.columns:
        words = words_of(str(column))
        if not (words & _SURGERY and words & _DATED):
            continue
        begun = frame[column].map(_day)
        since = begun.map(
            lambda day: np.nan if day is None else (today - day).days / DAYS_PER_MONTH
        )
        late = months[(months <= _LONGEST) & (months > since.astype(np.float64) + 1)]
        if len(late):
            row = late.index[0]
            yield oddity(
                "follow-up-in-the-future", time, f"follow-up no longer than since '{column}'",
                f"{late.iloc[0]:.0f} months since {frame.loc[row, column]}", late.index,
                "correct the time, its unit or the date",
        )  # fmt: skip


def _day(cell: str) -> date | None:
    """Day of an ISO date, or New Year of a year alone; None for anything else."""
    try:
        return (
            date(int(cell), 1, 1)
            if cell.isdigit() and len(cell) == 4
            else date.fromisoformat(cell[:10])
        )
    except ValueError:
        return None
