"""Settings of the nuclei channel."""

from typing import Annotated

from msgspec import Meta

from jecur.settings.base import Stage

__all__ = ["NucleiSettings"]


class NucleiSettings(Stage, frozen=True):
    """The fourth channel."""

    model: str = "builtin"
    """"builtin", or the path of an ONNX file that keeps the same contract."""
    batch_size: Annotated[int, Meta(ge=1, le=4096)] = 16
    """Tiles a call."""
