"""Plain PNG and JPEG images, for crops and tissue-array cores whose scale the user knows."""

import warnings
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.source import Note, Scale, channels_to_rgb, damaged

__all__ = ["ImageSource", "is_plain_image"]

_MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_COLOR_MODES = ("RGB", "RGBA", "P")


class ImageSource:
    """One image held in memory; it never says its own scale.

    Parameters
    ----------
    path
        A PNG or JPEG file.

    Raises
    ------
    SlideError
        "not-a-slide" if it is no 8-bit color image, "too-large" if it would decode to more
        pixels than Pillow allows (about 179 million), "truncated" if its data end early.
    """

    reader = "pillow"
    canvas_offset = (0.0, 0.0)
    downsamples: tuple[float, ...] = (1.0,)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pixels, self.vendor, self.icc_profile = _load(path)
        height, width, _ = self._pixels.shape
        self.levels: tuple[Size, ...] = (Size(width, height),)
        self.scale = Scale()
        self.notes: tuple[Note, ...] = ()

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:  # noqa: ARG002
        """Copy a rectangle, (height, width, 3) uint8."""
        return self._pixels[top : top + height, left : left + width].copy()

    def reopen(self) -> None:
        """Do nothing: the pixels are in memory."""

    def close(self) -> None:
        """Do nothing: the file was closed once read."""


def is_plain_image(path: Path) -> bool:
    """Whether the file starts as PNG or JPEG."""
    with path.open("rb") as file:
        return file.read(8).startswith(_MAGICS)


def _load(path: Path) -> tuple[RGB, str, bool]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG"))
        with image:
            kind = (image.format or "image").lower()
            if image.mode not in _COLOR_MODES:
                raise _not_rgb(path, f"mode {image.mode}")
            if kind == "png" and _png_depth(path) == 16:  # Pillow would drop the lower byte
                raise _not_rgb(path, "16-bit samples")
            if kind != "png":
                _refuse_damaged_jpeg(path)
            profile = "icc_profile" in image.info
            upright = ImageOps.exif_transpose(image)
            transparent = upright.mode != "RGB" or "transparency" in upright.info
            colors = upright.convert("RGBA") if transparent else upright
            return channels_to_rgb(np.asarray(colors)), kind, profile
    except Image.DecompressionBombError as error:
        raise SlideError(
            f"{path.name}: expected an image of at most 179 million pixels, found more; "
            "convert it to a tiled pyramidal TIFF",
            code="too-large",
        ) from error
    except UnidentifiedImageError as error:
        raise SlideError(
            f"{path.name}: expected a PNG or JPEG image, found a damaged header; copy it again",
            code="not-a-slide",
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        fault = damaged(path, error)
        ends_early = "truncated" in str(error) or "Premature end of JPEG" in str(error)
        fault.code = "truncated" if ends_early else fault.code
        raise fault from error


def _refuse_damaged_jpeg(path: Path) -> None:
    """Refuse a JPEG that the decoder complains of: Pillow shows something in place of what is lost.

    An eighth of the size is decoded, which reads the whole stream.

    Raises
    ------
    ValueError
        With the decoder's complaint.
    """
    simplejpeg.decode_jpeg(
        path.read_bytes(), colorspace="RGB", min_height=1, min_width=1, strict=True
    )


def _not_rgb(path: Path, found: str) -> SlideError:
    return SlideError(
        f"{path.name}: expected an 8-bit RGB image, found {found}; "
        "export the bright-field image as 8-bit RGB",
        code="not-a-slide",
    )


def _png_depth(path: Path) -> int:
    """Bits of a sample, from the header (IHDR) that every PNG begins with."""
    with path.open("rb") as file:
        return file.read(25)[24]
