"""Survival curves with numbers at risk, whole and in small multiples."""

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
from jecur.survival.survival_curve import KaplanMeier

__all__ = ["km_figure", "km_panel"]

RISK_ROW = 0.21
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
    if width < 5:  # one fact a line
        facts = [part for fact in facts for part in fact.split(", ")]
    return _draw(curves, outcome, facts, last_month, (width, max(0.47 * width, 2.2)))


def km_panel(
    curves: Mapping[str, KaplanMeier],
    *,
    title: str,
    facts: Sequence[str] = (),
    last_month: float | None = None,
) -> str:
    """Draw the same, small: one level of one factor among several."""
    return _draw(curves, "", (title, *facts), last_month, (3.5, 1.75))


def _draw(
    curves: Mapping[str, KaplanMeier],
    outcome: str,
    facts: Sequence[str],
    last_month: float | None,
    size: tuple[float, float],
) -> str:
    width, plot_height = size
    small = not outcome
    names = list(curves)
    narrow = not small and width < 5
    items = [] if small else _legend(curves, narrow=narrow)
    last = last_month or max((float(c.time.max()) for c in curves.values()), default=12.0)
    left = max(0.75, max((text_width(n) for n in names), default=0.0) + 0.35)
    right = 0.2
    head = legend_height(items, width - left - right) + 0.22 * len(facts) + 0.1
    table_top = head + plot_height + 0.58
    canvas = Canvas(width, table_top + RISK_ROW * (len(names) + 1) + 0.05)

    for row, fact in enumerate(facts):
        first = row == 0 and not narrow
        letters, bold = (TEXT_SIZE if first or not (small or narrow) else 8.0), small and first
        shown = fit_text(fact, width - left, size=letters, bold=bold)
        canvas.text(left, 0.12 + 0.22 * row, shown, size=letters, bold=bold)
    canvas.legend(items, left, 0.22 * len(facts), width - right)
    ax = canvas.axes(left, head, width - left - right, plot_height)
    for index, (name, curve) in enumerate(curves.items()):
        _draw_curve(ax, curve, _color(name, index), index, last)
    ticks = _set_axes(ax, last, outcome, small=small)
    canvas.text(left, table_top - 0.02, "Number at risk", size=8, color=GRAY)
    plot_width = width - left - right
    for row, (name, curve) in enumerate(curves.items()):
        y = table_top + RISK_ROW * (row + 1)
        canvas.text(left - 0.2, y, name, color=_color(name, row), align="right")
        for tick, n in zip(ticks, curve.n_at_risk(ticks), strict=True):
            canvas.text(left + plot_width * tick / last, y, str(int(n)), align="center")
    return canvas.svg()


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
    inside = curve.time <= last
    x = np.concatenate([[0.0], curve.time[inside]])
    y = np.concatenate([[1.0], curve.survival[inside]])
    lower = np.concatenate([[1.0], curve.lower[inside]])
    upper = np.concatenate([[1.0], curve.upper[inside]])
    ax.fill_between(x, lower, upper, step="post", color=color, alpha=0.14, linewidth=0)
    ax.step(x, y, where="post", color=color, linewidth=1.8, linestyle=DASHES[dash % len(DASHES)])
    ticks = _censored(curve, last)
    ax.plot(ticks, curve.at(ticks), "|", color=color, markersize=6, markeredgewidth=0.9)


def _censored(curve: KaplanMeier, last: float) -> Vector:
    return np.asarray(curve.time[(curve.n_censored > 0) & (curve.time <= last)], dtype=np.float64)


def _set_axes(ax: Axes, last: float, outcome: str, *, small: bool) -> list[float]:
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
        ax.set_ylabel(outcome)
    return ticks


def _color(name: str, index: int) -> str:
    for word, color in GROUP_COLORS.items():
        if name.lower().startswith(word):
            return color
    return SERIES[index % len(SERIES)]
