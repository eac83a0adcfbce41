"""Where the nuclei lie, which pictures they get and how dark they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import IntVector, Vector
from jecur.simulate.arrangement import crowded, crowding, place_apart
from jecur.simulate.banks import PERIOD, Architecture
from jecur.simulate.fields import COARSE
from jecur.simulate.regions import TissuePlan
from jecur.simulate.sprites import ANGLES, SHAPES, SIZES_UM, VARIANTS, SpriteBank

__all__ = ["HEPATOCYTE", "LYMPHOCYTE", "SPINDLE", "Nuclei", "place_nuclei"]

HEPATOCYTE, LYMPHOCYTE, SPINDLE = 0, 1, 2

_LYMPHOCYTES_PER_MM2 = (70.0, 2600.0)
"""At immune 0, and added at immune 1."""
_LINING_PER_MM2 = 650.0
_FIBROBLASTS_PER_MM2 = 1250.0
"""Of stroma."""
_RIM = 0.011
"""Least tissue margin under a nucleus: about 5 um inside the edge of a slide's tissue."""


@dataclass(frozen=True, slots=True)
class Nuclei:
    """Every nucleus of one piece of tissue, and the other bodies in it."""

    x: IntVector
    """Center, pixels of the frame."""
    y: IntVector
    kind: IntVector
    """`HEPATOCYTE`, `LYMPHOCYTE` or `SPINDLE`."""
    sprite: IntVector
    """Picture in the bank."""
    density: Vector
    """Mean concentration of hematoxylin inside."""
    droplets: tuple[tuple[int, int, float], ...]
    """Fat: x, y, diameter in um."""
    red_cells: tuple[tuple[int, int], ...]
    """x, y."""

    def areas_um2(self, bank: SpriteBank, um_per_px: float) -> Vector:
        """Area of each nucleus, (n,) square micrometers."""
        area = np.array([sprite.area_px for sprite in bank.sprites], dtype=np.float64)
        scaled: Vector = area[self.sprite] * um_per_px**2
        return scaled


@dataclass(frozen=True, slots=True)
class _Group:
    """Nuclei of one kind."""

    x: IntVector
    y: IntVector
    sprite: IntVector
    density: Vector


def place_nuclei(
    plan: TissuePlan,
    architecture: Architecture,
    origin: tuple[int, int],
    bank: SpriteBank,
    rng: np.random.Generator,
) -> Nuclei:
    """Draw the nuclei of one piece of tissue.

    Parameters
    ----------
    plan
        Where tissue, bands and features are.
    architecture
        Plates the tissue is cut from.
    origin
        (y, x) of the frame's corner in the plates.
    bank
        Pictures of nuclei.
    rng
        Draws positions, sizes, outlines and densities.
    """
    kinds = (HEPATOCYTE, SPINDLE, SPINDLE, LYMPHOCYTE)
    hepatocytes = _hepatocytes(plan, architecture, origin, bank, rng)
    groups = (
        hepatocytes,
        _lining(plan, architecture, origin, bank, rng),
        _fibroblasts(plan, bank, rng),
        _lymphocytes(plan, hepatocytes, bank, rng),
    )
    x, y = (np.concatenate([getattr(g, axis) for g in groups]) for axis in ("x", "y"))
    x, y = crowded(plan, crowding(plan, rng), x, y)
    return Nuclei(
        x=x,
        y=y,
        kind=np.repeat(np.array(kinds, dtype=np.int64), [g.x.size for g in groups]),
        sprite=np.concatenate([g.sprite for g in groups]),
        density=np.concatenate([g.density for g in groups]),
        droplets=_droplets(plan, architecture, origin, rng),
        red_cells=_red_cells(plan, architecture, origin, rng),
    )


