"""Stain estimation by sparse non-negative matrix factorization (Vahadane [1]_).

By the Beer-Lambert law a pixel's optical density is a non-negative mixture, and most pixels hold
mainly one stain, so concentrations are sparse::

    minimize    1/2 |V - C W|^2 + sparsity * |C|_1
    subject to  C >= 0,  W >= 0,  |W[k]|_2 = 1

V is (n, 3) optical density, C (n, 2) concentrations, W (2, 3) stains. The penalty lies on the
concentrations: put on the stains (by transposing V) it prefers a stain that absorbs one color
only, which no real stain does.

Two exact steps alternate. For fixed W each pixel is a two-variable problem with a closed form
(`jecur.stain.separation`). For fixed C the objective depends on the data only through
A = C'C (2, 2) and B = C'V (2, 3), and for one row the best unit vector is again closed::

    W[k] = unit(max(0, B[k] - A[k, j] W[j]))

Neither step can raise the objective. It is not convex, so the descent starts from several points
on a subsample and the best of them is finished on all pixels. (Vahadane et al. bound rows by
|W[k]| <= 1; with sparsity > 0 a shorter row only costs more, so the optimum is a unit row.)

References
----------
.. [1] A. Vahadane et al. Structure-preserving color normalization and sparse stain separation
   for histological images. IEEE Trans. Med. Imaging 35(8), 1962-1971, 2016.
   doi:10.1109/TMI.2016.2529665
.. [2] H. F. Walker, P. Ni. Anderson acceleration for fixed-point iterations. SIAM J. Numer. Anal. 49(4),
   1715-1735, 2011. doi:10.1137/10078356X
"""

from dataclasses import dataclass

import numpy as np

from jecur.arrays import Concentrations, Matrix, OpticalDensity, StainVectors, Vector
from jecur.stain.macenko import extreme_directions
from jecur.stain.separation import solve_concentrations
from jecur.stain.stain_matrix import RUIFROK, StainMatrix, order_stains

__all__ = ["Factorization", "descend", "estimate_stains"]

SUBSAMPLE = 10_000
"""Pixels on which the starts compete."""
RANDOM_STARTS = 3
"""Starts drawn from the data, beside Ruifrok's vectors and the extreme directions."""
REMEMBERED = 5
"""Updates from which the next point is extrapolated; with one, steps are plain."""


@dataclass(frozen=True, slots=True)
class Factorization:
    """A stain matrix and how well it explains the pixels."""

    stains: StainMatrix
    objectives: tuple[float, ...]
    """Objective per pixel before each update of the stains; never rises."""
    converged: bool
    """Whether the updates came to rest within the tolerance before they ran out."""

    @property
    def objective(self) -> float:
        """Objective per pixel at the end, squared optical density."""
        return self.objectives[-1]


def estimate_stains(
    od: OpticalDensity,
    *,
    sparsity: float = 0.005,
    tolerance: float = 1e-5,
    max_iterations: int = 500,
    rng: np.random.Generator,
) -> Factorization:
    """Estimate the stain matrix of one slide.

    Sample the pixels over the whole slide, not one tile: a tile of stroma alone has too little
    hematoxylin for the fit.

    Parameters
    ----------
    od
        (n, 3) optical densities of tissue pixels, base e, n >= 2.
    sparsity
        Weight of the L1 penalty on concentrations; 0 gives plain non-negative factorization,
        whose stains are not unique.
    tolerance
        Stop when no stain entry moves by more than this in one update.
    max_iterations
        Upper bound on updates, on the subsample and again on all pixels.
    rng
        Draws the subsample and the random starts.

    Returns
    -------
    Factorization
        Stains, hematoxylin first, and the course of the objective on all pixels.
    """
    sample = od[rng.permutation(len(od))[:SUBSAMPLE]]
    runs = [
        descend(
            sample, start, sparsity=sparsity, tolerance=tolerance, max_iterations=max_iterations
        )
        for start in _starts(sample, rng)
    ]
    best = min(runs, key=lambda run: run.objective)
    return descend(
        od,
        best.stains.vectors,
        sparsity=sparsity,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )


