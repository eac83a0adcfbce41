"""In which form the tiles of a study's slides are kept: as its settings say, or as the disk allows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jecur.runs.files import free_bytes
from jecur.runs.progress import Progress
from jecur.settings import BagSettings, Recipe
from jecur.study.expected import expect, form_for, keeps_tiles, pending, size_of, try_two_slides
from jecur.study.slide_task import SlideTask

__all__ = ["in_bags"]

_MOST_TILES_PER_BYTE = 1 / 2_000
"""No slide is taken to have more; of usual ones 128 um of tissue take ten times as many bytes."""


def in_bags(
    orders: Sequence[SlideTask],
    bags: BagSettings,
    recipe: Recipe,
    out: Path,
    *,
    progress: Progress,
) -> list[SlideTask]:
    """Order the form in which tiles are kept: as the settings say, or as the disk allows.

    Parameters
    ----------
    orders
        Slides of a study; those that are prepared keep the form that they have.
    bags
        Settings of the study.
    recipe, out
        Of preparation, and where to.
    progress
        Shows what was chosen, where the disk decides.
    """
    form = bags.format
    if form == "auto":
        new = [o for o in pending(orders, out) if keeps_tiles(o)]
        n_bytes = sum(order.path.stat().st_size for order in new if order.path.is_file())
        most = n_bytes * _MOST_TILES_PER_BYTE * 4 * recipe.tiling.output_px**2
        if form_for(bags, most, free_bytes(out)) == "raw":
            return list(orders)
        found = expect(
            new, try_two_slides(new, recipe, progress), recipe, out, workers=1, bags=bags
        )
        form = found.bags or "raw"
        if form == "jxl":
            progress.say(
                f"Tiles are packed as JPEG XL, without loss: raw ones might not fit "
                f"({size_of(found.free_bytes)} free)."
            )
    return [replace(order, packed=form == "jxl") for order in orders]
