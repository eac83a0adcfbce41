"""Which columns are clinical factors, of what kind, in what unit, with which reference level."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jecur.intake.columns import Column, says
from jecur.intake.interview import Interview, listed, unlisted

__all__ = ["ask_factors"]

_UNIT = re.compile(r"[\[(]\s*([^\])]{1,20}?)\s*[\])]\s*$")
_KNOWN_UNITS = re.compile(
    r"[\s_,]+(ng/ml|ug/l|µg/l|iu/ml|u/l|iu/l|g/l|g/dl|mg/dl|umol/l|µmol/l|mmol/l|cm|mm|years?|kg|%|10\^?9/l|g/l)$",
    re.IGNORECASE,
)
_SKEWED = re.compile(
    r"(?<![a-z])(afp|alpha.?f\w*|bilirubin\w*|pivka\w*|dcp|crp|alt|ast|ggt|got|gpt|ca ?19.?9?)(?![a-z])",
    re.IGNORECASE,
)
_OUTCOME = re.compile(
    r"recur|relaps|rezidiv|recidiv|death|dead|died|deceased|verstorben|deces|surviv|status|follow|progress|"
    r"(?<![a-z])(rfs|dfs|os|dss|ttr|pfs|fu|event)(?![a-z])|last.?contact|alive",
    re.IGNORECASE,
)
_MOST_LEVELS = 8
_FEW_NUMBERS = 5
"""At most so many different whole numbers are levels, not a measure."""
_ORDERS = (
    ("no", "nein", "non", "none", "absent", "negative", "neg", "n", "0", "false", "normal"),
    ("female", "f", "w", "weiblich", "femme"),
    ("low", "mild", "small", "micro", "well", "i", "a", "g1", "1", "t1", "child a"),
)
"""Texts that are a reference level by custom."""
_STAGES = "i ia ib ic ii iia iib iic iii iiia iiib iiic iv iva ivb v"
_ROMAN = {text: n for n, text in enumerate(_STAGES.split(" "))}


def ask_factors(
    columns: Mapping[str, Column], taken: Sequence[str], interview: Interview
) -> list[dict[str, Any]]:
    """Ask which columns are factors; return them as the study file has them, each with ``why``."""
    reasons = {name: _not_a_factor(column) for name, column in columns.items() if name not in taken}
    likely = [name for name, reason in reasons.items() if not reason]
    left = "; ".join(f"'{name}' {reason}" for name, reason in reasons.items() if reason)
    said = interview.ask(
        "covariates",
        "Clinical factors, known at surgery, to set beside the classifier",
        guess=unlisted(likely),
        reason="numbers or a few levels" + (f"; left out: {left}" if left else ""),
        sure=True,
        choices=list(reasons),
        several=True,
    )
    return [_factor(columns[name], interview) for name in listed(said) if name in columns]


def _not_a_factor(column: Column) -> str:
    """Why a column is not proposed; "" if it is."""
    n_known, n_levels = len(column.known), len(column.levels)
    measure = column.is_numeric and not says(column.name, "patient")
    spread = n_levels > _MOST_LEVELS or n_levels > 0.5 * n_known + 1
    against = {
        "holds one value" if n_known else "is empty": n_levels < 2,
        "holds dates": column.is_date,
        "sounds like what came after surgery": _OUTCOME.search(re.sub(r"[_\-]+", " ", column.name)),
        "holds names or notes": says(column.name, "note", "birth", "slide", "role"),
        f"holds {n_levels} different texts": spread and not measure,
    }
    return next((reason for reason, holds in against.items() if holds), "")


def _factor(column: Column, interview: Interview) -> dict[str, Any]:
    label, unit = _label_and_unit(column.name)
    missing = ["", *column.unknown]
    whole = {n for n in column.numbers if float(n).is_integer()}
    coded = len(column.levels) <= _FEW_NUMBERS and len(whole) == len(set(column.numbers))
    numeric = column.is_numeric and not coded and not column.not_numbers
    kind = interview.ask(
        f"kind:{column.name}",
        f"Is '{column.name}' a measure or a few levels",
        guess="numeric" if column.is_numeric and not coded else "categorical",
        reason=_kind_reason(column, coded=coded),
        sure=numeric or not column.is_numeric or coded,
        choices=("numeric", "categorical"),
    )
    base: dict[str, Any] = {"column": column.name, "kind": kind}
    base |= {"label": label} if label != column.name else {}
    if kind == "numeric":
        return base | _numeric(column, unit, missing, interview)
    return base | _levels(column, missing, interview)


def _kind_reason(column: Column, *, coded: bool) -> str:
    if coded and column.is_numeric:
        return f"only {', '.join(map(repr, column.levels))}"
    if column.is_numeric and column.not_numbers:
        return f"numbers, but also {', '.join(map(repr, column.not_numbers[:4]))}"
    if column.is_numeric:
        return f"numbers from {min(column.numbers):g} to {max(column.numbers):g}"
    return f"{len(column.levels)} different texts"


def _numeric(
    column: Column, unit: str, missing: Sequence[str], interview: Interview
) -> dict[str, Any]:
    odd = column.not_numbers
    unknown = listed(
        interview.ask(
            f"missing_values:{column.name}",
            f"Texts in '{column.name}' that mean unknown; the others are to be corrected in the table",
            reason=f"{', '.join(map(repr, odd[:6]))}: no numbers, and nothing that says unknown",
            choices=odd,
            several=True,
        )
        if odd
        else ""
    )
    found: dict[str, Any] = {"missing_values": [*missing, *unknown]}
    if unit:
        found["unit"] = unit
    elif says(column.name, "age"):
        found["unit"] = "years"
    skewed = bool(_SKEWED.search(column.name)) and min(column.numbers, default=0.0) > 0
    scale = interview.ask(
        f"scale:{column.name}",
        f"Scale on which '{column.name}' enters the models",
        guess="log2" if skewed else "linear",
        reason="of a kind that is strongly skewed, all values above 0: hazard ratio per doubling"
        if skewed
        else "hazard ratio per unit",
        sure=True,
        choices=("linear", "log2", "log10"),
    )
    if scale != "linear":
        found["scale"] = scale
    if column.limits:
        found["beyond_limit"] = interview.ask(
            f"beyond_limit:{column.name}",
            f"What {', '.join(map(repr, column.limits[:4]))} in '{column.name}' count as",
            guess="limit",
            reason="the limit of the laboratory is nearer to the truth than nothing",
            sure=True,
            choices=("limit", "missing"),
        )
    return found


def _levels(column: Column, missing: Sequence[str], interview: Interview) -> dict[str, Any]:
    ordered = sorted(column.levels, key=_rank)
    reference = ordered[0] if ordered else ""
    custom = any(reference.casefold() in order for order in _ORDERS)
    first = interview.ask(
        f"reference:{column.name}",
        f"Reference level of '{column.name}'",
        guess=reference,
        reason="the level without a finding, or the lowest, by custom"
        if custom
        else "the first in order; hazard ratios are against it",
        sure=True,
        choices=ordered,
    )
    return {
        "levels": [first, *(level for level in ordered if level != first)],
        "missing_values": list(missing),
    }


def _rank(level: str) -> tuple[int, int, float, str]:
    text = level.casefold().strip()
    for order in _ORDERS[:2]:
        if text in order:
            return 0, 0, 0.0, text
    tail = re.sub(r"^(stage|stadium|grade|grad|bclc|child.?pugh|child|pt|t|g)[\s:_-]*", "", text)
    if tail in _ROMAN:
        return 1, 0, float(_ROMAN[tail]), text
    number = re.search(r"[0-9]+([.,][0-9]+)?", text)
    if number:
        return 1, 1, float(number.group(0).replace(",", ".")), text
    known = (
        "none",
        "mild",
        "micro",
        "low",
        "well",
        "small",
        "moderate",
        "medium",
        "macro",
        "high",
        "severe",
        "poor",
    )
    return 2, (known.index(text) if text in known else len(known)), 0.0, text


def _label_and_unit(heading: str) -> tuple[str, str]:
    """Part a heading such as "AFP (ng/ml)" into a label and a unit."""
    found = _UNIT.search(heading) or _KNOWN_UNITS.search(heading)
    if not found:
        return heading, ""
    label = heading[: found.start()].strip(" _,")
    return (label, found.group(1).strip()) if label else (heading, "")
