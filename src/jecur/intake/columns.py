"""What a column of a table looks like: numbers, dates, levels, and what its heading says."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from jecur.cohort.plausible.words import means_unknown
from jecur.cohort.table import Table

__all__ = ["DATE_FORMS", "Column", "columns_of", "says"]

DATE_FORMS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%Y%m%d",
)  # fmt: skip
"""Ways of writing a day that are tried."""
_LIMIT = re.compile(r"^[<>\u2264\u2265]=?\s*(?=[0-9.,])")
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]+)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_MOST = 0.8
"""Share of the known cells that must be of a kind for the column to be taken for it."""

_HEADINGS = {
    "patient": r"""pat(id|nr|no|ient\w*)?|subject\w*|proband\w*|case(id|nr|no)?|fall(nr|nummer|id)?|
        kennung|pseudonym|mrn|identifier|id|nr|no|number|nummer|numero""",
    "surgery": r"""surg\w*|operat\w*|op|resect\w*|resekt\w*|transplant\w*|hepatectom\w*|chirurg\w*|
        cirug\w*|treatment|index""",
    "recurrence": r"recur\w*|relaps\w*|rezidiv\w*|recidiv\w*|progress\w*|rfs|dfs|ttr|pfs",
    "death": r"""death|died|dead|deceased|tod|todes\w*|verstorben|deces|muerte|morte|exitus|vital|os|
        mortality""",
    "contact": r"""last|follow\w*|contact|letzt\w*|kontakt|nachsorge|fu|seen|dernier\w*|ultim\w*|
        censor\w*""",
    "birth": r"birth|dob|geb\w*|naissance|nacim\w*|nascita",
    "time": r"""time|month\w*|days?|weeks?|years?|monat\w*|tage?|woche\w*|jahr\w*|mois|jours?|ans|meses|
        dias|mesi|survival|rfs|dfs|os|ttr|pfs|dss|follow\w*|fu|nachsorge\w*|beobacht\w*""",
    "event": r"""event|status|censor\w*|zensi\w*|recur\w*|relaps\w*|rezidiv\w*|recidiv\w*|death|died|dead|
        verstorben|deces""",
    "site": r"""site|cent(er|re)|hospital|clinic|klinik\w*|zentrum|krankenhaus|institut\w*|hopital|
        laborator\w*|lab""",
    "role": r"role|set|cohort|kohorte|split|partition|group|gruppe|rolle|train\w*",
    "slide": r"slides?|files?|wsi|scans?|image|schnitt\w*|datei|praparat\w*|lame|filename",
    "note": r"""notes?|comments?|remarks?|kommentar\w*|bemerkung\w*|anmerkung\w*|remarque\w*|name|vorname|
        nachname|surname|firstname""",
    "age": r"age|alter|edad|eta",
}


@dataclass(frozen=True)
class Column:
    """One column and what is known of it.

    Parameters
    ----------
    name
        Its heading.
    cells
        Row number -> text.
    dated
        Rows whose cell the spreadsheet keeps as a date.
    """

    name: str
    cells: dict[int, str]
    dated: frozenset[int]

    @cached_property
    def known(self) -> dict[int, str]:
        """Cells that say something."""
        return {r: t for r, t in self.cells.items() if t and not means_unknown(t)}

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Different texts that say that nobody knows, the empty one left out."""
        return tuple(dict.fromkeys(t for t in self.cells.values() if t and means_unknown(t)))

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Different known texts, as they come."""
        return tuple(dict.fromkeys(self.known.values()))

    @cached_property
    def limits(self) -> tuple[str, ...]:
        """Different texts such as ``<2``."""
        return tuple(t for t in self.levels if _LIMIT.match(t) and _is_number(t))

    @cached_property
    def numbers(self) -> list[float]:
        """Known cells as numbers, a decimal comma read as a point."""
        found = (_LIMIT.sub("", t).replace(",", ".") for t in self.known.values() if _is_number(t))
        return [float(text) for text in found]

    @cached_property
    def not_numbers(self) -> tuple[str, ...]:
        """Different known texts that are no numbers."""
        return tuple(t for t in self.levels if not _is_number(t))

    @property
    def is_numeric(self) -> bool:
        """Whether most known cells are numbers, and none of them a date."""
        dated = len(self.dated & self.known.keys())
        return bool(self.known) and not dated and len(self.numbers) >= _MOST * len(self.known)

    @cached_property
    def date_forms(self) -> tuple[str, ...]:
        """Ways of writing a day that read most known cells; the first if the spreadsheet keeps dates."""
        texts = [t for r, t in self.known.items() if r not in self.dated]
        n_dates = len(self.known) - len(texts)
        if not self.known:
            return ()
        found = [
            form
            for form in DATE_FORMS
            if n_dates + sum(_is_date(t, form) for t in texts) >= _MOST * len(self.known)
        ]
        return tuple(found[:1] if n_dates == len(self.known) else found)

    @property
    def is_date(self) -> bool:
        """Whether most known cells are days; eight digits are days only if all of them are."""
        return bool(self.date_forms) and (self.date_forms != ("%Y%m%d",) or len(self.levels) > 2)

    def no_dates(self, form: str) -> tuple[str, ...]:
        """Different texts, known or not, that are no day; the empty one left out."""
        texts = {t: None for r, t in self.cells.items() if t and r not in self.dated}
        return tuple(t for t in texts if not _is_date(t, form))


def columns_of(table: Table) -> dict[str, Column]:
    """Every column of a table by its heading."""
    return {
        str(name): Column(
            str(name),
            {int(row): str(text) for row, text in table.frame[name].items()},
            frozenset(r for r, kind in table.kinds.get(str(name), {}).items() if kind == "date"),
        )
        for name in table.frame.columns
    }


def says(heading: str, *kinds: str) -> bool:
    """Whether a heading has a word of one of these kinds: "patient", "surgery", "site" ..."""
    words = _words(heading)
    return any(re.fullmatch(_HEADINGS[kind], word, re.VERBOSE) for kind in kinds for word in words)


def _words(text: str) -> Sequence[str]:
    """Words of a heading without accents, in lower case; ``PatID`` and ``pat_id`` are two."""
    apart = re.sub(r"(?<=[a-z\u00df-\u00ff])(?=[A-Z])", " ", text)
    plain = unicodedata.normalize("NFKD", apart).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return re.findall(r"[a-z]+", plain)


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(_LIMIT.sub("", text.strip())))


def _is_date(text: str, form: str) -> bool:
    try:
        return 1900 <= datetime.strptime(text, form).year <= 2100
    except ValueError:
        return False
