"""How far predicted probabilities agree with what happened, and what acting on them gains."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from jecur.arrays import Vector
from jecur.report.figures.canvas import (
    DASHES,
    GRAY,
    HIGH,
    LOW,
    PAGE_INCHES,
    Canvas,
    LegendItem,
    legend_height,
)
from jecur.survival.calibration import CalibrationCurve
from jecur.survival.decision import DecisionCurve

__all__ = ["CalibrationPoints", "calibration_figure", "decision_figure"]

PERCENT = [0, 0.2, 0.4, 0.6, 0.8, 1]


@dataclass(frozen=True, slots=True)
class CalibrationPoints:
    """Groups of rising predicted probability of the event. All vectors are (g,)."""

    predicted: Vector
    """Mean predicted probability of the event by the horizon, in [0, 1]."""
    observed: Vector
    """What follow-up shows at the horizon; NaN where nobody was followed so long."""
    lower: Vector
    upper: Vector
    n: Vector
    """Patients."""


def calibration_figure(
    points: CalibrationPoints,
    *,
    month: float,
    curve: CalibrationCurve | None = None,
    level: float = 0.95,
) -> str:
    """Draw observed against predicted probability of the event by ``month``: groups and smooth curve.

    Returns
    -------
    str
        SVG.
    """
    side, left = 3.3, 0.95
    items = [
        LegendItem("Perfect", GRAY, 1),
        LegendItem("Groups", LOW, 0, "o", line=False),
        *([LegendItem("Smooth", HIGH)] if curve is not None else []),
    ]
    head = legend_height(items, side + 0.3) + 0.12
    canvas = Canvas(left + side + 0.3, head + side + 0.6)
    canvas.legend(items, left, 0.0, left + side + 0.3)
    ax = canvas.axes(left, head, side, side)
    ax.grid(color="#e4e7eb", linewidth=0.7)
    ax.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle=DASHES[1])
    if curve is not None:
        band = curve.lower, curve.upper
        ax.fill_between(curve.predicted, *band, color=HIGH, alpha=0.14, linewidth=0)
        ax.plot(curve.predicted, curve.observed, color=HIGH, linewidth=1.8)
    known = np.isfinite(points.observed)
    gaps = np.vstack([points.observed - points.lower, points.upper - points.observed])
    ax.errorbar(
        points.predicted[known],
        points.observed[known],
        yerr=np.nan_to_num(np.clip(gaps, 0, None))[:, known],
        fmt="o",
        color=LOW,
        markersize=6,
        elinewidth=1.2,
        capsize=3,
        zorder=5,
    )
    end = _axis_end(points, curve)
    ax.set_xlim(0, end)
    ax.set_ylim(0, end)
    ticks = [v * end for v in PERCENT]
    names = [f"{100 * v:g} %" for v in ticks]
    ax.set_xticks(ticks, names)
    ax.set_yticks(ticks, names)
    ax.set_xlabel(f"Predicted event by month {month:g}")
    ax.set_ylabel(f"Observed ({100 * level:g} % interval)")
    return canvas.svg()


def _axis_end(points: CalibrationPoints, curve: CalibrationCurve | None) -> float:
    """End of both axes: rare events need not hide in a corner."""
    shown = [points.predicted, points.observed, points.upper]
    if curve is not None:
        shown += [curve.predicted, curve.observed]
    values = np.concatenate(shown)
    highest = float(values[np.isfinite(values)].max(initial=0.0))
    return next((v for v in (0.1, 0.2, 0.5) if highest <= v), 1.0)


def decision_figure(curve: DecisionCurve, *, label: str, width: float = PAGE_INCHES) -> str:
    """Draw the net benefit of acting on the risk beside treating everybody and nobody.

    Parameters
    ----------
    curve
        Net benefit at each threshold.
    label
        Name of the risk.
    width
        Inches; `COLUMN_INCHES` for one column of a journal.

    Returns
    -------
    str
        SVG.
    """
    left, right = 0.95, 0.3
    plot_height = max(0.42 * width, 2.2)
    items = [
        LegendItem(label, HIGH),
        LegendItem("Treat everybody", LOW, 1),
        LegendItem("Treat nobody", GRAY, 2),
    ]
    head = legend_height(items, width - left - right) + 0.12
    canvas = Canvas(width, head + plot_height + 0.6)
    canvas.legend(items, left, 0.0, width - right)
    ax = canvas.axes(left, head, width - left - right, plot_height)
    known = np.isfinite(curve.net_benefit)
    x = curve.thresholds[known]
    ax.fill_between(x, curve.lower[known], curve.upper[known], color=HIGH, alpha=0.14, linewidth=0)
    ax.plot(curve.thresholds, curve.treat_all, color=LOW, linewidth=1.4, linestyle=DASHES[1])
    ax.axhline(0.0, color=GRAY, linewidth=1.2, linestyle=DASHES[2])
    ax.plot(x, curve.net_benefit[known], color=HIGH, linewidth=2.0, zorder=5)
    _decision_axes(ax, curve)
    return canvas.svg()


def _decision_axes(ax: Axes, curve: DecisionCurve) -> None:
    """Cut below a little under zero: treating everybody falls without end as the threshold rises."""
    top = float(
        np.nanmax(np.concatenate([curve.net_benefit, curve.treat_all, curve.upper, [0.05]]))
    )
    acted = curve.thresholds[curve.n_treated > 0]
    last = float(acted[-1]) if acted.size else 1.0
    ax.set_ylim(-0.25 * top, 1.08 * top)
    ax.set_xlim(0, min(1.0, np.ceil(10 * last + 0.5) / 10))
    ticks = [v / 10 for v in range(11) if v / 10 <= ax.get_xlim()[1] + 1e-9]
    ax.set_xticks(ticks, [f"{100 * v:.0f} %" for v in ticks])
    ax.set_xlabel("Threshold probability", labelpad=3)
    ax.set_ylabel(f"Net benefit by month {curve.horizon:g}")