def descend(
    od: OpticalDensity,
    start: StainVectors,
    *,
    sparsity: float,
    tolerance: float,
    max_iterations: int,
) -> Factorization:
    """Alternate the two exact steps from one start; parameters as in `estimate_stains`.

    The steps creep where stains are nearly determined by few pixels, so the next point is extrapolated
    from the last updates (Anderson's acceleration [2]_); one that raises the objective is taken back,
    what led to it forgotten, and the plain update done in its place.
    """
    energy = float(np.vdot(od, od))
    point = updated = np.array(start, dtype=np.float64)
    objectives: list[float] = []
    course: list[tuple[StainVectors, StainVectors]] = []  # a point and its update, the latest last
    moved = np.inf
    for _ in range(max_iterations):
        objective, target = _exact_steps(od, point, sparsity, energy)
        if len(course) > 1 and objective > objectives[-1]:
            point, course = updated, []
            continue
        objectives.append(objective)
        updated = target
        moved = float(np.abs(updated - point).max())
        if moved <= tolerance:
            break
        course = [*course, (point, updated)][-REMEMBERED:]
        point = _extrapolated(course)
    return Factorization(
        StainMatrix(order_stains(updated)), tuple(objectives), converged=moved <= tolerance
    )


def _exact_steps(
    od: OpticalDensity, stains: StainVectors, sparsity: float, energy: float
) -> tuple[float, StainVectors]:
    """Objective per pixel at ``stains``, and the stains after both steps."""
    concentrations = solve_concentrations(od, stains, sparsity)
    gram = concentrations.T @ concentrations  # A, (2, 2)
    cross = concentrations.T @ od  # B, (2, 3)
    fit = energy - 2.0 * np.vdot(cross, stains) + np.vdot(gram @ stains, stains)
    objective = float(fit / 2.0 + sparsity * concentrations.sum()) / len(od)
    return objective, update_stains(stains, gram, cross)


def _extrapolated(course: list[tuple[StainVectors, StainVectors]]) -> StainVectors:
    """Where the updates would come to rest if they were linear; unit rows, non-negative."""
    points, updates = (
        np.array(side).reshape(len(course), -1) for side in zip(*course, strict=True)
    )
    steps = updates - points
    share = np.linalg.lstsq(np.diff(steps, axis=0).T, steps[-1], rcond=1e-10)[0]
    rows = np.maximum(updates[-1] - share @ np.diff(updates, axis=0), 0.0).reshape(-1, 3)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths if lengths.min() > 0.0 else course[-1][1]


def update_stains(stains: StainVectors, gram: Matrix, cross: Matrix) -> StainVectors:
    """Best unit row for each stain in turn, given A = C'C and B = C'V.

    A row that no pixel uses, or that would have to be negative throughout, stays as it is.
    """
    updated = stains.copy()
    for k, j in ((0, 1), (1, 0)):
        target = np.maximum(cross[k] - gram[k, j] * updated[j], 0.0)
        length = float(np.linalg.norm(target))
        if length > 0.0:
            updated[k] = target / length
    return updated


def _starts(od: OpticalDensity, rng: np.random.Generator) -> list[StainVectors]:
    """Ruifrok's vectors, the data's extreme directions and random pairs of pixels."""
    starts: list[StainVectors] = [RUIFROK.vectors, extreme_directions(od)]
    lengths: Vector = np.linalg.norm(od, axis=1)
    colored = od[lengths > np.median(lengths)]
    for _ in range(RANDOM_STARTS if len(colored) > 1 else 0):
        pair: Concentrations = colored[rng.choice(len(colored), size=2, replace=False)]
        starts.append(pair / np.linalg.norm(pair, axis=1, keepdims=True))
    return starts
