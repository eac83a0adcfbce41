"""Numbers that a column can hardly hold: ages, laboratory values, codes for unknown, day numbers.

What a column measures is told by the words of its name, its label and its unit. A column that is
named a logarithm, a score, a difference or the like is measured by none of these rules, and neither
is one that looks standardized.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from jecur.arrays import Vector
from jecur.cohort.plausible.doubts import Doubt, doubt, oddity
from jecur.settings import Covariate

__all__ = [
    "OLDEST",
    "age_unit",
    "codes_for_unknown",
    "number_doubts",
    "unit_in_words",
    "words_of",
    "years_of",
]

OLDEST = 120.0
"""Years; the longest known human life was 122."""

_AGE = {"age", "alter", "edad", "eta", "leeftijd", "idade", "alder", "wiek", "lebensalter"}
_CHANGED = {
    "log", "ln", "lg", "logarithm", "z", "zscore", "score", "scaled", "scale", "std", "sd",
    "standardized", "standardised", "normalized", "normalised", "norm", "delta", "change", "diff",
    "difference", "residual", "centered", "centred", "albi", "index", "slope", "trend", "gradient",
    "excess", "balance", "pc", "component", "logit", "group", "category", "risk",
}  # fmt: skip
_MEASURED = {
    "afp", "alphafetoprotein", "fetoprotein", "aft", "bilirubin", "bili", "tbil", "dbil", "tb",
    "albumin", "alb", "alt", "ast", "sgot", "sgpt", "got", "gpt", "ggt", "gammagt", "alp", "platelet",
    "platelets", "plt", "thrombocytes", "inr", "creatinine", "crea", "creat", "kreatinin",
    "hemoglobin", "haemoglobin", "hb", "hgb", "wbc", "leukocytes", "leucocytes", "lymphocytes",
    "neutrophils", "crp", "pivka", "dcp", "ldh", "sodium", "potassium", "glucose", "urea", "ferritin",
    "cea", "ca199", "cholesterol", "ammonia", "prothrombin", "quick", "dna", "viral",
    "size", "diameter", "durchmesser", "volume", "weight", "gewicht", "height", "bmi", "number",
    "count", "anzahl", "nodules", "tumors", "tumours", "loss", "duration", "concentration",
}  # fmt: skip
_UNIT = re.compile(
    r"(?:x?10[\^*e]?\d*|[pnmukdµμ]?(?:g|mol|iu|u|eq|au|kat)|cells|copies)?/(?:[mdcuµμ]?l|mm3|mm\^3)"
    r"|[mc]m|kg|kg/m2|kg/m\^2|bmi",
    re.IGNORECASE,
)
_IN_A_YEAR = {"days": 365.25, "weeks": 365.25 / 7, "months": 12.0, "years": 1.0}
_UNIT_WORDS = {
    "days": {"day", "days", "tage", "tagen", "jours", "dias", "giorni", "d"},
    "weeks": {"week", "weeks", "wochen", "wk", "wks", "semaines"},
    "months": {
        "month",
        "months",
        "monate",
        "monaten",
        "mois",
        "mo",
        "mos",
        "mths",
        "meses",
        "mesi",
    },
    "years": {"year", "years", "yr", "yrs", "jahre", "jahren", "ans", "y", "anos", "anni"},
}
_LIMITS = {  # (word, unit) -> what no living patient exceeds
    ("albumin", "g/dl"): 12, ("alb", "g/dl"): 12, ("albumin", "g/l"): 120, ("alb", "g/l"): 120,
    ("bilirubin", "mg/dl"): 120, ("bili", "mg/dl"): 120, ("bilirubin", "umol/l"): 2000,
    ("creatinine", "mg/dl"): 60, ("creatinine", "umol/l"): 5000, ("inr", ""): 50,
    ("hemoglobin", "g/dl"): 40, ("hb", "g/dl"): 40, ("hemoglobin", "g/l"): 400,
    ("sodium", "mmol/l"): 250, ("potassium", "mmol/l"): 20, ("bmi", ""): 200,
    ("platelets", "10^9/l"): 10_000, ("plt", "10^9/l"): 10_000, ("size", "cm"): 60,
    ("diameter", "cm"): 60, ("size", "mm"): 600, ("diameter", "mm"): 600,
}  # fmt: skip
_NINES = (*(float(d * n) for d in "98" for n in range(2, 8)), 99.9, 999.9)
_NEGATIVE_CODES = (*(-float(d * n) for d in "98" for n in range(1, 6)), -1.0, -7.0, -77.0)
_FIRST_DAY, _LAST_DAY = 25_569, 60_000
_EPOCH = date(1899, 12, 30)
_FEW_OTHERS = 5


def words_of(*names: str) -> frozenset[str]:
    """Words of a column's name, lower case: ``ageAtSurgery (years)`` has four."""
    apart = (re.sub(r"([a-z])([A-Z])", r"\1 \2", name) for name in names)
    return frozenset(w for name in apart for w in re.findall(r"[^\W\d_]+", name.lower()))


