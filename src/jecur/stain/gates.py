"""When stains cannot be told apart: refusals, each with a code and a remedy.

The thresholds are settings; docs/color.md has the measurements behind them.
"""

import numpy as np

from jecur.arrays import OpticalDensity, Pixels
from jecur.errors import StainError
from jecur.settings import StainSettings
from jecur.stain.appearance import Appearance
from jecur.stain.optical_density import WHITE_POINT, Triple, mean_optical_density
from jecur.stain.stain_matrix import RUIFROK, StainMatrix

__all__ = [
    "require_bright_field",
    "require_hematoxylin_and_eosin",
    "require_two_colors",
    "require_two_stains",
    "select_tissue",
    "usable_density",
]

_CLIPPED_LEVEL = 2
_DARK_LEVEL = 30


def require_bright_field(pixels: Pixels, settings: StainSettings) -> None:
    """Refuse pixels that are no transmitted light: dark ground, or channels at zero.

    Raises
    ------
    StainError
        ``inverted`` if most pixels are nearly black, ``saturated`` if too many have a channel at
        zero.
    """
    if len(pixels) == 0:
        return
    r, g, b = (
        pixels.T
    )  # channel by channel: reducing along an axis of three takes five times as long
    dark = float(np.mean(np.maximum(np.maximum(r, g), b) < _DARK_LEVEL))
    if dark > settings.max_dark_fraction:
        raise StainError(
            f"expected stained tissue in transmitted light, found {dark:.0%} of the pixels nearly "
            "black; is the slide fluorescence or its colors inverted?",
            code="inverted",
        )
    clipped = float(np.mean(np.minimum(np.minimum(r, g), b) <= _CLIPPED_LEVEL))
    if clipped > settings.max_saturated_fraction:
        raise StainError(
            f"expected at most {settings.max_saturated_fraction:.0%} of the tissue pixels with a "
            f"channel at zero, found {clipped:.0%}; rescan with less exposure or check the colors",
            code="saturated",
        )


def select_tissue(pixels: Pixels, settings: StainSettings, white: Triple = WHITE_POINT) -> Pixels:
    """Pixels stained against ``white``, at most ``n_pixels``, drawn with the settings' seed.

    Raises
    ------
    StainError
        ``too-little-tissue`` if fewer than ``min_tissue_pixels`` are stained.
    """
    stained = pixels[mean_optical_density(pixels, white) > settings.min_optical_density]
    if len(stained) < settings.min_tissue_pixels:
        raise StainError(
            f"expected at least {settings.min_tissue_pixels} pixels above optical density "
            f"{settings.min_optical_density}, found {len(stained)} of {len(pixels)}; check the "
            "tissue mask or lower stain.min_optical_density",
            code="too-little-tissue",
        )
    if len(stained) > settings.n_pixels:
        rng = np.random.default_rng(settings.seed)
        stained = stained[rng.choice(len(stained), size=settings.n_pixels, replace=False)]
    return stained


def usable_density(od: OpticalDensity, settings: StainSettings) -> OpticalDensity:
    """Rows of (n, 3) ``od`` that are not nearly black; all if too few would be left.

    One gray level at level 5 is 0.2 of optical density: such rows say more about rounding than about
    stain, and pull both stains apart.
    """
    r, g, b = od.T
    usable = od[np.maximum(np.maximum(r, g), b) <= settings.max_optical_density]
    return usable if len(usable) >= settings.min_tissue_pixels else od


def require_two_colors(od: OpticalDensity, settings: StainSettings) -> None:
    """Refuse tissue that spreads along a single direction of optical-density space.

    Raises
    ------
    StainError
        ``one-stain-only``.
    """
    energies = np.linalg.eigvalsh(od.T @ od)
    spread = float(np.sqrt(max(energies[1], 0.0) / energies[2]))
    if spread < settings.min_color_spread:
        raise StainError(
            f"expected two stains (color spread at least {settings.min_color_spread}), found one "
            f"color (spread {spread:.3f}); is the slide counterstained?",
            code="one-stain-only",
        )


def require_hematoxylin_and_eosin(stains: StainMatrix, settings: StainSettings) -> None:
    """Refuse stains that are nearly parallel or no hematoxylin and eosin.

    Raises
    ------
    StainError
        ``collinear-stains`` or ``not-hematoxylin-eosin``.
    """
    if stains.separation < settings.min_separation_degrees:
        raise StainError(
            f"expected stains at least {settings.min_separation_degrees:g} degrees apart, found "
            f"{stains.separation:.1f}; sample more of the slide or check its focus",
            code="collinear-stains",
        )
    hematoxylin, eosin = stains.angle_to(RUIFROK)
    if hematoxylin > settings.max_hematoxylin_degrees or eosin > settings.max_eosin_degrees:
        raise StainError(
            "expected hematoxylin and eosin within "
            f"{settings.max_hematoxylin_degrees:g} and {settings.max_eosin_degrees:g} degrees of "
            f"Ruifrok's vectors, found {hematoxylin:.1f} and {eosin:.1f}; is the slide H&E, free of "
            "ink and in its true colors?",
            code="not-hematoxylin-eosin",
        )


def require_two_stains(appearance: Appearance, settings: StainSettings) -> None:
    """Refuse a slide on which one stain is nearly absent, or hematoxylin is no nuclear stain.

    A faint stain scaled up would scale noise. A single purple stain reads as two, but then the dense
    nuclei are "eosin" and the pale cytoplasm "hematoxylin".

    Raises
    ------
    StainError
        ``one-stain-only``.
    """
    hematoxylin, eosin = appearance.concentrations
    if min(hematoxylin, eosin) < settings.min_concentration:
        raise StainError(
            f"expected both stains to reach optical density {settings.min_concentration}, found "
            f"hematoxylin {hematoxylin:.3f} and eosin {eosin:.3f}; is the slide counterstained?",
            code="one-stain-only",
        )
    if hematoxylin < settings.min_hematoxylin_ratio * eosin:
        raise StainError(
            f"expected hematoxylin to reach {settings.min_hematoxylin_ratio:g} of eosin's optical "
            f"density, found {hematoxylin / eosin:.2f}; is this one purple stain? If it is H&E with "
            "hardly a nucleus, lower stain.min_hematoxylin_ratio",
            code="one-stain-only",
        )
