"""Groups can only be compared that were at risk together when something happened."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from jecur.errors import NotEstimableError

__all__ = ["refuse_groups_apart"]


def refuse_groups_apart(names: Sequence[Hashable], together: NDArray[np.bool_]) -> None:
    """Refuse groups that no chain of comparisons joins.

    A test over such groups has fewer degrees of freedom than groups less one, and says nothing of
    the group apart; R's ``survdiff`` stops and ``cuminc`` returns -1.

    Parameters
    ----------
    names
        (g,) groups.
    together
        (g, g) whether two groups were at risk together at an event.

    Raises
    ------
    NotEstimableError
        With the groups that stand apart.
    """
    n, part = connected_components(together, directed=False)
    if n <= 1:
        return
    largest = int(np.argmax(np.bincount(part)))
    apart = ", ".join(str(name) for name, p in zip(names, part, strict=True) if p != largest)
    raise NotEstimableError(
        f"expected groups at risk together when events happened, found that {apart} never met "
        "the others; leave that group out or use fewer strata",
        code="groups-apart",
    )
