"""Smooth random fields: low-frequency regions, tileable textures, spline enlargement.

Everything large is periodic or an outer product, so a whole slide costs a few small
matrix products a block instead of filters over all pixels.
"""

from functools import cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

__all__ = ["BLOCK", "COARSE", "Image32", "enlarge", "smooth_field", "tileable_noise"]

Image32 = NDArray[np.float32]
"""(h, w) float32 map."""

COARSE = 8
"""Pixels of the slide between two nodes of a coarse map."""
BLOCK = 256
"""Side in pixels of the blocks that are filled at once; fits the processor's cache."""

_SPLINE_SD = 151.0 / 315.0
"""Mean standard deviation of a cubic spline over white unit nodes in two dimensions."""


def smooth_field(
    shape: tuple[int, int], spacing: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a smooth Gaussian field of mean 0 and standard deviation about 1.

    Parameters
    ----------
    shape
        (rows, columns) of the result.
    spacing
        Distance of the spline's nodes, in elements of the result; features are about
        twice as wide.
    rng
        Draws the nodes.

    Returns
    -------
    numpy.ndarray
        ``shape`` float64.
    """
    rows, columns = (_spline_matrix(n, spacing, float(rng.uniform(0, 1))) for n in shape)
    nodes = rng.standard_normal((rows.shape[1], columns.shape[1]))
    field: NDArray[np.float64] = rows @ nodes @ columns.T / _SPLINE_SD
    return field


def tileable_noise(
    side: int, wavelength: float, rng: np.random.Generator, *, octaves: int = 1
) -> Image32:
    """Draw periodic noise of mean 0 and standard deviation 1 by filtering in Fourier space.

    Parameters
    ----------
    side
        Period in pixels, both axes.
    wavelength
        Dominant wavelength of the coarsest octave, pixels.
    rng
        Draws the white noise.
    octaves
        Number of halvings of the wavelength, each with half the amplitude.

    Returns
    -------
    numpy.ndarray
        (side, side) float32.
    """
    white = scipy.fft.rfft2(rng.standard_normal((side, side), dtype=np.float32))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    gain = np.zeros_like(frequency)
    for octave in range(octaves):
        band = np.exp(-((frequency * wavelength / 2.0**octave) ** 2)) * frequency
        gain += 0.5**octave * band / np.sqrt((band**2).sum())
    noise = np.asarray(scipy.fft.irfft2(white * gain, s=(side, side)), dtype=np.float32)
    noise -= noise.mean()
    noise /= noise.std()
    return noise


def enlarge(nodes: Image32) -> Image32:
    """Enlarge one block of coarse nodes to pixels by cubic B-splines.

    Parameters
    ----------
    nodes
        (BLOCK / COARSE + 3, same) float32: the block's nodes and one ring before, two after.

    Returns
    -------
    numpy.ndarray
        (BLOCK, BLOCK) float32; slightly smoothed, continuous across blocks.
    """
    matrix = _block_matrix()
    return np.asarray(matrix @ nodes @ matrix.T, dtype=np.float32)


def _cubic_weights(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the four nodes around a point at ``t`` in [0, 1) after the second, (n, 4)."""
    pieces = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    weights: NDArray[np.float64] = np.stack(pieces, axis=1) / 6.0
    return weights


def _spline_matrix(n: int, spacing: float, phase: float) -> NDArray[np.float64]:
    """Cubic B-spline weights of ``n`` points over nodes ``spacing`` apart, (n, nodes)."""
    position = np.arange(n) / spacing + phase
    cell = np.floor(position).astype(np.int64)
    matrix = np.zeros((n, int(cell[-1]) + 4))
    matrix[np.arange(n)[:, None], cell[:, None] + np.arange(4)] = _cubic_weights(position - cell)
    return matrix


@cache
def _block_matrix() -> Image32:
    matrix = _spline_matrix(BLOCK, float(COARSE), 0.0)[:, : BLOCK // COARSE + 3]
    return np.asarray(matrix, dtype=np.float32)
