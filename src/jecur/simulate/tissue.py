"""Virtual liver tissue: concentrations of hematoxylin and eosin, and every nucleus in them.

Hepatocyte plates are cut from a periodic bank, fibrous bands follow the zero lines of a
smooth field, nuclei are pasted. The four features of the paper act on what they name:

- stroma: share of the tissue that is collagen, 2 % to 45 %;
- atypia: hepatocyte nuclei larger, more unequal, more irregular in outline;
- hyperchromasia: hepatocyte nuclei hold more hematoxylin;
- immune: more lymphocytes, in clusters.

Each waxes and wanes over the tissue, so the tiles of one patient differ.
"""

from dataclasses import dataclass

import numpy as np

from jecur.arrays import LabelImage
from jecur.errors import SimulationError
from jecur.simulate.banks import PERIOD, Architecture, Banks, banks_for
from jecur.simulate.fields import BLOCK, Image32, enlarge
from jecur.simulate.nuclei import Nuclei, place_nuclei
from jecur.simulate.regions import TissueFeatures, TissuePlan, plan_tissue
from jecur.simulate.sprites import SpriteBank, sprites_for

__all__ = ["Tissue", "nuclei_labels", "render_tissue"]

_FIBER_EOSIN = 0.78
_FIBER_HEMATOXYLIN = 0.035
_STROMA_GAIN = 14.0
"""Sharpness of a band's edge: its margin is crossed over about 7 px."""
_TISSUE_GAIN = 220.0


@dataclass(frozen=True, slots=True)
class Tissue:
    """What was drawn: two concentration maps and the truth behind them."""

    hematoxylin: Image32
    """(h, w) concentration along the unit hematoxylin vector, optical density base e."""
    eosin: Image32
    """(h, w) the same for eosin."""
    nuclei: Nuclei
    plan: TissuePlan
    um_per_px: float

    @property
    def concentrations(self) -> Image32:
        """(h, w, 2) float32: hematoxylin, eosin."""
        return np.stack([self.hematoxylin, self.eosin], axis=-1)


