"""What a TIFF says of its scale: OME-XML, the Aperio description, the resolution tags."""

import math

from jecur.slide.source import Scale
from jecur.slide.tiff.layout import Page
from jecur.slide.tiff.ome import OmeImage

__all__ = ["is_aperio", "scale_of", "tag_micrometers"]

_TAG_UNITS = {2: 25_400.0, 3: 10_000.0}
"""Micrometers in one TIFF resolution unit: inch, centimeter."""


def scale_of(page: Page, image: OmeImage | None, *, ome: bool) -> Scale:
    """Scale of the page that is read.

    From its OME-XML, the Aperio description or the resolution tags, in that order. Tags beside
    OME-XML or a description are kept to be compared. Where OME-XML is there but cannot tell
    of this image, or tells it in a unit that is not known, the tags are not believed in its place. Of one
    side alone it tells of both.

    Parameters
    ----------
    page
        Page of level 0.
    image
        What OME-XML says of that image; None without.
    ome
        Whether the file has OME-XML.
    """
    tags = tag_micrometers(page, "XResolution"), tag_micrometers(page, "YResolution")
    if not ome and is_aperio(page):
        return _aperio_scale(str(page.description), tags)
    if image is None:
        return Scale() if ome else Scale(*tags, "resolution-tag")
    objective = image.objective
    mpp_x = image.mpp_y if image.mpp_x is None else image.mpp_x
    mpp_y = image.mpp_x if image.mpp_y is None else image.mpp_y
    if image.unit:
        return Scale(objective=objective)
    if mpp_x is not None:
        return Scale(mpp_x, mpp_y, "file", objective, tags[0])
    return Scale(*tags, "resolution-tag", objective)


def is_aperio(page: Page) -> bool:
    """Whether a page's description is one of Aperio's, as OpenSlide tells it."""
    return str(page.description or "").startswith("Aperio")


def _aperio_scale(description: str, tags: tuple[float | None, float | None]) -> Scale:
    """Fields ``| name = value`` as OpenSlide reads them: the last of a name counts, a comma is a point."""
    pairs = (part.partition("=") for part in description.split("|")[1:])
    fields = {name.strip(): _float(value.strip().replace(",", ".")) for name, _, value in pairs}
    mpp, objective = fields.get("MPP"), fields.get("AppMag")
    if mpp is None:
        return Scale(*tags, "resolution-tag", objective)
    return Scale(mpp, mpp, "file", objective, tags[0])


def tag_micrometers(page: Page, name: str) -> float | None:
    """Micrometers per pixel by a resolution tag of a page; None if it has none or no unit."""
    tag, unit = page.tags.get(name), page.tags.get("ResolutionUnit")
    factor = _TAG_UNITS.get(int(unit.value)) if unit is not None else None
    if tag is None or factor is None or not isinstance(tag.value, tuple):
        return None
    numerator, denominator = tag.value
    return factor * denominator / numerator if numerator and denominator else None


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