def age_unit(covariate: Covariate) -> str:
    """Return the unit of a factor that is an age, years unless it says otherwise; "" if it is none."""
    words = words_of(covariate.column, covariate.label)
    if covariate.kind != "numeric" or not words & _AGE or words & _CHANGED:
        return ""
    return unit_in_words(words | words_of(covariate.unit)) or "years"


def unit_in_words(words: frozenset[str]) -> str:
    """Return the one unit of time that words name; "" if none or several."""
    units = [unit for unit, names in _UNIT_WORDS.items() if words & names]
    return units[0] if len(units) == 1 else ""


def years_of(ages: pd.Series, unit: str) -> pd.Series:
    """Ages in years."""
    return ages / _IN_A_YEAR[unit]


def number_doubts(covariate: Covariate, values: pd.Series, texts: pd.Series) -> Iterator[Doubt]:
    """Doubts about one numeric factor.

    Parameters
    ----------
    covariate
        Its column, label and unit.
    values
        (n,) float64, NaN where missing; the index is the row in the file.
    texts
        The cells that they were read from.
    """
    known = values.dropna()
    told: set[int] = set()
    if not len(known):
        return
    checks = (_age_doubts(covariate, known, texts), _measure_doubts(covariate, known, texts))
    for found, rows in (pair for check in checks for pair in check):
        told |= set(rows)
        yield found
    yield from _code_doubts(covariate, known, told, texts)
    yield from _day_number_doubts(covariate, known, told)


def _age_doubts(
    covariate: Covariate, known: pd.Series, texts: pd.Series
) -> Iterator[tuple[Doubt, list[int]]]:
    unit = age_unit(covariate)
    if not unit or _looks_standardized(known):
        return
    most = OLDEST * _IN_A_YEAR[unit]
    wrong = known[(known < 0) | (known > most)]
    if len(wrong):
        rows = [int(row) for row in wrong.index]
        remedy = f"correct it, or add a code for unknown to missing_values (as {texts[rows[0]]!r})"
        if len(wrong) > len(known) / 2:
            remedy = "are these years of birth, or ages in days? give ages in years"
        yield doubt(
            "impossible-age", covariate.column, f"ages from 0 to {most:g} {unit}", _values(wrong),
            rows, remedy,
        ), rows  # fmt: skip


def _measure_doubts(
    covariate: Covariate, known: pd.Series, texts: pd.Series
) -> Iterator[tuple[Doubt, list[int]]]:
    words = words_of(covariate.column, covariate.label)
    unit = covariate.unit.replace(" ", "").replace("µ", "u").replace("μ", "u").lower()
    changed = (words | words_of(covariate.unit)) & _CHANGED
    if changed or not (words & _MEASURED or _UNIT.fullmatch(unit)):
        return
    negative = known[known < 0]
    if len(negative) and not _looks_standardized(known):
        many = len(negative) > 0.1 * len(known) and bool((negative % 1 != 0).any())
        rows = [int(row) for row in negative.index]
        remedy = f"correct it, or add a code for unknown to missing_values (as {texts[rows[0]]!r})"
        if many:
            remedy = "name the column a logarithm or a score if it is one"
        say = oddity if many else doubt
        yield say(
            "negative-measure", covariate.column, "values of 0 or more", _values(negative), rows,
            remedy,
        ), rows  # fmt: skip
    for (word, limited), most in _LIMITS.items():
        high = known[known > most]
        if word in words and unit == limited and len(high):
            rows = [int(row) for row in high.index]
            yield oddity(
                "implausible-measure", covariate.column, f"at most {most} {unit}".rstrip(),
                _values(high), rows, "look whether the unit is right",
        ), rows  # fmt: skip
            return


