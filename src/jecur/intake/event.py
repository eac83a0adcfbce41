"""Which column tells the event, and what its texts mean."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jecur.intake.columns import Column, says
from jecur.intake.interview import Interview, ask_column, listed, unlisted

__all__ = ["KINDS", "ask_event", "yes_and_no"]

KINDS = {
    "recurrence-free survival": r"\b(rfs|dfs|recurrence.?free|disease.?free|relapse.?free|rezidivfrei\w*)\b",
    "time to recurrence": r"\b(ttr|time.to.(recurrence|relapse))\b",
    "disease-specific survival": r"\b(dss|disease.?specific|cancer.?specific)\b",
    "overall survival": r"\b(os|overall.?survival)\b",
}
_YES = re.compile(
    r"y|yes|ja|j|oui|o|si|s[ií]|true|wahr|vrai|pos(itive?|itiv)?|event|recur\w*|relaps\w*|rezidiv\w*|"
    r"progress\w*|died.*|dead.*|deceased|tot|tod|verstorben|gestorben|d[eé]c[eé]d[eé]\w*|muerto|"
    r"1 ?: ?\w.*",
    re.IGNORECASE,
)
_NO = re.compile(
    r"n|no|nein|non|false|falsch|faux|neg(ative?|ativ)?|none|censor\w*|zensiert|alive.*|living|lebt|"
    r"lebend|vivant\w*|vivo|no .*|kein\w* .*|ohne .*|disease.?free|rezidivfrei|0 ?: ?\w.*",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"y|yes|ja|j|oui|o|si|s[ií]|true|wahr|vrai|n|no|nein|non|false|falsch|faux|[01]|pos(itive?|itiv)?|"
    r"neg(ative?|ativ)?",
    re.IGNORECASE,
)
"""Answers that say nothing of what was asked: the heading does."""
_TURNED = re.compile(
    r"censor|zensi|(?<![a-z])(no|non|not|never|kein\w*|ohne|sans|without|free|frei\w*|libre|alive|living|"
    r"lebt|lebend\w*|survived|vivant)(?![a-z])|(rezidiv|event|ereignis|krankheits)frei",
    re.IGNORECASE,
)
"""Headings by which yes may mean that nothing happened: Censored, Recurrence-free, Alive."""
_DEATH_OR_LIFE = re.compile(
    r"(?:[01] ?: ?)?(died|dead|deceased|tot|tod|verstorben|gestorben|d[eé]c[eé]d[eé]\w*|muerto|alive|living|"
    r"lebt|lebend|vivant\w*|vivo)",
    re.IGNORECASE,
)
_ENDPOINT_WORDS = frozenset({"os", "dfs", "rfs", "ttr", "pfs", "dss", "css", "lfs"})


def yes_and_no(levels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts that say that something happened, and texts that say that it did not."""
    yes = [text for text in levels if _YES.fullmatch(text)]
    return yes, [text for text in levels if _NO.fullmatch(text) and text not in yes]


def ask_event(
    columns: Mapping[str, Column], kind: str, interview: Interview, time: str = ""
) -> tuple[str, dict[str, Any], list[str]]:
    """Ask for the event column and its coding: column, settings, texts that mean unknown."""
    few = [name for name, column in columns.items() if name != time and 1 < len(column.levels) <= 8]
    word = "death" if "overall" in kind else "recurrence"
    likely = [name for name in few if says(name, word, "event") and not columns[name].is_date]
    exact = [name for name in likely if says(name, word)] or likely
    if time:  # OS_STATUS goes with OS_MONTHS
        short = {part for part in re.split(r"[^a-z]+", time.casefold()) if part in _ENDPOINT_WORDS}
        exact = [n for n in likely if short & set(re.split(r"[^a-z]+", n.casefold()))] or exact
    likeliest = exact[0] if len(exact) == 1 else ""
    other = _other_event(columns[likeliest], kind) if likeliest else ""
    event = ask_column(
        interview,
        "event",
        "Column that says whether the event happened",
        few,
        likeliest,
        doubt=other,
    )
    if event not in columns:
        return event, {}, []
    if kind == "recurrence-free survival" and _recurrence_alone(columns[event]):
        interview.remarks.append(
            f"column '{event}' seems to tell recurrence alone, and recurrence-free survival counts death "
            "too: if who died without recurrence is censored there, the endpoint is time to recurrence"
        )
    coding, left = _ask_coding(columns[event], kind, interview)
    return event, coding, [*columns[event].unknown, *left]


