"""What an OME-XML text says of each image in its file.

Parsed as XML, whoever decodes the pixels: entities, either kind of quote and any prefix of the
namespace are as good as another. A text that defines entities of its own is refused.

Source: the OME schema, 2016-06 (https://www.openmicroscopy.org/Schemas/OME/2016-06/).
"""

import contextlib
import re
from dataclasses import dataclass, field
from xml.parsers import expat

from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.resolution import LARGEST_MPP

__all__ = ["OmeImage", "absent_attributes", "holds_ome", "image_of", "other_scans", "parse_ome"]

_MICROMETERS = (
    dict.fromkeys(("", "µm", "μm", "um", "micron", "microns"), 1.0)
    | dict.fromkeys(("micrometer", "micrometers", "micrometre", "micrometres"), 1.0)
    | {"pm": 1e-6, "å": 1e-4, "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3}
    | {"mm": 1e3, "millimeter": 1e3, "millimetre": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6}
    | {"thou": 25.4, "li": 25_400.0 / 12, "in": 25_400.0, "ft": 304_800.0, "yd": 914_400.0}
    | {"pt": 25_400.0 / 72}
)
"""Micrometers in a unit, lower case; a unit that is no length ("pixel") is not here."""
_NO_LENGTHS = frozenset({"pixel", "reference frame"})
"""Units of the schema that say nothing of a scale."""
_PRIMARIES = (0xFF0000, 0x00FF00, 0x0000FF)
_BESIDE_THE_SCAN = re.compile(
    r"(?<![^\W\d_])(label|macro|overview|thumb(nail)?|barcode|preview|mask)s?(?![^\W\d_])",
    re.IGNORECASE,
)
"""As words: a scene "macrophages" or "unlabeled" is a scan."""
_SAME_SCALE = 1.5
_SAME_EXTENT = 0.1
_DEEPEST = 64
_REQUIRED = ("DimensionOrder", "Type", "SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")
_COLORS = (("", "", ""), ("r", "g", "b"), ("red", "green", "blue"))


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One ``Image`` element with its ``Pixels``.

    Parameters
    ----------
    name
        As the file has it; "" if it has none.
    size
        Pixels in x and y.
    mpp_x, mpp_y
        Micrometers per pixel; None where the file is silent or the unit is not known to be a length.
    unit
        A unit that is not known, of either; "" if there is none.
    objective
        Nominal magnification, or None.
    first_ifd
        Lowest directory of the TIFF that holds a plane of it; None if not told.
    n_channels, n_planes
        ``SizeC`` and ``SizeZ`` x ``SizeT``.
    channel_names
        Of its ``Channel`` elements, in order; "" for one without.
    channel_colors
        Of the same, red, green and blue in 24 bits; -1 for one without.
    fluorescent
        Whether a channel names a dye or a wavelength.
    """

    name: str
    size: Size
    mpp_x: float | None
    mpp_y: float | None
    unit: str
    objective: float | None
    first_ifd: int | None
    n_channels: int
    n_planes: int
    channel_names: tuple[str, ...]
    channel_colors: tuple[int, ...]
    fluorescent: bool

    @property
    def channels_are_rgb(self) -> bool:
        """Whether three separate channels can be red, green and blue, by what is said of them."""
        names = tuple(name.strip().lower() for name in self.channel_names) or ("", "", "")
        return (
            self.n_channels == 3
            and not self.fluorescent
            and names in _COLORS
            # one color for all is a viewer's default and says nothing
            and (len(set(self.channel_colors)) <= 1 or self.channel_colors == _PRIMARIES)
        )

    @property
    def channels_told(self) -> str:
        """Names and colors of the channels, for messages."""
        return ", ".join(
            (name or "unnamed") + (f" #{color:06X}" if color >= 0 else "")
            for name, color in zip(self.channel_names, self.channel_colors, strict=True)
        )

    @property
    def has_color(self) -> bool:
        """Whether it has the three or four channels of a color image."""
        return self.n_channels in {3, 4} and not self.fluorescent


@dataclass(slots=True)
class _Draft:
    """Attributes of an ``Image`` and of what lies in it, while it is being read."""

    image: dict[str, str]
    objective: str = ""
    pixels: dict[str, str] = field(default_factory=dict)
    channels: list[dict[str, str]] = field(default_factory=list)
    ifds: list[int] = field(default_factory=list)


def holds_ome(text: str) -> bool:
    """Whether a text is meant as OME-XML."""
    return re.search(r"<(\w+:)?OME[\s>]", text) is not None


def parse_ome(text: str, name: str) -> tuple[OmeImage, ...]:
    """Read the images of an OME-XML text, in its order; none if it is no well-formed XML.

    Parameters
    ----------
    text
        The TIFF's first description.
    name
        Base name of the file, for messages.

    Raises
    ------
    SlideError
        "unreadable" if the text has a document type or defines entities.
    """
    objectives: dict[str, float | None] = {}
    drafts: list[_Draft] = []
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        kind = tag.rsplit(" ", 1)[-1]
        if kind == "Objective":
            objectives[attributes.get("ID", "")] = _number(attributes, "NominalMagnification")
        elif kind == "Image":
            drafts.append(_Draft(attributes))
        elif drafts:
            _add(drafts[-1], kind, attributes)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise SlideError(
            f"{name}: expected plain OME-XML, found a document type or an entity of its own; "
            "export the file again",
            code="unreadable",
        )

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text.strip("\0 \r\n\t\ufeff"), True)
        return tuple(_finished(draft, objectives) for draft in drafts if draft.pixels)
    except (expat.ExpatError, ValueError):
        return ()


def absent_attributes(text: str) -> tuple[str, ...]:
    """Attributes that the schema requires of ``Pixels`` and that some element lacks.

    Parameters
    ----------
    text
        An OME-XML text; of one that is not well-formed, what comes before the fault counts.
    """
    absent: dict[str, None] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag.rsplit(" ", 1)[-1] == "Pixels":
            absent.update(dict.fromkeys(name for name in _REQUIRED if name not in attributes))

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    with contextlib.suppress(expat.ExpatError):
        parser.Parse(text.strip("\0 \r\n\t\ufeff"), True)
    return tuple(absent)


def image_of(images: tuple[OmeImage, ...], size: Size, ifd: int) -> OmeImage | None:
    """Image whose pixels are read: of this size, and if several are, the one at this directory.

    Parameters
    ----------
    images
        As `parse_ome` gives them.
    size
        Of level 0.
    ifd
        Number of the directory that is read.
    """
    alike = [image for image in images if image.size == size]
    scales = {(image.mpp_x, image.mpp_y) for image in alike}
    if len(scales) == 1:
        return next((image for image in alike if image.first_ifd == ifd), alike[0])
    return next((image for image in alike if image.first_ifd == ifd), None)


def other_scans(images: tuple[OmeImage, ...], read: OmeImage) -> list[OmeImage]:
    """Images that show other tissue than the one that is read.

    Left out: what is named as a label, macro or overview, gray images, images too coarse to be a
    scan, and the same field at another scale. Beside a label or macro image that is the largest, all
    color images that are not named so are others.
    """
    if _BESIDE_THE_SCAN.search(read.name):
        return [i for i in images if i.has_color and not _BESIDE_THE_SCAN.search(i.name)]
    return [
        image
        for image in images
        if image is not read
        and image.has_color
        and not _BESIDE_THE_SCAN.search(image.name)
        and not _beside(image, read)
    ]


def _beside(image: OmeImage, read: OmeImage) -> bool:
    if image.mpp_x is None or read.mpp_x is None:
        return 4 * image.size.width * image.size.height < read.size.width * read.size.height
    if image.mpp_x > LARGEST_MPP:
        return True
    ratio = image.mpp_x / read.mpp_x if read.mpp_x > 0 else 1.0
    extents = (
        ratio * image.size.width / read.size.width - 1.0,
        ratio * image.size.height / read.size.height - 1.0,
    )
    return ratio > _SAME_SCALE and max(abs(extent) for extent in extents) < _SAME_EXTENT


def _add(draft: _Draft, kind: str, attributes: dict[str, str]) -> None:
    if kind == "Pixels":
        draft.pixels = attributes
    elif kind == "ObjectiveSettings":
        draft.objective = attributes.get("ID", "")
    elif kind == "Channel":
        draft.channels.append(attributes)
    elif kind == "TiffData":
        draft.ifds.append(int(attributes.get("IFD", "0")))


def _finished(draft: _Draft, objectives: dict[str, float | None]) -> OmeImage:
    pixels = draft.pixels
    dyes = {"Fluor", "ExcitationWavelength", "EmissionWavelength"}
    only = next(iter(objectives.values())) if len(objectives) == 1 else None
    return OmeImage(
        name=draft.image.get("Name", ""),
        size=Size(int(pixels["SizeX"]), int(pixels["SizeY"])) if "SizeX" in pixels else Size(0, 0),
        mpp_x=_micrometers(pixels, "X"),
        mpp_y=_micrometers(pixels, "Y"),
        unit=next(filter(None, (_unknown_unit(pixels, axis) for axis in "XY")), ""),
        objective=objectives.get(draft.objective, only),
        first_ifd=min(draft.ifds, default=None),
        n_channels=int(pixels.get("SizeC", "1")),
        n_planes=int(pixels.get("SizeZ", "1")) * int(pixels.get("SizeT", "1")),
        channel_names=tuple(channel.get("Name", "") for channel in draft.channels),
        channel_colors=tuple(_color(channel) for channel in draft.channels),
        fluorescent=any(dyes & channel.keys() for channel in draft.channels),
    )


def _number(attributes: dict[str, str], name: str) -> float | None:
    try:
        return float(attributes[name])
    except (KeyError, ValueError):
        return None


def _color(channel: dict[str, str]) -> int:
    """Red, green and blue of a channel, which the schema keeps in a signed number before the opacity."""
    value = _number(channel, "Color")
    whole = value is not None and value.is_integer() and abs(value) < 2**32
    return (int(value) & 0xFFFFFFFF) >> 8 if value is not None and whole else -1


def _unit(pixels: dict[str, str], axis: str) -> str:
    return pixels.get(f"PhysicalSize{axis}Unit", "").strip().lower()


def _unknown_unit(pixels: dict[str, str], axis: str) -> str:
    stated, unit = f"PhysicalSize{axis}" in pixels, _unit(pixels, axis)
    return unit if stated and unit not in _NO_LENGTHS | _MICROMETERS.keys() else ""


def _micrometers(pixels: dict[str, str], axis: str) -> float | None:
    value = _number(pixels, f"PhysicalSize{axis}")
    factor = _MICROMETERS.get(_unit(pixels, axis))
    return None if value is None or factor is None else value * factor
