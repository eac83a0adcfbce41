"""Which column tells the event, and what its texts mean."""

import re
import unicodedata
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
_CODED = re.compile(r"([0-9])\s*[:=.)\-]\s*(?=\D)")
"""A number in front of what it means: 1:Recurred."""
_YES = re.compile(
    r"y|yes|ja|j|oui|o|sim?|true|wahr|vrai|vero|verdadero|verdadeiro|da|tak|ano|event|ereignis|"
    r"pos(itive?|itiv)?|\u662f|\u6709|\u306f\u3044|\u3042\u308a|\u6709\u308a|\uc608|\u0434\u0430"
)
_NO = re.compile(
    r"no?|nein|non|nao|false|falsch|faux|falso|ne|nie|none|neg(ative?|ativ)?|censored|zensiert|censure|ned|"
    r"df|\u5426|\u65e0|\u7121|\u3044\u3044\u3048|\u306a\u3057|\u7121\u3057|\uc544\ub2c8\uc624|\u043d\u0435\u0442"
)
"""Whole texts without accents, in lower case."""
_AGAIN = re.compile(
    r"recur|relaps|rezidiv|recidiv|progress|recaida|ricaduta|recorrencia|\u590d\u53d1|\u5fa9\u767a|\u518d\u767a|"
    r"\u0440\u0435\u0446\u0438\u0434\u0438\u0432"
)
_DEAD = re.compile(
    r"(?<![a-z])(died|dead|deceased|death|tot|tod|verstorben|gestorben|exitus|deced\w*|muert[oae]|"
    r"fallecid[oa]|mort[oe]|obito|falecid[oa])(?![a-z])|\u6b7b"
)
_ALIVE = re.compile(
    r"(?<![a-z])(alive|living|lives|lebt|lebend\w*|vivant\w*|viv[oa]|survived)(?![a-z])|\u5b58\u6d3b|\u751f\u5b58"
)
_DENIED = re.compile(
    r"(?<![a-z])(no|not|non|without|w/o|free of|never|kein\w*|ohne|nicht|sans|sin|senza|sem|pas|nie)"
    r"(?![a-z])|(?<=[a-z])[ -]?(free|frei)(?![a-z])|\u65e0|\u7121|\u672a|\u306a\u3057"
)
_DISEASE = re.compile(
    r"disease|cancer|tumou?r|hcc|carcinoma|malignan|krebs|krankheit|cancro|neoplas|event|ereignis"
)
_OTHER_CAUSE = re.compile(r"other|unrelated|another|ander|autre|otra|altr[ae]|outra")
_TELLING = re.compile(r"event|ereignis|censored|zensiert|censure|ned|df|none")
"""Answers that say what was asked; yes, no, 1 and 0 leave that to the heading."""
_TURNED = re.compile(
    r"censor|zensi|(?<![a-z])(no|non|not|never|kein\w*|ohne|sans|without|free|frei\w*|libre|alive|living|"
    r"lebt|lebend\w*|survived|vivant)(?![a-z])|(rezidiv|event|ereignis|krankheits)frei",
    re.IGNORECASE,
)
"""Headings by which yes may mean that nothing happened: Censored, Recurrence-free, Alive."""
_ENDPOINT_WORDS = frozenset({"os", "dfs", "rfs", "ttr", "pfs", "dss", "css", "lfs"})


def yes_and_no(levels: Sequence[str], kind: str = "") -> tuple[list[str], list[str]]:
    """Texts that say that the event of an endpoint happened, and texts that say that it did not."""
    plain = [_folded(text) for text in levels]
    if all(_DEAD.fullmatch(text) or _ALIVE.fullmatch(text) for text in plain):
        kind = "overall survival"  # nothing else can be told of them
    said = {text: _says(text, kind) for text in levels}
    return [t for t in levels if said[t] is True], [t for t in levels if said[t] is False]


