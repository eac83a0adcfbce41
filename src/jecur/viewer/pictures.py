"""Tiles and fields of a run's slides as encoded pictures, made once while there is room to keep them."""

import io
from typing import Literal, get_args

import numpy as np
import simplejpeg
from PIL import Image

from jecur.arrays import RGB
from jecur.geometry import Size
from jecur.slide.reader import Slide
from jecur.viewer.guard import Refused
from jecur.viewer.kept_bytes import KeptBytes
from jecur.viewer.pyramid import Overview, Pyramid, read_overview, read_tile
from jecur.viewer.run_model import FIELD_UM, RunModel
from jecur.viewer.run_slides import RunSlides
from jecur.viewer.slide_pool import SlidePool

__all__ = ["COLORS", "RunPictures"]

Colors = Literal["scanned", "normalized"]
COLORS = get_args(Colors)
_OPEN_SLIDES = 3
_TILE_BYTES, _OVERVIEW_BYTES = 64 * 2**20, 96 * 2**20
_QUALITY = 92
_TOP_TILE_PX = 224


class RunPictures:
    """Pictures of slides by number and place; safe for several threads.

    Parameters
    ----------
    slides
        Opens slides.
    model
        Knows colors and nuclei.
    """

    def __init__(self, slides: RunSlides, model: RunModel) -> None:
        self._run = slides.run
        self._model = model
        self.pool = SlidePool(slides.open, most=_OPEN_SLIDES)
        self._tiles: KeptBytes[bytes] = KeptBytes(_TILE_BYTES, len)
        self._overviews: KeptBytes[Overview] = KeptBytes(_OVERVIEW_BYTES, lambda o: o.n_bytes)

    def tile(self, number: int, colors: str, level: int, column: int, row: int) -> bytes:
        """One tile of the pyramid as JPEG.

        Raises
        ------
        Refused
            404 if there is no such tile.
        SlideError, StainError
            If the slide cannot be opened, or has no normalized colors.
        """
        key = (number, colors, level, column, row)
        return self._tiles.get(key, lambda: _jpeg(self._draw(*key)))

    def _draw(self, number: int, colors: str, level: int, column: int, row: int) -> RGB:
        with self.pool.borrow(number) as slide:
            pyramid = Pyramid(slide.size)
            require_tile(pyramid, level, column, row)
            place = pyramid.place(level, column, row)
            step = pyramid.overview_step(slide)
            overview = None
            if step and place.step >= step:
                overview = self._overviews.get(number, lambda: read_overview(slide, step))
            rgb = read_tile(slide, place, overview)
        if colors == "normalized":
            rgb = self._model.normalizer(self._run.slides[number]).apply(rgb[None])[0]
        return rgb

    def field_of_tile(self, number: int, x: float, y: float, side: float) -> bytes:
        """One scored tile as scanned, JPEG."""
        with self.pool.borrow(number) as slide:
            return _jpeg(slide.read_region(x, y, side, _TOP_TILE_PX))

    def nuclei(self, number: int, corner: tuple[int, int], field: Size) -> bytes:
        """Nuclei of a field (level-0 pixels) as PNG with transparency.

        Raises
        ------
        Refused
            If the field is larger than `FIELD_UM`.
        """
        with self.pool.borrow(number) as slide:
            if not max(field.width, field.height) * slide.mpp <= FIELD_UM:
                raise Refused(
                    422,
                    f"expected a field of at most {FIELD_UM:g} um for the nuclei map, found a wider "
                    "one; zoom in",
                )
            picture = self._model.nuclei(slide, self._run.slides[number], corner, field)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def describe(self, number: int) -> dict[str, object]:
        """Size, scale and levels of a slide, as the page needs them to ask for tiles."""
        with self.pool.borrow(number) as slide:
            return {**_geometry(slide), "field_um": FIELD_UM}


def require_tile(pyramid: Pyramid, level: int, column: int, row: int) -> None:
    """Refuse a level or a place that the slide does not have.

    Raises
    ------
    Refused
        404.
    """
    if not 0 <= level <= pyramid.last:
        raise Refused(404, f"expected a level from 0 to {pyramid.last}; there is no other")
    n: Size = pyramid.n_tiles(level)
    if not (0 <= column < n.width and 0 <= row < n.height):
        raise Refused(404, f"expected a tile of {n.width} x {n.height}; there is no other")


def _geometry(slide: Slide) -> dict[str, object]:
    return {
        "width": slide.size.width,
        "height": slide.size.height,
        "last": Pyramid(slide.size).last,
        "mpp": slide.mpp,
        "objective": slide.objective,
        "reader": slide.reader,
        "vendor": slide.vendor,
        "file_levels": len(slide.levels),
        "notes": [f"{code}: {phrase}" for code, phrase in slide.notes],
    }


def _jpeg(rgb: RGB) -> bytes:
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(rgb), quality=_QUALITY, colorspace="RGB", colorsubsampling="444"
    )
    return data