def _repeat(
    points: NDArray[np.float64], origin: tuple[int, int], size_px: tuple[int, int]
) -> NDArray[np.float64]:
    """Periodic points laid over the frame, (n, columns); the first two columns are x, y."""
    copies = []
    for row in range(-1, size_px[0] // PERIOD + 2):
        for column in range(-1, size_px[1] // PERIOD + 2):
            shift = np.zeros(points.shape[1])
            shift[:2] = column * PERIOD - origin[1], row * PERIOD - origin[0]
            copies.append(points + shift)
    every = np.concatenate(copies)
    x, y = every[:, 0], every[:, 1]
    kept: NDArray[np.float64] = every[
        (x >= 0) & (x < size_px[1] - 1) & (y >= 0) & (y < size_px[0] - 1)
    ]
    return kept


def _standing(
    plan: TissuePlan, points: NDArray[np.float64], *, stroma: bool
) -> NDArray[np.float64]:
    """Points that lie in tissue and outside (or inside) the bands."""
    xy = np.rint(points[:, :2]).astype(np.int64)
    node = plan.nodes(xy[:, 0], xy[:, 1])
    kept: NDArray[np.float64] = points[
        (plan.tissue_margin[node] > _RIM) & ((plan.stroma_margin[node] > 0.0) == stroma)
    ]
    return kept


def _within(
    plan: TissuePlan, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[IntVector, IntVector]:
    """Round to pixels of the frame."""
    height, width = plan.size_px
    return (
        np.clip(np.rint(x), 0, width - 1).astype(np.int64),
        np.clip(np.rint(y), 0, height - 1).astype(np.int64),
    )


def _hepatocytes(
    plan: TissuePlan,
    architecture: Architecture,
    origin: tuple[int, int],
    bank: SpriteBank,
    rng: np.random.Generator,
) -> _Group:
    """One nucleus a cell, some cells cut beside it, some with two."""
    at = _standing(plan, _repeat(architecture.cells, origin, plan.size_px), stroma=False)
    at = at[rng.uniform(size=len(at)) > 0.10]
    jitter = 1.3 / plan.um_per_px
    twins = at[rng.uniform(size=len(at)) < 0.05] + rng.choice([-8.0, 8.0]) / plan.um_per_px * 0.5
    at = np.concatenate([at, twins])
    x, y = _within(plan, *(at + rng.normal(scale=jitter, size=at.shape)).T)
    node = plan.nodes(x, y)
    atypia, dark = plan.local[1][node].astype(float), plan.local[2][node].astype(float)
    n = x.size
    spread = 0.07 + 0.20 * atypia
    diameter = (7.3 + 3.1 * atypia) * np.exp(spread * rng.standard_normal(n))
    size = np.clip(np.rint((diameter - SIZES_UM[0]) / 0.7), 0, SIZES_UM.size - 1).astype(np.int64)
    grade = np.clip(np.floor(atypia * 3.2 + rng.uniform(-0.1, 0.9, n)), 0, SHAPES - 1)
    sprite = bank.index_round(size, grade.astype(np.int64), rng.integers(0, VARIANTS, n))
    density = (0.72 + 0.95 * dark) * np.exp(0.10 * rng.standard_normal(n))
    return _Group(x, y, sprite, density)


def _lining(
    plan: TissuePlan,
    architecture: Architecture,
    origin: tuple[int, int],
    bank: SpriteBank,
    rng: np.random.Generator,
) -> _Group:
    """Endothelial and Kupffer cells along the sinusoids."""
    at = _standing(plan, _repeat(architecture.lining, origin, plan.size_px), stroma=False)
    per_mm2 = len(architecture.lining) / (PERIOD * plan.um_per_px / 1000.0) ** 2
    at = at[rng.uniform(size=len(at)) < _LINING_PER_MM2 / per_mm2]
    x, y = _within(plan, at[:, 0], at[:, 1])
    return _Group(x, y, _spindles(at[:, 2], bank, rng), _dense(1.75, x.size, rng))


def _fibroblasts(plan: TissuePlan, bank: SpriteBank, rng: np.random.Generator) -> _Group:
    """Spindle nuclei along the bands."""
    weight = ((plan.stroma_margin > 0.03) & (plan.tissue_margin > _RIM)).astype(float)
    x, y = _scatter(plan, weight, _FIBROBLASTS_PER_MM2, rng)
    node = plan.nodes(x, y)
    along = np.arctan2(plan.band_slope[0][node], plan.band_slope[1][node]) + np.pi / 2
    angle = along + rng.normal(scale=0.15 + 1.2 * plan.disorder, size=x.size)
    return _Group(x, y, _spindles(angle, bank, rng), _dense(1.6, x.size, rng))


def _lymphocytes(
    plan: TissuePlan, hepatocytes: _Group, bank: SpriteBank, rng: np.random.Generator
) -> _Group:
    """Clusters where the immune feature is strong, a few everywhere; none on another."""
    inside = (plan.tissue_margin > _RIM).astype(float)
    base, most = _LYMPHOCYTES_PER_MM2
    density = inside * (base + most * plan.local[3].astype(float) ** 1.4)
    n_kinds = bank.first_spindle - bank.first_lymphocyte
    if plan.til_apart is not None:
        others = np.column_stack([hepatocytes.x, hepatocytes.y]).astype(np.float64)
        apart = _within(plan, *place_apart(plan, density, others, rng).T)
        sprite = bank.first_lymphocyte + rng.integers(0, n_kinds, apart[0].size)
        return _Group(*apart, sprite, _dense(1.95, sprite.size, rng))
    loose_x, loose_y = _scatter(plan, density, 0.3, rng)
    cluster_x, cluster_y = _scatter(plan, density, 0.7 / 18.0, rng)
    members = rng.poisson(18.0, cluster_x.size)
    spread = np.repeat(rng.uniform(9.0, 24.0, cluster_x.size) / plan.um_per_px, members)
    x = np.concatenate(
        [loose_x, np.repeat(cluster_x, members) + spread * rng.standard_normal(spread.size)]
    )
    y = np.concatenate(
        [loose_y, np.repeat(cluster_y, members) + spread * rng.standard_normal(spread.size)]
    )
    height, width = plan.size_px
    framed = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    at_x, at_y = _within(plan, x[framed], y[framed])
    alive = plan.tissue_margin[plan.nodes(at_x, at_y)] > _RIM
    at_x, at_y = at_x[alive], at_y[alive]
    room = 5.5 / plan.um_per_px
    cell = np.floor(at_y / room) * 1_000_003 + np.floor(at_x / room)
    first = np.unique(cell, return_index=True)[1]
    sprite = bank.first_lymphocyte + rng.integers(0, n_kinds, first.size)
    return _Group(at_x[first], at_y[first], sprite, _dense(1.95, first.size, rng))


def _scatter(
    plan: TissuePlan, weight: NDArray[np.float64], per_mm2: float, rng: np.random.Generator
) -> tuple[IntVector, IntVector]:
    """Points at ``per_mm2 * weight`` a square millimeter; their number is as expected."""
    height, width = (n // COARSE for n in plan.size_px)
    cumulative = np.cumsum(weight[1 : 1 + height, 1 : 1 + width])
    expected = float(cumulative[-1]) * per_mm2 * (COARSE * plan.um_per_px / 1000.0) ** 2
    n = int(np.floor(expected + rng.uniform()))
    row, column = np.divmod(
        np.searchsorted(cumulative, rng.uniform(0.0, cumulative[-1], n), side="right"), width
    )
    x, y = (node * COARSE + rng.uniform(-4.0, 4.0, n) for node in (column, row))
    return _within(plan, x, y)


def _spindles(angle: Vector, bank: SpriteBank, rng: np.random.Generator) -> IntVector:
    """Pictures of spindles at the given angles (radians, any turn)."""
    step = np.rint(np.mod(angle, np.pi) / np.pi * ANGLES).astype(np.int64) % ANGLES
    chosen: IntVector = bank.first_spindle + step * VARIANTS + rng.integers(0, VARIANTS, step.size)
    return chosen


def _dense(level: float, n: int, rng: np.random.Generator) -> Vector:
    values: Vector = level * np.exp(0.08 * rng.standard_normal(n))
    return values


def _droplets(
    plan: TissuePlan,
    architecture: Architecture,
    origin: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[tuple[int, int, float], ...]:
    """Fat beside the nuclei of some cells: a nuisance, its share drawn for each piece."""
    share = rng.uniform(0.0, 0.14) * (rng.uniform() < 0.6)
    at = _standing(plan, _repeat(architecture.cells, origin, plan.size_px), stroma=False)
    at = at[rng.uniform(size=len(at)) < share]
    x, y = _within(plan, *(at + rng.normal(scale=5.0 / plan.um_per_px, size=at.shape)).T)
    diameter = np.clip(np.exp(rng.normal(1.75, 0.5, x.size)), 2.0, 14.0)
    return tuple(zip(x.tolist(), y.tolist(), diameter.tolist(), strict=True))


def _red_cells(
    plan: TissuePlan,
    architecture: Architecture,
    origin: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[tuple[int, int], ...]:
    """Red cells in some stretches of the sinusoids."""
    at = _standing(plan, _repeat(architecture.lumen, origin, plan.size_px), stroma=False)
    x, y = _within(plan, at[:, 0], at[:, 1])
    congested = (plan.thickness[plan.nodes(x, y)] > 0.7) & (rng.uniform(size=x.size) < 0.2)
    return tuple(zip(x[congested].tolist(), y[congested].tolist(), strict=True))
