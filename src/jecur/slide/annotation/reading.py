"""Read drawn regions as polygons with a class; coordinates are level-0 pixels.

Points, lines and rulers have no area and are left out. XML with a document type or entities is
refused, and so is any file above 64 MiB: nothing in it is expanded or fetched.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import msgspec
import numpy as np
from numpy.typing import NDArray

from jecur.errors import AnnotationError

__all__ = ["Region", "class_name", "read_regions"]

_MOST_BYTES = 64 * 2**20
_DEEPEST = 32
_MOST_OF = {b"[": 2_500_000, b"{": 500_000, b'"': 6_000_000, b",": 12_000_000, b"<": 1_500_000}
"""Marks of JSON and XML: each may become an object in memory, a hundred times its size."""
_NO_AREA = {"Point", "MultiPoint", "LineString", "MultiLineString"}
_ASAP_AREAS = {"Polygon", "Spline", "Rectangle"}
_ASAP_NO_AREA = {"Dot", "PointSet", "Measurement", "None"}
_APERIO_FREEHAND, _APERIO_RECTANGLE, _APERIO_ELLIPSE = "0", "1", "2"

Ring = NDArray[np.float64]
"""(n, 2) x, y."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One polygon.

    Parameters
    ----------
    name
        Class; "" if it has none.
    rings
        Outer ring and holes; a point is inside if it lies in the first and in none of the others.
    negative
        Taken out of the regions of the same class (Aperio's negative region).
    on_canvas
        Drawn on the scanner's whole canvas (ASAP), of which what was scanned is a part; else on what
        was scanned (QuPath crops to the bounds).
    """

    name: str
    rings: tuple[Ring, ...]
    negative: bool = False
    on_canvas: bool = False
    within: tuple[str, ...] = ()
    """Groups that its class lies in (ASAP), classes it is derived from (QuPath): it is of these too."""
    titles: tuple[str, ...] = ()
    """What a region without a class is called in other fields of the file."""
    mpp: float | None = None
    """Micrometers per pixel of the slide that it was drawn on, where the file tells."""

    def __post_init__(self) -> None:
        if not self.rings:
            raise ValueError("a region without a ring")


def class_name(text: str) -> str:
    """Spell a class in one way: no blanks at its ends, letters with marks in one character (NFC)."""
    return unicodedata.normalize("NFC", text.strip())


def read_regions(path: Path) -> tuple[Region, ...]:
    """Read a file of drawn regions.

    Parameters
    ----------
    path
        QuPath GeoJSON (a feature, a collection or a list), ASAP XML or Aperio ImageScope XML, told
        by content.

    Raises
    ------
    AnnotationError
        "missing-annotation" if it cannot be read, "bad-annotation" if it is none of these or a
        coordinate is no number, "unsafe-annotation" for document types, "large-annotation".
    """
    try:
        if not path.is_file():
            raise FileNotFoundError
        if path.stat().st_size > _MOST_BYTES:
            raise AnnotationError(
                f"{path.name}: expected drawn regions below {_MOST_BYTES >> 20} MiB, found more; "
                "export the regions without the cells",
                code="large-annotation",
            )
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(
            f"{path.name}: expected a file of drawn regions, found none that can be read; correct "
            "the name or the permissions",
            code="missing-annotation",
        ) from error
    try:
        _refuse_crowds(data)
        if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
            return tuple(_from_xml(data))
        return tuple(_from_geojson(msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))))
    except AnnotationError as error:
        raise error.within(path.name) from error
    except (
        msgspec.DecodeError, expat.ExpatError, RecursionError, KeyError, TypeError, ValueError,
        AttributeError, IndexError,
    ) as error:  # fmt: skip
        raise AnnotationError(
            f"{path.name}: expected QuPath GeoJSON, ASAP XML or Aperio XML, found {error}; export "
            "the regions again"
        ) from error


def _refuse_crowds(data: bytes) -> None:
    for mark, most in _MOST_OF.items():
        if (n := data.count(mark)) > most:
            raise _crowded(f"{n} times {mark.decode()!r}")


def _crowded(found: str) -> AnnotationError:
    return AnnotationError(
        f"expected regions drawn by a person, found {found}; export the regions without the cells",
        code="large-annotation",
    )


def _ring(points: Any) -> Ring:  # noqa: ANN401 - any JSON
    places = msgspec.convert(points, list[list[float]])  # no text, no truth is a number
    if any(len(place) < 2 for place in places):
        raise ValueError("a point without two coordinates")
    ring = np.array([place[:2] for place in places], dtype=np.float64).reshape(-1, 2)
    if len(ring) < 3:
        raise ValueError(f"a ring of {len(ring)} points")
    if not np.isfinite(ring).all() or np.abs(ring).max() > 1e9:
        raise ValueError("a coordinate that is no place on a slide")
    return ring


def _from_geojson(found: Any) -> Iterator[Region]:  # noqa: ANN401
    features = found
    if isinstance(found, dict):
        features = found["features"] if found.get("type") == "FeatureCollection" else [found]
    for feature in features:
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise ValueError("JSON that is not made of GeoJSON features")
        properties = feature.get("properties") or {}
        geometry = feature.get("geometry")
        if geometry is None:
            continue
        name = class_name(_classification(properties))
        titles = () if name else _titles(properties)
        for rings in _rings(geometry):
            yield Region(name, rings, within=_derived_from(name), titles=titles)


def _classification(properties: dict[str, Any]) -> str:
    given = properties.get("classification")
    if isinstance(given, str):
        return given
    if isinstance(given, dict):
        return str(given.get("name") or ": ".join(given.get("names") or ()))
    return ""


def _titles(properties: dict[str, Any]) -> tuple[str, ...]:
    """Texts beside the class: a name given by hand, or the class as another program writes it."""
    return tuple(class_name(value) for value in properties.values() if isinstance(value, str))


def _derived_from(name: str) -> tuple[str, ...]:
    """Classes that QuPath derives a class from: "Tumor: Immune" is a "Tumor"."""
    parts = name.split(": ")
    return tuple(": ".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))


def _rings(geometry: dict[str, Any]) -> Iterator[tuple[Ring, ...]]:
    kind = geometry["type"]
    if kind in _NO_AREA:
        return
    if kind == "GeometryCollection":
        for part in geometry["geometries"] or ():
            if part is not None:
                yield from _rings(part)
    elif kind in {"Polygon", "MultiPolygon"}:
        coordinates = geometry["coordinates"]
        for rings in [coordinates] if kind == "Polygon" else coordinates or ():
            # Empty coordinates are no error (RFC 7946, 3.1): there is nothing there.
            if rings and rings[0]:
                yield tuple(_ring(ring) for ring in rings if ring)
    else:
        raise ValueError(f"a geometry of type {kind!r}")


def _from_xml(data: bytes) -> Iterator[Region]:
    root = _parsed(data)
    if root.tag == "ASAP_Annotations":
        yield from _from_asap(root)
    elif root.tag == "Annotations":
        yield from _from_aperio(root)
    else:
        raise ValueError(f"XML of <{root.tag}>")


def _parsed(data: bytes) -> Element:
    """Parse XML that defines nothing: no document type, no entity, no deep nesting."""
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise AnnotationError(
                f"expected at most {_DEEPEST} nested elements, found more; export the regions again"
            )
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise AnnotationError(
            "expected plain XML, found a document type or an entity; export the regions again",
            code="unsafe-annotation",
        )

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.Parse(data, True)
    return builder.close()


def _from_asap(root: Element) -> Iterator[Region]:
    groups = {class_name(group.get("Name", "")): _asap_group(group) for group in root.iter("Group")}
    for annotation in root.iter("Annotation"):
        kind = annotation.get("Type")
        if kind in _ASAP_NO_AREA:
            continue
        if kind not in _ASAP_AREAS:
            raise ValueError(f"an annotation of type {kind!r}")
        corners = sorted(annotation.iter("Coordinate"), key=lambda c: int(c.attrib["Order"]))
        if not corners:
            continue
        ring = _ring([(float(c.attrib["X"]), float(c.attrib["Y"])) for c in corners])
        name = _asap_group(annotation)
        titles = () if name else (class_name(annotation.get("Name", "")),)
        above = _groups_above(name, groups)
        yield Region(name, (ring,), on_canvas=True, within=above, titles=titles)


def _asap_group(element: Element) -> str:
    """Group that an annotation, or a group, is part of; "" if none."""
    group = class_name(element.get("PartOfGroup", ""))
    return "" if group == "None" else group


def _groups_above(name: str, groups: Mapping[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    while (name := groups.get(name, "")) and name not in found:
        found.append(name)
    return tuple(found)


def _from_aperio(root: Element) -> Iterator[Region]:
    mpp = _positive(root.get("MicronsPerPixel", ""))
    for layer in root.iter("Annotation"):
        label = layer.find("Attributes/Attribute")
        inner = "" if label is None else label.get("Name", "")
        if (
            label is not None and inner == "Description"
        ):  # a layer that nobody named has this attribute
            inner = label.get("Value", "")
        name = class_name(layer.get("Name", "")) or class_name(inner)
        for region in layer.iter("Region"):
            kind = region.get("Type", _APERIO_FREEHAND)
            if kind not in {_APERIO_FREEHAND, _APERIO_RECTANGLE, _APERIO_ELLIPSE}:
                continue
            points = [(float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iter("Vertex")]
            if not points:
                continue
            if kind == _APERIO_ELLIPSE or len(points) == 2:
                points = _in_box(points, ellipse=kind == _APERIO_ELLIPSE)
            negative = region.get("NegativeROA", "0") == "1"
            titles = () if name else (class_name(region.get("Text", "")),)
            yield Region(name, (_ring(points),), negative, titles=titles, mpp=mpp)


def _positive(text: str) -> float | None:
    """Read a number above 0; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 < value < np.inf else None


def _in_box(points: list[tuple[float, float]], *, ellipse: bool) -> list[tuple[float, float]]:
    """Ellipse or rectangle whose box the points span."""
    if len(points) < 2:
        raise ValueError("an ellipse without a box")
    (x0, y0), (x1, y1) = np.min(points, axis=0).tolist(), np.max(points, axis=0).tolist()
    if not ellipse:
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x = (x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(turn)
    y = (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(turn)
    return list(zip(x.tolist(), y.tolist(), strict=True))
