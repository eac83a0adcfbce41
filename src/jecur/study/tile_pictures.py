"""Tiles that people look at, made again from the slide and from what was found on it."""

from collections.abc import Sequence

import msgspec

from jecur.arrays import RGB
from jecur.slide.reader import Slide, open_slide
from jecur.stain.appearance import SlideStain, StainReference
from jecur.stain.normalizer import Normalizer, restore_normalizer
from jecur.study.slide_task import SlideTask
from jecur.study.survey import lay_tiles

__all__ = ["TilePlace", "tiles_again"]

TilePlace = tuple[int, int, int]
"""Upper left corner in the file and side, level-0 pixels."""


def tiles_again(order: SlideTask, places: Sequence[TilePlace]) -> list[RGB]:
    """Read tiles of a prepared slide again, in normal colors: the very pixels that the network saw.

    Parameters
    ----------
    order
        The slide as it was prepared.
    places
        Where its tiles lie.

    Raises
    ------
    SlideError
        If the slide cannot be read any more.
    """
    with open_slide(order.path, mpp=order.mpp) as slide:
        normalizer = _normalizer(order, slide)
        side = order.recipe.tiling.output_px
        return [
            normalizer.apply(slide.read_region(x, y, width, side)[None])[0]
            for x, y, width in places
        ]


def _normalizer(order: SlideTask, slide: Slide) -> Normalizer:
    """Restore the stored fit; of stains that were refused, find out again what was done instead."""
    stored = order.run.slide_folder(order.slide) / "stain.json"
    fitted = msgspec.json.decode(stored.read_bytes())["slide"]
    if fitted is not None:
        reference = StainReference.from_dict(order.recipe.stain_reference)
        return restore_normalizer(SlideStain.from_dict(fitted), order.recipe.stain, reference)
    laid = lay_tiles(slide, order.recipe, core=order.core, annotation=order.annotation)
    normalizer = laid.require_walked().normalizer
    if normalizer is None:
        raise ValueError("expected a slide with tiles")
    return normalizer
