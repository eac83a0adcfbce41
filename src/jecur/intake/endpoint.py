"""What the time runs to: columns of dates, or a time and an event, and how they are coded."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jecur.cohort.plausible.words import means_unknown
from jecur.cohort.table import name_rows
from jecur.intake.columns import DATE_FORMS, Column, says
from jecur.intake.event import KINDS, ask_event, yes_and_no
from jecur.intake.interview import Interview, ask_column, listed, unlisted

__all__ = ["ask_endpoint"]

UNITS = {
    "days": r"days?|tagen?|jours?|dias?|giorni|\bd\b",
    "weeks": r"weeks?|wochen?|semaines?|semanas?",
    "months": r"months?|monaten?|mois|mes(es)?|mesi|\bmo\b|\bmths?\b",
    "years": r"years?|yrs?|jahren?|ans|annees?|anos?|anni|\by\b",
}
_NEVER = re.compile(r"no|nein|non|none|never|nie|kein\w*|alive|lebt|jamais", re.IGNORECASE)
_DATED = re.compile(r"dat(e|um|a)(?![a-z])|fecha|day|tag(?![a-z])", re.IGNORECASE)
_NO_CONTACT = ("surgery", "recurrence", "death")
_DIGIT = re.compile(r"\d")
"""In place of a day: a word may say that it never came, a text with digits is a day gone wrong."""
NONE = "none"
_VISIT = re.compile(
    r"(?<![a-z])(afp|scan|ct|mri?|mrt|imag\w*|bildgebung|treat\w*|therap\w*|chemo\w*|tace|dose|lab\w*|biops\w*)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_NEARLY_ALL = 0.9
"""Share of the patients from which on a day of an event may be another day."""


def ask_endpoint(columns: Mapping[str, Column], interview: Interview) -> dict[str, Any]:
    """Ask for everything of the endpoint.

    Returns
    -------
    dict
        ``endpoint`` as the study file has it, ``time`` and ``event`` columns, and ``missing`` texts.
    """
    dates = {
        name: column
        for name, column in columns.items()
        if column.is_date or (not column.known and _DATED.search(name))
    }
    surgery = _likely(dates, "surgery")
    contact = _likely(dates, "contact", without=_NO_CONTACT)
    times = [
        name
        for name, column in columns.items()
        if column.is_numeric
        and len(column.levels) > 2
        and says(name, "time")
        and not says(name, "age", "birth", "patient")
    ]
    ways = [way for way, there in (("dates", surgery and contact), ("time", times)) if there]
    guess = ways[0] if len(ways) == 1 else ""
    why = {
        "dates": f"columns '{surgery[0]}' and '{contact[0]}' hold dates"
        if surgery and contact
        else "",
        "time": f"column '{times[0] if times else ''}' holds numbers and is called a time",
        "": "the table has both dates and times" if ways else "no heading says it",
    }[guess]
    way = interview.ask(
        "follow_up",
        "Follow-up from dates, or from a time column",
        guess=guess,
        reason=why,
        sure=bool(guess),
        choices=("dates", "time"),
    )
    if way == "dates":
        return _from_dates(columns, dates, interview)
    return _from_time(columns, times, interview)


def _from_dates(
    columns: Mapping[str, Column], dates: Mapping[str, Column], interview: Interview
) -> dict[str, Any]:
    names = list(dates) or list(columns)
    surgery = _one_of(
        interview, "surgery", "Column of the day of surgery", names, _likely(dates, "surgery")
    )
    contact = _one_of(
        interview, "last_contact", "Column of the last day the patient was known to be alive",
        names, _likely(dates, "contact", without=_NO_CONTACT),
    )  # fmt: skip
    recurrence = _optional(
        interview, "recurrence", "Column of the day of recurrence", columns, names,
        _likely(dates, "recurrence"),
    )  # fmt: skip
    death = _optional(
        interview, "death", "Column of the day of death", columns, names, _likely(dates, "death")
    )
    kinds = [
        kind
        for kind, there in (
            ("recurrence-free survival", recurrence and death),
            ("time to recurrence", recurrence),
            ("overall survival", death),
        )
        if there
    ]
    kind = _ask_kind(interview, kinds or list(KINDS))
    endpoint: dict[str, Any] = {"kind": kind}
    used = [name for name in (surgery, contact, recurrence, death) if name]
    form = _ask_form(interview, [columns[name] for name in used if name in columns])
    plain = {"surgery": surgery, "last_contact": contact, "recurrence": recurrence, "death": death}
    endpoint["dates"] = {key: name for key, name in plain.items() if name} | {"format": form}
    texts = {name: columns[name].no_dates(form) for name in used if form and name in columns}
    words = {
        name: [t for t in found if not _DIGIT.search(t)]
        for name, found in texts.items()
        if name in (recurrence, death)
    }
    wrong = {
        name: [t for t in found if t not in words.get(name, ())] for name, found in texts.items()
    }
    missing = _unknown_of(wrong, "dates", interview)
    missing += [t for found in words.values() for t in found]
    for name, key in ((recurrence, "recurrence"), (death, "death")):
        if name in columns:
            interview.remarks += _contradictions(columns, columns[name], key)
    if kinds:
        events = [columns[name] for name in (recurrence, death) if name in columns]
        endpoint["dates"]["never_values"] = never = _ask_never(interview, events, form)
        unknown = [text for text in missing if text not in never]
        return {"endpoint": endpoint, "time": "", "event": "", "missing": unknown}
    event, coding, more = ask_event(columns, kind, interview)
    return {
        "endpoint": endpoint | coding, "time": "", "event": event, "missing": [*missing, *more]
    }  # fmt: skip


def _contradictions(columns: Mapping[str, Column], dates: Column, key: str) -> list[str]:
    """Tell rows in which a column of yes and no says something else than the column of dates."""
    told = []
    for column in columns.values():
        if column.is_date or not says(column.name, key) or len(column.levels) > 3:
            continue
        yes, no = yes_and_no(column.levels)
        if not (yes and no):
            continue
        undated = [row for row, t in column.cells.items() if t in yes and row not in dates.known]
        dated = [row for row, t in column.cells.items() if t in no and row in dates.known]
        for rows, said in ((undated, "yes without a date in"), (dated, "no beside a date in")):
            if rows:
                told.append(
                    f"column '{column.name}' says {said} '{dates.name}' in {name_rows(rows)}; the dates "
                    "are followed: correct the table if they are wrong"
                )
    return told


def _from_time(
    columns: Mapping[str, Column], times: Sequence[str], interview: Interview
) -> dict[str, Any]:
    numeric = [name for name, column in columns.items() if column.is_numeric]
    time = ask_column(
        interview,
        "time",
        "Column of the follow-up time",
        numeric,
        times[0] if len(times) == 1 else "",
    )
    events = [
        name
        for name, c in columns.items()
        if says(name, "event") and 1 < len(c.levels) <= 6 and name != time
    ]
    kind = _ask_kind(interview, list(KINDS), [time], events if len(events) == 1 else [])
    found = [
        unit
        for unit, words in UNITS.items()
        if re.search(rf"(?<![a-z])({words})(?![a-z])", time, re.I)
    ]
    unit = interview.ask(
        "unit",
        f"Unit of '{time}'",
        guess=found[0] if len(found) == 1 else "",
        reason=f"the heading '{time}' says so"
        if found
        else f"the heading '{time}' does not say it",
        sure=len(found) == 1,
        choices=list(UNITS),
    )
    event, coding, missing = ask_event(columns, kind, interview, time)
    endpoint = {"kind": kind, "unit": unit, **coding}
    column = columns.get(time)
    if column is not None:
        texts = {time: (*column.unknown, *column.not_numbers)}
        missing = [*missing, *_unknown_of(texts, "numbers", interview)]
    return {"endpoint": endpoint, "time": time, "event": event, "missing": missing}


def _ask_kind(interview: Interview, kinds: Sequence[str], *headings: Sequence[str]) -> str:
    """Ask for the endpoint; the first group of headings that names one, and one alone, says it."""
    guess, why = "", "the headings do not say it"
    for group in headings:
        text = " ".join(re.sub(r"[_\-]+", " ", heading) for heading in group)
        said = [kind for kind in kinds if re.search(KINDS[kind], text, re.IGNORECASE)]
        if len(said) == 1 and not guess:
            guess, why = said[0], f"the heading {text!r} says it"
    if not guess and len(kinds) == 1:
        guess, why = kinds[0], "only this one can be told from the columns"
    return interview.ask(
        "endpoint",
        "What the time runs to (recurrence-free survival counts death; time to recurrence does not)",
        guess=guess,
        reason=why,
        sure=bool(guess),
        choices=kinds,
    )


def _ask_form(interview: Interview, columns: Sequence[Column]) -> str:
    written = [c for c in columns if c.known and not c.dated >= c.known.keys()]
    if not written:
        return "%Y-%m-%d"  # date cells need no format
    forms = [f for f in DATE_FORMS if all(f in c.date_forms for c in written)]
    example = next(text for row, text in written[0].known.items() if row not in written[0].dated)
    why = (
        f"reads every date, such as {example!r}"
        if len(forms) == 1
        else f"several formats read all dates, such as {example!r}"
    )
    return interview.ask(
        "date_format",
        f"Format of dates such as {example!r} (%d day, %m month, %Y year)",
        guess=forms[0] if len(forms) == 1 else "",
        reason=why,
        sure=len(forms) == 1,
        choices=forms,
    )


def _ask_never(interview: Interview, events: Sequence[Column], form: str) -> list[str]:
    """Ask which texts in place of a date say that it did not happen; an empty cell does."""
    found = dict.fromkeys(t for column in events for t in column.no_dates(form))
    texts = [text for text in found if not _DIGIT.search(text)]
    if not texts:
        return [""]
    clear = [text for text in texts if _NEVER.fullmatch(text)]
    names = " and ".join(f"'{column.name}'" for column in events)
    said = interview.ask(
        "never_values",
        f"Texts in {names} that say that it did not happen; the others of these mean unknown",
        guess=unlisted(clear),
        reason="an empty cell means that no such day was entered"
        + (f"; {', '.join(map(repr, clear))} say so" if clear else ""),
        sure=len(clear) == len(texts),
        choices=texts,
        several=True,
    )
    return ["", *listed(said)]


def _one_of(
    interview: Interview, key: str, text: str, names: Sequence[str], likely: Sequence[str]
) -> str:
    """Ask for a column; the first of several that are likely is asked about."""
    return ask_column(
        interview, key, text, names, likely[0] if likely else "",
        doubt=_several(likely) or _of_something(likely),
    )  # fmt: skip


def _optional(
    interview: Interview,
    key: str,
    text: str,
    columns: Mapping[str, Column],
    names: Sequence[str],
    likely: Sequence[str],
) -> str:
    """Ask for a column that need not be; one that may as well tell the end of follow-up is asked about."""
    guess = likely[0] if likely else ""
    doubt = _several(likely)
    if guess and says(guess, "contact") and not doubt:
        doubt = f"'{guess}' may also tell the last contact of those to whom nothing happened"
    if guess and not doubt and len(columns[guess].known) > _NEARLY_ALL * len(columns[guess].cells):
        doubt = f"'{guess}' has a day in nearly every row: of the event, or of the end of follow-up"
    found = f"its heading and what it holds: '{guess}'" if guess else "no column of dates says it"
    said = interview.ask(
        key,
        text,
        guess=guess or NONE,
        reason=doubt or found,
        sure=not doubt,
        choices=[*names, NONE],
    )
    return "" if said == NONE else said


def _of_something(likely: Sequence[str]) -> str:
    if likely and _VISIT.search(likely[0]):
        return f"'{likely[0]}' may be the day of something, after which the patient was seen again"
    return ""


def _several(likely: Sequence[str]) -> str:
    return f"several could be: {', '.join(map(repr, likely))}" if len(likely) > 1 else ""


def _likely(columns: Mapping[str, Column], kind: str, without: Sequence[str] = ()) -> list[str]:
    """Names of the columns whose heading says this."""
    found = [name for name in columns if says(name, kind) and not says(name, "birth")]
    return [name for name in found if not (without and says(name, *without))]


def _unknown_of(texts: Mapping[str, Sequence[str]], what: str, interview: Interview) -> list[str]:
    """Texts that mean unknown, of those that are no dates or numbers; asked where they do not say so.

    Whoever answers leaves out what is to be corrected: reading the table refuses it with its rows.
    """
    found = [t for of_column in texts.values() for t in of_column]
    odd = list(dict.fromkeys(t for t in found if not means_unknown(t)))
    clear = list(dict.fromkeys(t for t in found if t not in odd))
    if not odd:
        return clear
    names = " and ".join(
        f"'{name}'" for name, of_column in texts.items() if set(odd) & {*of_column}
    )
    said = interview.ask(
        "missing_values",
        f"Texts in {names} that mean unknown; the others are to be corrected in the table",
        reason=f"{', '.join(map(repr, odd[:6]))}: no {what}, and nothing that says unknown",
        choices=odd,
        several=True,
    )
    return [*clear, *listed(said)]
