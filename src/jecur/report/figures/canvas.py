"""How every figure looks, and how it becomes the same SVG text every time.

Figures are built on `matplotlib.figure.Figure` objects, never on pyplot's hidden state. Letters
are drawn as outlines, so a figure looks the same on a computer without the font. Places are
given in inches and text is measured before it is placed, so that nothing overlaps.
"""

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

__all__ = [
    "COLUMN_INCHES",
    "GRAY",
    "HIGH",
    "INK",
    "LOW",
    "PAGE_INCHES",
    "SERIES",
    "Canvas",
    "LegendItem",
    "fit_text",
    "inline_svg",
    "legend_height",
    "literal",
    "month_ticks",
    "text_width",
]

INK = "#1f2933"
GRAY = "#66727f"
GRID = "#e4e7eb"
HIGH = "#D55E00"
"""High risk: vermilion of the Okabe-Ito palette."""
LOW = "#0072B2"
"""Low risk: blue of the Okabe-Ito palette."""
SERIES = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
"""Okabe-Ito, without yellow (too pale on white)."""
PAGE_INCHES = 7.2
"""Width of a figure over a whole page."""
COLUMN_INCHES = 3.5
"""Width of one column of a journal, 89 mm: the same figure, laid out anew with letters of full size."""
DASHES: tuple[tuple[int, tuple[float, ...]] | str, ...] = (
    "solid",
    (0, (8.0, 1.5)),
    (0, (2.0, 1.5)),
    (0, (6.0, 2.0, 1.5, 2.0)),
    (0, (4.0, 1.0, 1.0, 1.0, 1.0, 1.0)),
    (0, (1.0, 1.0)),
    (0, (8.0, 3.0)),
)
"""Line styles beside the colors: a series is never told by its color alone."""
TEXT_SIZE = 9.0
PAGE_POINTS = 11.5
"""Points of a figure to one rem of the page: letters come out a little smaller than the text."""

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT_SIZE,
    "text.color": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "jecur",
    "path.simplify": False,
}


@dataclass(frozen=True, slots=True)
class LegendItem:
    """One line of a legend."""

    label: str
    color: str
    dash: int = 0
    """Index of the line style."""
    marker: str = ""
    line: bool = True
    """False where the label names an area."""


class Canvas:
    """A white figure whose parts are placed in inches from the upper left corner.

    Parameters
    ----------
    width, height
        Inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        with mpl.rc_context(_RC):
            self.figure = Figure(figsize=(width, height), facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes with a faint horizontal grid."""
        box = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        with mpl.rc_context(_RC):
            ax = self.figure.add_axes(box)
        ax.set_axisbelow(True)
        ax.grid(axis="y", color=GRID, linewidth=0.7)
        ax.tick_params(length=3, width=0.8)
        return ax

    def text(  # noqa: PLR0913
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = TEXT_SIZE,
        color: str = INK,
        bold: bool = False,
        align: str = "left",
    ) -> None:
        """Write one line, vertically centered on ``y``."""
        with mpl.rc_context(_RC):
            self.figure.text(
                x / self.width,
                1 - y / self.height,
                literal(text),
                size=size,
                color=color,
                weight="bold" if bold else "normal",
                ha=align,
                va="center_baseline",
            )

    def rule(self, left: float, right: float, y: float, *, color: str = GRID) -> None:
        """Draw a horizontal line."""
        at = 1 - y / self.height
        self.figure.add_artist(
            Line2D([left / self.width, right / self.width], [at, at], color=color, linewidth=0.8)
        )

    def legend(self, items: Sequence[LegendItem], left: float, top: float, right: float) -> float:
        """Write a legend in as many rows as it needs; return the inches it took."""
        placed, height = _wrap_legend(items, right - left)
        for item, x, y in placed:
            at = 1 - (top + y) / self.height
            ends = [(left + x) / self.width, (left + x + 0.4) / self.width]
            style = DASHES[item.dash % len(DASHES)] if item.line else "none"
            self.figure.add_artist(Line2D(ends, [at, at], color=item.color, lw=2, ls=style))
            if item.marker:
                middle = [sum(ends) / 2]
                size = 5 if item.line else 9
                mark = Line2D(
                    middle, [at], color=item.color, marker=item.marker, ms=size, ls="none"
                )
                self.figure.add_artist(mark)
            self.text(left + x + 0.48, top + y, fit_text(item.label, right - left - 0.48))
        return height

    def svg(self) -> str:
        """Return the figure as SVG text: the same input gives the same bytes."""
        stream = io.StringIO()
        with mpl.rc_context(_RC):
            self.figure.savefig(stream, format="svg", metadata={"Date": None})
        unneeded = r"<metadata>.*?</metadata>\s*|<!DOCTYPE.*?>\s*|<!--.*?-->\s*"
        return re.sub(unneeded, "", stream.getvalue(), flags=re.DOTALL)


