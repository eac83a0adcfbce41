"""Tiles through an encoder: batches, on the device in use, in half precision where it helps."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jecur.arrays import FeatureArray
from jecur.encoders.load import LoadedEncoder
from jecur.errors import TrainingError
from jecur.training.device import training_device

__all__ = ["Precision", "TileDescriber"]

Precision = Literal["auto", "float32", "half"]


class TileDescriber:
    """Describes tiles by an encoder.

    Parameters
    ----------
    encoder
        Loaded.
    batch_size
        Tiles at a time.
    precision
        "half" computes in bfloat16 (float16 on cards without it); "auto" does on a card, and not on the
        CPU. Features are float32 whatever it is.
    """

    def __init__(
        self, encoder: LoadedEncoder, *, batch_size: int = 32, precision: Precision = "auto"
    ) -> None:
        self.encoder = encoder
        self.batch_size = batch_size
        self.device = training_device()
        self.half = precision == "half" or (precision == "auto" and self.device.type == "cuda")
        self._network = encoder.network.to(self.device).eval().requires_grad_(requires_grad=False)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(encoder.mean, device=self.device).view(shape) * 255.0
        self._std = torch.tensor(encoder.std, device=self.device).view(shape) * 255.0

    @property
    def computed_in(self) -> str:
        """Number format of the network."""
        return str(self._half_type).removeprefix("torch.") if self.half else "float32"

    def describe(self, tiles: NDArray[np.uint8]) -> Iterator[FeatureArray]:
        """Describe (n, px, px, 3) tiles, perhaps on disk: (b, d) float32 a batch, in order.

        Raises
        ------
        TrainingError
            If the encoder does not give one finite vector a tile.
        """
        for start in range(0, len(tiles), self.batch_size):
            yield self._batch(np.array(tiles[start : start + self.batch_size]))

    @torch.inference_mode()
    def _batch(self, tiles: NDArray[np.uint8]) -> FeatureArray:
        pixels = torch.from_numpy(tiles).to(self.device).permute(0, 3, 1, 2).float()
        with self._in_half():
            found = self._network((pixels - self._mean) / self._std)
        vectors = self._pooled(found).float().cpu().numpy()
        if vectors.shape[0] != len(tiles) or vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise TrainingError(
                f"{self.encoder.name}: expected one finite vector a tile, found shape {vectors.shape} or "
                "numbers that are not finite; its weights are damaged, or half precision runs over: try "
                "--precision float32"
            )
        return vectors

    def _pooled(self, found: Tensor) -> Tensor:
        """One vector a tile: the network's own, or class token and mean patch token joined."""
        if not isinstance(found, Tensor) or found.ndim not in (2, 3):
            raise TrainingError(
                f"{self.encoder.name}: expected vectors or tokens of tiles, found "
                f"{getattr(found, 'shape', type(found).__name__)}; this encoder is not known how to read"
            )
        if found.ndim == 2:
            return found
        if getattr(self._network, "cls_token", None) is None:
            raise TrainingError(
                f"{self.encoder.name}: expected a class token among {found.shape[1]} tokens of a tile, found "
                "none; name a pooling in config.json (model_args: global_pool)"
            )
        first = self.encoder.patch_tokens_from
        if not first:
            return found[:, 0]
        return torch.cat([found[:, 0], found[:, first:].mean(1)], dim=-1)

    @property
    def _half_type(self) -> torch.dtype:
        on_card = self.device.type == "cuda"
        return torch.float16 if on_card and not torch.cuda.is_bf16_supported() else torch.bfloat16

    def _in_half(self) -> AbstractContextManager[object]:
        if not self.half:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._half_type)
