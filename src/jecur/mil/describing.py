"""From tiles to features, with a frozen encoder, through ONNX Runtime."""

import numpy as np

from jecur.arrays import BagArray, FeatureArray
from jecur.mil.scoring import open_graph
from jecur.runs.device import Device

__all__ = ["FEATURES_FILE", "TileDescriber"]

FEATURES_FILE = "features.npy"
"""Tiles of a slide as a frozen encoder describes them, (n, d) float32: a bag of features."""


class TileDescriber:
    """A frozen encoder, ready to describe tiles.

    Parameters
    ----------
    onnx
        Graph: (n, h, w, c) uint8 -> (n, d) float32.
    threads
        Threads of ONNX Runtime a call; 0 lets it choose. Several threads may call at once.
    device
        Where it runs.
    """

    def __init__(self, onnx: bytes, *, threads: int = 0, device: Device = "cpu") -> None:
        self._session = open_graph(onnx, "the frozen encoder", threads=threads, device=device)
        entry = self._session.get_inputs()[0]
        self._input, self._channels = entry.name, int(entry.shape[-1])

    def describe(self, tiles: BagArray) -> FeatureArray:
        """Features of (n, h, w, 4) uint8 tiles, (n, d) float32; an RGB encoder ignores the fourth channel."""
        seen = np.ascontiguousarray(tiles[..., : self._channels])
        found: FeatureArray = np.asarray(self._session.run(None, {self._input: seen})[0])
        return found
