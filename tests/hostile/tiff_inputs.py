"""TIFF directories that no scanner writes, by name: each writes a file at a path."""

import struct

import numpy as np

WIDTH, HEIGHT, TILE = 700, 600, 256
APERIO = b"Aperio Image Library v11\n700x600 |AppMag = 40|MPP = 0.25\0"
_N, _BYTES = 9, TILE * TILE * 3
_FORMS = {2: "B", 3: "H", 4: "I"}


def _directory(start, entries, following):
    """Bytes of one directory, its long values behind it."""
    head = 2 + 12 * len(entries) + 4
    body, behind = struct.pack("<H", len(entries)), b""
    for tag, (kind, values) in sorted(entries.items()):
        data = struct.pack(f"<{len(values)}{_FORMS[kind]}", *values)
        place = data.ljust(4, b"\0")
        if len(data) > 4:
            place = struct.pack("<I", start + head + len(behind))
            behind += data + b"\0" * (len(data) % 2)
        body += struct.pack("<HHI", tag, kind, len(values)) + place
    return body + struct.pack("<I", following) + behind


def tiff(path, *changes, loop=False, aperio=False):
    """Write pages of plain tiles with some tags changed; with ``loop`` the last leads to the first."""
    pixels = np.full(_BYTES, 200, np.uint8).tobytes() * _N
    first = 8 + len(pixels)
    plain = {
        256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [8] * 3), 259: (3, [1]), 262: (3, [2]),
        277: (3, [3]), 284: (3, [1]), 322: (4, [TILE]), 323: (4, [TILE]),
        324: (4, [8 + k * _BYTES for k in range(_N)]), 325: (4, [_BYTES] * _N),
    }  # fmt: skip
    if aperio:
        plain[270] = (2, APERIO)
    written, start = b"", first
    for number, change in enumerate(changes):
        entries = {tag: value for tag, value in (plain | change).items() if value is not None}
        length = len(_directory(start, entries, 0))
        last = number == len(changes) - 1
        following = (first if loop else 0) if last else start + length
        written += _directory(start, entries, following)
        start += length
    path.write_bytes(b"II*\0" + struct.pack("<I", first) + pixels + written)


_NO_TILES = dict.fromkeys((322, 323, 324, 325))
_TO_ITSELF = [8 + _BYTES * _N]
BROKEN = {
    "fewer tiles than the grid": ({324: (4, [8] * 4), 325: (4, [_BYTES] * 4)},),
    "one tile too few": ({324: (4, [8] * 8), 325: (4, [_BYTES] * 8)},),
    "a level of fewer tiles": (
        {},
        {254: (4, [1]), 256: (4, [350]), 257: (4, [300]), 324: (4, [8]), 325: (4, [_BYTES])},
    ),
    "a tile of an exabyte": ({322: (4, [2**30]), 323: (4, [2**30])},),
    "a tile of a gigabyte": ({322: (4, [2**14]), 323: (4, [2**15])},),
    "a level with such a tile": (
        {},
        {254: (4, [1]), 256: (4, [350]), 257: (4, [300]), 322: (4, [2**15]), 323: (4, [2**15])},
    ),
    "100,000 directories below the first": ({330: (4, _TO_ITSELF * 100_000)},),
    "such directories below strips": (
        _NO_TILES | {273: (4, [8]), 278: (4, [HEIGHT]), 279: (4, [WIDTH * HEIGHT * 3])}
        | {330: (4, _TO_ITSELF * 100_000)},
    ),
    "strips of no rows": (
        _NO_TILES | {273: (4, [8]), 278: (4, [0]), 279: (4, [WIDTH * HEIGHT * 3])},
    ),
    "tiles of no width": ({322: (4, [0])},),
    "no width": ({256: (4, [0])},),
}  # fmt: skip
"""Changes of each page."""
