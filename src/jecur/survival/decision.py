"""Decision curves: the net benefit of acting on predicted probabilities.

At threshold p a patient is treated whose predicted probability of the event by the horizon is above
p; a needless treatment is held to cost p / (1 - p) of what a needed one gains. The net benefit is

    NB(p) = share treated * ( F - (1 - F) p / (1 - p) ),   F = 1 - Kaplan-Meier of those treated

beside treating everybody, and nobody (0).

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

from jecur.arrays import BoolVector, Vector
from jecur.errors import NotEstimableError, SettingsError
from jecur.survival.calibration import check_probabilities
from jecur.survival.follow_up import check_follow_up, check_level

__all__ = ["DecisionCurve", "decision_curve"]


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


def decision_curve(
    predicted: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    *,
    thresholds: Sequence[float] | Vector,
    level: float = 0.95,
) -> DecisionCurve:
    """Net benefit at each threshold, censoring accounted for by Kaplan-Meier [1]_.

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
    level
        Coverage of the pointwise interval (share treated and Greenwood).

    Raises
    ------
    NotEstimableError
        If nobody is followed to the horizon.
    TableError, SettingsError
        If a prediction is no probability, or a threshold is outside (0, 1).
    """
    months, seen = check_follow_up(time, event)
    p = check_probabilities(predicted, months.size)
    at = np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1 or at.size == 0 or np.any((at <= 0) | (at >= 1)):
        raise SettingsError(f"expected thresholds between 0 and 1, found {at.tolist()}")
    if not np.any(months > horizon):
        raise NotEstimableError(
            f"expected patients followed beyond {horizon:g} months, found none; "
            "take an earlier horizon"
        )
    times, position = np.unique(months, return_inverse=True)
    rows = int(np.searchsorted(times, horizon, side="right"))

    def free(inside: BoolVector) -> tuple[float, float]:
        """Kaplan-Meier of a part at the horizon, and its variance (Greenwood)."""
        total = np.bincount(position[inside], minlength=times.size)
        if total[rows:].sum() == 0 and total.sum() > 0 and not _complete(months, seen, inside):
            return float("nan"), float("nan")
        risk = np.cumsum(total[::-1])[::-1][:rows]
        died = np.bincount(position[inside & seen], minlength=times.size)[:rows]
        used = died > 0
        d, y = died[used], risk[used]
        survival = float(np.prod(1.0 - d / y))
        greenwood = float(np.sum(d[d < y] / (y[d < y] * (y[d < y] - d[d < y]))))
        return survival, survival**2 * greenwood

    z = float(ndtri(0.5 + check_level(level) / 2))
    everybody, _ = free(np.ones(months.size, dtype=np.bool_))
    odds = at / (1 - at)
    net, error, treated = np.zeros(at.size), np.zeros(at.size), np.zeros(at.size)
    for k, threshold in enumerate(at.tolist()):
        inside = p > threshold
        share = float(inside.mean())
        treated[k] = inside.sum()
        if share == 0:
            continue
        survival, variance = free(inside)
        gain = 1 - survival * (1 + odds[k])
        net[k] = share * gain
        spread = gain**2 * share * (1 - share) / months.size
        error[k] = np.sqrt(spread + (share * (1 + odds[k])) ** 2 * variance)
    return DecisionCurve(
        at,
        net,
        net - z * error,
        net + z * error,
        1 - everybody * (1 + odds),
        treated,
        horizon,
        level,
        months.size,
        int(seen.sum()),
        f"net benefit at {horizon:g} months, Kaplan-Meier among those treated",
    )


def _complete(time: Vector, event: BoolVector, inside: BoolVector) -> bool:
    """Whether the last one of a part ended by an event: the curve is then 0 for good."""
    last = time[inside].max()
    return bool(event[inside & (time == last)].all())
