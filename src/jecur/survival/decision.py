"""Decision curves: the net benefit of acting on predicted probabilities.

At threshold p a patient is treated whose predicted probability of the event by the horizon is p or
more (as in the package dcurves); a needless treatment is held to cost p / (1 - p) of what a needed
one gains. The net benefit is

    NB(p) = share treated * ( F - (1 - F) p / (1 - p) )

F is the probability of the event by the horizon in those treated: 1 - Kaplan-Meier or, where another
event competes, the cumulative incidence. Beside it stand treating everybody, and nobody (0).

References
----------
.. [1] A. J. Vickers et al. Extensions to decision curve analysis, a novel method for evaluating
   diagnostic tests, prediction models and molecular markers. BMC Med. Inform. Decis. Mak. 8, 53,
   2008.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jecur.arrays import Vector
from jecur.errors import SettingsError
from jecur.survival.brier import check_probabilities
from jecur.survival.follow_up import check_level
from jecur.survival.inputs import numbers, same_patients
from jecur.survival.outcome_at import check_outcome, outcome_at, require_beyond

__all__ = ["DecisionCurve", "decision_curve"]

ROUNDING = 1e-12
"""A threshold this share above a prediction is that prediction: 3 x 0.1 and 0.3 are two numbers."""


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit in true positives per patient; all vectors are (t,)."""

    thresholds: Vector
    """Probabilities in (0, 1)."""
    net_benefit: Vector
    """NaN where nobody treated is followed to the horizon."""
    lower: Vector
    upper: Vector
    treat_all: Vector
    n_treated: Vector
    horizon: float
    level: float
    n: int
    events: int
    method: str


@same_patients
def decision_curve(  # noqa: PLR0913 -- prediction, response in three parts, options
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    thresholds: Sequence[float] | Vector,
    competing: ArrayLike | None = None,
    level: float = 0.95,
) -> DecisionCurve:
    """Net benefit at each threshold, censoring and competing events accounted for [1]_.

    Parameters
    ----------
    predicted
        (n,) probability of the event by ``horizon``, in [0, 1].
    time, event
        Follow-up of the same n patients: months, and whether the event was seen.
    horizon
        Months.
    thresholds
        (t,) in (0, 1).
    competing
        (n,) whether follow-up ended by a competing event.
    level
        Coverage of the pointwise interval (share treated, and the probability among them).

    Raises
    ------
    NotEstimableError
        If nobody is followed to the horizon.
    TableError, SettingsError
        If a prediction is no probability, or a threshold is outside (0, 1).
    """
    months, seen, other = check_outcome(time, event, competing, [horizon])
    p = check_probabilities(predicted, months.size)
    at = numbers(thresholds, "thresholds", SettingsError)
    if at.ndim != 1 or at.size == 0 or not np.all((at > 0) & (at < 1)):
        raise SettingsError(f"expected thresholds between 0 and 1, found {at.tolist()}")
    require_beyond(months, horizon)
    z = float(ndtri(0.5 + check_level(level) / 2))
    everybody = outcome_at(months, seen, horizon, competing=other).estimate
    odds = at / (1 - at)
    net, error, treated = np.zeros(at.size), np.zeros(at.size), np.zeros(at.size)
    before = -1
    for k, threshold in enumerate(at.tolist()):
        inside = p >= threshold * (1 - ROUNDING)
        treated[k] = inside.sum()
        share = float(inside.mean())
        if share == 0:
            continue
        if treated[k] != before:  # thresholds between two predictions treat the same patients
            group = outcome_at(months[inside], seen[inside], horizon, competing=other[inside])
            before = treated[k]
        had = group.estimate if group.known else float("nan")
        gain = had - (1 - had) * odds[k]
        net[k] = share * gain
        spread = gain**2 * share * (1 - share) / months.size
        error[k] = np.sqrt(spread + (share * (1 + odds[k]) * group.standard_error) ** 2)
    return DecisionCurve(
        at,
        net,
        net - z * error,
        net + z * error,
        everybody - (1 - everybody) * odds,
        treated,
        horizon,
        level,
        months.size,
        int(seen.sum()),
        f"net benefit at {horizon:g} months, "
        + ("Kaplan-Meier" if competing is None else "cumulative incidence")
        + " among those treated",
    )
