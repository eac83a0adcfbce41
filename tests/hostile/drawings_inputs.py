"""Drawings that nobody should draw, by name; a large one is a function of nothing."""

import json

import numpy as np

SQUARE = [[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]]


def feature(coordinates, kind="Polygon", **properties):
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def geojson(*rings, **properties):
    return json.dumps([feature([ring], **properties) for ring in rings]).encode()


def _point(x, y="0"):
    """A square one of whose points is written so."""
    square = json.dumps(SQUARE[1:-1])[1:-1]
    text = f'[{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":[[[{x},{y}],{square}]]}}}}]'
    return text.encode()


def asap(*points, attributes='Type="Polygon"'):
    corners = "".join(
        f'<Coordinate Order="{k}" X="{x}" Y="{y}"/>' for k, (x, y) in enumerate(points)
    )
    return (
        f'<ASAP_Annotations><Annotations><Annotation PartOfGroup="t" {attributes}><Coordinates>'
        f"{corners}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    ).encode()


_LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

DRAWINGS = {
    "arrays nested 200,000 deep": b"[" * 200_000,
    "arrays nested 200,000 deep and closed": b"[" * 200_000 + b"]" * 200_000,
    "objects nested 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "collections nested 5,000 deep": b'[{"type":"Feature","geometry":'
    + b'{"type":"GeometryCollection","geometries":[' * 5000 + b"]}" * 5000 + b"}]",
    "coordinates nested 50,000 deep": b'[{"type":"Feature","geometry":{"type":"Polygon","coordinates":'
    + b"[" * 50_000 + b"]" * 50_000 + b"}}]",
    "five million arrays": lambda: b"[" + b"[]," * 5_000_000 + b"[]]",
    "one million objects": lambda: b"[" + b"{}," * 1_000_000 + b"{}]",
    "thirteen million numbers": lambda: b"[" + b"1," * 13_000_000 + b"1]",
    "65 MiB": lambda: b"[" + b" " * 65 * 2**20 + b"]",
    "NaN": _point("NaN"),
    "Infinity": _point("Infinity"),
    "minus infinity": _point("-Infinity"),
    "1e999": _point("1e999"),
    "1e308": _point("1e308"),
    "an integer of 5,000 digits": _point("9" * 5000),
    "an integer of 20 digits": _point("9" * 20),
    "a text as coordinate": _point('"12"'),
    "a truth as coordinate": _point("true"),
    "nothing as coordinate": _point("null"),
    "an array as coordinate": _point("[1]"),
    "an object as coordinate": _point("{}"),
    "texts as points": geojson(["12", "34", "56", "78"]),
    "numbers as points": geojson([1, 2, 3, 4, 5, 6]),
    "points of one coordinate": geojson([[1], [2], [3], [4], [5], [6]]),
    "a ring of two points": geojson(SQUARE[:2]),
    "a number as ring": geojson(7),
    "a text as coordinates": json.dumps([feature("everywhere")]).encode(),
    "an object as geometry": json.dumps([{"type": "Feature", "geometry": []}]).encode(),
    "an unknown geometry": json.dumps([feature([SQUARE], "Circle")]).encode(),
    "a number as type": json.dumps([feature([SQUARE], 7)]).encode(),
    "a number as class": json.dumps([{"type": "Feature", "properties": 7, "geometry": {
        "type": "Polygon", "coordinates": [SQUARE]}}]).encode(),
    "no feature": json.dumps({"a": 1}).encode(),
    "a number": b"7",
    "a text": b'"regions"',
    "a key in a broken string": b'{"type":"Feature","geometry":{"type":"\xff"}}',
    "half a file": geojson(SQUARE)[:-20],
    "nothing": b"",
    "NUL bytes": b"\x00" * 1000,
    "UTF-16": json.dumps([feature([SQUARE])]).encode("utf-16"),
    "entities that unfold": (_LAUGHS + "]><ASAP_Annotations>&i;</ASAP_Annotations>").encode(),
    "an entity of another file": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    b"<ASAP_Annotations>&e;</ASAP_Annotations>",
    "a document type of another file": b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><ASAP_Annotations/>',
    "an entity in a parameter": b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><Annotations/>',
    "elements nested 100,000 deep": b"<ASAP_Annotations>" + b"<a>" * 100_000,
    "two million elements": lambda: b"<ASAP_Annotations>" + b"<a/>" * 2_000_000 + b"</ASAP_Annotations>",
    "XML of something else": b"<svg></svg>",
    "an open element": b"<ASAP_Annotations><Annotations>",
    "NaN in XML": asap((0, 0), ("nan", 1), (1, 1)),
    "infinity in XML": asap((0, 0), ("inf", 1), (1, 1)),
    "1e308 in XML": asap((0, 0), ("1e308", 1), (1, 1)),
    "a word in XML": asap((0, 0), ("far", 1), (1, 1)),
    "an order of 5,000 digits": asap((0, 0), (1, 1), (1, 0)).replace(b'"2"', b'"' + b"9" * 5000 + b'"'),
    "an order that is a word": asap((0, 0), (1, 1), (1, 0)).replace(b'"2"', b'"last"'),
}  # fmt: skip


def zigzag(n, height):
    """A ring that crosses the whole mask with each of its n edges."""
    x = np.linspace(0, 1000, n)
    y = np.where(np.arange(n) % 2 == 0, 0.0, height)
    return np.stack([x, y], axis=1)


def circle(n, radius=500.0, center=600.0):
    """A ring of n points around a circle."""
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([center + radius * np.cos(turn), center + radius * np.sin(turn)], axis=1)
