"""Curves over months above their numbers at risk, whole and in small multiples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from jecur.arrays import Vector
from jecur.report.figures.canvas import (
    GRAY,
    TEXT_SIZE,
    Canvas,
    LegendItem,
    fit_text,
    legend_height,
    month_ticks,
    text_width,
)

__all__ = ["PANEL_INCHES", "OverTime", "draw_over_time", "figure_inches", "steps"]

RISK_ROW = 0.21
PANEL_INCHES = 3.5, 1.75
"""Size of one plot among several."""
_RIGHT = 0.2


class CurveOverTime(Protocol):
    """What is drawn: months, and patients still at risk."""

    @property
    def time(self) -> Vector:
        """(t,) months."""

    def n_at_risk(self, times: ArrayLike) -> NDArray[Any]:
        """(k,) patients at risk just before each time."""


Curve = TypeVar("Curve", bound=CurveOverTime)


@dataclass(frozen=True, slots=True)
class OverTime(Generic[Curve]):
    """What one kind of curve has of its own.

    Parameters
    ----------
    draw
        Draws a curve up to a last month: (axes, curve, color, place in the row, last).
    color
        Of a group, by its label and its place.
    axis
        What the curves show; "" in a small plot.
    small_facts
        Whether facts below the first are in small letters, and the first too.
    """

    draw: Callable[[Axes, Curve, str, int, float], None]
    color: Callable[[str, int], str]
    axis: str
    small_facts: bool = False


def figure_inches(width: float) -> tuple[float, float]:
    """Width and height of a plot that stands alone."""
    return width, max(0.47 * width, 2.2)


def draw_over_time(
    curves: Mapping[str, Curve],
    kind: OverTime[Curve],
    items: Sequence[LegendItem],
    facts: Sequence[str],
    last_month: float | None,
    size: tuple[float, float],
) -> str:
    """Draw curves of groups, by label: facts and legend above, numbers at risk below; SVG."""
    width, plot_height = size
    small = not kind.axis
    last = last_month or max((float(c.time.max()) for c in curves.values()), default=12.0)
    left = max(0.75, max((text_width(n) for n in curves), default=0.0) + 0.35)
    plot_width = width - left - _RIGHT
    head = legend_height(items, plot_width) + 0.22 * len(facts) + 0.1
    table_top = head + plot_height + 0.58
    canvas = Canvas(width, table_top + RISK_ROW * (len(curves) + 1) + 0.05)
    for row, fact in enumerate(facts):
        letters = 8.0 if kind.small_facts or (small and row) else TEXT_SIZE
        bold = small and row == 0
        shown = fit_text(fact, width - left, size=letters, bold=bold)
        canvas.text(left, 0.12 + 0.22 * row, shown, size=letters, bold=bold)
    canvas.legend(items, left, 0.22 * len(facts), width - _RIGHT)
    ax = canvas.axes(left, head, plot_width, plot_height)
    for index, (name, curve) in enumerate(curves.items()):
        kind.draw(ax, curve, kind.color(name, index), index, last)
    ticks = _set_axes(ax, last, kind.axis)
    canvas.text(left, table_top - 0.02, "Number at risk", size=8, color=GRAY)
    for row, (name, curve) in enumerate(curves.items()):
        at = table_top + RISK_ROW * (row + 1)
        canvas.text(left - 0.2, at, name, color=kind.color(name, row), align="right")
        for tick, n in zip(ticks, curve.n_at_risk(ticks), strict=True):
            canvas.text(left + plot_width * tick / last, at, str(int(n)), align="center")
    return canvas.svg()


def steps(time: Vector, values: Vector, last: float, start: float) -> tuple[Vector, Vector]:
    """Months and values up to the last month, with the value at the start before them."""
    inside = time <= last
    return np.concatenate([[0.0], time[inside]]), np.concatenate([[start], values[inside]])


def _set_axes(ax: Axes, last: float, axis: str) -> list[float]:
    ticks = month_ticks(last)
    if not axis and len(ticks) > 6:
        ticks = ticks[::2]
    ax.set_xlim(0, last)
    ax.set_ylim(0, 1.02)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    levels = [0, 0.2, 0.4, 0.6, 0.8, 1] if axis else [0, 0.5, 1]
    ax.set_yticks(levels, [f"{100 * v:g} %" for v in levels])
    ax.set_xlabel("Months", labelpad=3)
    if axis:
        ax.set_ylabel(axis)
    return ticks
