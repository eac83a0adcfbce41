"""Settings of where a run keeps its files: they change no number of a result."""

from jecur.settings.base import Stage

__all__ = ["RunSettings"]


class RunSettings(Stage, frozen=True):
    """What a run keeps, and where prepared slides are kept for other studies."""

    cache: str = ""
    """Folder in which prepared slides are shared between studies, relative to the study file; empty shares
    none. A slide is found again by the content of its file, its scale, and all settings of preparation."""
    keep_tiles: bool = False
    """Keep the tiles of validation patients as well, 0.2 MB each. Else their slides are scored as their
    tiles pass by; the scores are the same. With a cache all tiles are kept."""
