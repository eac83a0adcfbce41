"""From one pyramid level to the pixels that were asked for, resampled once.

The filter is Lanczos (a = 3), stretched to the reduction so that it antialiases, as Pillow does
it; reductions beyond sixfold are first averaged in whole-pixel boxes (``reducing_gap``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jecur.arrays import RGB
from jecur.geometry import Size

__all__ = ["LevelBox", "best_level", "level_box", "level_downsample", "resize_box", "with_edge"]

_LEVEL_TOLERANCE = 1.01
"""A level 1 % coarser than asked still counts: stored downsamples are rounded (2.001 for 2)."""
_ROUNDED_AWAY_PX = 2
"""Pixels that a level may lack at the right and at the bottom, because its sides were rounded down."""
_LANCZOS_SUPPORT = 3.0
_REDUCING_GAP = 3.0
_EDGE = 1e-6
"""Of a pixel: rounding of places that are the edge itself."""


def best_level(downsamples: Sequence[float], wanted: float) -> int:
    """Coarsest level that still has at least the wanted resolution; 0 if none has.

    Parameters
    ----------
    downsamples
        Level-0 pixels per pixel of each level.
    wanted
        Level-0 pixels per output pixel.
    """
    fine = [i for i, value in enumerate(downsamples) if value <= wanted * _LEVEL_TOLERANCE]
    return max(fine, key=lambda i: downsamples[i], default=0)


def level_downsample(full: Size, level: Size) -> float:
    """Level-0 pixels per pixel of a level, from its size.

    Sides are whole pixels, so each tells the step to a pixel only, and the short one badly: 623 of
    10,000 x 623 px by 16 are 38 or 39, which is 16.4 or 16.0. So the long side tells, and no place is off
    by more than the pixel that was rounded away.

    Parameters
    ----------
    full, level
        Pixels of level 0 and of the level.
    """
    sides = ((full.width, level.width), (full.height, level.height))
    side, pixels = max(sides, key=lambda pair: pair[1])
    return side / pixels


@dataclass(frozen=True, slots=True)
class LevelBox:
    """A rectangle of a level to read, and the finer rectangle inside it that is wanted.

    Parameters
    ----------
    left, top, width, height
        Whole pixels of the level to read, inside the level.
    box
        (x0, y0, x1, y1) wanted, in pixels from the upper left corner of what is read.
    lacking
        Pixels (right, below) of the box that the level has not, its sides being rounded down: its edge
        is to be repeated.
    """

    left: int
    top: int
    width: int
    height: int
    box: tuple[float, float, float, float]
    lacking: tuple[int, int] = (0, 0)


def level_box(
    corner: tuple[float, float], extent: tuple[float, float], output: Size, level: Size
) -> LevelBox:
    """Place a wanted rectangle on a level, with the filter's margin, clipped to the level.

    Parameters
    ----------
    corner, extent
        Upper left corner and (width, height) of the rectangle, pixels of the level, inside it.
    output
        Pixels it becomes.
    level
        Size of the level.
    """
    edges = []
    for start, length, pixels, limit in (
        (corner[0], extent[0], output.width, level.width),
        (corner[1], extent[1], output.height, level.height),
    ):
        margin = math.ceil(_LANCZOS_SUPPORT * max(1.0, length / pixels))
        low = max(0, math.floor(start) - margin)
        high = min(limit, math.ceil(start + length) + margin)
        low = min(low, limit - 1)
        high = max(high, low + 1)
        lacking = min(max(0, math.ceil(start + length - _EDGE) - limit), _ROUNDED_AWAY_PX)
        end = min(float(high + lacking - low), start + length - low)
        edges.append((low, high - low, max(0.0, start - low), end, lacking))
    (left, width, x0, x1, right), (top, height, y0, y1, below) = edges
    return LevelBox(left, top, width, height, (x0, y0, x1, y1), (right, below))


def with_edge(pixels: RGB, lacking: tuple[int, int]) -> RGB:
    """Repeat the last column and row of (h, w, 3) pixels as often as (right, below) say."""
    right, below = lacking
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge") if max(lacking) else pixels


def resize_box(pixels: RGB, box: tuple[float, float, float, float], output: Size) -> RGB:
    """Resample ``box`` of (h, w, 3) pixels to ``output``, once."""
    same = (output.width, output.height) == (box[2] - box[0], box[3] - box[1])
    if same and all(float(edge).is_integer() for edge in box):
        x0, y0, x1, y1 = (int(edge) for edge in box)
        return np.ascontiguousarray(pixels[y0:y1, x0:x1])
    resized = Image.fromarray(pixels).resize(
        (output.width, output.height),
        Image.Resampling.LANCZOS,
        box=box,
        reducing_gap=_REDUCING_GAP,
    )
    return np.array(resized, dtype=np.uint8)
