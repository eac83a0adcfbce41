"""Kaplan-Meier curves of a run's risk groups, from the follow-up that the run keeps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jecur.report.figures.survival import GROUP_COLORS
from jecur.survival.survival_curve import kaplan_meier
from jecur.viewer.run_tables import ViewedPatient

__all__ = ["risk_curves"]


def risk_curves(patients: Sequence[ViewedPatient]) -> list[dict[str, Any]]:
    """Curve of each risk group with its limits and the patients on it.

    Where another event competes, the curve is that of being free of both, as in the report's median.

    Returns
    -------
    list of dict
        ``group``, ``color``, ``n``, ``events``; ``time`` (months), ``survival``, ``lower``,
        ``upper`` (None where there is no limit), ``at_risk``; ``patients``: number, months, event
        and height on the curve. Empty without follow-up.
    """
    curves = []
    for group in ("high", "low"):
        known = [p for p in patients if p.group == group and p.months is not None]
        known = [p for p in known if p.event is not None]
        if not known:
            continue
        months = np.array([p.months for p in known], dtype=np.float64)
        event = np.array([p.event != 0 for p in known], dtype=np.bool_)  # 2 is a competing event
        curve = kaplan_meier(months, event)
        curves.append(
            {
                "group": group,
                "color": GROUP_COLORS[group],
                "n": curve.n,
                "events": curve.events,
                "time": curve.time.tolist(),
                "survival": curve.survival.tolist(),
                "lower": curve.lower.tolist(),
                "upper": curve.upper.tolist(),
                "at_risk": curve.n_risk.tolist(),
                "patients": [
                    {"number": p.number, "months": p.months, "event": p.event, "height": height}
                    for p, height in zip(known, curve.at(months).tolist(), strict=True)
                ],
            }
        )
    return curves
