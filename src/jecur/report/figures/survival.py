"""Survival curves with numbers at risk, whole and in small multiples."""

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
from jecur.survival.survival_curve import KaplanMeier

__all__ = ["km_figure", "km_panel"]

GROUP_COLORS = {"high": HIGH, "low": LOW}


def km_figure(
    curves: Mapping[str, KaplanMeier],
    *,
    outcome: str,
    facts: Sequence[str] = (),
    last_month: float | None = None,
    width: float = PAGE_INCHES,
) -> str:
    """Draw Kaplan-Meier curves with intervals, censoring ticks and numbers at risk.

    Parameters
    ----------
    curves
        By group label; "High risk" and "Low risk" keep their colors.
    outcome
        What survival is free of, for the axis: "Recurrence-free survival".
    facts
        Short statements above the plot: hazard ratio, log-rank p.
    last_month
        End of the time axis, months; the longest follow-up if not given.
    width
        Inches; `COLUMN_INCHES` for one column of a journal.

    Returns
    -------
    str
        SVG.
    """
    narrow = width < 5
    if narrow:  # one fact a line
        facts = [part for fact in facts for part in fact.split(", ")]
    kind = OverTime(_draw_curve, _color, outcome, small_facts=narrow)
    items = _legend(curves, narrow=narrow)
    return draw_over_time(curves, kind, items, facts, last_month, figure_inches(width))


def km_panel(
    curves: Mapping[str, KaplanMeier],
    *,
    title: str,
    facts: Sequence[str] = (),
    last_month: float | None = None,
) -> str:
    """Draw the same, small: one level of one factor among several."""
    kind = OverTime(_draw_curve, _color, "")
    return draw_over_time(curves, kind, [], (title, *facts), last_month, PANEL_INCHES)


def _legend(curves: Mapping[str, KaplanMeier], *, narrow: bool) -> list[LegendItem]:
    return [
        LegendItem(
            f"{name}: {c.events} of {c.n}"
            if narrow
            else f"{name}: {c.n} patients, {c.events} events",
            _color(name, i),
            i,
        )
        for i, (name, c) in enumerate(curves.items())
    ]


def _draw_curve(ax: Axes, curve: KaplanMeier, color: str, dash: int, last: float) -> None:
    x, y = steps(curve.time, curve.survival, last, 1.0)
    _, lower = steps(curve.time, curve.lower, last, 1.0)
    _, upper = steps(curve.time, curve.upper, last, 1.0)
    ax.fill_between(x, lower, upper, step="post", color=color, alpha=0.14, linewidth=0)
    ax.step(x, y, where="post", color=color, linewidth=1.8, linestyle=DASHES[dash % len(DASHES)])
    ticks = np.asarray(curve.time[(curve.n_censored > 0) & (curve.time <= last)], dtype=np.float64)
    ax.plot(ticks, curve.at(ticks), "|", color=color, markersize=6, markeredgewidth=0.9)


def _color(name: str, index: int) -> str:
    for word, color in GROUP_COLORS.items():
        if name.lower().startswith(word):
            return color
    return SERIES[index % len(SERIES)]
