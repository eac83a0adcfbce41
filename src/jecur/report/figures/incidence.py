"""Cumulative incidence curves with numbers at risk, whole and in small multiples."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from jecur.report.figures.canvas import DASHES, HIGH, LOW, PAGE_INCHES, SERIES, LegendItem
from jecur.report.figures.over_time import (
    PANEL_INCHES,
    OverTime,
    draw_over_time,
    figure_inches,
    steps,
)
from jecur.survival.competing import CumulativeIncidence

__all__ = ["incidence_figure", "incidence_panel"]

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
    kind = OverTime(_with_competing, _color, "Cumulative incidence")
    return draw_over_time(curves, kind, items, facts, None, figure_inches(width))


def incidence_panel(
    curves: Mapping[str, CumulativeIncidence],
    *,
    title: str,
    facts: Sequence[str] = (),
    last_month: float | None = None,
) -> str:
    """Draw the event of interest alone, small: one level of one factor among several."""
    kind = OverTime(_curve, _color, "")
    return draw_over_time(curves, kind, [], (title, *facts), last_month, PANEL_INCHES)


def _with_competing(
    ax: Axes, curve: CumulativeIncidence, color: str, dash: int, last: float
) -> None:
    _curve(ax, curve, color, dash, last)
    x, y = steps(curve.time, curve.incidence_competing, last, 0.0)
    ax.step(x, y, where="post", color=color, linewidth=1.1, linestyle=DASHES[COMPETING_DASH])


def _curve(ax: Axes, curve: CumulativeIncidence, color: str, dash: int, last: float) -> None:
    x, y = steps(curve.time, curve.incidence, last, 0.0)
    _, lower = steps(curve.time, np.nan_to_num(curve.lower), last, 0.0)
    _, upper = steps(curve.time, np.nan_to_num(curve.upper), last, 0.0)
    ax.fill_between(x, lower, upper, step="post", color=color, alpha=0.14, linewidth=0)
    ax.step(x, y, where="post", color=color, linewidth=1.8, linestyle=DASHES[dash])


def _color(name: str, index: int) -> str:
    known = {"High risk": HIGH, "Low risk": LOW}
    return known.get(name, SERIES[index % len(SERIES)])
