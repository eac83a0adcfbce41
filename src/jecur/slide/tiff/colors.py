"""Colors of a TIFF page: how its samples become red, green and blue, or why they are not taken.

Source: TIFF 6.0 (1992), sections 6, 18, 21 and 22; tags 258, 262, 284, 338, 529 to 532.
"""

from typing import Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from jecur.arrays import RGB
from jecur.slide.source import channels_to_rgb
from jecur.slide.tiff.jpeg_streams import jpeg_header
from jecur.slide.tiff.layout import Page

__all__ = [
    "BYTE_CODECS",
    "JPEG",
    "JPEG_2000",
    "ColorModel",
    "color_model",
    "palette_of",
    "stream_model",
    "to_rgb",
    "why_undecoded",
    "why_unread",
]

JPEG = 7
JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
BYTE_CODECS = frozenset({1, 5, 8, 32773, 32946, 34925, 34926, 50000})
"""None, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard (two numbers): samples as they are."""
_PICTURE_CODECS = frozenset({34927, 50001, 50002, 52546, 34887, 22610, 34933, 34934})
"""WebP, JPEG XL, LERC, JPEG XR, PNG: libraries that give back the samples that were put in."""
_WHITE, _BLACK, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_MODELS = {
    _WHITE: "gray", _BLACK: "gray", _PALETTE: "palette colors", 4: "a mask",
    _SEPARATED: "CMYK colors", 8: "CIELAB colors", 9: "ICC L*a*b* colors", 10: "ITU L*a*b* colors",
    32803: "a raw camera mosaic", 32844: "LogL pixels", 32845: "LogLuv pixels",
}  # fmt: skip
_YCBCR_YCC_J2K = 33003
_REC_601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)

ColorModel = Literal["rgb", "rgb-and-unknown", "straight", "premultiplied", "ycbcr", "palette"]


def why_unread(page: Page, *, planes: int = 1) -> str:
    """Say what keeps a page from being read as 8-bit colors; "" if nothing does.

    Parameters
    ----------
    page
        A page as tifffile gives it.
    planes
        Pages that make up one image: 3 if red, green and blue lie in pages of their own.
    """
    return _why_samples(page) or (_why_gray(page) if planes == 3 else _why_colors(page))


def why_undecoded(page: Page) -> str:
    """Name a compression that cannot be decoded here; "" if it can be."""
    number = int(page.compression)
    known = number in BYTE_CODECS | JPEG_2000 | _PICTURE_CODECS
    if number in {1, JPEG} or (known and number in tifffile.TIFF.DECOMPRESSORS):
        return ""
    name = getattr(page.compression, "name", "")
    return f"TIFF compression {number}{f' ({name})' if name else ''}, which is not supported"


def color_model(page: Page) -> ColorModel:
    """How the samples that `decoded` a segment's codec become colors; of a page that is read."""
    photometric, compression = int(page.photometric), int(page.compression)
    if photometric == _PALETTE:
        return "palette"
    if photometric == _YCBCR and compression in BYTE_CODECS | {_YCBCR_YCC_J2K}:
        return "ycbcr"
    if int(page.samplesperpixel) == 4:
        kind = int(page.extrasamples[0]) if page.extrasamples else 0
        return {1: "premultiplied", 2: "straight"}.get(kind, "rgb-and-unknown")  # type: ignore[return-value]
    return "rgb"


def to_rgb(samples: NDArray[np.uint8], model: ColorModel, palette: RGB | None) -> RGB:
    """Turn samples into colors on white.

    Parameters
    ----------
    samples
        (h, w, n) uint8 as the codec gives them.
    model
        As `color_model` says.
    palette
        (256, 3) uint8 for "palette", else None.

    Raises
    ------
    ValueError
        If a fourth sample of unknown meaning is not 255.
    """
    if model == "palette" and palette is not None:
        return np.ascontiguousarray(palette[samples[..., 0]])
    if model == "ycbcr":
        return _from_ycbcr(samples)
    if model == "premultiplied":
        missing = 255 - samples[..., 3:].astype(np.int16)
        laid: RGB = np.minimum(samples[..., :3].astype(np.int16) + missing, 255).astype(np.uint8)
        return laid
    if model == "rgb-and-unknown" and samples[..., 3].min() < 255:
        raise ValueError("a fourth sample whose meaning the file does not say (ExtraSamples 0)")
    return channels_to_rgb(samples)


