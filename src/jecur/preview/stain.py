"""Stains of single images and slides: estimated, normalized, and shown side by side.

A slide is read through its tissue as in a study; a plain PNG or JPEG is taken whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from jecur.arrays import RGB, Pixels, RGBBatch, Vector
from jecur.errors import JecurError, SlideError
from jecur.runs.folder import atomic_path
from jecur.settings import StainSettings, TilingSettings, TissueSettings
from jecur.slide.color import estimate_glass
from jecur.slide.reader import Slide, open_slide
from jecur.slide.tiling import TileGrid, sample_pixels, tile_tissue
from jecur.slide.tissue import find_tissue
from jecur.stain.appearance import SlideStain, StainReference
from jecur.stain.normalizer import Normalizer, fit_normalizer, fit_slide_stain
from jecur.stain.optical_density import mean_optical_density
from jecur.stain.reference import builtin_reference

__all__ = [
    "SheetRow",
    "contact_sheet",
    "describe_stain",
    "normalize_image",
    "reference_of",
    "stain_of",
]

_PLAIN = {".png", ".jpg", ".jpeg"}
_BLOCK_ROWS = 512
_FIELD_PX = 224
_GAP_PX = 8


def stain_of(path: Path, settings: StainSettings, *, mpp: float | None = None) -> SlideStain:
    """Fit the stains of one image or slide.

    Parameters
    ----------
    path
        PNG or JPEG of H&E, taken whole; or any slide, sampled over its tissue.
    settings
        Method, penalty, gates.
    mpp
        Micrometers per pixel of a slide that does not say.

    Raises
    ------
    SlideError
        If it cannot be read, holds no tissue, or (`StainError`) its stains are refused.
    """
    pixels, glass = _pixels(path, settings, mpp)
    return fit_slide_stain(pixels, settings, glass)


def describe_stain(path: Path, fit: SlideStain, settings: StainSettings) -> dict[str, Any]:
    """Return what `jecur stain estimate --json` prints."""
    hematoxylin, eosin = fit.appearance.concentrations
    to_ruifrok = fit.angles_to_ruifrok
    return {
        "file": path.name,
        "method": fit.method,
        "stain_matrix": fit.stains.vectors.tolist(),
        "percentile": settings.percentile,
        "concentrations": {"hematoxylin": hematoxylin, "eosin": eosin},
        "tissue_pixels": fit.n_pixels,
        "angles_to_ruifrok": {"hematoxylin": to_ruifrok[0], "eosin": to_ruifrok[1]},
        "separation_degrees": fit.stains.separation,
        "objective": fit.objective,
        "white": list(fit.white),
    }


def reference_of(target: str, settings: StainSettings) -> StainReference:
    """Appearance of the target: "builtin", or an image or slide to look like."""
    if target == "builtin":
        return builtin_reference()
    path = Path(target)
    measured = msgspec.structs.replace(settings, method="vahadane")
    fit = stain_of(path, measured)
    return StainReference(
        path.stem, fit.appearance, settings.percentile, settings.separation_sparsity
    )


def normalize_image(
    path: Path, out: Path, reference: StainReference, settings: StainSettings
) -> Normalizer:
    """Write one image as if it were stained like the reference; PNG, whole or not at all.

    Parameters
    ----------
    path
        PNG or JPEG.
    out
        PNG to write.
    reference
        Of `reference_of`.
    settings
        Method, gates, policy of refusals.

    Raises
    ------
    SlideError
        If the image cannot be read or (`StainError`) is refused.
    """
    if path.suffix.lower() not in _PLAIN:
        raise SlideError(
            f"{path.name}: expected a PNG or JPEG image, found {path.suffix or 'no extension'}; "
            "slides are normalized tile by tile in `jecur run`",
            code="not-an-image",
        )
    image = _read_image(path)
    normalizer = fit_normalizer(image.reshape(-1, 3), settings, reference, estimate_glass(image))
    normal = np.empty_like(image)
    for top in range(0, len(image), _BLOCK_ROWS):
        rows = slice(top, top + _BLOCK_ROWS)
        normal[rows] = normalizer.apply(image[rows][None])[0]
    with atomic_path(out) as temporary:
        Image.fromarray(normal).save(temporary, "PNG")
    return normalizer


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One slide of a contact sheet: what it became, or why not."""

    name: str
    code: str
    """"" if normalized."""


