"""From the tile scores of a bag to one risk: the paper's Eq. 2 with sign, then a sigmoid.

With tile scores s_1 .. s_n (unbounded logits, higher = earlier recurrence) and exponent p::

    m = mean(sign(s) |s|^p)            S = sign(m) |m|^(1/p)            r = sigmoid(S)

The gradient of the root is unbounded at m = 0, so S is computed as
``m (m^2 + e^2)^((1 - p) / (2 p))``, which is the same number away from 0.

References
----------
.. [1] Z. Liu et al. Deep learning for prediction of hepatocellular carcinoma recurrence after
   resection or liver transplantation. 2021. Equation 2 and Figure 1.
"""

from typing import Literal

import numpy as np

from jecur.arrays import Logits, Vector
from jecur.errors import BagError

__all__ = ["ROOT_FLOOR", "Reduction", "pool_scores", "risk_from_score", "tile_weights"]

Reduction = Literal["mean", "sum"]

ROOT_FLOOR = 1e-3
"""e above: the slope of the root is at most e^((1-p)/p), 100 for p = 3; S moves by less than 0.05 %
where |S| > 0.3."""


def pool_scores(logits: Logits, *, exponent: float = 3.0, reduction: Reduction = "mean") -> float:
    """Pool the tile scores of one bag into its score S.

    Parameters
    ----------
    logits
        (n,) tile scores, n >= 1, any order.
    exponent
        p; 1 is the plain mean.
    reduction
        "mean", or "sum" as Eq. 2 is printed: it grows with the bag by n^(1/p).

    Returns
    -------
    float
        S, unbounded; higher = earlier recurrence.

    Raises
    ------
    BagError
        If the bag is empty or a score is not finite.
    """
    if logits.size == 0:
        raise BagError(
            "expected at least one tile, found none; a patient without tissue has no score"
        )
    scores = logits.astype(np.float64)
    if not np.isfinite(scores).all():
        raise BagError(
            "expected finite tile scores, found NaN or infinity; the model file is damaged"
        )
    powered = np.sign(scores) * np.abs(scores) ** exponent
    m = float(powered.mean() if reduction == "mean" else powered.sum())
    return float(m * (m * m + ROOT_FLOOR**2) ** ((1.0 - exponent) / (2.0 * exponent)))


def risk_from_score(score: float) -> float:
    """Sigmoid of a bag's score: risk in (0, 1), higher = earlier recurrence."""
    return float(np.exp(-np.logaddexp(0.0, -score)))


def tile_weights(logits: Logits, *, exponent: float = 3.0) -> Vector:
    """Share of each tile in the pooled score, (n,), signed; absolute values sum to 1."""
    powered = np.sign(logits) * np.abs(logits.astype(np.float64)) ** exponent
    total = np.abs(powered).sum()
    return np.asarray(powered / total if total > 0 else np.zeros_like(powered))