def _ask_coding(
    column: Column, kind: str, interview: Interview
) -> tuple[dict[str, Any], list[str]]:
    """Ask what the texts of the event column mean: settings, and texts that mean unknown."""
    levels, event = column.levels, column.name
    yes, no, why, clear = _guess(column)
    happened = listed(
        interview.ask(
            "event_values", f"Texts in '{event}' that mean that the event happened",
            guess=unlisted(yes), reason=why, sure=clear, choices=levels, several=True,
        )
    )  # fmt: skip
    rest = [text for text in levels if text not in happened]
    censored = listed(
        interview.ask(
            "censored_values", f"Texts in '{event}' that mean that it had not happened by the end",
            guess=unlisted(no if set(no) <= set(rest) and no else (rest if len(rest) == 1 else [])),
            reason=why if clear else f"what is left of {', '.join(map(repr, levels[:8]))}",
            sure=clear or len(rest) == 1, choices=rest, several=True,
        )
    )  # fmt: skip
    left = [text for text in rest if text not in censored]
    coding = {"event_values": happened, "censored_values": censored}
    if left and kind in {"time to recurrence", "disease-specific survival"}:
        coding["competing_values"] = competing = listed(
            interview.ask(
                "competing_values", f"Texts in '{event}' that mean death without the event",
                reason="neither of the two", choices=left, several=True,
            )
        )  # fmt: skip
        left = [text for text in left if text not in competing]
    return coding, left


def _guess(column: Column) -> tuple[list[str], list[str], str, bool]:
    """Texts that seem to say that the event happened, and that it did not; why, and whether they are all."""
    levels = column.levels
    yes, no = yes_and_no(levels)
    clear = bool(yes and no) and len(yes) + len(no) == len(levels)
    why = f"{', '.join(map(repr, yes))} against {', '.join(map(repr, no))}"
    bare = [text for text in levels if _BARE.fullmatch(text)]
    if bare and _TURNED.search(re.sub(r"[_\-]+", " ", column.name)):
        yes, no, clear = [], [], False
        why = f"by the heading '{column.name}' {bare[0]!r} may mean that the event did not happen"
    elif not clear and set(levels) == {"0", "1"}:
        yes, no, why = ["1"], ["0"], "1 is the event in most tables, but censored in some"
    elif not clear:
        yes, no, why = [], [], f"the column holds {', '.join(map(repr, levels[:8]))}"
    return yes, no, why, clear


def _other_event(column: Column, kind: str) -> str:
    """Say which event a column tells, if that is not the one of this endpoint; "" if it may be."""
    deaths = says(column.name, "death") or all(_DEATH_OR_LIFE.fullmatch(t) for t in column.levels)
    again = says(column.name, "recurrence") or any(
        says(text, "recurrence") for text in column.levels
    )
    if kind == "overall survival" and again and not deaths:
        return f"'{column.name}' seems to tell recurrence, and not death"
    if kind in {"recurrence-free survival", "time to recurrence"} and deaths and not again:
        return f"'{column.name}' seems to tell death, and no recurrence"
    if kind == "disease-specific survival" and all(
        _DEATH_OR_LIFE.fullmatch(t) for t in column.levels
    ):
        named = re.search(r"dss|css|cause|ursache|specific|spezif", column.name, re.IGNORECASE)
        return "" if named else f"'{column.name}' seems to tell death of any cause"
    return ""


def _recurrence_alone(column: Column) -> bool:
    """Whether answers of yes and no stand below a heading of recurrence, which names no survival."""
    named = re.sub(r"[_\-]+", " ", column.name)
    whole = any(re.search(words, named, re.IGNORECASE) for words in KINDS.values())
    told = says(column.name, "recurrence") and not says(column.name, "death")
    return told and not whole and all(_BARE.fullmatch(text) for text in column.levels)
