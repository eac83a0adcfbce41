"""A bag as one epoch sees it: which tiles, turned how, read chunk by chunk.

What is random is drawn once, before the first pass; the tiles stay on disk until asked for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jecur.mil.bag import Bag
from jecur.settings import TrainingSettings
from jecur.stain.augmentation import augment_stain
from jecur.stain.reference import builtin_reference
from jecur.training.device import to_device

__all__ = ["BagChunks", "draw_chunks"]


@dataclass(frozen=True)
class BagChunks(Sequence[Tensor]):
    """Tiles of a bag in chunks, each (m, h, w, c) uint8 on the training device when asked for.

    Parameters
    ----------
    bag
        Where the tiles are.
    chosen
        (n,) which of them, ascending.
    channels
        Leading channels taken.
    size
        Tiles a chunk; the last one may be smaller.
    quarter_turns, flip
        Augmentation, the same for all tiles.
    stain_seed
        Perturbs the stains of each tile by draws from it; None leaves them.
    """

    bag: Bag
    chosen: NDArray[np.int64]
    channels: int
    size: int
    quarter_turns: int = 0
    flip: bool = False
    stain_seed: int | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.chosen) / self.size)

    @property
    def lengths(self) -> list[int]:
        """Tiles of each chunk."""
        n = len(self.chosen)
        return [min(self.size, n - start) for start in range(0, n, self.size)]

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return to_device(self.read(index))

    def read(self, index: int) -> Tensor:
        """Read a chunk into the memory of the processor, as any thread may."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        here = self.chosen[index * self.size : (index + 1) * self.size]
        tiles = self.bag.take(here)
        if self.bag.holds_features:  # they cannot be turned
            return torch.from_numpy(tiles)
        tiles = tiles[..., : self.channels]
        if self.stain_seed is not None:
            rng = np.random.default_rng([self.stain_seed, index])  # both passes draw the same
            rgb = augment_stain(tiles[..., :3], builtin_reference().appearance.stains, rng=rng)
            tiles = np.concatenate([rgb, tiles[..., 3:]], axis=-1)
        tiles = np.rot90(tiles, k=self.quarter_turns, axes=(1, 2))
        tiles = tiles[:, ::-1] if self.flip else tiles
        return torch.from_numpy(np.ascontiguousarray(tiles))


def draw_chunks(
    bag: Bag, settings: TrainingSettings, rng: np.random.Generator, *, size: int
) -> BagChunks:
    """Draw how this epoch sees a bag.

    Parameters
    ----------
    bag
        All tiles of a patient.
    settings
        Channels, tiles a bag, augmentation.
    rng
        Of this seed, epoch and bag: a resumed training draws the same.
    size
        Tiles a chunk.
    """
    chosen = np.arange(len(bag))
    if 0 < settings.optimizer.tiles_per_bag < len(chosen):
        chosen = np.sort(rng.choice(len(chosen), settings.optimizer.tiles_per_bag, replace=False))
    turns, flip = (
        (int(rng.integers(4)), bool(rng.integers(2))) if settings.augmentation.flips else (0, False)
    )
    stain_seed = int(rng.integers(2**31)) if settings.augmentation.stain else None
    return BagChunks(bag, chosen, settings.n_channels, size, turns, flip, stain_seed)
