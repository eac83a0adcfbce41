"""Numbers and findings in plain words.

A number that is not there is never printed as a number: NaN becomes words.
"""

import math

__all__ = [
    "MOST_WRITTEN_OUT",
    "RESEARCH_USE_ONLY",
    "competing_words",
    "event_words",
    "format_interval",
    "format_limits",
    "format_minutes",
    "format_number",
    "format_p",
    "format_percent",
    "format_ratio",
    "p_sentence",
]

RESEARCH_USE_ONLY = "Research use only. Not a medical device; not for diagnosis or treatment."
"""In every report, model card and file of results."""
NO_NUMBER = "–"
MOST_WRITTEN_OUT = 1e6
"""Numbers from here on have an exponent: a limit of 1e36 fills the page otherwise."""
ROUNDING = 1e-14
"""A difference of two equal numbers is no more than this."""
UNBROKEN = "\u00a0"
"""A space at which no line breaks."""


def format_ratio(value: float) -> str:
    """Hazard ratio with three figures or so: 0.32, 2.40, 12.5, 140, 1.1e+36; with a true minus sign."""
    if not math.isfinite(value):
        return "∞" if value == math.inf else NO_NUMBER
    if value < 0:
        return f"−{format_ratio(-value)}"
    if value >= MOST_WRITTEN_OUT:
        return f"{value:.2g}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{abs(value):.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def format_number(value: float, digits: int = 2) -> str:
    """Round to a fixed number of decimals, with a true minus sign; what is not 0 is never 0.000.

    What so many decimals cannot show, and numbers beyond a million, have two figures.
    """
    if value < 0:
        shown = format_number(-value, digits)
        return f"−{shown}" if value < -ROUNDING else shown
    if not math.isfinite(value):
        return "∞" if value == math.inf else NO_NUMBER
    rounded = f"{abs(value):.{digits}f}"  # 0 has a sign, too
    if value >= MOST_WRITTEN_OUT or (float(rounded) == 0 and value > ROUNDING):
        return f"{value:.2g}"
    return rounded


def format_percent(value: float) -> str:
    """Fraction as a whole percentage, with a true minus sign; some are never none, nor all."""
    if not math.isfinite(value):
        return NO_NUMBER
    if 0 < value < 0.005:
        return f"<{UNBROKEN}1{UNBROKEN}%"
    if 0.995 <= value < 1:
        return f">{UNBROKEN}99{UNBROKEN}%"
    return f"{format_number(100 * value, 0)}{UNBROKEN}%"


def format_p(value: float) -> str:
    """P-value: "< 0.001", three decimals below 0.1, two above; 0.0498 and 0.0503 are not 0.050."""
    if not math.isfinite(value):
        return NO_NUMBER
    if value < 0.001:
        return "< 0.001"
    if value < 0.0995:
        return _apart_from(0.05, value, 3)
    return f"{value:.2f}"


def format_minutes(value: float) -> str:
    """Minutes that something took: "< 0.01", two decimals below 10, one above."""
    if not math.isfinite(value):
        return NO_NUMBER
    if value < 0.01:
        return "< 0.01"
    return f"{value:.2f}" if value < 9.995 else f"{value:,.1f}"


def format_limits(ratio: float, lower: float, upper: float) -> tuple[str, str]:
    """Limits of a hazard ratio: one close to 1 shows on which side of it it lies, 1.004 and not 1.00.

    A ratio that itself reads 1.00 says nothing whatever its digits, and keeps two.
    """
    if format_ratio(ratio) == "1.00":
        return format_ratio(lower), format_ratio(upper)
    low, high = (
        _apart_from(1.0, v, 2) if format_ratio(v) == "1.00" else format_ratio(v)
        for v in (lower, upper)
    )
    return low, high


def _apart_from(border: float, value: float, digits: int) -> str:
    """Write so many decimals, up to two more where fewer would put a value on a border."""
    texts = [f"{value:.{digits + more}f}" for more in range(3)]
    if value == border:
        return texts[0]
    return next((text for text in texts if float(text) != border), texts[0])


def p_sentence(value: float) -> str:
    """P-value with its letter: "p < 0.001", "p = 0.03"."""
    text = format_p(value)
    text = text.replace(" ", UNBROKEN)
    return f"p{UNBROKEN}{text}" if text.startswith("<") else f"p{UNBROKEN}={UNBROKEN}{text}"


def format_interval(value: float, lower: float, upper: float) -> str:
    """Hazard ratio and limits: "2.40 (1.62–3.55)"."""
    low, high = format_limits(value, lower, upper)
    return f"{format_ratio(value)} ({low}–{high})"


def event_words(endpoint: str) -> tuple[str, str]:
    """Return what an event is and what patients did: ("recurrence", "recurred").

    Parameters
    ----------
    endpoint
        One of the endpoint kinds of the settings; anything else is called an event.
    """
    known = {
        "recurrence-free survival": ("recurrence or death", "recurred or died"),
        "time to recurrence": ("recurrence", "recurred"),
        "overall survival": ("death", "died"),
        "disease-specific survival": ("death of the disease", "died of the disease"),
    }
    return known.get(endpoint.strip().lower(), ("event", "had the event"))


def competing_words(endpoint: str) -> str:
    """Return what competes with an endpoint: "death without recurrence".

    Parameters
    ----------
    endpoint
        One of the endpoint kinds of the settings; with anything else it is a competing event.
    """
    known = {
        "time to recurrence": "death without recurrence",
        "disease-specific survival": "death from another cause",
    }
    return known.get(endpoint.strip().lower(), "competing event")
