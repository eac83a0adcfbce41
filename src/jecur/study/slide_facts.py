"""One slide as a row of a table, whoever looked at it and however far that went."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from jecur.errors import SlideError
from jecur.slide.files import require_slide_file
from jecur.slide.formats import open_source

__all__ = ["SlideFacts", "Status", "unopened"]

Status = Literal["ok", "flagged", "failed"]


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """One slide as a row of a table: what the file is, and what is said of it.

    Parameters
    ----------
    status, code, reason, flags
        The verdict; ``code`` is the gravest finding, "" if there is none.
    reader, vendor
        Library that decodes, scanner family; "" if nothing could be opened.
    width, height, levels
        Level-0 pixels (of the core, where one was taken), and the number of levels; 0 if unknown.
    mpp, mpp_source
        Micrometers per pixel, and where they come from; None and "" if unknown.
    icc_profile
        Whether the file embeds a color profile; it is not applied.
    tissue_mm2
        Area of tissue, square millimeters; None if none was found.
    n_tiles, n_tiles_left_out
        Tiles to score, and tiles over tissue that are not.
    origin
        Upper left corner in the file, level-0 pixels (x, y).
    """

    status: Status = "failed"
    code: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    reader: str = ""
    vendor: str = ""
    width: int = 0
    height: int = 0
    levels: int = 0
    mpp: float | None = None
    mpp_source: str = ""
    icc_profile: bool = False
    tissue_mm2: float | None = None
    n_tiles: int = 0
    n_tiles_left_out: int = 0
    origin: tuple[float, float] = (0.0, 0.0)

    def failed(self, error: SlideError) -> "SlideFacts":
        """Say the same of a slide that went wrong after all; there is nothing to score then."""
        return replace(self, status="failed", code=error.code, reason=error.message, n_tiles=0)


def unopened(path: Path, error: SlideError) -> SlideFacts:
    """Say what can be said of a file that was refused, also if it is its scale that is not believed."""
    facts = SlideFacts().failed(error)
    with suppress(SlideError):
        source = open_source(require_slide_file(path))
        try:
            return replace(
                facts,
                reader=source.reader,
                vendor=source.vendor,
                width=source.levels[0].width,
                height=source.levels[0].height,
                levels=len(source.levels),
            )
        finally:
            source.close()
    return facts
