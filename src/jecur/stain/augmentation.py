"""Stain augmentation: a tile as another laboratory might have stained it.

Concentrations are scaled and shifted and the stain directions turned a little (Tellez [1]_), by
draws that depend on ``rng`` alone. For training; scoring never calls it.

References
----------
.. [1] D. Tellez et al. Whole-slide mitosis detection in H&E breast histology using PHH3 as a
   reference to train distilled stain-invariant convolutional networks. IEEE Trans. Med. Imaging
   37(9), 2126-2136, 2018. doi:10.1109/TMI.2018.2820199
"""

import numpy as np

from jecur.arrays import Pixels, RGBBatch, StainVectors, Vector
from jecur.stain.optical_density import from_optical_density, to_optical_density
from jecur.stain.separation import separate_stains
from jecur.stain.stain_matrix import StainMatrix

__all__ = ["augment_stain"]

_BLOCK = 16_384


def augment_stain(
    tiles: RGBBatch,
    stains: StainMatrix,
    *,
    scale: float = 0.1,
    shift: float = 0.02,
    turn_degrees: float = 3.0,
    rng: np.random.Generator,
) -> RGBBatch:
    """Perturb the stains of each tile by its own draw.

    What two stains do not explain is kept, so a draw of nothing gives the tile back.

    Parameters
    ----------
    tiles
        (n, h, w, 3) uint8; never changed.
    stains
        Stains the tiles hold; the reference's for normalized tiles.
    scale
        Concentrations are multiplied by a factor from 1 - scale to 1 + scale, one for each stain,
        uniform; below 1.
    shift
        Added to concentrations where there is any of the stain, from -shift to shift, optical
        density, uniform.
    turn_degrees
        Each stain direction turns by up to this angle, uniform.
    rng
        Draws, tile by tile in order: the same generator state gives the same tiles.

    Returns
    -------
    RGBBatch
        Same shape, uint8; white stays white.
    """
    out = np.empty_like(tiles)
    for tile, target in zip(tiles, out, strict=True):
        factors: Vector = rng.uniform(1.0 - scale, 1.0 + scale, size=2)
        shifts: Vector = rng.uniform(-shift, shift, size=2)
        turned = _turn(stains.vectors, turn_degrees, rng)
        pixels, result = tile.reshape(-1, 3), target.reshape(-1, 3)
        for at in range(0, len(pixels), _BLOCK):
            block = slice(at, at + _BLOCK)
            result[block] = _perturb(pixels[block], stains, turned, factors, shifts)
    return out


def _perturb(
    pixels: Pixels, stains: StainMatrix, turned: StainVectors, factors: Vector, shifts: Vector
) -> Pixels:
    od = to_optical_density(pixels)
    before = separate_stains(od, stains)
    after = np.where(before > 0.0, np.maximum(before * factors + shifts, 0.0), 0.0)
    result = from_optical_density(od + after @ turned - before @ stains.vectors)
    result[pixels.min(axis=1) == 255] = 255
    return result


def _turn(vectors: StainVectors, degrees: float, rng: np.random.Generator) -> StainVectors:
    """Turn each unit row by a uniform angle toward a random direction; rows stay non-negative."""
    away = rng.normal(size=vectors.shape)
    away -= np.sum(away * vectors, axis=1, keepdims=True) * vectors
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    angle = np.radians(rng.uniform(0.0, degrees, size=(2, 1)))
    turned = np.maximum(np.cos(angle) * vectors + np.sin(angle) * away, 0.0)
    unit: StainVectors = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    return unit