def _says(level: str, kind: str) -> bool | None:
    """Whether a text says that the event happened; None if it does not tell, or denies its own code."""
    plain = _folded(level)
    code = _CODED.match(plain)
    said = _meaning(plain[code.end() :] if code else plain, kind)
    coded = {"0": False, "1": True}.get(code.group(1)) if code else None
    if said is None or coded is None:
        return coded if said is None else said
    return said if said is coded else None


def _folded(text: str) -> str:
    """Lower case without accents."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFC", "".join(c for c in plain if not unicodedata.combining(c)))


def _is_bare(text: str) -> bool:
    plain = _folded(text)
    said = _YES.fullmatch(plain) or _NO.fullmatch(plain) or plain in {"0", "1"}
    return bool(said) and not _TELLING.fullmatch(plain)


def _meaning(text: str, kind: str) -> bool | None:
    """Read the words of a text: recurrence, death and life, each affirmed or denied."""
    if _YES.fullmatch(text) or _NO.fullmatch(text):
        return bool(_YES.fullmatch(text))
    again, dead, alive = (bool(words.search(text)) for words in (_AGAIN, _DEAD, _ALIVE))
    if dead and alive:
        return None
    if kind == "overall survival":
        return dead if dead or alive else None
    if kind == "disease-specific survival":
        return _of_disease(text, again=again) if dead else (False if alive else None)
    if dead and not (again and not _DENIED.search(text)):
        return None if kind == "time to recurrence" else True
    return _again(text, again=again, alive=alive)


def _of_disease(text: str, *, again: bool) -> bool | None:
    """Whether a death is one of the disease; None where another cause, or none, is told."""
    told = again or bool(_DISEASE.search(text))
    return True if told and not (_DENIED.search(text) or _OTHER_CAUSE.search(text)) else None


def _again(text: str, *, again: bool, alive: bool) -> bool | None:
    """Whether a disease came back; None where somebody alive has one, or nothing is told of it."""
    denied, event = bool(_DENIED.search(text)), "event" in text or "ereignis" in text
    if again or (event and not alive):
        return not denied
    if _DISEASE.search(text):
        return False if denied else None
    return False if alive else None


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
    yes, no, why, clear = _guess(column, kind)
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


def _guess(column: Column, kind: str) -> tuple[list[str], list[str], str, bool]:
    """Texts that seem to say that the event happened, and that it did not; why, and whether they are all."""
    levels = column.levels
    yes, no = yes_and_no(levels, kind)
    clear = bool(yes and no) and len(yes) + len(no) == len(levels)
    why = f"{', '.join(map(repr, yes))} against {', '.join(map(repr, no))}"
    bare = [text for text in levels if _is_bare(text)]
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
    plain = [_folded(text) for text in column.levels]
    lives = all(_DEAD.search(text) or _ALIVE.search(text) for text in plain)
    again = says(column.name, "recurrence") or any(map(_AGAIN.search, plain))
    deaths = says(column.name, "death") or lives
    if kind == "overall survival" and again and not deaths:
        return f"'{column.name}' seems to tell recurrence, and not death"
    if kind in {"recurrence-free survival", "time to recurrence"} and deaths and not again:
        return f"'{column.name}' seems to tell death, and no recurrence"
    causes = any(map(_DISEASE.search, plain)) or any(map(_OTHER_CAUSE.search, plain))
    if kind == "disease-specific survival" and lives and not causes:
        named = re.search(r"dss|css|cause|ursache|specific|spezif", column.name, re.IGNORECASE)
        return "" if named else f"'{column.name}' seems to tell death of any cause"
    return ""


def _recurrence_alone(column: Column) -> bool:
    """Whether answers of yes and no stand below a heading of recurrence, which names no survival."""
    named = re.sub(r"[_\-]+", " ", column.name)
    whole = any(re.search(words, named, re.IGNORECASE) for words in KINDS.values())
    told = says(column.name, "recurrence") and not says(column.name, "death")
    return told and not whole and all(map(_is_bare, column.levels))
