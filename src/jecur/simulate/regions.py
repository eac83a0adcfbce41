"""Where each feature is strong in a piece of tissue: coarse maps, drawn before any pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jecur.errors import SimulationError
from jecur.simulate.fields import BLOCK, COARSE, Image32, smooth_field

__all__ = ["FEATURES", "TissueFeatures", "TissuePlan", "plan_tissue", "stroma_share"]

FEATURES = ("stroma", "atypia", "hyperchromasia", "immune")
"""The paper's four features, in the order of every feature array."""


@dataclass(frozen=True, slots=True)
class TissueFeatures:
    """The paper's four features, each in [0, 1], and how nuclei are arranged."""

    stroma: float
    atypia: float
    hyperchromasia: float
    immune: float
    disorder: float = 0.0
    """0: hepatocytes in even plates, fibers in bundles; 1: the same nuclei, crowded here and spread there."""
    til_apart: float | None = None
    """Share of the lymphocytes that lie in the stroma, away from hepatocytes, in [0, 1]; None: anywhere."""

    def __post_init__(self) -> None:
        for name in (*FEATURES, "disorder", "til_apart"):
            value = getattr(self, name)
            if value is None:
                continue
            if not 0.0 <= value <= 1.0:
                raise SimulationError(
                    f"expected {name} in [0, 1], found {value}; clip the feature first"
                )

    def to_array(self) -> NDArray[np.float64]:
        """(4,) in the order of `FEATURES`."""
        return np.array([getattr(self, name) for name in FEATURES], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class TissuePlan:
    """Coarse maps of one piece, (rows, columns) with one ring before and two after the frame."""

    size_px: tuple[int, int]
    """(height, width)."""
    um_per_px: float
    tissue_margin: Image32
    """Positive in tissue, negative on glass."""
    stroma_margin: Image32
    """Positive in fibrous bands."""
    band: Image32
    """Smooth field whose zero lines the bands and their fibers follow."""
    band_slope: tuple[Image32, Image32]
    """Derivative of ``band`` along y and x."""
    thickness: Image32
    """Unit field: the section is not equally thick."""
    local: Image32
    """(4, rows, columns) local value of each feature; for stroma, 1 in a band, else 0."""
    blocks: tuple[tuple[int, int], ...]
    """(y, x) in pixels of the blocks that hold tissue."""
    disorder: float = 0.0
    til_apart: float | None = None

    @property
    def fiber_density(self) -> float:
        """Fiber profile samples per unit of ``band``."""
        return 640.0

    def coarse_block(self, coarse: Image32, at: tuple[int, int]) -> Image32:
        """Nodes of one block of a coarse map."""
        y, x = at[0] // COARSE, at[1] // COARSE
        n = BLOCK // COARSE + 3
        return coarse[y : y + n, x : x + n]

    def nodes(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """Rows and columns of the nodes nearest to pixels: index any coarse map with them."""
        return (y + COARSE // 2) // COARSE + 1, (x + COARSE // 2) // COARSE + 1

    def regions(self, cell_px: int = 64) -> Image32:
        """Local features averaged over square cells, (4, rows, columns); NaN on glass."""
        step = cell_px // COARSE
        rows, columns = (n // cell_px for n in self.size_px)
        frame = np.s_[..., 1 : 1 + rows * step, 1 : 1 + columns * step]
        inside = (self.tissue_margin[frame] > 0).astype(np.float32)
        grid = (rows, step, columns, step)
        weight = inside.reshape(grid).sum(axis=(1, 3))
        total = (self.local[frame] * inside).reshape(4, *grid).sum(axis=(2, 4))
        filled = weight >= 0.5 * step * step
        return np.where(filled, total / np.maximum(weight, 1.0), np.nan).astype(np.float32)


def stroma_share(stroma: float) -> float:
    """Share of the tissue that is fibrous, for a stroma feature in [0, 1]."""
    return 0.02 + 0.43 * stroma


def plan_tissue(
    features: TissueFeatures,
    size_px: tuple[int, int],
    um_per_px: float,
    rng: np.random.Generator,
    fraction_and_heterogeneity: tuple[float, float],
) -> TissuePlan:
    """Draw the coarse maps of one piece of tissue.

    Parameters
    ----------
    features, size_px, um_per_px, rng
        As in `jecur.simulate.tissue.render_tissue`.
    fraction_and_heterogeneity
        Share of the frame that is tissue, and spread of the local features.
    """
    fraction, heterogeneity = fraction_and_heterogeneity
    shape = tuple(BLOCK // COARSE * -(-n // BLOCK) + 3 for n in size_px)
    grid = (shape[0], shape[1])
    node_um = COARSE * um_per_px
    tissue = _tissue_margin(grid, size_px, fraction, rng)
    band = smooth_field(grid, 48.0 / node_um, rng)
    where = smooth_field(grid, 200.0 / node_um, rng)
    ridge = 0.9 * heterogeneity / 0.3 * where - np.abs(band)
    inside = tissue > 0
    inside[[0, -2, -1], :] = inside[:, [0, -2, -1]] = False
    cut = np.quantile(ridge[inside], 1.0 - stroma_share(features.stroma))
    stroma = ridge - cut
    local = np.empty((4, *grid), np.float32)
    local[0] = stroma > 0
    for k, mean in enumerate(features.to_array()[1:], start=1):
        spread = 2.0 * heterogeneity * np.sqrt(mean * (1.0 - mean) + 0.01)
        field = spread * smooth_field(grid, 170.0 / node_um, rng)
        local[k] = _with_mean(field, float(mean), inside)
    slope = np.gradient(band)
    step = BLOCK // COARSE
    blocks = tuple(
        (row * BLOCK, column * BLOCK)
        for row in range((grid[0] - 3) // step)
        for column in range((grid[1] - 3) // step)
        if tissue[
            row * step : row * step + step + 3, column * step : column * step + step + 3
        ].max()
        > -0.02
    )
    return TissuePlan(
        size_px=size_px,
        um_per_px=um_per_px,
        tissue_margin=tissue.astype(np.float32),
        stroma_margin=stroma.astype(np.float32),
        band=band.astype(np.float32),
        band_slope=(slope[0].astype(np.float32), slope[1].astype(np.float32)),
        thickness=smooth_field(grid, 90.0 / node_um, rng).astype(np.float32),
        local=local,
        blocks=blocks,
        disorder=features.disorder,
        til_apart=features.til_apart,
    )


def _with_mean(
    field: NDArray[np.float64], mean: float, inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Shift a field so that, clipped to [0, 1], its mean inside the tissue is ``mean``."""
    shift = mean - float(field[inside].mean())
    for _ in range(4):
        shift += mean - float(np.clip(field[inside] + shift, 0.0, 1.0).mean())
    return np.clip(field + shift, 0.0, 1.0)


def _tissue_margin(
    grid: tuple[int, int], size_px: tuple[int, int], fraction: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Irregular blob that covers ``fraction`` of the frame; all ones where it is 1."""
    if fraction >= 1.0:
        return np.ones(grid)
    y = (np.arange(grid[0])[:, None] - 1) * COARSE / size_px[0] * 2 - 1
    x = (np.arange(grid[1])[None, :] - 1) * COARSE / size_px[1] * 2 - 1
    y, x = y - rng.uniform(-0.08, 0.08), x - rng.uniform(-0.08, 0.08)
    turn, squeeze = rng.uniform(0, np.pi), rng.uniform(0.85, 1.18)
    u = (x * np.cos(turn) + y * np.sin(turn)) * squeeze
    v = (y * np.cos(turn) - x * np.sin(turn)) / squeeze
    radius = (np.abs(u) ** 2.6 + np.abs(v) ** 2.6) ** (1 / 2.6)
    blob = -radius + 0.07 * smooth_field(grid, grid[0] / 7.0, rng)
    blob += 0.018 * smooth_field(grid, grid[0] / 32.0, rng)
    edge = np.maximum(np.abs(y), np.abs(x))
    blob -= 20.0 * np.clip(edge - 0.91, 0.0, None)  # a rim of glass all around
    margin: NDArray[np.float64] = blob - np.quantile(blob[1:-2, 1:-2], 1.0 - fraction)
    return margin
