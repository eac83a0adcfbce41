"""Cumulative incidence curves with numbers at risk, whole and in small multiples."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from jecur.arrays import Vector
from jecur.report.figures.canvas import (
    DASHES,
    GRAY,
    HIGH,
    LOW,
    PAGE_INCHES,
    SERIES,
    TEXT_SIZE,
    Canvas,
    LegendItem,
    fit_text,
    legend_height,
    month_ticks,
    text_width,
)
from jecur.survival.competing import CumulativeIncidence

__all__ = ["incidence_figure", "incidence_panel"]

RISK_ROW = 0.21
COMPETING_DASH = 2
"""Index of the line style of the competing event: dotted, thin."""


def incidence_figure(
    curves: Mapping[str, CumulativeIncidence],
    *,
    outcome: str,
    competing: str,
    facts: Sequence[str] = (),
    width: float = PAGE_INCHES,
) -> str:
    """Draw cumulative incidence with intervals, the competing event, and numbers at risk.

    Parameters
    ----------
    curves
        By group label; "High risk" and "Low risk" keep their colors.
    outcome, competing
        What the two events are: "recurrence", "death without recurrence".
    facts
        Short statements above the plot: Gray's p.
    width
        Inches; `COLUMN_INCHES` for one column of a journal.

    Returns
    -------
    str
        SVG.
    """
    narrow = width < 5
    items = []
    for i, (name, c) in enumerate(curves.items()):
        counts = f"{c.events} of {c.n}" if narrow else f"{outcome} in {c.events} of {c.n} patients"
        items.append(LegendItem(f"{name}: {counts}", _color(name, i), i))
    for i, (name, c) in enumerate(curves.items()):
        counts = f"{c.n_competing} died" if narrow else f"{competing} in {c.n_competing}"
        items.append(LegendItem(f"{name}: {counts}", _color(name, i), COMPETING_DASH))
    if narrow:
        facts = [part for fact in facts for part in fact.split(", ")]
    size = width, max(0.47 * width, 2.2)
    return _draw(curves, items, outcome, facts, None, size)


def incidence_panel(
    curves: Mapping[str, CumulativeIncidence],
    *,
    title: str,
    facts: Sequence[str] = (),
    last_month: float | None = None,
) -> str:
    """Draw the event of interest alone, small: one level of one factor among several."""
    return _draw(curves, [], "", (title, *facts), last_month, (3.5, 1.75))


def _draw(
    curves: Mapping[str, CumulativeIncidence],
    items: Sequence[LegendItem],
    outcome: str,
    facts: Sequence[str],
    last_month: float | None,
    size: tuple[float, float],
) -> str:
    width, plot_height = size
    small = not outcome
    last = last_month or max((float(c.time.max()) for c in curves.values()), default=12.0)
    left = max(0.75, max((text_width(n) for n in curves), default=0.0) + 0.35)
    plot_width = width - left - 0.2
    head = legend_height(items, plot_width) + 0.22 * len(facts) + 0.1
    table_top = head + plot_height + 0.58
    canvas = Canvas(width, table_top + RISK_ROW * (len(curves) + 1) + 0.05)
    for row, fact in enumerate(facts):
        letters, bold = (8.0 if small and row else TEXT_SIZE), small and row == 0
        shown = fit_text(fact, width - left, size=letters, bold=bold)
        canvas.text(left, 0.12 + 0.22 * row, shown, size=letters, bold=bold)
    canvas.legend(items, left, 0.22 * len(facts), width - 0.2)
    ax = canvas.axes(left, head, plot_width, plot_height)
    for index, (name, curve) in enumerate(curves.items()):
        _curve(ax, curve, _color(name, index), index, last)
        if not small:
            x, y = _steps(curve.time, curve.incidence_competing, last)
            dash = DASHES[COMPETING_DASH]
            ax.step(x, y, where="post", color=_color(name, index), linewidth=1.1, linestyle=dash)
    ticks = _axes(ax, last, outcome, small=small)
    canvas.text(left, table_top - 0.02, "Number at risk", size=8, color=GRAY)
    for row, (name, curve) in enumerate(curves.items()):
        at = table_top + RISK_ROW * (row + 1)
        canvas.text(left - 0.2, at, name, color=_color(name, row), align="right")
        for tick, n in zip(ticks, curve.n_at_risk(ticks), strict=True):
            canvas.text(left + plot_width * tick / last, at, str(int(n)), align="center")
    return canvas.svg()


def _curve(ax: Axes, curve: CumulativeIncidence, color: str, dash: int, last: float) -> None:
    x, y = _steps(curve.time, curve.incidence, last)
    _, lower = _steps(curve.time, np.nan_to_num(curve.lower), last)
    _, upper = _steps(curve.time, np.nan_to_num(curve.upper), last)
    ax.fill_between(x, lower, upper, step="post", color=color, alpha=0.14, linewidth=0)
    ax.step(x, y, where="post", color=color, linewidth=1.8, linestyle=DASHES[dash])


def _steps(time: Vector, values: Vector, last: float) -> tuple[Vector, Vector]:
    inside = time <= last
    return np.concatenate([[0.0], time[inside]]), np.concatenate([[0.0], values[inside]])


def _axes(ax: Axes, last: float, outcome: str, *, small: bool) -> list[float]:
    ticks = month_ticks(last)
    if small and len(ticks) > 6:
        ticks = ticks[::2]
    ax.set_xlim(0, last)
    ax.set_ylim(0, 1.02)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    levels = [0, 0.5, 1] if small else [0, 0.2, 0.4, 0.6, 0.8, 1]
    ax.set_yticks(levels, [f"{100 * v:g} %" for v in levels])
    ax.set_xlabel("Months", labelpad=3)
    if outcome:
        ax.set_ylabel("Cumulative incidence")
    return ticks


def _color(name: str, index: int) -> str:
    known = {"High risk": HIGH, "Low risk": LOW}
    return known.get(name, SERIES[index % len(SERIES)])
