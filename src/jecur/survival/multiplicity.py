"""Correction of p-values for several tests, as R's ``p.adjust``.

References
----------
.. [1] S. Holm. A simple sequentially rejective multiple test procedure. Scand. J. Stat. 6(2),
   65-70, 1979.
.. [2] Y. Benjamini, Y. Hochberg. Controlling the false discovery rate. J. R. Stat. Soc. B 57(1),
   289-300, 1995.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import Vector
from jecur.errors import TableError, require_choice
from jecur.survival.inputs import numbers

__all__ = ["Adjustment", "adjust_p_values"]

Adjustment = Literal["holm", "hochberg", "bh", "by", "bonferroni", "none"]


def adjust_p_values(p: ArrayLike, method: Adjustment = "holm") -> Vector:
    """Adjust p-values; missing ones stay missing and are not counted.

    Parameters
    ----------
    p
        (m,) p-values, NaN where a test could not be made.
    method
        "holm" [1]_, "hochberg", "bonferroni" control the family-wise error; "bh" [2]_ and "by"
        the false discovery rate.

    Returns
    -------
    Vector
        (m,) adjusted p-values in [0, 1].
    """
    require_choice("method", method, Adjustment)
    raw = numbers(p, "p-values")
    if raw.ndim != 1:
        raise TableError(f"expected a vector of p-values, found shape {raw.shape}; give .ravel()")
    if np.any((raw < 0) | (raw > 1)):
        raise TableError(f"expected p-values in [0, 1], found {raw[(raw < 0) | (raw > 1)][0]:g}")
    out = raw.copy()
    known = np.flatnonzero(np.isfinite(raw))
    m = known.size
    if m == 0 or method == "none":
        return out
    order = known[np.argsort(raw[known], kind="stable")]
    rising = raw[order]  # smallest first
    rank = np.arange(1, m + 1)
    if method == "bonferroni":
        adjusted = rising * m
    elif method == "holm":
        adjusted = np.maximum.accumulate(rising * (m - rank + 1))
    else:
        factor = {
            "hochberg": m - rank + 1.0,
            "bh": m / rank,
            "by": m / rank * np.sum(1.0 / rank),
        }[method]
        adjusted = np.minimum.accumulate((rising * factor)[::-1])[::-1]
    out[order] = np.minimum(adjusted, 1.0)
    return out
