"""Texts that mean "unknown", in the ways and languages in which people write it.

"None" and "no" are not among them: in clinical tables they are findings. A single "-" is a finding
too where "+" stands in the same column.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

__all__ = [
    "alike",
    "is_error_cell",
    "means_unknown",
    "one_id",
    "one_level",
    "spelled_out",
    "sums_up",
    "unknown_among",
]

_PHRASES = """
unknown, unk, unkn, unkown, unknwon, uknown, unknow, not known, nk, na, nan, nat, nd, null, missing,
miss, missing value, missing data, data missing, value missing, no data, no information, no info,
no value, no result, no record, not available, unavailable, not applicable, not evaluated, not
evaluable, not assessed, not assessable, not done, not reported, not recorded, not determined, not
tested, not specified, not stated, not performed, not examined, not measured, not given, not
provided, not collected, not documented, not obtained, not classified, cannot be assessed,
undetermined, undefined, unspecified, unrecorded, unreported, discrepancy, blank, empty, void,
tbd, tba, pending, unbekannt, unbek, nicht bekannt, keine angabe, keine angaben, keine daten,
nicht verfuegbar, nicht verfügbar, nicht vorhanden, nicht untersucht, nicht bestimmt, nicht
erhoben, nicht dokumentiert, nicht gemessen, nicht beurteilbar, nicht durchgeführt, fehlt,
fehlend, fehlende angabe, fehlende daten, entfällt, inconnu, inconnue, non connu, non connue, non
disponible, non renseigné, non renseignée, non précisé, non précisée, non applicable, non fait,
non évalué, manquant, manquante, donnée manquante, indisponible, desconocido, desconocida, no
disponible, no aplica, no consta, no conocido, no evaluado, no realizado, no determinado, no
especificado, sin datos, sin dato, sin información, faltante, ignorado, ignorada, sconosciuto,
sconosciuta, non noto, non nota, non disponibile, non applicabile, non valutato, non valutabile,
non eseguito, non specificato, mancante, dato mancante, ignoto, ignota, desconhecido,
desconhecida, não disponível, não informado, não informada, não avaliado, não se aplica, sem
informação, sem dados, onbekend, niet bekend, niet beschikbaar, niet van toepassing, niet bepaald,
niet uitgevoerd, ontbreekt, ontbrekend, nvt, nieznany, nieznana, nieznane, brak danych, nie
dotyczy, nie wiadomo, nieokreślony, okänd, okänt, ukendt, ukjent, saknas, mangler, uppgift saknas,
ej känd, ikke kjent, ikke kendt, ikke oplyst, tuntematon, ei tiedossa, puuttuu, neznámý, neznámé,
neuvedeno, nezjištěno, ismeretlen, nincs adat, necunoscut, nepoznato, nepoznat, bilinmiyor, eksik,
veri yok, неизвестно, неизвестен, неизвестна, нет данных, не указано, не определено, неизв, нд,
άγνωστο, άγνωστος, 未知, 不详, 不詳, 不明, 缺失, 无数据, 無資料, 无资料, 未查, 未测, 未測, 未检,
未檢, 不适用, 不適用, 未提供, 未检测, 未记录,
欠測, 未測定, 未検, 未検査, 該当なし, データなし, 情報なし, 모름, 미상, 불명, 알 수 없음, 결측,
해당없음, 자료없음, غير معروف, غير متوفر, غير
محدد, مجهول, לא ידוע, לא זמין, không rõ, không biết
"""
_IF_DOTTED = frozenset({"ka", "nb", "bd", "sd", "nr", "ns", "nu", "nv", "nc"})
_MARKS_OF_NOTHING = frozenset(
    "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212_.\u2026?\u00bf*#/\\'\"`~\u3002\u30fb\u00b7"
)
_ERROR_CELLS = frozenset(
    {"#n/a", "#na", "#value!", "#ref!", "#div/0!", "#null!", "#name?", "#num!"}
)
_ERROR_CELLS |= {"#nv", "#wert!", "#bezug!", "#zahl!", "#valor!", "#valeur!", "#nombre?"}
_SUMMARIES = re.compile(
    r"(grand |sub)?totals?|sums?|summen?|gesamt(summe|zahl)?|insgesamt|totaux|somme|"
    r"means?|averages?|medians?|mittelwert|durchschnitt|moyenne|mediana|mediane|"
    r"std( ?dev)?|st ?dev|standard deviation|n ?= ?[0-9]+"
)
"""No initials: SD and N may be a patient."""
_PARTS = re.compile(r"[/,;:()\[\]|]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")
_LOOK_ALIKE = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bf\u03c1\u03c4\u03c5\u03c7",
    "abekmhopctyxijsdqwabezhikoptyx",
)
"""Small letters of the Cyrillic and the Greek alphabet whose small or capital form is a Latin one's."""
_BETWEEN = re.compile(r"[\s_./\\-]+")
_ZEROS_IN_FRONT = re.compile(r"(?<![0-9])0+(?=[0-9])")


