"""Pictures as bytes, without metadata."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from jecur.arrays import RGB

__all__ = ["jpeg_bytes", "jpeg_of_file", "png_bytes"]


def png_bytes(image: RGB) -> bytes:
    """Encode an image as PNG, without metadata; fast rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def jpeg_bytes(image: RGB) -> bytes:
    """Encode a picture for people to look at."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def jpeg_of_file(path: Path) -> bytes:
    """Encode a picture of a run anew: small enough for a report to be mailed."""
    with Image.open(path) as picture:
        return jpeg_bytes(np.asarray(picture.convert("RGB")))
