"""Whether a clinical table can be true: one place for every command.

Nothing is changed here. What no patient can have (an age of 999, a last contact in the future, follow-up
of 160 years) is refused, all of it at once, unless the study says that it is true; what is only odd
(a unit that gives unusual times, a value that looks like a code) is told. A text that may mean
"unknown" among the levels of a factor that declares none is asked about. Levels that differ in their
spelling alone are refused, patients and sites that do are told.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np
import pandas as pd

from jecur.arrays import Vector
from jecur.cohort.dates import dates_by_column, read_dates
from jecur.cohort.plausible.doubts import Doubt, doubt, oddity, refuse_impossible
from jecur.cohort.plausible.names import days_among, patient_doubts, site_doubts
from jecur.cohort.plausible.numbers import age_unit, codes_for_unknown, number_doubts, years_of
from jecur.cohort.plausible.times import (
    age_doubts,
    date_doubts,
    exchanged_doubts,
    since_surgery_doubts,
    time_doubts,
)
from jecur.cohort.plausible.words import alike, means_unknown, one_level, spelled_out, unknown_among
from jecur.cohort.slide_cells import used_columns
from jecur.cohort.table import Table, name_rows
from jecur.settings import CohortSettings, Covariate

__all__ = ["judge_table"]

_LOST = re.compile(
    "\ufffd|\u00e2\u20ac|"
    "[\u00c3\u00c2][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u2013-\u2026]"
)
"""A mark in place of a letter that could not be read, and UTF-8 that was read byte by byte."""
_MARKS = "*?.!\u2020\u2021\u00a7"


def judge_table(
    table: Table,
    settings: CohortSettings,
    months: Vector,
    factors: Mapping[str, list[float | str | None]],
    sites: pd.Series,
    *,
    today: date | None = None,
) -> tuple[Doubt, ...]:
    """Judge a table that could be read: refuse what cannot be true, return what is doubtful.

    Parameters
    ----------
    table
        As it was read.
    settings
        What its columns mean.
    months
        (n,) follow-up, NaN where unknown.
    factors
        Column -> value a patient, as read.
    sites
        (n,) text of each patient's site, "" where it is unknown or nobody asks.
    today
        The last day that can have happened; the clock's if None.

    Raises
    ------
    TableError
        "implausible-table", naming columns and rows.
    """
    doubts = [*_follow_up_doubts(table, settings, months, factors, today or date.today())]
    names = settings.columns
    filled = (table.frame.drop(columns=names.patient) != "").sum(axis=1)
    doubts += patient_doubts(table.identifiers(names.patient, "patient"), filled)
    by_site = settings.split is not None and settings.split.by == "site"
    doubts += site_doubts(sites, whole=by_site)
    doubts += _columns_alike(table, settings)
    doubts += _lost_letters(table, settings)
    for covariate in settings.covariates:
        doubts += _factor_doubts(table, covariate, factors[covariate.column])
    return refuse_impossible(table.name, doubts, allowed=settings.implausible == "warn")


def _follow_up_doubts(
    table: Table,
    settings: CohortSettings,
    months: Vector,
    factors: Mapping[str, list[float | str | None]],
    today: date,
) -> Iterator[Doubt]:
    endpoint, rows = settings.endpoint, table.frame.index
    followed = pd.Series(months, index=rows)
    named = settings.columns.time
    if endpoint.dates is None:
        time = table.numbers(named, "time", settings.missing_values)
        yield from time_doubts(named, time, endpoint)
        yield from since_surgery_doubts(table.frame, followed, named, today)
    else:
        named = endpoint.dates.last_contact
        columns = dates_by_column(table, endpoint, endpoint.dates, settings.missing_values)
        yield from _day_doubts(table, columns, endpoint.dates.surgery, today)
    split = settings.split
    if split is not None and split.by == "date" and split.date_column:
        form = split.date_format or (endpoint.dates.format if endpoint.dates else "%Y-%m-%d")
        days = read_dates(table, split.date_column, form, settings.missing_values)
        yield from _day_doubts(table, {split.date_column: days}, split.date_column, today)
    for covariate in settings.covariates:
        if unit := age_unit(covariate):
            ages = pd.Series(factors[covariate.column], index=rows, dtype=np.float64)
            yield from age_doubts(covariate.column, years_of(ages, unit), followed, named=named)


def _day_doubts(
    table: Table, columns: Mapping[str, Mapping[int, date | None]], surgery: str, today: date
) -> Iterator[Doubt]:
    yield from date_doubts(columns, surgery, today)
    for column, days in columns.items():
        yield from exchanged_doubts(column, days, table.frame[column], table.kinds.get(column, {}))


def _columns_alike(table: Table, settings: CohortSettings) -> Iterator[Doubt]:
    """Columns that are used and have a double under nearly the same heading, with other cells."""
    used = {settings.columns.patient, *used_columns(settings)}
    for group in alike(map(str, table.frame.columns), one_level):
        for name in [name for name in group if name in used]:
            others = [o for o in group if o != name]
            differ = [o for o in others if not table.frame[o].equals(table.frame[name])]
            if differ:
                rows = table.frame.index[table.frame[differ[0]] != table.frame[name]]
                yield oddity(
                    "columns-alike", name, "one column of that name",
                    f"{spelled_out(differ)} with other cells", rows,
                    "make sure which is meant, and take the other out",
                )  # fmt: skip


def _lost_letters(table: Table, settings: CohortSettings) -> Iterator[Doubt]:
    """Letters that an earlier conversion lost, so that two names may have become one, or changed."""
    for column in (settings.columns.patient, *used_columns(settings)):
        cells = table.frame[column]
        found = cells[[bool(_LOST.search(text)) for text in cells]]
        if len(found):
            yield oddity(
                "lost-letters", column, "letters as they were entered",
                ", ".join(map(repr, found.unique()[:4])), found.index,
                "another program read the table in a wrong encoding; export it again from its source",
            )  # fmt: skip


def _factor_doubts(
    table: Table, covariate: Covariate, values: list[float | str | None]
) -> Iterator[Doubt]:
    column = covariate.column
    found = pd.Series(values, index=table.frame.index, dtype=object)
    if covariate.kind == "numeric":
        yield from number_doubts(covariate, found.astype(np.float64), table.frame[column])
        return
    levels = found.dropna().astype(str)
    yield from _levels_alike(column, levels)
    yield from _marked_levels(column, levels)
    if not covariate.levels:
        yield from _unknown_levels(covariate, levels)
        yield from _nearly_missing(covariate, levels)
        yield from _code_levels(covariate, levels)
        yield from _dated_levels(column, levels, table.kinds.get(column, {}))


def _levels_alike(column: str, levels: pd.Series) -> Iterator[Doubt]:
    """Levels that are two by case, blanks, dashes, alphabet, or as 1 and 1.0 are; declared or not."""
    for group in alike(levels, one_level):
        yield doubt(
            "levels-alike", column, "each level in one spelling", spelled_out(group),
            levels.index[levels.isin(group[1:])], f"write {group[0]!r} everywhere",
        )  # fmt: skip


def _marked_levels(column: str, levels: pd.Series) -> Iterator[Doubt]:
    """Levels that are another one but for a mark behind it: of a footnote, of doubt, a full stop."""
    known = {one_level(text): text for text in dict.fromkeys(levels)}
    for text in dict.fromkeys(levels):
        bare = text.rstrip(_MARKS).rstrip()
        if bare and bare != text and (one := known.get(one_level(bare))):
            yield oddity(
                "levels-alike", column, "each level in one spelling", f"{text!r} beside {one!r}",
                levels.index[levels == text], f"if they are one level, write {one!r} everywhere",
            )  # fmt: skip


def _nearly_missing(covariate: Covariate, levels: pd.Series) -> Iterator[Doubt]:
    """Levels that are a declared text for unknown but for their spelling: 9.0 beside 9."""
    declared = {one_level(text): text for text in covariate.missing_values if text}
    for text in dict.fromkeys(levels):
        if one_level(text) in declared and not means_unknown(text):
            yield doubt(
                "levels-alike", covariate.column, f"{declared[one_level(text)]!r}, which means unknown, in "
                "one spelling", spelled_out((text,)), levels.index[levels == text],
                "add it to missing_values if it means that too",
            )  # fmt: skip


def _unknown_levels(covariate: Covariate, levels: pd.Series) -> Iterator[Doubt]:
    texts = unknown_among(levels)
    if not texts:
        return
    found = ", ".join(f"{t!r} in {name_rows(levels.index[levels == t])}" for t in texts[:6])
    missing = ", ".join(f'"{t}"' for t in (*covariate.missing_values, *texts))
    message = (
        f"column '{covariate.column}': expected levels, found texts that seem to mean "
        f"unknown: {found}; if so, write missing_values = [{missing}] for this covariate; if they are "
        "levels, name all levels in `levels`"
    )
    yield Doubt("unknown-as-level", covariate.column, message, impossible=True)


def _code_levels(covariate: Covariate, levels: pd.Series) -> Iterator[Doubt]:
    """9, 99 or -1 among levels that are small numbers."""
    numbers = pd.to_numeric(levels, errors="coerce")
    if not len(levels) or numbers.isna().any():
        return
    distinct = np.unique(numbers.to_numpy(dtype=np.float64))
    rest = distinct[(distinct >= 0) & (distinct < 9)]
    codes = set(codes_for_unknown(numbers.to_numpy(dtype=np.float64)))
    if 9.0 in distinct and rest.size > 1 and rest.max() <= 4:
        codes.add(9.0)
    for code in sorted(codes):
        rows = levels.index[numbers == code]
        text = levels[rows[0]]
        yield oddity(
            "code-for-unknown", covariate.column, "levels", f"{text!r}, far from the others,", rows,
            f"if it means unknown, add {text!r} to missing_values; else name all levels",
        )  # fmt: skip


def _dated_levels(column: str, levels: pd.Series, kinds: Mapping[int, str]) -> Iterator[Doubt]:
    """Cells that a spreadsheet made dates of, as it does of "1-2"."""
    texts = days_among(levels.tolist())
    rows = [r for r in levels.index if kinds.get(int(r)) == "date" or levels[r] in texts]
    if rows and len(rows) < len(levels):
        yield oddity(
            "date-as-level", column, "levels", f"the date {levels[rows[0]]!r}", rows,
            "a spreadsheet may have made it of a text such as 1-2; format the column as text and "
            "enter it again",
        )  # fmt: skip
