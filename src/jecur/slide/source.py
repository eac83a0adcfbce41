"""What every reader gives: pixels of one level inside the slide's readable bounds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size

__all__ = [
    "AroundSource",
    "MppSource",
    "Note",
    "Scale",
    "Source",
    "channels_to_rgb",
    "damaged",
    "one_line",
    "several_scans",
]

MppSource = Literal["file", "objective", "override", "resolution-tag"]
"""Where a slide's micrometers per pixel come from, best first: the user or the scanner."""

Note = tuple[str, str]
"""A flag of the slide and one phrase on it, for example ("focal-planes", "plane 2 of 3 is read")."""

_LONGEST_REASON = 160
_SCANS_SHOWN = 6
_UNSUPPORTED = re.compile(
    r"not supported|unsupported|not implemented|cannot decode|does not support|not say|"
    r"Attribute \w+ value|in concatenation|unexpected image",
    re.IGNORECASE,
)
"""How libraries say that they do not support a sound file."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the file says about its own scale, not yet checked.

    Parameters
    ----------
    mpp_x, mpp_y
        Micrometers per level-0 pixel, or None where the file is silent.
    source
        "file" for a scanner's own field, "resolution-tag" for TIFF resolution tags.
    objective
        Nominal magnification, for example 20 or 40, or None.
    tag_mpp
        Micrometers per pixel by the resolution tags, where they stand beside another source.
    """

    mpp_x: float | None = None
    mpp_y: float | None = None
    source: MppSource = "file"
    objective: float | None = None
    tag_mpp: float | None = None


class Source(Protocol):
    """A pyramid behind one library.

    Level coordinates are pixels of that level, from the upper left corner of the readable
    bounds: a scanner's empty canvas is never seen from here.
    """

    @property
    def reader(self) -> str:
        """Library that decodes: "openslide", "tifffile" or "pillow"."""

    @property
    def icc_profile(self) -> bool:
        """Whether the file embeds a color profile; it is not applied (docs/slides.md)."""

    @property
    def vendor(self) -> str:
        """Scanner family or file kind, for example "aperio", "ome-tiff"."""

    @property
    def levels(self) -> tuple[Size, ...]:
        """Size of the readable bounds on each level, largest first."""

    @property
    def downsamples(self) -> tuple[float, ...]:
        """Level-0 pixels per pixel of each level; the first is 1."""

    @property
    def scale(self) -> Scale:
        """What the file says of its scale."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the reader reports about the slide, as flags with a phrase each."""

    @property
    def canvas_offset(self) -> tuple[float, float]:
        """Where the readable bounds begin on the scanner's canvas, level-0 pixels (x, y)."""

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle that lies inside the level, (height, width, 3) uint8.

        Raises
        ------
        SlideError
            With code "unreadable" when the pixels cannot be decoded. The source is then dead
            until `reopen`.
        """

    def reopen(self) -> None:
        """Open the file again after a failed read."""

    def close(self) -> None:
        """Let go of the file; safe to call twice."""


class AroundSource:
    """A source around another: all of it as it is, but for what a subclass does otherwise.

    Parameters
    ----------
    source
        Open source; closed with this one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.reader = source.reader
        self.vendor = source.vendor
        self.icc_profile = source.icc_profile
        self.levels: tuple[Size, ...] = source.levels
        self.downsamples: tuple[float, ...] = source.downsamples
        self.scale = source.scale
        self.canvas_offset = source.canvas_offset
        self.notes: tuple[Note, ...] = source.notes

    def read(self, level: int, left: int, top: int, width: int, height: int) -> RGB:
        """Read a rectangle of a level, (height, width, 3) uint8."""
        return self._source.read(level, left, top, width, height)

    def reopen(self) -> None:
        """Open the file again."""
        self._source.reopen()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._source.close()


def channels_to_rgb(pixels: NDArray[np.uint8]) -> RGB:
    """Drop alpha from (h, w, 3 or 4) uint8, laying what is transparent on white."""
    if pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    alpha = pixels[:, :, 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[:, :, :3])
    weight = alpha.astype(np.float32) / 255.0
    laid: NDArray[np.float32] = pixels[:, :, :3].astype(np.float32) * weight + 255.0 * (
        1.0 - weight
    )
    return np.rint(laid).astype(np.uint8)


def one_line(error: BaseException, path: Path) -> str:
    """Quote a library on one line, with the folders of ``path`` taken out."""
    text = " ".join(str(error).split()) or type(error).__name__
    for folder in {str(path.parent), str(path.absolute().parent)} - {".", ""}:
        text = text.replace(f"{folder}/", "")
    return text[:_LONGEST_REASON]


def damaged(path: Path, error: BaseException) -> SlideError:
    """Error for pixels or metadata that a library could not decode.

    Damage is only said of files that can be damaged: what a library does not support is called unsupported.
    """
    quoted = one_line(error, path)
    if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(quoted):
        return SlideError(
            f"{path.name}: expected a kind of file that can be decoded, found: {quoted}; "
            "convert it to a tiled TIFF with JPEG, JPEG 2000 or Deflate compression",
            code="unreadable",
        )
    return SlideError(
        f"{path.name}: expected a readable slide, found damage ({quoted}); "
        "copy the file again from the scanner or archive",
        code="unreadable",
    )


def several_scans(name: str, scans: Sequence[str]) -> SlideError:
    """Error for a file or folder that holds more than one scan: each may be another patient's.

    Parameters
    ----------
    name
        Of the file or folder.
    scans
        What to call each scan.
    """
    shown = ", ".join(scans[:_SCANS_SHOWN]) + (" ..." if len(scans) > _SCANS_SHOWN else "")
    return SlideError(
        f"{name}: expected one scan, found {len(scans)} ({shown}); "
        "export each as a file or folder of its own",
        code="several-scans",
    )
