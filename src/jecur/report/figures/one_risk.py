"""One patient's risk held against those of the training patients."""

from collections.abc import Sequence

from jecur.report.figures.canvas import GRAY, HIGH, INK, LOW, Canvas

__all__ = ["one_risk_figure"]


def one_risk_figure(
    risk: float,
    cutoff: float,
    groups: Sequence[tuple[str, Sequence[float]]],
    *,
    narrow: bool = False,
) -> str:
    """Draw one risk and the cut-off on the scale from 0 to 1, over the risks of training patients.

    Parameters
    ----------
    risk
        Of the patient.
    cutoff
        High risk is above it.
    groups
        Name of a group, and quantiles of its risks at equal steps from 0 to 1; the first group is of the
        worse outcome. None where the model keeps none.
    narrow
        Lay it out for a small screen: names above their lines.

    Returns
    -------
    str
        SVG.
    """
    width, left, right, row = (3.5, 0.2, 0.25, 0.6) if narrow else (7.2, 2.1, 0.3, 0.42)
    plot_height = row * max(len(groups), 1) + 0.35
    canvas = Canvas(width, plot_height + 1.05)
    ax = canvas.axes(left, 0.45, width - left - right, plot_height)
    ax.grid(visible=False)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.6, max(len(groups), 1) - 0.4)
    ax.invert_yaxis()
    for place, ((_, values), color) in enumerate(zip(groups, (HIGH, LOW), strict=False)):
        last = len(values) - 1
        low, q1, middle, q3, high = (
            values[round(last * share)] for share in (0, 0.25, 0.5, 0.75, 1)
        )
        ax.plot([low, high], [place, place], color=color, linewidth=1.2)
        ax.barh(place, max(q3 - q1, 0.002), left=q1, height=0.42, color=color, alpha=0.45)
        ax.plot([middle, middle], [place - 0.21, place + 0.21], color=color, linewidth=2)
    ax.axvline(cutoff, color=GRAY, linewidth=1.2, linestyle=(0, (5, 2)))
    ax.axvline(risk, color=INK, linewidth=2.2)
    ax.set_yticks(range(len(groups)), ["" if narrow else name for name, _ in groups])
    ax.tick_params(axis="y", length=0)
    for place, (name, _) in enumerate(groups if narrow else ()):
        ax.text(0.01, place - 0.3, name, va="bottom", fontsize=8, color=INK)
    ax.set_xlabel("Risk")
    for line, (value, words, color) in enumerate(
        ((risk, f"this patient {risk:.3f}", INK), (cutoff, f"cut-off {cutoff:.4g}", GRAY))
    ):
        at = left + value * (width - left - right)
        canvas.text(at, 0.12 + 0.2 * line, words, color=color, bold=color == INK,
                    align="left" if value < (0.5 if narrow else 0.7) else "right")  # fmt: skip
    return canvas.svg()
