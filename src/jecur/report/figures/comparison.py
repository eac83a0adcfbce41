"""Models side by side: the concordance of each with its interval, best seen beside the line at 0.5."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jecur.report.figures.canvas import GRAY, HIGH, INK, PAGE_INCHES, Canvas, fit_text, text_width
from jecur.report.wording import format_number

__all__ = ["ComparisonRow", "comparison_figure"]

ROW = 0.3
WIDEST_LABEL = 2.6
"""Inches; longer names are cut here and stand in full in the table."""


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One model: its concordance and limits, NaN where not estimable."""

    label: str
    value: float
    lower: float
    upper: float
    emphasis: bool = False
    """The model that the others are compared with."""


def comparison_figure(
    rows: Sequence[ComparisonRow], *, level: float = 0.95, width: float = PAGE_INCHES
) -> str:
    """Draw the concordance of each model.

    Parameters
    ----------
    rows
        From top to bottom.
    level
        Coverage of the intervals, for the heading.
    width
        Inches.

    Returns
    -------
    str
        SVG.
    """
    heading = f"Concordance ({100 * level:g} % CI)"
    labels = [fit_text(row.label, WIDEST_LABEL, bold=row.emphasis) for row in rows]
    label_width = max(
        [text_width(t, bold=r.emphasis) for t, r in zip(labels, rows, strict=True)] + [1.0]
    )
    numbers = [_numbers(row) for row in rows]
    number_width = max([text_width(t, bold=True) for t in numbers] + [text_width(heading, size=8)])
    x_number = 0.05 + label_width + 0.2
    x_plot = x_number + number_width + 0.25
    plot_width = max(width - x_plot - 0.25, 1.5)
    head, height = 0.45, 0.45 + ROW * len(rows)
    canvas = Canvas(x_plot + plot_width + 0.25, height + 0.55)
    for x, text in ((0.05, "Model"), (x_number, heading)):
        canvas.text(x, 0.2, text, size=8, color=GRAY)
    canvas.rule(0.05, x_plot + plot_width, 0.38, color="#9aa5b1")
    for index, row in enumerate(rows):
        y = head + ROW * (index + 0.5)
        canvas.text(0.05, y, labels[index], bold=row.emphasis)
        known = np.isfinite(row.value)
        canvas.text(x_number, y, numbers[index], color=INK if known else GRAY, bold=row.emphasis)
    ax = canvas.axes(x_plot, head, plot_width, ROW * len(rows))
    known_rows = [(y, row) for y, row in enumerate(rows) if np.isfinite(row.value)]
    ends = [v for _, r in known_rows for v in (r.lower, r.upper, r.value) if np.isfinite(v)]
    low, high = min([0.45, *ends]), max([0.75, *ends])
    ax.set_xlim(max(low - 0.02, 0.0), min(high + 0.02, 1.0))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)
    ax.axvline(0.5, color=GRAY, linewidth=1)
    for y, row in known_rows:
        color = HIGH if row.emphasis else INK
        limits = [v if np.isfinite(v) else row.value for v in (row.lower, row.upper)]
        ax.plot(limits, [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
        ax.plot([row.value], [y], "s", color=color, markersize=7 if row.emphasis else 5.5)
    canvas.text(x_plot, height + 0.42, "0.5: no better than chance", size=8, color=GRAY)
    return canvas.svg()


def _numbers(row: ComparisonRow) -> str:
    if not np.isfinite(row.value):
        return "not estimable"
    if not np.isfinite(row.lower):
        return f"{format_number(row.value, 3)} (no interval)"
    low, high = (format_number(v, 3) for v in (row.lower, row.upper))
    return f"{format_number(row.value, 3)} ({low}–{high})"