def _looks_standardized(known: pd.Series) -> bool:
    """Whether values lie about 0, as standardized and logarithmic ones do."""
    share = float((known < 0).mean())
    return 0.1 < share < 1.0 and float(known.abs().quantile(0.9)) < 12 and len(known) >= 10


def _code_doubts(
    covariate: Covariate, known: pd.Series, told: set[int], texts: pd.Series
) -> Iterator[Doubt]:
    for code in codes_for_unknown(known.to_numpy(dtype=np.float64)):
        rows = [int(row) for row in known.index[known == code] if int(row) not in told]
        if rows:
            yield oddity(
                "code-for-unknown", covariate.column, "measured values",
                f"{_shown(code)}, far from the others or over and over,", rows,
                f"if it means unknown, add {texts[rows[0]]!r} to missing_values",
        )  # fmt: skip


def codes_for_unknown(values: Vector) -> tuple[float, ...]:
    """Codes such as 999 or -9 that stand among values as nothing measured does.

    Parameters
    ----------
    values
        (n,) finite.

    Returns
    -------
    tuple of float
        Codes that lie farther beyond the other values than these are apart from each other, or are
        repeated far more often than any of them.
    """
    codes = np.array([c for c in (*_NINES, *_NEGATIVE_CODES) if np.any(values == c)])
    others = values[~np.isin(values, codes)]
    if others.size < _FEW_OTHERS:
        return ()
    return tuple(float(c) for c in codes if _is_code(float(c), values, others))


def _is_code(code: float, values: Vector, others: Vector) -> bool:
    low, high = float(others.min()), float(others.max())
    distinct = np.unique(others)
    gap = code - high if code > 0 else low - code
    steps = np.all(others % 1 == 0) and distinct.size <= 10
    if code < 0 and low >= 0:
        return not (steps and gap <= 1)
    if gap > max(high - low, abs(high), 1.0):
        return True
    n = int(np.count_nonzero(values == code))
    most = max(int(np.count_nonzero(others == v)) for v in distinct[:2000])
    return abs(code) >= 99 and n >= 5 and n >= 4 * most and not steps


def _day_number_doubts(covariate: Covariate, known: pd.Series, told: set[int]) -> Iterator[Doubt]:
    """Yield dates that a spreadsheet turned into numbers of days."""
    days = known[(known % 1 == 0) & known.between(_FIRST_DAY, _LAST_DAY)]
    others = known.drop(days.index)
    named = bool(words_of(covariate.column, covariate.label) & {"date", "datum", "fecha", "dob"})
    alone = len(others) >= _FEW_OTHERS and float(others.abs().max()) < _FIRST_DAY / 100
    rows = [int(row) for row in days.index if int(row) not in told]
    if rows and (alone or named):
        first = int(days.iloc[0])
        yield oddity(
            "day-number", covariate.column, "measured values",
            f"{first}, a spreadsheet's number for the day {_EPOCH + timedelta(first)},", rows,
            "format the column as numbers or as dates, and correct it",
        )  # fmt: skip


def _values(found: pd.Series) -> str:
    unique: Sequence[float] = list(dict.fromkeys(found))
    more = f" and {len(unique) - 3} more values" if len(unique) > 3 else ""
    return ", ".join(_shown(v) for v in unique[:3]) + more


def _shown(value: float) -> str:
    return f"{value:.10g}"
