"""The stain matrix: directions of hematoxylin and eosin in optical-density space.

References
----------
.. [1] A. C. Ruifrok, D. A. Johnston. Quantification of histochemical staining by color
   deconvolution. Anal. Quant. Cytol. Histol. 23(4), 291-299, 2001.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import StainVectors, Vector
from jecur.errors import StainError

__all__ = ["RUIFROK", "StainMatrix", "order_stains"]

_UNIT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class StainMatrix:
    """Hematoxylin and eosin directions in optical-density space.

    Parameters
    ----------
    vectors
        (2, 3) float64. Row 0 is hematoxylin, row 1 eosin; columns are R, G, B; rows are
        non-negative with unit Euclidean length. Kept as a read-only copy.

    Raises
    ------
    StainError
        ``bad-stain-matrix`` if ``vectors`` is anything else.
    """

    vectors: StainVectors

    def __post_init__(self) -> None:
        vectors = np.array(self.vectors, dtype=np.float64)
        if vectors.shape != (2, 3) or not np.isfinite(vectors).all() or (vectors < 0).any():
            raise StainError(
                "expected a finite, non-negative 2 x 3 stain matrix (hematoxylin, eosin by R, G, "
                f"B), found {self.vectors!r}; check where it came from",
                code="bad-stain-matrix",
            )
        lengths = np.linalg.norm(vectors, axis=1)
        if np.abs(lengths - 1.0).max() > _UNIT_TOLERANCE:
            raise StainError(
                f"expected stain rows of unit length, found lengths {lengths.round(4).tolist()}; "
                "divide each row by its length",
                code="bad-stain-matrix",
            )
        vectors.setflags(write=False)
        object.__setattr__(self, "vectors", vectors)

    @classmethod
    def from_rows(cls, rows: ArrayLike) -> Self:
        """Stain matrix of two non-negative rows of any positive length."""
        vectors = np.asarray(rows, dtype=np.float64)
        return cls(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StainMatrix) and np.array_equal(self.vectors, other.vectors)

    def __hash__(self) -> int:
        return hash(self.vectors.tobytes())

    @property
    def separation(self) -> float:
        """Angle between hematoxylin and eosin, degrees, 0 to 90."""
        return float(_angles(self.vectors[0], self.vectors[1]))

    def angle_to(self, other: "StainMatrix") -> Vector:
        """Angle between matching stains, (2,) degrees: how far two slides differ."""
        return _angles(self.vectors, other.vectors)


RUIFROK = StainMatrix.from_rows([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
"""Hematoxylin and eosin as measured by Ruifrok and Johnston [1]_, scaled to unit length."""


def order_stains(rows: StainVectors) -> StainVectors:
    """Put hematoxylin first: the order whose angles to Ruifrok's H and E sum to less.

    Comparing whole directions, not one channel, keeps the order right for the blue-poor eosin
    and the reddish hematoxylin of faded slides.
    """
    kept = _angles(rows, RUIFROK.vectors).sum()
    swapped = _angles(rows[::-1], RUIFROK.vectors).sum()
    return rows if kept <= swapped else rows[::-1]


def _angles(a: Vector, b: Vector) -> Vector:
    """Angle between unit vectors along the last axis, degrees; exact for near-equal vectors."""
    half_chord = np.linalg.norm(a - b, axis=-1) / 2.0
    angles: Vector = np.degrees(2.0 * np.arcsin(np.clip(half_chord, 0.0, 1.0)))
    return angles
