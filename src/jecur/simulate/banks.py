"""Material that is drawn once a process: hepatocyte plates, fibers, grain, nuclei.

The banks depend on the scale alone (their seed is fixed), so every process, whatever the
number of workers, holds the same ones. Slides differ by where they cut them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from jecur.simulate.fields import BLOCK, Image32, tileable_noise

__all__ = ["PERIOD", "Architecture", "Banks", "banks_for"]

PERIOD = 1024
"""Period of every texture, pixels."""
Texture = NDArray[np.floating]
_BANK_SEED = 20_240_117
_N_ARCHITECTURES = 2


@dataclass(frozen=True, slots=True)
class Architecture:
    """One periodic cut through liver plates, padded by one block for plain slicing."""

    eosin: Image32
    """(PERIOD + BLOCK, same) concentration of eosin; near 0 in the sinusoids."""
    hematoxylin: Image32
    """(PERIOD + BLOCK, same) concentration of hematoxylin in the cytoplasm."""
    cells: NDArray[np.float64]
    """(n, 2) x, y of the cells' centers in [0, PERIOD)."""
    lining: NDArray[np.float64]
    """(n, 3) x, y, angle (radians) of points along the sinusoids' walls."""
    lumen: NDArray[np.float64]
    """(n, 2) x, y of points inside sinusoids."""


@dataclass(frozen=True, slots=True)
class Banks:
    """Everything that slides at one scale are cut from."""

    um_per_px: float
    architectures: tuple[Architecture, ...]
    grain: Image32
    """(PERIOD + BLOCK, same) fine unit noise."""
    ragged: Image32
    """(PERIOD + BLOCK, same) unit noise of about 10 um that frays edges."""
    wavy: Image32
    """(PERIOD + BLOCK, same) smooth unit noise that bends fibers."""
    fibers: Image32
    """(4096,) periodic relative profile across collagen fibers, about 0."""


@cache
def banks_for(um_per_px: float) -> Banks:
    """Banks at one scale, drawn on first use and kept for the process.

    Parameters
    ----------
    um_per_px
        Scale of the slides, micrometers per pixel.
    """
    rng = np.random.default_rng(_BANK_SEED)
    return Banks(
        um_per_px=um_per_px,
        architectures=tuple(_architecture(um_per_px, rng) for _ in range(_N_ARCHITECTURES)),
        grain=_padded(tileable_noise(PERIOD, 2.5, rng)),
        ragged=_padded(tileable_noise(PERIOD, 10.0 / um_per_px, rng, octaves=3)),
        wavy=_padded(tileable_noise(PERIOD, 45.0 / um_per_px, rng)),
        fibers=_fiber_profile(rng),
    )


def _padded(texture: Texture) -> Image32:
    """Repeat the first rows and columns at the end."""
    return np.pad(texture, ((0, BLOCK), (0, BLOCK)), mode="wrap").astype(np.float32)


def _fiber_profile(rng: np.random.Generator) -> Image32:
    """Bundles of collagen, bright clefts between them."""
    spectrum = np.fft.rfft(rng.standard_normal(4096))
    frequency = np.arange(spectrum.size)
    wave = np.fft.irfft(spectrum * np.exp(-((frequency / 75.0) ** 2)) * (frequency > 6), n=4096)
    wave /= wave.std()
    cleft = np.clip(wave - 1.35, 0.0, 0.5)
    return (0.2 * wave - 1.6 * cleft).astype(np.float32)


