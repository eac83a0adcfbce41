"""Nuclei drawn once: a bank of small optical-density pictures by size and shape."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from jecur.simulate.fields import Image32

__all__ = ["ANGLES", "SHAPES", "SIZES_UM", "VARIANTS", "Sprite", "SpriteBank", "sprites_for"]

SIZES_UM: NDArray[np.float64] = np.arange(5.0, 19.1, 0.7)
"""Diameters (of the circle of equal area) of the round nuclei, micrometers."""
SHAPES = 4
"""Grades of irregular outline, 0 smooth and round to 3 angular and lobed."""
VARIANTS = 6
"""Nuclei drawn for each size and grade."""
ANGLES = 16
"""Directions of the spindle nuclei over half a turn."""
_SPRITE_SEED = 20_240_331
_EOSIN_DISPLACED = 0.72
"""Share of the cytoplasm's eosin that a nucleus displaces."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """One nucleus on its own small canvas, centered."""

    density: Image32
    """(k, k) hematoxylin relative to the nucleus's own level, 0 outside."""
    cover: Image32
    """(k, k) share of the pixel that is nucleus, in [0, 1]."""
    spared: Image32
    """(k, k) share of the eosin that the nucleus leaves."""
    area_px: int
    """Pixels at least half covered."""


@dataclass(frozen=True, slots=True)
class SpriteBank:
    """All nuclei at one scale.

    Round nuclei come first, ordered by size, grade and variant; then lymphocytes;
    then spindles by angle and variant.
    """

    sprites: tuple[Sprite, ...]
    first_lymphocyte: int
    first_spindle: int

    @property
    def reach(self) -> int:
        """Half side of the largest canvas, pixels."""
        return max(len(sprite.cover) for sprite in self.sprites) // 2

    def index_round(
        self, size: NDArray[np.int64], shape: NDArray[np.int64], variant: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Position of round nuclei by size bin, grade and variant."""
        return (size * SHAPES + shape) * VARIANTS + variant


@cache
def sprites_for(um_per_px: float) -> SpriteBank:
    """Nuclei at one scale, drawn on first use and kept for the process."""
    rng = np.random.default_rng(_SPRITE_SEED)
    sprites = [
        _round_nucleus(diameter / um_per_px, grade, rng)
        for diameter in SIZES_UM
        for grade in range(SHAPES)
        for _ in range(VARIANTS)
    ]
    first_lymphocyte = len(sprites)
    sprites += [_lymphocyte(rng.uniform(5.2, 6.3) / um_per_px, rng) for _ in range(24)]
    first_spindle = len(sprites)
    sprites += [
        _spindle(um_per_px, np.pi * angle / ANGLES, rng)
        for angle in range(ANGLES)
        for _ in range(VARIANTS)
    ]
    return SpriteBank(tuple(sprites), first_lymphocyte, first_spindle)


def _round_nucleus(diameter: float, grade: int, rng: np.random.Generator) -> Sprite:
    """Hepatocyte: vesicular chromatin, darker rim, nucleoli that grow with the grade."""
    axis_ratio = rng.uniform(1.03, 1.14) + grade * rng.uniform(0.05, 0.20)
    rough = 0.015 + 0.022 * grade
    canvas = _canvas(diameter * (1.25 + 0.12 * grade))
    rho = _outline(canvas, diameter / 2, axis_ratio, rough, rng)
    cover = _soft(1.0 - rho, diameter / 2)
    chromatin = gaussian_filter(rng.standard_normal(rho.shape), max(0.8, diameter / 20))
    chromatin /= chromatin.std()
    rim = np.exp(-(((rho - 0.88) / 0.14) ** 2))
    body = 0.84 + (0.12 + 0.02 * grade) * chromatin + 0.26 * rim
    for _ in range(int(rng.integers(0, 2)) + (grade >= 2)):
        at = rng.normal(scale=diameter / 9, size=2)
        spread = diameter * rng.uniform(0.06, 0.085)
        body += 0.45 * np.exp(-((canvas - at) ** 2).sum(axis=-1) / (2 * spread**2))
    return _finish(body, cover)


def _lymphocyte(diameter: float, rng: np.random.Generator) -> Sprite:
    """Small, round, dense; clumped chromatin."""
    canvas = _canvas(diameter * 1.25)
    rho = _outline(canvas, diameter / 2, rng.uniform(1.0, 1.15), 0.03, rng)
    chromatin = gaussian_filter(rng.standard_normal(rho.shape), 1.0)
    return _finish(1.0 + 0.16 * chromatin / chromatin.std(), _soft(1.0 - rho, diameter / 2))


def _spindle(um_per_px: float, angle: float, rng: np.random.Generator) -> Sprite:
    """Fibroblast or endothelium: thin, dense, slightly bent."""
    length, width = rng.uniform(7.5, 13.0) / um_per_px, rng.uniform(2.2, 3.4) / um_per_px
    canvas = _canvas(length * 1.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    along, across = np.moveaxis(canvas @ turn, -1, 0)
    across = across + rng.normal(scale=0.15) * (along / length) ** 2 * length
    rho = np.sqrt((2 * along / length) ** 2 + (2 * across / width) ** 2)
    chromatin = gaussian_filter(rng.standard_normal(rho.shape), 1.0)
    return _finish(0.95 + 0.12 * chromatin / chromatin.std(), _soft(1.0 - rho, width / 2))


def _canvas(diameter: float) -> NDArray[np.float64]:
    """Offsets from the center of an odd square that holds ``diameter``, (k, k, 2) x, y."""
    half = int(np.ceil(diameter / 2)) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    return np.stack([x, y], axis=-1)


def _outline(
    canvas: NDArray[np.float64],
    radius: float,
    axis_ratio: float,
    rough: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Distance from the center relative to the outline: 1 on it, (k, k)."""
    turn = rng.uniform(0, np.pi)
    x, y = canvas[..., 0], canvas[..., 1]
    u = (x * np.cos(turn) + y * np.sin(turn)) / np.sqrt(axis_ratio)
    v = (y * np.cos(turn) - x * np.sin(turn)) * np.sqrt(axis_ratio)
    theta = np.arctan2(v, u)
    edge = np.ones_like(theta)
    for order in (2, 3, 4, 5):
        edge += rng.normal(scale=rough * 2 / order) * np.cos(
            order * theta + rng.uniform(0, 2 * np.pi)
        )
    edge /= np.sqrt(np.mean(edge**2))
    rho: NDArray[np.float64] = np.hypot(u, v) / (radius * edge)
    return rho


def _soft(inside: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Blurred cover of a pixel from the relative depth ``inside`` (0 on the outline)."""
    cover: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-inside * radius / 0.42))
    cover[cover < 0.02] = 0.0
    return cover


def _finish(body: NDArray[np.float64], cover: NDArray[np.float64]) -> Sprite:
    """Scale the chromatin to mean 1 inside and blur it with the outline."""
    inside = cover >= 0.5
    density = np.clip(body / body[inside].mean(), 0.3, 1.9) * cover
    return Sprite(
        density=gaussian_filter(density, 0.45).astype(np.float32),
        cover=cover.astype(np.float32),
        spared=(1.0 - _EOSIN_DISPLACED * cover).astype(np.float32),
        area_px=int(inside.sum()),
    )
