"""Settings of the nuclei channel."""

from jecur.settings.base import Count, Stage

__all__ = ["NucleiSettings"]


class NucleiSettings(Stage, frozen=True):
    """The fourth channel."""

    model: str = "builtin"
    """"builtin", or the path of an ONNX file that keeps the same contract."""
    batch_size: Count = 16
    """Tiles a call."""
