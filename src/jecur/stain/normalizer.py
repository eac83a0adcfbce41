"""Color normalization of a slide: fit once over the whole slide, apply to every tile.

One stain matrix a slide, from pixels sampled over all its tissue, never one a tile: a tile of
stroma alone has too little hematoxylin for the fit.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from jecur.arrays import Pixels, RGBBatch
from jecur.errors import SettingsError, StainError
from jecur.settings import StainSettings
from jecur.stain.appearance import Appearance, SlideStain, StainReference
from jecur.stain.color_map import ColorMap, KeepColor, StainTransfer
from jecur.stain.color_table import ColorTable
from jecur.stain.gates import (
    require_bright_field,
    require_hematoxylin_and_eosin,
    require_two_colors,
    require_two_stains,
    select_tissue,
    usable_density,
)
from jecur.stain.iche import IcheTransfer, center_shift, centered_levels
from jecur.stain.macenko import extreme_directions
from jecur.stain.optical_density import WHITE_POINT, Triple, to_optical_density
from jecur.stain.reinhard import ReinhardTransfer
from jecur.stain.stain_matrix import StainMatrix
from jecur.stain.vahadane import estimate_stains

__all__ = ["Normalizer", "fit_normalizer", "fit_slide_stain", "restore_normalizer"]


@dataclass(frozen=True, slots=True)
class Normalizer:
    """Brings tiles of one slide to the reference's appearance."""

    slide: SlideStain | None
    """The slide's fit; None if it was refused or not asked for."""
    color_map: ColorMap
    """What happens to one color: the plain form, the oracle of `apply`."""
    flags: tuple[str, ...] = ()
    """What a reader of the result must know: ``stain-<code>`` and ``reference-stains`` after a
    refusal, ``not-normalized`` if the settings say "none", ``stain-not-converged`` if the fit did
    not come to rest."""
    _table: ColorTable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", ColorTable(self.color_map))

    def apply(self, tiles: RGBBatch, *, threads: int = 1) -> RGBBatch:
        """Normalize tiles.

        Parameters
        ----------
        tiles
            (n, h, w, 3) uint8; never changed.
        threads
            Threads to use.

        Returns
        -------
        RGBBatch
            Same shape, uint8; white stays white.

        Raises
        ------
        StainError
            ``bad-tiles`` if the array has another shape or type.
        """
        if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[-1] != 3:
            raise StainError(
                f"expected tiles (n, h, w, 3) of uint8, found {tiles.shape} of {tiles.dtype}; "
                "convert them first",
                code="bad-tiles",
            )
        return self._table.apply(tiles, threads=threads)


def fit_slide_stain(
    pixels: Pixels, settings: StainSettings, glass: ArrayLike | None = None
) -> SlideStain:
    """Stains and their amounts on one slide.

    Parameters
    ----------
    pixels
        (n, 3) uint8, sampled over the slide's tissue. Pixels too pale to be stained are left out.
    settings
        Method, penalty, percentile, white point and the gates.
    glass
        (3,) R, G, B of the slide's empty glass, 0 to 255; used if ``settings.white`` is "slide".

    Returns
    -------
    SlideStain
        For methods "reinhard" and "iche" the stains are Macenko's: the transfer does not use them,
        the gates do.

    Raises
    ------
    StainError
        ``too-little-tissue``, ``inverted``, ``saturated``, ``one-stain-only``,
        ``collinear-stains`` or ``not-hematoxylin-eosin``.
    SettingsError
        If the slide's own white is asked for and ``glass`` is not given.
    """
    white = _white_point(settings, glass)
    require_bright_field(pixels, settings)
    tissue = select_tissue(pixels, settings, white)
    od = usable_density(to_optical_density(tissue, white), settings)
    require_two_colors(od, settings)
    objective, converged = None, True
    if settings.method == "vahadane":
        fit = estimate_stains(
            od, sparsity=settings.sparsity, rng=np.random.default_rng(settings.seed)
        )
        stains, objective, converged = fit.stains, fit.objective, fit.converged
    else:
        stains = StainMatrix(extreme_directions(od))
    require_hematoxylin_and_eosin(stains, settings)
    appearance = Appearance.of_pixels(
        tissue,
        stains,
        percentile=settings.percentile,
        sparsity=settings.separation_sparsity,
        white=white,
    )
    require_two_stains(appearance, settings)
    return SlideStain(
        settings.method, appearance, len(tissue), objective, white=white, converged=converged
    )