def text_width(text: str, *, size: float = TEXT_SIZE, bold: bool = False) -> float:
    """Width of one line of text, inches."""
    line = literal(text)
    if not line:
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    return float(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]) / 72


def legend_height(items: Sequence[LegendItem], width: float) -> float:
    """Inches that `Canvas.legend` will take."""
    return _wrap_legend(items, width)[1]


def fit_text(text: str, width: float, *, size: float = TEXT_SIZE, bold: bool = False) -> str:
    """Shorten a label to ``width`` inches from its middle: its end often says which level it is."""
    line = " ".join(text.split())
    shown, kept = line, len(line)
    while kept and text_width(shown, size=size, bold=bold) > width:
        kept -= 1
        tail = kept * 3 // 5
        shown = f"{line[: kept - tail].rstrip()}…{line[len(line) - tail :].lstrip()}"
    return shown


def month_ticks(last: float) -> list[float]:
    """Return round months from 0 to ``last``: at most nine, in steps people count in."""
    for step in (1, 2, 3, 6, 12, 24, 36, 60, 120):
        if last / step <= 8:
            return [float(t) for t in range(0, int(last) + 1, step)]
    return [0.0, last]


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """Make a standalone SVG fit to stand inside a page.

    Parameters
    ----------
    svg
        From `Canvas.svg`.
    prefix
        Unique in the page; put before every identifier, so that figures cannot mix.
    label
        What the figure shows, for those who cannot see it. Escaped here.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body)
    body = body.replace("url(#", f"url(#{prefix}-")
    size = re.search(r'viewBox="0 0 ([\d.]+)', body)
    widest = f' style="--widest:{float(size.group(1)) / PAGE_POINTS:.1f}rem"' if size else ""
    head, rest = body.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    title = f' role="img" aria-label="{html.escape(label)}"{widest}'
    return head.replace("<svg", f"<svg{title}", 1) + ">" + rest


def _wrap_legend(
    items: Sequence[LegendItem], width: float
) -> tuple[list[tuple[LegendItem, float, float]], float]:
    placed = []
    x, y, row = 0.0, 0.1, 0.21
    for item in items:
        needs = min(0.48 + text_width(item.label), width)
        if x > 0 and x + needs > width:
            x, y = 0.0, y + row
        placed.append((item, x, y))
        x += needs + 0.3
    return placed, (y + 0.12 if items else 0.0)


_RTL = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+"
_LEFTWARD = re.compile(f"{_RTL}(?:[^\\w:;]*{_RTL})*")
"""Hebrew, Arabic and their kin."""


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def literal(text: str) -> str:
    """One line that the font can draw: no mathematics, a box for letters it does not have.

    Words written from right to left stay among themselves: a figure begins on the left, and without a mark
    at their ends such a name would take the numbers behind it along ("38 patients, 24 events").
    """
    line = " ".join(text.split())
    known = "".join(c if ord(c) in _glyphs() else "\u25a1" for c in line)
    return _LEFTWARD.sub("\u200e\\g<0>\u200e", known).replace("$", r"\$")
