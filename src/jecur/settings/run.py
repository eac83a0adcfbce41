"""Settings of where a run keeps its files: they change no number of a result."""

from typing import Literal

from jecur.settings.base import Stage

__all__ = ["BagForm", "BagSettings", "RunSettings"]

BagForm = Literal["raw", "jxl"]


class BagSettings(Stage, frozen=True):
    """How the tiles of slides are kept on disk, where they are kept: those an encoder learns from."""

    format: Literal["auto", "raw", "jxl"] = "auto"
    """Raw, 0.2 MB a tile, or JPEG XL without loss, about half of that and read at some 400 tiles/s a core.
    "auto" takes raw where twice the room that they should need is free. What lies there stays as it is."""


class RunSettings(Stage, frozen=True):
    """What a run keeps, and where prepared slides are kept for other studies."""

    cache: str = ""
    """Folder in which prepared slides are shared between studies, relative to the study file; empty shares
    none. A slide is found again by the content of its file, its scale, and all settings of preparation."""
    keep_tiles: bool = False
    """Keep the tiles of validation patients as well, 0.2 MB each. Else their slides are scored as their
    tiles pass by; the scores are the same. With a cache all tiles are kept."""