def render_tissue(
    features: TissueFeatures,
    size_px: tuple[int, int],
    um_per_px: float,
    rng: np.random.Generator,
    *,
    tissue_fraction: float = 1.0,
    heterogeneity: float = 0.3,
) -> Tissue:
    """Draw one piece of tissue.

    Parameters
    ----------
    features
        The four features, each in [0, 1].
    size_px
        (height, width), pixels.
    um_per_px
        Scale, micrometers per pixel, 0.2 to 1.5.
    rng
        Draws everything but the banks of material.
    tissue_fraction
        Share of the frame that is tissue; 1 fills it.
    heterogeneity
        How far a feature strays from its mean over the tissue: standard deviation of the
        local value where the mean is 1/2.

    Returns
    -------
    Tissue
        Concentrations and nuclei.

    Raises
    ------
    SimulationError
        If the scale or the fraction is out of range.
    """
    if not 0.2 <= um_per_px <= 1.5:
        raise SimulationError(f"expected 0.2 to 1.5 um/px, found {um_per_px}; choose 0.25 or 0.5")
    if not 0.0 < tissue_fraction <= 1.0:
        raise SimulationError(
            f"expected a tissue fraction in (0, 1], found {tissue_fraction}; correct it"
        )
    banks, sprites = banks_for(um_per_px), sprites_for(um_per_px)
    plan = plan_tissue(features, size_px, um_per_px, rng, (tissue_fraction, heterogeneity))
    margin = sprites.reach
    shape = tuple(BLOCK * -(-n // BLOCK) + 2 * margin for n in size_px)
    hematoxylin, eosin = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    architecture = banks.architectures[int(rng.integers(len(banks.architectures)))]
    origin = (int(rng.integers(PERIOD)), int(rng.integers(PERIOD)))
    for y, x in plan.blocks:
        window = np.s_[margin + y : margin + y + BLOCK, margin + x : margin + x + BLOCK]
        _fill_block((hematoxylin[window], eosin[window]), (y, x), plan, banks, architecture, origin)
    nuclei = place_nuclei(plan, architecture, origin, sprites, rng)
    _paste_bodies(hematoxylin, eosin, nuclei, margin, um_per_px)
    _paste_nuclei(hematoxylin, eosin, nuclei, sprites, margin)
    frame = np.s_[margin : margin + size_px[0], margin : margin + size_px[1]]
    return Tissue(hematoxylin[frame], eosin[frame], nuclei, plan, um_per_px)


def nuclei_labels(tissue: Tissue) -> LabelImage:
    """Label image of a piece of tissue, (h, w) int32: 0 background, k = nucleus k, 1-based.

    Later nuclei lie on top, as in the picture.
    """
    sprites = sprites_for(tissue.um_per_px)
    margin = sprites.reach
    height, width = tissue.eosin.shape
    labels = np.zeros((height + 2 * margin, width + 2 * margin), np.int32)
    nuclei = tissue.nuclei
    for k, (index, x, y) in enumerate(zip(nuclei.sprite, nuclei.x, nuclei.y, strict=True)):
        cover = sprites.sprites[index].cover
        half = cover.shape[0] // 2
        top, left = y + margin - half, x + margin - half
        window = labels[top : top + cover.shape[0], left : left + cover.shape[0]]
        window[cover >= 0.5] = k + 1
    return labels[margin : margin + height, margin : margin + width]


def _cut(texture: Image32, y: int, x: int) -> Image32:
    """View of one block of a periodic texture."""
    top, left = y % PERIOD, x % PERIOD
    return texture[top : top + BLOCK, left : left + BLOCK]


def _fill_block(
    out: tuple[Image32, Image32],
    at: tuple[int, int],
    plan: TissuePlan,
    banks: Banks,
    architecture: Architecture,
    origin: tuple[int, int],
) -> None:
    """Fill one block of both maps with cytoplasm, collagen and glass."""
    hematoxylin, eosin = out
    y, x = at
    ragged = _cut(banks.ragged, y + origin[1], x + origin[0])
    thickness = 1.0 + 0.09 * enlarge(plan.coarse_block(plan.thickness, at))
    np.multiply(_cut(architecture.eosin, y + origin[0], x + origin[1]), thickness, out=eosin)
    hematoxylin[...] = _cut(architecture.hematoxylin, y + origin[0], x + origin[1])
    margin = plan.coarse_block(plan.stroma_margin, at)
    if margin.max() > -0.35:
        share = enlarge(margin)
        share += 0.055 * ragged
        share *= _STROMA_GAIN
        np.clip(share, 0.0, 1.0, out=share)
        wavy = _cut(banks.wavy, y + origin[0], x + origin[1])
        phase = enlarge(plan.coarse_block(plan.band, at)) * plan.fiber_density
        phase += 55.0 * wavy
        phase += 6.0 * ragged
        fiber = banks.fibers[phase.astype(np.int32) & (banks.fibers.size - 1)]
        bundled = np.clip(0.55 + 0.6 * _cut(banks.wavy, y + 300, x + 500), 0.1, 1.3)
        fiber = (_FIBER_EOSIN + 0.02 * _cut(banks.grain, y, x)) * (1.0 + bundled * fiber)
        fiber *= thickness
        fiber -= eosin
        fiber *= share
        eosin += fiber
        hematoxylin += share * (_FIBER_HEMATOXYLIN - hematoxylin)
    inside = plan.coarse_block(plan.tissue_margin, at)
    if inside.min() < 0.03:
        cover = enlarge(inside)
        cover += 0.0035 * ragged
        cover *= _TISSUE_GAIN
        np.clip(cover, 0.0, 1.0, out=cover)
        eosin *= cover
        hematoxylin *= cover


def _paste_bodies(
    hematoxylin: Image32, eosin: Image32, nuclei: Nuclei, margin: int, um_per_px: float
) -> None:
    """Fat droplets (white) and red cells (bright eosin)."""
    for x, y, diameter in nuclei.droplets:
        disc = _disc(diameter / um_per_px)
        half = disc.shape[0] // 2
        window = np.s_[y + margin - half :, x + margin - half :]
        for layer in (hematoxylin, eosin):
            target = layer[window][: disc.shape[0], : disc.shape[0]]
            target *= 1.0 - 0.97 * disc[: target.shape[0], : target.shape[1]]
    reds = [_disc(d / um_per_px) for d in (5.0, 5.7, 6.4)]
    pale = [0.22 * red * _disc(2.6 / um_per_px, like=red) for red in reds]
    for k, (x, y) in enumerate(nuclei.red_cells):
        red = np.float32(1.02) * (reds[k % 3] - pale[k % 3])
        half = red.shape[0] // 2
        target = eosin[y + margin - half : y + margin + half + 1, x + margin - half :]
        target = target[:, : red.shape[0]]
        np.maximum(target, red, out=target)


def _disc(diameter: float, *, like: Image32 | None = None) -> Image32:
    """Soft disc on an odd canvas, its own or one ``like`` another's."""
    half = int(np.ceil(diameter / 2)) + 1 if like is None else like.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    depth = diameter / 2 - np.hypot(x, y)
    disc: Image32 = np.clip(depth / 1.6 + 0.5, 0.0, 1.0).astype(np.float32)
    return disc


def _paste_nuclei(
    hematoxylin: Image32, eosin: Image32, nuclei: Nuclei, sprites: SpriteBank, margin: int
) -> None:
    """Lay every nucleus over the cytoplasm: more hematoxylin wins, eosin is displaced."""
    bank = sprites.sprites
    columns = (nuclei.sprite, nuclei.x + margin, nuclei.y + margin, nuclei.density)
    for index, x, y, density in zip(*(c.tolist() for c in columns), strict=True):
        sprite = bank[index]
        half = sprite.cover.shape[0] // 2
        window = np.s_[y - half : y + half + 1, x - half : x + half + 1]
        target = hematoxylin[window]
        np.maximum(target, sprite.density * np.float32(density), out=target)
        eosin[window] *= sprite.spared