def contact_sheet(
    paths: Sequence[Path],
    out: Path,
    reference: StainReference,
    settings: StainSettings,
    *,
    mpp: float | None = None,
) -> list[SheetRow]:
    """Draw every slide's densest field before and after, one row a slide; refused ones say why."""
    rows: list[SheetRow] = []
    pictures: list[tuple[RGB, RGB] | None] = []
    for path in paths:
        try:
            pixels, glass, field = _field(path, settings, mpp)
            normalizer = fit_normalizer(pixels, settings, reference, glass)
            pictures.append((field[0], normalizer.apply(field)[0]))
            rows.append(SheetRow(path.name, ""))
        except JecurError as error:
            pictures.append(None)
            rows.append(SheetRow(path.name, error.code))
    step = _FIELD_PX + _GAP_PX
    sheet = Image.new("RGB", (2 * step + 260, len(rows) * step + _GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (row, pair) in enumerate(zip(rows, pictures, strict=True)):
        top = _GAP_PX + i * step
        for j, picture in enumerate(pair or ()):
            sheet.paste(Image.fromarray(picture), (_GAP_PX + j * step, top))
        draw.text((2 * step + 2 * _GAP_PX, top + 8), row.name[:38], fill="black")
        note = f"refused: {row.code}" if row.code else "left: as scanned, right: normalized"
        draw.text((2 * step + 2 * _GAP_PX, top + 26), note, fill="black")
    with atomic_path(out) as temporary:
        sheet.save(temporary, "PNG")
    return rows


def _pixels(path: Path, settings: StainSettings, mpp: float | None) -> tuple[Pixels, Vector]:
    """Pixels to fit, and the color of empty glass."""
    if path.suffix.lower() in _PLAIN:
        image = _read_image(path)
        return image.reshape(-1, 3), estimate_glass(image)
    with open_slide(path, mpp=mpp) as slide:
        pixels, glass, _ = _sampled(slide, settings)
        return pixels, glass


def _field(
    path: Path, settings: StainSettings, mpp: float | None
) -> tuple[Pixels, Vector, RGBBatch]:
    """Pixels to fit, the glass, and the field with the most stain in it, (1, 224, 224, 3)."""
    if path.suffix.lower() in _PLAIN:
        image = _read_image(path)
        return image.reshape(-1, 3), estimate_glass(image), _densest_window(image)[None]
    with open_slide(path, mpp=mpp) as slide:
        pixels, glass, grid = _sampled(slide, settings)
        x, y = grid.positions[int(grid.tissue_fraction.argmax())]
        field = slide.read_region(float(x), float(y), grid.side_px, _FIELD_PX)[None]
        return pixels, glass, field


def _sampled(slide: Slide, settings: StainSettings) -> tuple[Pixels, Vector, TileGrid]:
    tissue = find_tissue(slide, TissueSettings())
    grid = tile_tissue(slide, tissue, TilingSettings())
    rng = np.random.default_rng(settings.seed)
    return sample_pixels(slide, grid, settings.n_pixels, rng), tissue.glass, grid


def _densest_window(image: RGB) -> RGB:
    height, width = image.shape[:2]
    if min(height, width) < _FIELD_PX:
        return np.asarray(Image.fromarray(image).resize((_FIELD_PX, _FIELD_PX)))
    spots = [
        (y, x)
        for y in range(0, height - _FIELD_PX + 1, _FIELD_PX)
        for x in range(0, width - _FIELD_PX + 1, _FIELD_PX)
    ]
    windows = [image[y : y + _FIELD_PX, x : x + _FIELD_PX] for y, x in spots]
    return max(
        windows, key=lambda w: float(mean_optical_density(w[::4, ::4].reshape(-1, 3)).mean())
    )


def _read_image(path: Path) -> RGB:
    with open_slide(path, mpp=0.5) as slide:  # the scale plays no part; bombs are refused there
        width, height = slide.size.width, slide.size.height
        return slide.overview(slide.mpp)[:height, :width]
