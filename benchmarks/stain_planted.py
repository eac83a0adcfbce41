"""How far fitted stains lie from planted ones: 200 random slides of known stains.

Stains are drawn around the median of the real fits (each row turned by up to 12 degrees, rows at
least 15 degrees apart); concentrations are gamma distributed; noise is added in optical density and
the result rounded to 8 bits. "pure" slides hold 30 % of pixels with hematoxylin alone and 30 % with
eosin alone. The others have both stains in every pixel: "mixed" with many nearly pure ones
(exponential amounts), "dense" with few (gamma of shape 2), which no method can take apart exactly.
Usage: python benchmarks/stain_planted.py [DRAWS]
"""

import sys
import time

import numpy as np

from jecur.stain.macenko import extreme_directions
from jecur.stain.optical_density import from_optical_density, to_optical_density
from jecur.stain.stain_matrix import StainMatrix
from jecur.stain.vahadane import estimate_stains

CENTER = StainMatrix.from_rows([[0.56, 0.73, 0.38], [0.22, 0.82, 0.52]])
N_PIXELS = 20_000


def draw_stains(rng: np.random.Generator) -> StainMatrix:
    while True:
        away = rng.normal(size=(2, 3))
        away -= np.sum(away * CENTER.vectors, axis=1, keepdims=True) * CENTER.vectors
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        angle = np.radians(rng.uniform(0.0, 12.0, size=(2, 1)))
        rows = np.cos(angle) * CENTER.vectors + np.sin(angle) * away
        if (rows > 0).all():
            stains = StainMatrix.from_rows(rows)
            if stains.separation >= 15.0:
                return stains


def draw_pixels(
    stains: StainMatrix, rng: np.random.Generator, kind: str, *, noise: float = 0.02
) -> np.ndarray:
    """(n, 3) uint8 of planted stains."""
    shape = 1.0 if kind == "mixed" else 2.0
    concentrations = rng.gamma(shape, np.divide([1.0, 0.6], shape), size=(N_PIXELS, 2))
    if kind == "pure":
        part = rng.random(N_PIXELS)
        concentrations[part < 0.3, 1] = 0.0
        concentrations[(part >= 0.3) & (part < 0.6), 0] = 0.0
    od = concentrations @ stains.vectors
    return from_optical_density(od + rng.normal(0.0, noise, size=od.shape))


def main(draws: int) -> None:
    for kind in ("pure", "mixed", "dense"):
        errors: dict[str, list[np.ndarray]] = {"vahadane": [], "macenko": []}
        started = time.perf_counter()
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            stains = draw_stains(rng)
            od = to_optical_density(draw_pixels(stains, rng, kind))
            od = od[od.mean(axis=1) > 0.15]
            fitted = estimate_stains(od, sparsity=0.02, rng=rng).stains
            errors["vahadane"].append(fitted.angle_to(stains))
            errors["macenko"].append(StainMatrix(extreme_directions(od)).angle_to(stains))
        print(f"{kind}: {draws} draws, {time.perf_counter() - started:.0f} s")
        for method, angles in errors.items():
            table = np.array(angles)
            median, high, worst = np.median(table, 0), np.percentile(table, 95, 0), table.max(0)
            print(
                f"  {method:9s} degrees off (H, E): median {median.round(2)}"
                f"  95 % {high.round(2)}  worst {worst.round(2)}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
