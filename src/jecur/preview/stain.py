"""Stains of single images and slides: estimated, normalized, and shown side by side.

A slide is read as in a study (`jecur.study.survey`); a plain PNG or JPEG is taken whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from jecur.arrays import RGB
from jecur.errors import SettingsError, SlideError
from jecur.preview.view import SlideView
from jecur.runs.folder import atomic_path
from jecur.settings import Recipe, StainSettings
from jecur.slide.color import estimate_glass
from jecur.slide.reader import open_slide
from jecur.stain.appearance import SlideStain, StainReference
from jecur.stain.normalizer import Normalizer, fit_normalizer, fit_slide_stain
from jecur.stain.optical_density import mean_optical_density
from jecur.study.survey import Survey, clean_tiles

__all__ = [
    "SheetRow",
    "contact_sheet",
    "describe_stain",
    "normalize_image",
    "recipe_toward",
    "stain_of",
]

_PLAIN = {".png", ".jpg", ".jpeg"}
_BLOCK_ROWS = 512
_FIELD_PX = 224
_GAP_PX = 8


def stain_of(view: SlideView) -> SlideStain:
    """Fit the stains of one image or slide.

    Parameters
    ----------
    view
        PNG or JPEG of H&E, taken whole; or any slide, sampled over its tissue as a study does.

    Raises
    ------
    SlideError
        If it cannot be read, holds no tissue, or (`StainError`) its stains are refused.
    """
    settings = msgspec.structs.replace(view.recipe.stain, on_refusal="fail")
    if settings.method == "none":
        raise SettingsError(
            'expected a method that fits stains, found stain.method = "none"; name another --method'
        )
    if _is_plain(view.path):
        image = _read_image(view.path)
        return fit_slide_stain(image.reshape(-1, 3), settings, estimate_glass(image))
    strict = replace(view, recipe=msgspec.structs.replace(view.recipe, stain=settings))
    with strict.laid() as survey:
        fitted = survey.require_walked().stain
    if fitted is None:
        raise ValueError("expected stains where none were refused")
    return fitted


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


def recipe_toward(target: str, recipe: Recipe) -> Recipe:
    """Return the recipe that makes slides look like the target: "builtin", or an image or slide."""
    if target == "builtin":
        return recipe
    path, settings = Path(target), recipe.stain
    measured = msgspec.structs.replace(
        recipe, stain=msgspec.structs.replace(settings, method="vahadane")
    )
    reference = StainReference(
        path.stem,
        stain_of(SlideView(path.name, path, measured)).appearance,
        settings.percentile,
        settings.separation_sparsity,
    )
    return msgspec.structs.replace(recipe, stain_reference=reference.to_dict())


def normalize_image(path: Path, out: Path, recipe: Recipe) -> Normalizer:
    """Write one image as if it were stained like the reference; PNG, whole or not at all.

    Parameters
    ----------
    path
        PNG or JPEG.
    out
        PNG to write.
    recipe
        Method, gates, policy of refusals, and the reference.

    Raises
    ------
    SlideError
        If the image cannot be read or (`StainError`) is refused.
    """
    if not _is_plain(path):
        raise SlideError(
            f"{path.name}: expected a PNG or JPEG image, found {path.suffix or 'no extension'}; "
            "slides are normalized tile by tile in `jecur run`",
            code="not-an-image",
        )
    image = _read_image(path)
    normalizer = _fitted(image, recipe)
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


def contact_sheet(views: Sequence[SlideView], out: Path) -> list[SheetRow]:
    """Draw every slide's densest field before and after, one row a slide; refused ones say why.

    The field of a slide is the clean tile with the most tissue: the very pixels that a study would
    read and write.

    Parameters
    ----------
    views
        Slides, and plain images, which are taken whole.
    out
        PNG to write.
    """
    rows: list[SheetRow] = []
    pictures: list[tuple[RGB, RGB] | None] = []
    for view in views:
        try:
            pictures.append(_before_and_after(view))
            rows.append(SheetRow(view.title, ""))
        except SlideError as error:
            pictures.append(None)
            rows.append(SheetRow(view.title, error.code))
    step = max([_FIELD_PX, *(len(pair[0]) for pair in pictures if pair)]) + _GAP_PX
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


def _before_and_after(view: SlideView) -> tuple[RGB, RGB]:
    if _is_plain(view.path):
        image = _read_image(view.path)
        field = _densest_window(image)
        return field, _fitted(image, view.recipe).apply(field[None])[0]
    with view.laid() as survey:
        normalizer = survey.require_walked().normalizer
        if normalizer is None:
            raise ValueError("expected stains where none were refused")
        field = _densest_clean_tile(survey)
        return field, normalizer.apply(field[None])[0]


def _densest_clean_tile(survey: Survey) -> RGB:
    """Read tiles, those with the most tissue first, until one is clean."""
    grid = survey.grid
    if grid is None:
        raise ValueError("expected tiles to be laid first")
    order = np.argsort(-grid.tissue_fraction, kind="stable")
    for k in order:
        for batch, _, clean in clean_tiles(survey, grid.part(k[None])):
            if clean[0]:
                field: RGB = batch.rgb[0]
                return field
    raise SlideError(
        f"{survey.slide.path.name}: expected a clean tile, found all {len(grid)} under pen, black, "
        "blurred or damaged; scan it again",
        code="no-clean-tiles",
    )


def _fitted(image: RGB, recipe: Recipe) -> Normalizer:
    """Fit the stains of a whole image."""
    reference = StainReference.from_dict(recipe.stain_reference)
    pixels, glass = image.reshape(-1, 3), estimate_glass(image)
    return fit_normalizer(pixels, recipe.stain, reference, glass)


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() in _PLAIN


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
