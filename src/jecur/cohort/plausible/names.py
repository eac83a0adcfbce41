"""Names of patients and sites that can hardly be names: nobody's, a sum's, a spreadsheet's own, two of one.

A spreadsheet makes a day of an identifier such as ``MAR1`` and zeros of the digits of a long one; saved as
text, nothing tells so but the others.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from jecur.cohort.plausible.doubts import Doubt, doubt, oddity
from jecur.cohort.plausible.words import alike, means_unknown, one_id, spelled_out, sums_up

__all__ = ["days_among", "form_of", "names_nobody", "patient_doubts", "site_doubts"]

_MONTH = r"(jan|feb|mar|mrz|m\u00e4r|apr|may|mai|jun|jul|aug|sep|sept|oct|okt|nov|dec|dez)[a-z]*\.?"
_DAY = re.compile(
    rf"[0-9]{{1,2}}[-. /]+{_MONTH}([-. /]+[0-9]{{2,4}})?|{_MONTH}[-. /]+[0-9]{{2,4}}|"
    r"[0-9]{1,2}(?P<mark>[./-])[0-9]{1,2}(?P=mark)[0-9]{2,4}|[0-9]{4}-[0-9]{2}-[0-9]{2}( 00:00(:00)?)?",
    re.IGNORECASE,
)
_RUN = re.compile(r"[0-9]+|[^\W\d_]+")
_EXACT_DIGITS, _FEWEST_ROUNDED = 15, 3
_LONGEST_INITIALS = 4
_NOBODY = {"none", "nobody", "true", "false"}


def patient_doubts(ids: pd.Series, filled: pd.Series) -> Iterator[Doubt]:
    """Doubts about identifiers of patients.

    Parameters
    ----------
    ids
        (n,) texts; the index is the row in the file.
    filled
        (n,) how many other cells of the row hold something.
    """
    column = str(ids.name)
    sums = ids[[sums_up(name) for name in ids]]
    if len(sums):
        yield doubt(
            "summary-row", column, "a patient in each row", _shown(sums.unique()), sums.index,
            "take rows that sum up the others out of the table",
        )  # fmt: skip
    nobody = ids[
        ids.isin([*names_nobody(ids.tolist()), *(t for t in ids if t.casefold() in _NOBODY)])
    ]
    if len(nobody):
        yield doubt(
            "no-patient", column, "a patient in each row", _shown(nobody.unique()), nobody.index,
            "enter the id or take the row out of the table",
        )  # fmt: skip
    days = ids[ids.isin(days_among(ids.tolist()))]
    if len(days):
        yield doubt(
            "date-as-id", column, "ids", _shown(days.unique()), days.index,
            "a spreadsheet may have made a day of an id such as MAR1; enter it again in a column of text",
        )  # fmt: skip
    rounded = ids[[t.isdigit() and len(t) > _EXACT_DIGITS for t in ids]]
    if len(rounded) >= _FEWEST_ROUNDED and not any(t[_EXACT_DIGITS:].strip("0") for t in rounded):
        yield doubt(
            "rounded-id", column, "ids with all their digits", _shown(rounded.unique()), rounded.index,
            f"a spreadsheet keeps {_EXACT_DIGITS} digits of a number and fills up with zeros; enter them "
            "again in a column of text",
        )  # fmt: skip
    alone = ids[(filled == 0) & (ids != "")]
    if len(alone) and filled.median() > 1:
        yield oddity(
            "empty-row", column, "something beside each patient's id", _shown(alone.unique()), alone.index,
            "if this is a note, name the row under ignored_rows in [cohort.format]",
        )  # fmt: skip
    yield from _alike(ids, "patient")


def site_doubts(sites: pd.Series, *, whole: bool) -> Iterator[Doubt]:
    """Doubts about hospitals or laboratories.

    Parameters
    ----------
    sites
        (n,) texts by row; "" is an unknown one.
    whole
        Sites train or validate as a whole: one in two spellings would do both.
    """
    nobody = sites[sites.isin(names_nobody([site for site in sites if site]))]
    if len(nobody):
        missing = ", ".join(f'"{text}"' for text in nobody.unique())
        yield doubt(
            "unknown-as-site", str(sites.name), "sites", _shown(nobody.unique()), nobody.index,
            f"patients of unknown sites are not of one site: if so, add {missing} to missing_values in "
            "[cohort]",
        )  # fmt: skip
    yield from _alike(sites, "site", doubt if whole else oddity)


def names_nobody(names: Sequence[str]) -> tuple[str, ...]:
    """Texts that mean unknown in place of a name: #N/A, nan, "?", unknown.

    ND and NA are names among others of as many letters and no digit: initials, or codes of hospitals.
    """
    lengths = Counter(len(name) for name in names if name.isalpha() and name.isascii())
    found = [
        name
        for name in dict.fromkeys(names)
        if name and means_unknown(name) and not any(map(str.isdigit, name))
    ]
    return tuple(
        name
        for name in found
        if not (
            name.isalpha()
            and len(name) <= _LONGEST_INITIALS
            and name == name.upper()
            and lengths[len(name)] > len(names) / 2
        )
    )


def days_among(texts: Sequence[str]) -> tuple[str, ...]:
    """Texts that are days as a spreadsheet writes them, where most are none and no other has that form."""
    days = [text for text in dict.fromkeys(texts) if _DAY.fullmatch(text)]
    others = {text for text in texts if text} - set(days)
    forms = {form_of(text) for text in others}
    found = tuple(text for text in days if form_of(text) not in forms)
    return found if sum(text in found for text in texts) < len(texts) / 2 else ()


def form_of(text: str) -> str:
    """Give the form of a text: MAR-01 and Koe-7 are a word, a dash and a number."""
    return _RUN.sub(lambda run: "9" if run.group()[0].isdigit() else "A", text)


def _alike(names: pd.Series, purpose: str, say: Callable[..., Doubt] = oddity) -> Iterator[Doubt]:
    """Patients or sites that are two by case, a blank, a dash, another alphabet or zeros in front."""
    for group in alike(names[names != ""], one_id):
        yield say(
            "names-alike", str(names.name), f"each {purpose} in one spelling", spelled_out(group),
            names.index[names.isin(group)], f"if they are one {purpose}, spell them alike",
        )  # fmt: skip


def _shown(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - 4} more" if len(texts) > 4 else ""
    return ", ".join(map(repr, texts[:4])) + more
