"""Planted slides: pixels whose stains are known."""

from collections.abc import Callable

import numpy as np
import pytest

from jecur.arrays import Pixels
from jecur.stain import StainMatrix
from jecur.stain.optical_density import from_optical_density

CENTER = StainMatrix.from_rows([[0.56, 0.73, 0.38], [0.22, 0.82, 0.52]])

Planter = Callable[..., tuple[StainMatrix, Pixels]]


@pytest.fixture(scope="session")
def plant() -> Planter:
    """Make (stains, (n, 3) uint8) with stains turned by up to 8 degrees from typical ones.

    ``kind`` "pure" holds pixels of one stain alone; "mixed" has both stains in every pixel.
    """

    def make(seed: int, kind: str = "pure", n: int = 6_000) -> tuple[StainMatrix, Pixels]:
        rng = np.random.default_rng(seed)
        away = rng.normal(size=(2, 3))
        away -= np.sum(away * CENTER.vectors, axis=1, keepdims=True) * CENTER.vectors
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        angle = np.radians(rng.uniform(0.0, 8.0, size=(2, 1)))
        stains = StainMatrix.from_rows(np.cos(angle) * CENTER.vectors + np.sin(angle) * away)
        shape = 2.0 if kind == "pure" else 1.0
        amounts = rng.gamma(shape, np.divide([1.0, 0.6], shape), size=(n, 2))
        if kind == "pure":
            part = rng.random(n)
            amounts[part < 0.3, 1] = 0.0
            amounts[(part >= 0.3) & (part < 0.6), 0] = 0.0
        od = amounts @ stains.vectors + rng.normal(0.0, 0.02, size=(n, 3))
        return stains, from_optical_density(od)

    return make
