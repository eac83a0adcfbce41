"""Settings of where a run keeps its files: they change no number of a result."""

from jecur.settings.base import Stage

__all__ = ["RunSettings"]


class RunSettings(Stage, frozen=True):
    """Where prepared slides are kept for other studies."""

    cache: str = ""
    """Folder in which prepared slides are shared between studies, relative to the study file; empty shares
    none. A slide is found again by the content of its file, its scale, and all settings of preparation."""
