"""How well risk ranks patients, over time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from jecur.arrays import Vector
from jecur.report.figures.canvas import (
    DASHES,
    GRAY,
    HIGH,
    PAGE_INCHES,
    SERIES,
    Canvas,
    LegendItem,
    fit_text,
    legend_height,
)

__all__ = ["AucSeries", "auc_figure"]

MARKERS = "osD^vPX"


@dataclass(frozen=True, slots=True)
class AucSeries:
    """One marker's time-dependent AUC. All vectors are (h,), NaN where not estimable."""

    label: str
    months: Vector
    auc: Vector
    lower: Vector
    upper: Vector
    cases: Vector
    controls: Vector
    n_at_risk: Vector


def auc_figure(
    series: Sequence[AucSeries], *, level: float = 0.95, width: float = PAGE_INCHES
) -> str:
    """Draw AUC over time; below it the numbers behind the first series at each horizon.

    Parameters
    ----------
    series
        The classifier first, then the clinical factors it is set beside.
    level
        Coverage of the intervals, for the label.
    width
        Inches; `COLUMN_INCHES` for one column of a journal.

    Returns
    -------
    str
        SVG.
    """
    plot_height, right = max(0.42 * width, 2.2), 0.3
    rows = ("Cases", "Controls", "At risk")
    left = 0.95
    items = [LegendItem(s.label, _color(i), i, _marker(i)) for i, s in enumerate(series)]
    head = legend_height(items, width - left - right) + 0.1
    top = head + plot_height + 0.62
    canvas = Canvas(width, top + 0.21 * (len(rows) + 1) + 0.05)
    canvas.legend(items, left, 0.0, width - right)
    ax = canvas.axes(left, head, width - left - right, plot_height)
    months = np.unique(np.concatenate([s.months for s in series]))
    for index, one in enumerate(series):
        _draw_auc(ax, one, index)
    _auc_axes(ax, months, series)
    ax.set_ylabel(f"AUC (first: {100 * level:g} % interval)")
    first = series[0]
    begin = left if width > 5 else 0.05
    words = fit_text(f"Patients behind the AUC of: {first.label}", width - begin - 0.05, size=8)
    canvas.text(begin, top - 0.02, words, size=8, color=GRAY)
    start, span = ax.get_xlim()[0], float(np.diff(ax.get_xlim())[0])
    for row, values in enumerate((first.cases, first.controls, first.n_at_risk)):
        y = top + 0.21 * (row + 1)
        canvas.text(left - 0.2, y, rows[row], align="right")
        for month, n in zip(first.months, values, strict=True):
            x = left + (width - left - right) * (month - start) / span
            canvas.text(x, y, f"{n:g}" if np.isfinite(n) else "–", align="center")
    return canvas.svg()


def _draw_auc(ax: Axes, one: AucSeries, index: int) -> None:
    """Draw one marker; intervals of the first alone, those of the others are in the table."""
    known = np.isfinite(one.auc)
    first = index == 0
    if first:
        gaps = np.clip(np.vstack([one.auc - one.lower, one.upper - one.auc]), 0, None)
        bars = known & np.isfinite(gaps).all(axis=0)
        ax.errorbar(
            one.months[bars],
            one.auc[bars],
            yerr=gaps[:, bars],
            fmt="none",
            ecolor=_color(0),
            elinewidth=1.3,
            capsize=3,
            zorder=4,
        )
    ax.plot(
        one.months[known],
        one.auc[known],
        color=_color(index),
        marker=_marker(index),
        linestyle=DASHES[index % len(DASHES)],
        markersize=6 if first else 5,
        linewidth=2.2 if first else 1.3,
        zorder=5 if first else 3,
    )


def _auc_axes(ax: Axes, months: Vector, series: Sequence[AucSeries]) -> None:
    gap = float(np.min(np.diff(months))) if months.size > 1 else 12.0
    lows = np.concatenate([series[0].lower, *(s.auc for s in series)])
    lows = lows[np.isfinite(lows)]
    low = 0.4 if lows.size == 0 else max(0.0, min(0.4, np.floor(10 * lows.min()) / 10))
    ax.axhline(0.5, color=GRAY, linewidth=1, linestyle=DASHES[1], zorder=1)
    ax.set_xlim(float(months.min()) - 0.5 * gap, float(months.max()) + 0.5 * gap)
    ax.set_ylim(low, 1)
    ax.set_xticks(list(months), [f"{m:g}" for m in months])
    levels = np.arange(np.ceil(10 * low), 10.5) / 10
    ax.set_yticks(list(levels), [f"{v:.1f}" for v in levels])
    ax.set_xlabel("Months", labelpad=2)


def _color(index: int) -> str:
    """High risk's color for the classifier alone; the others take turns."""
    return HIGH if index == 0 else SERIES[1:][(index - 1) % (len(SERIES) - 1)]


def _marker(index: int) -> str:
    return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]
