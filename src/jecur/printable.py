r"""Text that can be shown anywhere: no character in it acts on a terminal or turns the order of others.

Control characters (C0, C1), marks of direction, zero-width and format characters, surrogates and
line separators become their escapes (``\x1b``, ``\u202e``). Everything that prints stays as it is.
"""

import math
import re
import unicodedata

__all__ = [
    "counted",
    "duration",
    "is_printable",
    "plain_number",
    "printable",
    "printable_json",
    "printable_line",
]

_ACTING = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Whatever `_ACTING` can hold lies outside these; one search spares ordinary text the long way.
_PERHAPS = re.compile(r"[^\t\n\x20-\x7e\xa1-\xac\xae-\u05ff]")


def counted(n: int, noun: str) -> str:
    """Say how many: "1 slide", "2 slides", "1,200 tiles".

    Parameters
    ----------
    n
        Number of things.
    noun
        One of them; its plural takes an s.
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration(seconds: float) -> str:
    """Time as people say it: "40 s", "12 min", "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plain_number(value: float, figures: int = 15) -> str:
    """Write a number with so many figures, and never fewer than stand before its point.

    What ``%g`` makes of 2015 with three figures, 2.02e+03, and of 1234567, 1.23457e+06, are other numbers.
    """
    if value == 0 or not math.isfinite(value):
        return f"{abs(value):g}"
    size = math.floor(math.log10(abs(value)))
    if not -5 <= size < 15:
        return f"{value:.{figures}g}"
    figures = max(figures, size + 1)
    text = f"{value:.{figures}g}"
    return f"{float(text):.{figures - 1 - size}f}" if "e" in text else text


def printable(text: str) -> str:
    """Return a text in which no character acts; line feeds and tabs stay.

    Parameters
    ----------
    text
        Anything: a file name, a cell, text of a model card.
    """
    return _PERHAPS.sub(_escaped, text)


def printable_line(text: str) -> str:
    """Return a text as one line in which no character acts."""
    return printable(text.replace("\r\n", "\n").replace("\n", "\\n").replace("\t", " "))


def is_printable(text: str) -> bool:
    """Whether a text is one line of characters of which none acts."""
    return printable_line(text) == text


def printable_json(text: str) -> str:
    r"""Return JSON text that means the same, with every acting character as ``\uXXXX``."""
    return _PERHAPS.sub(_json_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    letter = found.group()
    return ascii(letter)[1:-1] if unicodedata.category(letter) in _ACTING else letter


def _json_escaped(found: re.Match[str]) -> str:
    letter = found.group()
    if unicodedata.category(letter) not in _ACTING:
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
