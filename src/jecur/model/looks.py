"""What a model's training slides looked like: a section of the card, checked like the rest of it."""

import math
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from jecur.settings.base import CountOrZero, Stage

__all__ = ["TrainingLooks"]

_Finite = Annotated[float, Meta(ge=-1e12, le=1e12)]
_Distance = Annotated[float, Meta(ge=0, le=1e12)]


class TrainingLooks(Stage, frozen=True):
    """Mean and spread of what is measured on a slide (`jecur.mil.looks`), over the training slides.

    What is measured is empty, and ``limit`` unsaid, where too few patients show what is usual.
    """

    n_slides: CountOrZero
    n_patients: CountOrZero
    vendors: dict[str, CountOrZero]
    """Scanner family -> slides."""
    mpp: tuple[_Finite, _Finite] | None = None
    """Least and largest micrometers per pixel; None if unknown (features)."""
    names: tuple[str, ...] = ()
    mean: tuple[_Finite, ...] = ()
    covariance: tuple[tuple[_Finite, ...], ...] = ()
    """Shrunk, everyday variance added, (p, p); or (1, p) variances where measures are many."""
    shrinkage: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """0: the covariance as it is; 1: its diagonal alone."""
    limit: _Distance | None = None
    """A slide farther than this is unlike them."""
    distances: tuple[_Distance, ...] = ()
    """Of the training slides, each from the other patients', in rising order."""

    def contradictions(self) -> Iterator[str]:
        """Yield where the parts do not fit each other."""
        p = len(self.names)
        shapes = {(p,) * p, (p,)} if p else {()}
        if len(self.mean) != p or tuple(map(len, self.covariance)) not in shapes:
            yield f"expected {p} means and covariances, as there are names"
        elif len(set(self.names)) != p:
            yield "expected every measure once"
        elif any(v <= 0 for v in self._variances()):
            yield "expected variances above 0"
        elif len(self.covariance) > 1 and not self._is_covariance():
            yield "expected covariances that are the same both ways, none beyond its variances"
        if (self.limit is None) != (p == 0):
            yield "expected a limit of distance where something is measured, and there alone"

    def _is_covariance(self) -> bool:
        table = self.covariance
        return all(
            math.isclose(table[j][k], table[k][j], rel_tol=1e-6, abs_tol=1e-12)
            and abs(table[j][k]) <= math.sqrt(table[j][j]) * math.sqrt(table[k][k]) * (1 + 1e-9)
            for j in range(len(table))
            for k in range(j)
        )

    def _variances(self) -> list[float]:
        if len(self.covariance) == 1:
            return list(self.covariance[0])
        return [row[k] for k, row in enumerate(self.covariance)]
