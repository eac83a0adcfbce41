"""Forest plot: hazard ratios of a Cox model on a logarithmic axis, with their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from jecur.report.figures.canvas import (
    GRAY,
    HIGH,
    INK,
    PAGE_INCHES,
    TEXT_SIZE,
    Canvas,
    fit_text,
    text_width,
)
from jecur.report.wording import format_interval, format_p

__all__ = ["ForestRow", "forest_figure"]

ROW = 0.3
WIDEST_LABEL = 4.0
"""Inches; longer ones are cut here and stand in full in the table."""


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One hazard ratio.

    Parameters
    ----------
    label
        What is compared: "Stage (III/IV vs I)".
    ratio, lower, upper
        Hazard ratio and limits; NaN where not estimable.
    p
        NaN where not estimable.
    note
        Printed in place of the numbers where the ratio is NaN.
    emphasis
        The classifier's own row.
    """

    label: str
    ratio: float
    lower: float
    upper: float
    p: float
    note: str = ""
    emphasis: bool = False


def forest_figure(
    rows: Sequence[ForestRow], *, level: float = 0.95, width: float = PAGE_INCHES
) -> str:
    """Draw hazard ratios with their intervals.

    Parameters
    ----------
    rows
        From top to bottom.
    level
        Coverage of the intervals, for the heading.

    Returns
    -------
    str
        SVG.
    """
    narrow = width < 5
    size = 7.0 if narrow else TEXT_SIZE
    widest = 0.95 if narrow else WIDEST_LABEL
    plot_width, p_width, gap = (0.95, 0.36, 0.08) if narrow else (2.6, 0.6, 0.25)
    numbers = [_numbers(row) for row in rows]
    heading = f"HR ({100 * level:g} % CI)" if narrow else f"Hazard ratio ({100 * level:g} % CI)"
    labels = [fit_text(row.label, widest, size=size, bold=row.emphasis) for row in rows]
    label_width = max(
        [text_width(t, size=size, bold=r.emphasis) for t, r in zip(labels, rows, strict=True)]
        + [0.6 if narrow else 1.2]
    )
    ratio_width = max(
        [text_width(n[0], size=size, bold=True) for n in numbers] + [text_width(heading, size=size)]
    )
    x_ratio = 0.05 + label_width + gap
    x_p = x_ratio + ratio_width + gap
    x_plot = x_p + p_width + gap
    head = 0.45
    height = head + ROW * len(rows)
    canvas = Canvas(x_plot + plot_width + 0.25, height + 0.55)
    for x, text in ((0.05, "Factor"), (x_ratio, heading), (x_p, "p")):
        canvas.text(x, 0.2, text, size=min(size, 8), color=GRAY)
    canvas.rule(0.05, x_plot + plot_width, 0.38, color="#9aa5b1")
    for index, (row, (ratio, p)) in enumerate(zip(rows, numbers, strict=True)):
        y = head + ROW * (index + 0.5)
        canvas.text(0.05, y, labels[index], size=size, bold=row.emphasis)
        known = np.isfinite(row.ratio)
        bold = row.emphasis and known
        canvas.text(x_ratio, y, ratio, size=size, color=INK if known else GRAY, bold=bold)
        canvas.text(x_p, y, p, size=size, bold=bold)
    ax = canvas.axes(x_plot, head, plot_width, ROW * len(rows))
    _draw_ratios(ax, rows)
    lower, higher = ("← lower", "higher →") if narrow else ("← lower hazard", "higher hazard →")
    canvas.text(x_plot, height + 0.42, lower, size=min(size, 8), color=GRAY)
    canvas.text(
        x_plot + plot_width, height + 0.42, higher, size=min(size, 8), color=GRAY, align="right"
    )
    return canvas.svg()


def _numbers(row: ForestRow) -> tuple[str, str]:
    if not np.isfinite(row.ratio):
        return row.note or "not estimable", ""
    return format_interval(row.ratio, row.lower, row.upper), format_p(row.p)


def _draw_ratios(ax: Axes, rows: Sequence[ForestRow]) -> None:
    low, high = _limits(rows)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)
    ax.axvline(1, color=GRAY, linewidth=1)
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10) if high / low < 60 else (0.01, 0.1, 1, 10, 100)
    ticks = [t for t in steps if low <= t <= high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    for y, row in enumerate(rows):
        if not np.isfinite(row.ratio):
            continue
        color = HIGH if row.emphasis else INK
        start, end = np.nan_to_num([row.lower, row.upper], nan=row.ratio, posinf=1e9)
        ends = [max(start, low), min(end, high)]
        ax.plot(ends, [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
        if start < low:
            ax.plot([low], [y], "<", color=color, markersize=6, clip_on=False)
        if end > high:
            ax.plot([high], [y], ">", color=color, markersize=6, clip_on=False)
        if low <= row.ratio <= high:
            ax.plot([row.ratio], [y], "s", color=color, markersize=7 if row.emphasis else 5.5)


def _limits(rows: Sequence[ForestRow]) -> tuple[float, float]:
    """Round limits that hold every ratio and most of every interval, within 0.01 to 100."""
    known = [r for r in rows if np.isfinite(r.ratio)]
    lows = [max(r.lower, r.ratio / 20) for r in known if r.lower > 0]
    highs = [min(r.upper, r.ratio * 20) for r in known if np.isfinite(r.upper)]
    low = min([0.5, *lows, *(r.ratio for r in known)])
    high = max([2.0, *highs, *(r.ratio for r in known)])
    return float(np.clip(low / 1.15, 0.01, 0.5)), float(np.clip(high * 1.15, 2, 100))
