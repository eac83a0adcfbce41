"""Pictures as bytes, without metadata."""

import io

from PIL import Image

from jecur.arrays import RGB

__all__ = ["jpeg_bytes", "png_bytes"]


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
