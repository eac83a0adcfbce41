"""The risks of a cohort beside the cut-off, and how the training loss fell."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from jecur.arrays import BoolVector, Vector
from jecur.report.figures.canvas import GRAY, HIGH, INK, LOW, Canvas, LegendItem, fit_text, literal

__all__ = ["risk_figure", "training_figure"]


def risk_figure(
    risk: Vector, event: BoolVector, cutoff: float | None, *, label: str = "Risk"
) -> str:
    """Draw the distribution of risks, patients with and without the event, and the cut-off.

    Parameters
    ----------
    risk
        (n,) numbers; where all are in [0, 1], so is the axis.
    event
        (n,) whether the event was seen.
    cutoff
        High risk is above it; None draws none.
    label
        Of the axis.

    Returns
    -------
    str
        SVG.
    """
    width, left, plot_height = 7.2, 0.75, 1.9
    canvas = Canvas(width, plot_height + 1.0)
    items = [
        LegendItem("with event", HIGH, marker="s", line=False),
        LegendItem("without event seen", LOW, marker="s", line=False),
    ]
    canvas.legend(items, left, 0.0, width - 0.2)
    ax = canvas.axes(left, 0.45, width - left - 0.2, plot_height)
    low, high = (0.0, 1.0) if risk.min() >= 0 and risk.max() <= 1 else _span(risk)
    edges = np.linspace(low, high, 26)
    seen, _ = np.histogram(risk[event], edges)
    unseen, _ = np.histogram(risk[~event], edges)
    step = (high - low) / 25
    ax.bar(edges[:-1], unseen, width=step, align="edge", color=LOW, edgecolor="white")
    ax.bar(edges[:-1], seen, bottom=unseen, width=step, align="edge", color=HIGH, edgecolor="white")
    top = float(max((seen + unseen).max(), 1)) * 1.18
    if cutoff is not None:
        ax.axvline(cutoff, color=INK, linewidth=1.2)
        right = cutoff > (low + high) / 2
        place = cutoff + (-0.2 if right else 0.2) * step
        side = "right" if right else "left"
        words = f"cut-off {cutoff:.4g}"
        ax.text(place, top * 0.97, words, va="top", ha=side, fontsize=8, color=INK)
    ax.set_xlim(low, high)
    ax.set_ylim(0, top)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    ax.set_xlabel(literal(fit_text(label, width - left - 0.2)))
    ax.set_ylabel("Patients")
    return canvas.svg()


def _span(risk: Vector) -> tuple[float, float]:
    low, high = float(risk.min()), float(risk.max())
    margin = 0.02 * (high - low) or 0.5
    return low - margin, high + margin


def training_figure(points: Sequence[tuple[float, float]], *, unit: str = "Epoch") -> str:
    """Draw the training loss, (step, loss) pairs in order.

    Returns
    -------
    str
        SVG.
    """
    width, left, plot_height = 7.2, 0.75, 1.9
    canvas = Canvas(width, plot_height + 0.75)
    ax = canvas.axes(left, 0.15, width - left - 0.2, plot_height)
    step = np.array([p[0] for p in points], dtype=np.float64)
    loss = np.array([p[1] for p in points], dtype=np.float64)
    marker = "o" if len(points) <= 60 else ""
    ax.plot(step, loss, color=LOW, linewidth=1.4, marker=marker, markersize=3.5)
    ax.axhline(np.log(2), color=GRAY, linewidth=1, linestyle=(0, (6, 2)))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))
    ax.set_xlabel(unit)
    ax.set_ylabel("Training loss")
    return canvas.svg()
