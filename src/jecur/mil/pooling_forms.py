"""Each pooling as a formula and its slope: (n,) scores -> S, (n,) dS/ds. See `jecur.mil.pooling`."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import IntVector, Vector

__all__ = [
    "LOG_FLOOR",
    "ROOT_FLOOR",
    "SMALLEST_SHARE",
    "attention",
    "generalized_mean",
    "log_sum_exp",
    "mean_probability",
    "noisy_and",
    "positions_of_ends",
    "top_bottom",
]

ROOT_FLOOR = 1e-3
"""e of the generalized mean: the slope of the root is at most e^((1-p)/p), 100 for p = 3; S moves by
less than 0.05 % where |S| > 0.3."""
LOG_FLOOR = 1e-6
"""Added to both sides of a logit, so that it has a slope where the share of tiles is 0 or 1."""


_LARGE = 1e200
"""Squares of m from here on are not raised to powers down to -3/2, which would vanish."""
SMALLEST_SHARE = 1e-30
"""Below this of the largest power a mean of powers counts as 0: its root has a slope there, too."""


def generalized_mean(s: Vector, exponent: float, *, summed: bool) -> tuple[float, Vector]:
    """Pool by Eq. 2 with sign and a smoothed root."""
    n = 1 if summed else s.size
    with np.errstate(over="ignore", invalid="ignore"):
        m = float(np.sum(np.sign(s) * np.abs(s) ** exponent)) / n
        square = m * m + ROOT_FLOOR**2
    if not square < _LARGE:  # not a number is not below
        return _generalized_mean_of_large(s, exponent, n)
    power = (1.0 - exponent) / (2.0 * exponent)
    along_m = square**power + 2.0 * power * m * m * square ** (power - 1.0)
    size = np.where(s == 0, 1.0, np.abs(s))  # a score of 0 adds nothing, whatever the exponent
    inner = np.where((s == 0) & (exponent != 1.0), 0.0, size ** (exponent - 1.0))
    return m * square**power, along_m * exponent * inner / n


def _generalized_mean_of_large(s: Vector, exponent: float, n: int) -> tuple[float, Vector]:
    """Pool as `generalized_mean`, in parts of the largest score: whose powers no float holds."""
    top = float(np.abs(s).max())
    part = np.abs(s) / top
    m = float(np.sum(np.sign(s) * part**exponent)) / n
    floor = max(ROOT_FLOOR * float(np.exp(-exponent * np.log(top))), SMALLEST_SHARE)
    power, square = (1.0 - exponent) / (2.0 * exponent), m * m + floor**2
    along_m = square**power + 2.0 * power * m * m * square ** (power - 1.0)
    return top * m * square**power, along_m * exponent * part ** (exponent - 1.0) / n


def log_sum_exp(s: Vector, sharpness: float) -> tuple[float, Vector]:
    """Pool by log(mean(exp(r s))) / r."""
    top = float(s.max())
    raised = np.exp(sharpness * (s - top))
    return top + float(np.log(raised.mean())) / sharpness, raised / raised.sum()


def noisy_and(s: Vector, steepness: float, raw_threshold: float) -> tuple[float, Vector]:
    """Pool the share of positive tiles by a soft threshold b = sigmoid(raw), as a logit."""
    chance = _sigmoid(s)
    b = float(_sigmoid(np.float64(raw_threshold)))
    low, here, high = (
        float(_sigmoid(np.float64(steepness * (q - b)))) for q in (0.0, float(chance.mean()), 1.0)
    )
    risen, left = here - low + LOG_FLOOR, high - here + LOG_FLOOR
    along_q = steepness * here * (1.0 - here) * (1.0 / risen + 1.0 / left)
    return float(np.log(risen / left)), along_q * chance * (1.0 - chance) / s.size


def mean_probability(s: Vector) -> tuple[float, Vector]:
    """Pool by the logit of the mean probability."""
    chance, rest = _sigmoid(s), _sigmoid(-s)
    q, p = float(chance.mean()) + LOG_FLOOR, float(rest.mean()) + LOG_FLOOR
    return float(np.log(q / p)), chance * rest / s.size * (1.0 / q + 1.0 / p)


def attention(s: Vector, gate: Vector) -> tuple[float, Vector]:
    """Pool by the mean of scores weighted by softmax(gate)."""
    weight = np.exp(gate - gate.max())
    weight /= weight.sum()
    return float(np.sum(weight * s)), weight  # not by BLAS, whose sums depend on its threads


def top_bottom(
    s: Vector, ends: int, parameters: Mapping[str, NDArray[np.float32]]
) -> tuple[float, Vector]:
    """Pool the ``ends`` highest and lowest scores by one hidden layer of tanh, or two."""
    place = positions_of_ends(s, ends)
    layers = [
        tuple(np.asarray(parameters[f"{name}.{p}"], dtype=np.float64) for p in ("weight", "bias"))
        for name in ("hidden", "second")
        if f"{name}.weight" in parameters
    ]
    units = [s[place]]
    for wide, bias in layers:
        units.append(np.tanh(wide @ units[-1] + bias))
    out, shift = (np.asarray(parameters[f"out.{p}"], dtype=np.float64) for p in ("weight", "bias"))
    slope = out[0]  # of S along the last units, then layer by layer back to the ends
    for (wide, _), after in zip(reversed(layers), reversed(units), strict=False):
        slope = ((1.0 - after**2) * slope) @ wide
    along = np.zeros_like(s)
    np.add.at(along, place, slope)
    return float(out[0] @ units[-1] + shift[0]), along


def positions_of_ends(s: Vector, ends: int) -> IntVector:
    """Find the k highest scores, highest first, then the k lowest, lowest first: indices, (2 k,).

    A bag of fewer than k tiles repeats its last one at each end.
    """
    order = np.argsort(s, kind="stable")
    taken = np.minimum(np.arange(ends), s.size - 1)
    return np.concatenate([order[::-1][taken], order[taken]])


def _sigmoid(x: Vector | np.float64) -> Vector:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))