def _cell_centers(um_per_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Jittered hexagonal lattice of cells about 18 um apart, (n, 2) x, y."""
    spacing = 18.0 / um_per_px
    columns = max(2, round(PERIOD / spacing))
    rows = max(2, 2 * round(PERIOD / spacing / np.sqrt(3)))
    row, column = np.divmod(np.arange(rows * columns), columns)
    lattice = np.stack([(column + 0.5 * (row % 2)) / columns, (row + 0.5) / rows], axis=1)
    jitter = rng.normal(scale=0.19 * spacing, size=lattice.shape)
    wrapped: NDArray[np.float64] = np.mod(lattice * PERIOD + jitter, PERIOD)
    return wrapped


def _architecture(um_per_px: float, rng: np.random.Generator) -> Architecture:
    """Voronoi cells in plates: neighbors in different plates stand apart by a sinusoid."""
    cells = _cell_centers(um_per_px, rng)
    yy, xx = np.mgrid[0:PERIOD, 0:PERIOD].astype(np.float64)
    bend = 2.6 / um_per_px
    points = np.stack(
        [axis + bend * 0.5 * tileable_noise(PERIOD, 12.0 / um_per_px, rng) for axis in (xx, yy)],
        axis=-1,
    ).reshape(-1, 2)
    distance, nearest = cKDTree(cells, boxsize=PERIOD).query(np.mod(points, PERIOD), k=2)
    apart = np.mod(cells[nearest[:, 1]] - cells[nearest[:, 0]] + PERIOD / 2, PERIOD) - PERIOD / 2
    length = np.hypot(apart[:, 0], apart[:, 1])
    to_edge = ((distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * length)).reshape(PERIOD, PERIOD)
    to_edge = to_edge * um_per_px  # um
    field = tileable_noise(PERIOD, 150.0 / um_per_px, rng)
    at_cell = field[cells[:, 1].astype(int) % PERIOD, cells[:, 0].astype(int) % PERIOD]
    plate = np.floor(at_cell * 2.1).astype(np.int64)
    border = (plate[nearest[:, 0]] != plate[nearest[:, 1]]).reshape(PERIOD, PERIOD)
    eosin, hematoxylin, gap = _cytoplasm(to_edge, border, nearest[:, 0], len(cells), rng)
    angle = (np.arctan2(apart[:, 1], apart[:, 0]) + np.pi / 2).reshape(PERIOD, PERIOD)
    wall = _pick((gap > 0.25) & (gap < 0.6), 2600, rng)
    lumen = _pick(gap > 0.97, 1200, rng)
    return Architecture(
        eosin=_padded(eosin),
        hematoxylin=_padded(hematoxylin),
        cells=cells,
        lining=np.column_stack([wall, angle[wall[:, 1], wall[:, 0]]]),
        lumen=lumen.astype(np.float64),
    )


def _cytoplasm(
    to_edge: NDArray[np.float64],
    border: NDArray[np.bool_],
    owner: NDArray[np.int64],
    n_cells: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Eosin, hematoxylin and the sinusoids' share of each pixel."""
    shape = to_edge.shape
    width = np.clip(1.5 + 1.3 * tileable_noise(shape[0], 90.0, rng), 0.0, 4.5)  # um
    gap = border * np.clip((width - to_edge) * 1.6, 0.0, 1.0)
    gap = gaussian_filter(gap, 1.1, mode="wrap")
    granules = tileable_noise(shape[0], 4.5, rng, octaves=2)
    clumps = tileable_noise(shape[0], 16.0, rng, octaves=2)
    membrane = np.exp(-((to_edge / 0.55) ** 2)) * ~border
    of_cell = rng.normal(1.0, 0.10, n_cells)[owner].reshape(shape)
    eosin = 0.62 * of_cell * (1.0 + 0.16 * granules + 0.10 * clumps + 0.22 * membrane)
    vacuoles = np.clip(clumps + 0.4 * granules - 1.7, 0.0, 1.0)
    eosin *= 1.0 - 0.6 * vacuoles
    basophil = rng.gamma(2.5, 0.036, n_cells)[owner].reshape(shape)
    hematoxylin = basophil * (1.0 + 0.35 * tileable_noise(shape[0], 6.0, rng, octaves=2))
    keep = 1.0 - 0.97 * gap
    eosin = np.clip(gaussian_filter(eosin * keep, 0.6, mode="wrap"), 0.0, None)
    hematoxylin = np.clip(hematoxylin * keep, 0.0, None)
    return eosin, hematoxylin, gap


def _pick(where: NDArray[np.bool_], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to ``n`` pixels where the mask is true, (n, 2) x, y."""
    y, x = np.nonzero(where)
    chosen = rng.permutation(x.size)[:n]
    return np.stack([x[chosen], y[chosen]], axis=1)