def restore_normalizer(
    slide: SlideStain, settings: StainSettings, reference: StainReference
) -> Normalizer:
    """Return the very map that `fit_normalizer` gave, from a slide's stored fit; reads no pixel."""
    return Normalizer(slide, _transfer(slide, reference.appearance, settings), _flags(slide))


def fit_normalizer(
    pixels: Pixels,
    settings: StainSettings,
    reference: StainReference,
    glass: ArrayLike | None = None,
) -> Normalizer:
    """Fit one slide and return the map that brings its tiles to ``reference``.

    Parameters
    ----------
    pixels
        (n, 3) uint8, sampled over the slide's tissue.
    settings
        Method, gates, and what to do with a refusal: ``on_refusal`` "fail" raises it;
        "reference" reads the slide with the reference's own stains, unscaled, and says so in
        `Normalizer.flags`.
    reference
        Target appearance, from the model or `jecur.stain.reference.builtin_reference`.
    glass
        As in `fit_slide_stain`.

    Raises
    ------
    StainError
        As `fit_slide_stain`, if ``on_refusal`` is "fail".
    SettingsError
        If percentile or separation penalty differ from those the reference was measured with, or
        the slide's own white is asked for and ``glass`` is not given.
    """
    if settings.method == "none":
        return Normalizer(None, KeepColor(), ("not-normalized",))
    _require_same_measure(settings, reference)
    target = reference.appearance
    try:
        slide = fit_slide_stain(pixels, settings, glass)
    except StainError as refusal:
        if settings.on_refusal == "fail":
            raise
        flags = (f"stain-{refusal.code}", "reference-stains")
        levels = tuple(np.arange(256.0).tolist())
        white = _white_point(settings, glass)
        unchanged = SlideStain(settings.method, target, 0, None, levels, white)
        return Normalizer(None, _transfer(unchanged, target, settings), flags)
    if settings.method == "iche":
        levels = centered_levels(select_tissue(pixels, settings), slide.appearance, target)
        slide = replace(slide, levels=levels)
    return Normalizer(slide, _transfer(slide, target, settings), _flags(slide))


def _flags(slide: SlideStain) -> tuple[str, ...]:
    return () if slide.converged else ("stain-not-converged",)


def _white_point(settings: StainSettings, glass: ArrayLike | None) -> Triple:
    """I0 of the stains. Reinhard and ICHE-style know no stains: theirs stays 255."""
    if settings.white == "255" or settings.method in {"reinhard", "iche"}:
        return WHITE_POINT
    if glass is None:
        raise SettingsError(
            'expected the color of the slide\'s empty glass, as stain.white = "slide" needs it, '
            'found none; pass it or set stain.white = "255"'
        )
    r, g, b = np.clip(np.asarray(glass, dtype=np.float64), 1.0, 255.0).tolist()
    return r, g, b


def _transfer(slide: SlideStain, target: Appearance, settings: StainSettings) -> ColorMap:
    source = slide.appearance
    if settings.method == "iche":
        return IcheTransfer(
            shift=center_shift(source, target),
            levels=np.array(slide.levels),
            background=settings.min_optical_density,
        )
    if settings.method == "reinhard":
        return ReinhardTransfer(
            source_mean=np.array(source.lab_mean),
            target_mean=np.array(target.lab_mean),
            scale=np.array(target.lab_std) / np.array(source.lab_std),
            background=settings.min_optical_density,
        )
    return StainTransfer(
        source=source.stains,
        target=target.stains,
        scale=np.array(target.concentrations) / np.array(source.concentrations),
        sparsity=settings.separation_sparsity,
        white=slide.white,
    )


def _require_same_measure(settings: StainSettings, reference: StainReference) -> None:
    asked = (settings.percentile, settings.separation_sparsity)
    held = (reference.percentile, reference.sparsity)
    if asked != held:
        raise SettingsError(
            "expected stain.percentile and stain.separation_sparsity as in the reference "
            f"{reference.name!r} {held}, found {asked}; set them so or measure a reference anew"
        )