def palette_of(page: Page) -> RGB | None:
    """(256, 3) uint8 colors of a palette page, None for another."""
    if int(page.photometric) != _PALETTE:
        return None
    colors: NDArray[np.uint32] = np.asarray(page.colormap, dtype=np.uint32)
    if colors.max(initial=0) > 255:
        # 8 bits were widened to 16 either by repeating the byte or by a zero byte after it
        zeros = not (colors & 255).any()
        colors = (colors >> 8 if zeros else (colors + 128) // 257).astype(np.uint32)
    return np.ascontiguousarray(colors.T.astype(np.uint8))


def stream_model(page: Page, stream: bytes) -> Literal["rgb", "ycbcr"]:
    """Color model of a JPEG stream of a page, from its markers and the page's tag.

    Markers that say Y, Cb, Cr are believed against a tag that says R, G, B: many a writer leaves
    the tag as it was. The other way round it cannot be told.

    Raises
    ------
    ValueError
        If the tag says Y, Cb, Cr and the markers R, G, B; or for streams of no three components.
    """
    header = jpeg_header(stream)
    if len(header.components) not in {0, 3}:
        raise ValueError(f"a JPEG stream of {len(header.components)} components, not 3")
    tagged: Literal["rgb", "ycbcr"] = "ycbcr" if int(page.photometric) == _YCBCR else "rgb"
    if header.model == "rgb" and tagged == "ycbcr":
        raise ValueError("JPEG streams of R, G, B under a tag that says Y, Cb, Cr: not supported")
    return "ycbcr" if header.model == "ycbcr" else tagged


def _why_samples(page: Page) -> str:
    bits = page.bitspersample
    depths = {int(bit) for bit in (bits if isinstance(bits, tuple) else (bits,))}
    if depths != {8} or page.dtype != np.uint8:
        kind = "" if page.dtype is None or page.dtype.kind == "u" else f" ({page.dtype})"
        return f"{'/'.join(str(depth) for depth in sorted(depths))}-bit samples{kind}"
    if int(page.imagedepth) != 1:
        return f"a volume {page.imagedepth} deep"
    return ""


def _why_gray(page: Page) -> str:
    return "" if int(page.samplesperpixel) == 1 and int(page.photometric) == _BLACK else "no gray"


def _why_colors(page: Page) -> str:
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    if photometric == _PALETTE and samples == 1 and page.colormap is not None:
        return "" if int(page.compression) in BYTE_CODECS else "palette colors under a lossy codec"
    if photometric not in {_RGB, _YCBCR}:
        return _MODELS.get(photometric, f"colors of an unknown kind ({photometric})")
    if samples not in ({3, 4} if photometric == _RGB else {3}):
        return f"{samples} samples in a pixel"
    if int(page.compression) == JPEG and (samples != 3 or int(page.planarconfig) != 1):
        return f"JPEG of {samples} samples, planar configuration {int(page.planarconfig)}"
    return _why_ycbcr(page) if photometric == _YCBCR else ""


def _why_ycbcr(page: Page) -> str:
    """Y, Cb, Cr outside of JPEG is read in its plain form: whole, Rec. 601, full range."""
    compression = int(page.compression)
    if compression == JPEG:
        return ""
    if compression not in BYTE_CODECS | {_YCBCR_YCC_J2K}:
        return f"YCbCr colors under compression {compression}, whose conversion is not known"
    if compression in BYTE_CODECS and tuple(page.subsampling or (2, 2)) != (1, 1):
        return "subsampled YCbCr colors outside of JPEG"
    weights = _rationals(page, "YCbCrCoefficients")
    if weights and not np.allclose(weights, _REC_601, atol=1e-3):
        return f"YCbCr colors with coefficients {weights}"
    levels = _rationals(page, "ReferenceBlackWhite")
    if levels and not np.allclose(levels, _FULL_RANGE, atol=0.5):
        return "YCbCr colors that do not use the full range"
    return ""


def _rationals(page: Page, name: str) -> tuple[float, ...]:
    tag = page.tags.get(name)
    if tag is None:
        return ()
    values = [float(value) for value in tag.value]
    return tuple(a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=True))


def _from_ycbcr(samples: NDArray[np.uint8]) -> RGB:
    """Rec. 601, full range, rounded to the nearest."""
    y, cb, cr = (samples[..., k].astype(np.float32) for k in range(3))
    cb, cr = cb - 128.0, cr - 128.0
    colors = np.stack((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb), axis=-1)
    whole: RGB = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    return whole
