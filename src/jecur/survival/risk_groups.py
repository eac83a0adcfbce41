"""From a risk to a group, in one place: no group comes of a number that is not finite."""

import math
from typing import overload

import numpy as np

from jecur.arrays import BoolVector, Vector
from jecur.errors import GroupError

__all__ = ["is_high_risk"]


@overload
def is_high_risk(risk: float, cutoff: float) -> bool: ...
@overload
def is_high_risk(risk: Vector, cutoff: float) -> BoolVector: ...
def is_high_risk(risk: float | Vector, cutoff: float) -> bool | BoolVector:
    """Say who is at high risk: above the cut-off.

    Not a number is neither above nor below anything, and would end up in the group of those who
    are not above. So it is refused here, before any comparison.

    Parameters
    ----------
    risk
        One risk, or (n,); higher = earlier event.
    cutoff
        On the same scale.

    Returns
    -------
    bool or BoolVector
        True for high risk; of the shape of ``risk``.

    Raises
    ------
    GroupError
        If a risk or the cut-off is not finite.
    """
    if not math.isfinite(cutoff):
        raise GroupError(
            f"expected a finite cut-off, found {cutoff}; no group is made of it: correct the cut-off, "
            "or get the model file again"
        )
    values = np.asarray(risk, dtype=np.float64)
    lost = int(np.count_nonzero(~np.isfinite(values)))
    if lost:
        raise GroupError(
            f"expected finite risks, found {lost} of {values.size} that are not; no group is made of "
            "them: leave these patients out with a reason, or score them again"
        )
    above = values > cutoff
    return bool(above) if values.ndim == 0 else above