def _folded(text: str) -> str:
    """Lower case without accents, width or brackets; words apart by one blank."""
    plain = unicodedata.normalize(
        "NFKD", text.replace("ß", "ss").replace("ø", "o").replace("ł", "l")
    )
    plain = _latin("".join(c for c in plain.casefold() if not unicodedata.combining(c)))
    plain = "".join(c if c.isalnum() else " " for c in unicodedata.normalize("NFC", plain))
    return " ".join(plain.split())


def _latin(text: str) -> str:
    """Take letters that look like Latin ones for them, where no other letter says that they are none.

    Parameters
    ----------
    text
        In lower case.
    """
    if text.isascii():
        return text
    latin = text.translate(_LOOK_ALIKE)
    own = any(c.isalpha() and not c.isascii() for c in latin)
    mixed = any(c.isalpha() and c.isascii() for c in text)
    return latin if mixed or not own else text


_WORDS = frozenset(_folded(phrase) for phrase in _PHRASES.split(","))
_COMPACT = frozenset(word.replace(" ", "") for word in _WORDS)


def means_unknown(text: str) -> bool:
    """Whether a text means that the value is unknown: "Unknown", "[Not Available]", "n/a", "?", "k. A.".

    Parameters
    ----------
    text
        A cell; case, blanks, brackets, dots and accents do not matter.
    """
    bare = "".join(c for c in text if unicodedata.category(c) != "Cf").strip()
    if not bare or bare.casefold() in _ERROR_CELLS:
        return True
    if all(
        c in _MARKS_OF_NOTHING or c.isspace() or c in "()[]{}<>"
        for c in unicodedata.normalize("NFKC", bare)
    ):
        return True
    folded = "" if "+" in bare else _folded(bare)
    compact = folded.replace(" ", "")
    if folded in _WORDS or compact in _COMPACT:
        return True
    if compact in _IF_DOTTED and re.search(r"[./\\\s]", bare):
        return True
    parts = [part for part in _PARTS.split(bare) if part.strip()]
    return len(parts) > 1 and len(_folded(parts[0])) > 1 and means_unknown(parts[0])


def unknown_among(levels: Iterable[str]) -> tuple[str, ...]:
    """Texts among the levels of a factor that mean unknown, in order, each once.

    Parameters
    ----------
    levels
        Texts of one column; "-" is a finding where a "+" is among them.
    """
    texts = list(dict.fromkeys(levels))
    signed = any(unicodedata.normalize("NFKC", t).strip("() ")[:1] in {"+", "±"} for t in texts)
    finding = {"-", "\u2212", "\u2013", "(-)", "--"} if signed else set()
    return tuple(t for t in texts if t.strip() not in finding and means_unknown(t))


def sums_up(text: str) -> bool:
    """Whether a name in place of a patient's says that its row sums up the others: Total, Mean, n = 60."""
    words = " ".join(_plain(text).replace(".", " ").replace(":", " ").split())
    return _SUMMARIES.fullmatch(words) is not None


def is_error_cell(text: str) -> bool:
    """Whether a text is what a spreadsheet shows in place of a value: #N/A, #DIV/0!, #NV."""
    return text.strip().casefold() in _ERROR_CELLS


def one_level(text: str) -> str:
    """Fold what makes no other level: case, blanks, width, alphabet, kinds of dashes, 1.0 for 1."""
    if _NUMBER.fullmatch(text):
        return repr(float(text))
    return "".join(_plain(text).split())


def one_id(text: str) -> str:
    """Fold what hardly makes another patient or site: case, marks, alphabet, zeros in front, 1.0 for 1."""
    if _NUMBER.fullmatch(text):
        text = re.sub(r"\.0*$", "", text)
    plain = _plain(text)
    plain = plain.rstrip("*?\u2020\u2021 ") or plain  # the mark of a footnote
    return _ZEROS_IN_FRONT.sub("", " ".join(_BETWEEN.sub(" ", plain).split()))


def _plain(text: str) -> str:
    dashes = (
        "-" if unicodedata.category(c) == "Pd" or c == "\u2212" else c
        for c in unicodedata.normalize("NFKC", text)
        if unicodedata.category(c) != "Cf"
    )
    return _latin("".join(dashes).casefold())


def spelled_out(texts: Iterable[str], most: int = 4) -> str:
    """List texts that may look the same: of a letter of another alphabet or kind, its name."""
    return ", ".join(map(_spelled, list(texts)[:most]))


def _spelled(text: str) -> str:
    odd = [c for c in text if c.isprintable() and not c.isascii()]
    other = next((c for c in odd if _plain(c).isascii() or unicodedata.category(c) == "Pd"), "")
    return f"{text!r} (with {unicodedata.name(other, 'an odd letter')})" if other else repr(text)


def alike(texts: Iterable[str], fold: Callable[[str], str]) -> tuple[tuple[str, ...], ...]:
    """Different texts that are one when folded, group by group, in order."""
    groups: dict[str, list[str]] = {}
    for text in dict.fromkeys(texts):
        groups.setdefault(fold(text), []).append(text)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
