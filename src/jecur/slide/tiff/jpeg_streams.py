"""JPEG streams inside TIFF: what they hold, and whether the TIFF's tags say the same.

A TIFF says in a tag whether its JPEG streams hold Y, Cb, Cr or R, G, B; the stream's own markers
may say otherwise. OpenSlide and libtiff follow the tag, browsers the markers.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import simplejpeg

from jecur.arrays import RGB

__all__ = ["JpegHeader", "decode_jpeg", "joined", "jpeg_header"]

Model = Literal["rgb", "ycbcr", "silent"]

SOI = b"\xff\xd8"
_NOT_YCBCR = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe's marker: the three components are R, G, B as they are. TIFF says so in a tag of its own."""
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_START_OF_SCAN = 0xDA
_STANDALONE = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a stream's markers tell, up to its first scan.

    Parameters
    ----------
    frame
        Kind of frame: 0xC0 baseline, 0xC2 progressive and so on; 0 if there is none.
    size
        (width, height).
    components
        (identifier, sampling) of each component; sampling is horizontal x 16 + vertical.
    jfif
        Whether it has a JFIF marker, which means Y, Cb, Cr.
    adobe
        Transform of Adobe's marker: 0 none, 1 YCbCr, 2 YCCK; -1 without the marker.
    """

    frame: int
    size: tuple[int, int]
    components: tuple[tuple[int, int], ...]
    jfif: bool
    adobe: int

    @property
    def model(self) -> Model:
        """What the markers say of the colors; "silent" if only the TIFF's tag can tell.

        No writer subsamples red and blue, so unequal sampling means Y, Cb, Cr.
        """
        if self.adobe == 0 or [name for name, _ in self.components] == [*b"RGB"]:
            return "rgb"
        if self.jfif or self.adobe == 1 or len({rate for _, rate in self.components}) > 1:
            return "ycbcr"
        return "silent"


def jpeg_header(data: bytes) -> JpegHeader:
    """Read the markers before the first scan.

    Raises
    ------
    ValueError
        If the stream does not begin as JPEG or ends early.
    """
    if not data.startswith(SOI):
        raise ValueError("no JPEG stream")
    components: tuple[tuple[int, int], ...] = ()
    frame, size, jfif, adobe, at = 0, (0, 0), False, -1, 2
    try:
        while True:
            if data[at] != 0xFF:
                raise ValueError("a JPEG marker is missing")
            marker = data[at + 1]
            if marker == 0xFF:
                at += 1
                continue
            if marker in _STANDALONE:
                at += 2
                continue
            if marker == _START_OF_SCAN:
                return JpegHeader(frame, size, components, jfif, adobe)
            (length,) = struct.unpack_from(">H", data, at + 2)
            body = data[at + 4 : at + 2 + length]
            if marker in _FRAMES:
                frame, size, components = marker, *_frame(body)
            jfif = jfif or (marker == 0xE0 and body.startswith(b"JFIF"))
            if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
                adobe = body[11]
            at += 2 + length
    except (IndexError, struct.error) as error:
        raise ValueError("a JPEG stream ends in its header") from error


def joined(data: bytes, tables: bytes | None, *, rgb: bool) -> bytes:
    """Put a TIFF's abbreviated stream, its shared tables and its color model into one stream."""
    return SOI + (_NOT_YCBCR if rgb else b"") + (tables or b"")[2:-2] + data[2:]


def decode_jpeg(stream: bytes) -> RGB:
    """Decode to (h, w, 3) uint8; any complaint of the decoder is an error (ValueError)."""
    pixels: RGB = simplejpeg.decode_jpeg(stream, colorspace="RGB", strict=True)
    return pixels


def _frame(body: bytes) -> tuple[tuple[int, int], tuple[tuple[int, int], ...]]:
    height, width, n = struct.unpack_from(">xHHB", body)
    return (width, height), tuple((body[6 + 3 * k], body[7 + 3 * k]) for k in range(n))
