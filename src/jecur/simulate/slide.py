"""Virtual slides on disk: pyramidal, tiled JPEG in TIFF, as a scanner would write them."""

import os
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from jecur.arrays import RGB
from jecur.errors import refusal
from jecur.simulate.banks import PERIOD, banks_for
from jecur.simulate.fields import BLOCK
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.stains import VirtualStain, beer_lambert, site_stain, slide_stain
from jecur.simulate.tissue import Tissue, render_tissue

__all__ = ["render_rgb", "render_tile", "write_slide"]

_NOISE = 1.4
"""Standard deviation of the camera's noise, gray levels."""
_TILE = 256
_LEVEL_STEP = 4


def render_rgb(tissue: Tissue, stain: VirtualStain, rng: np.random.Generator) -> RGB:
    """Color a piece of tissue, (h, w, 3) uint8, with the camera's noise.

    Parameters
    ----------
    tissue
        Concentrations.
    stain
        The slide's stains and white.
    rng
        Draws the noise.
    """
    height, width = tissue.eosin.shape
    grain = banks_for(tissue.um_per_px).grain
    image = np.empty((height, width, 3), np.uint8)
    filled = set(tissue.plan.blocks)
    start = rng.integers(0, PERIOD, 6)
    for y in range(0, height, BLOCK):
        for x in range(0, width, BLOCK):
            window = np.s_[y : y + BLOCK, x : x + BLOCK]
            out = image[window]
            if (y, x) in filled:
                light = beer_lambert(tissue.hematoxylin[window], tissue.eosin[window], stain)
            else:
                light = np.empty((3, *out.shape[:2]), np.float32)
                light[:] = stain.white[:, None, None]
            for channel in range(3):
                top = (y + start[channel]) % PERIOD
                left = (x + start[channel + 3]) % PERIOD
                plane = light[channel]
                plane += _NOISE * grain[top : top + out.shape[0], left : left + out.shape[1]]
                plane += 0.5
                np.clip(plane, 0.0, 255.0, out=plane)
                out[..., channel] = plane
    return image


def render_tile(
    features: TissueFeatures,
    rng: np.random.Generator,
    *,
    size_px: int = 256,
    um_per_px: float = 0.5,
    stain: VirtualStain | None = None,
) -> RGB:
    """Draw one tile full of tissue, (size_px, size_px, 3) uint8.

    Features hardly vary inside it, so they can serve as its labels.

    Parameters
    ----------
    features
        The tile's own features.
    rng
        Draws tissue, stain (unless given) and noise.
    size_px
        Side, pixels.
    um_per_px
        Scale; 128 um in 224 px is 128 / 224.
    stain
        The slide's stain; a random site and slide if left out.
    """
    if stain is None:
        site = site_stain(rng, angle_deg=4.0, intensity_sd=0.12)
        stain = slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06)
    tissue = render_tissue(features, (size_px, size_px), um_per_px, rng, heterogeneity=0.08)
    return render_rgb(tissue, stain, rng)


def write_slide(path: Path, image: RGB, *, um_per_px: float, quality: int = 87) -> None:
    """Write an image as a pyramidal TIFF that OpenSlide opens.

    Levels shrink by 4 until one fits a tile. The resolution is in the tags, per centimeter.
    The file appears whole or not at all.

    Parameters
    ----------
    path
        Target, ``.tiff``.
    image
        (h, w, 3) level 0.
    um_per_px
        Its scale.
    quality
        JPEG quality, 1 to 100.

    Raises
    ------
    SystemRefusedError
        If the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with tifffile.TiffWriter(partial) as file:
            for level, pixels in enumerate(_pyramid(image)):
                file.write(
                    pixels,
                    photometric="rgb",
                    tile=(_TILE, _TILE),
                    compression="jpeg",
                    compressionargs={"level": quality},
                    subsampling=(1, 1),  # chroma carries the stains
                    subfiletype=1 if level else 0,
                    resolution=(1e4 / um_per_px / _LEVEL_STEP**level,) * 2,
                    resolutionunit="CENTIMETER",
                    description="Jecur virtual slide" if level == 0 else None,
                    software="Jecur",
                    metadata=None,
                    maxworkers=1,
                )
        partial.replace(path)
    except OSError as error:
        raise refusal(error, path) from error
    finally:
        partial.unlink(missing_ok=True)


def _pyramid(image: RGB) -> list[RGB]:
    """Level 0 and its reductions by 4."""
    levels = [image]
    while max(levels[-1].shape[:2]) > _TILE:
        reduced = Image.fromarray(levels[-1]).reduce(_LEVEL_STEP)
        levels.append(np.asarray(reduced))
    return levels
