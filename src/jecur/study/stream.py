"""Where the tiles of a slide end up: kept in a bag, or seen by a network as they pass by.

A slide is a stream: tissue, tiles, normal colors, nuclei, an end (`jecur.study.survey.judge_tiles` walks
it). Both ends see the very same tiles, so a slide that was only scored has the scores, looks and digests of
one whose tiles were kept, to the last bit.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from jecur.arrays import BagArray, RGBBatch
from jecur.mil.bag import BagWriter
from jecur.mil.looks import LooksSample
from jecur.mil.tile_digest import TileDigest, TileDigests
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.runs.folder import atomic_path
from jecur.stain.normalizer import Normalizer
from jecur.study.survey import Survey, judge_tiles

__all__ = [
    "OUTPUTS_FILE",
    "DigestTiles",
    "KeepTiles",
    "SeeTiles",
    "bag_tile",
    "complete_digests",
    "write_outputs",
]

OUTPUTS_FILE = "tile_outputs.npy"
"""What the network gave for each tile: (n,) scores, or (n, 2) with a gate beside each."""

See = Callable[[BagArray], NDArray[np.float32]]
"""Gives a row, or a number, for each of (m, h, w, 4) tiles; called from several threads at once."""


class DigestTiles:
    """Tiles as a bag holds them, digested and forgotten.

    Parameters
    ----------
    network
        Marks the nuclei.
    digest
        Takes the tiles up.
    """

    def __init__(self, network: NucleiModel, digest: TileDigest) -> None:
        self._network, self.digest = network, digest

    def look(self, normalizer: Normalizer, rgb: RGBBatch) -> BagArray:
        """Bring (m, h, w, 3) tiles to normal colors and mark their nuclei."""
        return add_nuclei_channel(self._network, normalizer.apply(rgb))

    def take(self, seen: BagArray) -> None:
        """Digest tiles."""
        self.digest.append(seen)


class KeepTiles(DigestTiles):
    """Tiles are written into a bag."""

    def __init__(self, network: NucleiModel, digest: TileDigest, bag: BagWriter) -> None:
        super().__init__(network, digest)
        self._bag = bag

    def take(self, seen: BagArray) -> None:
        """Digest tiles and write them."""
        super().take(seen)
        self._bag.append(seen)


class SeeTiles:
    """Tiles are seen by a network, and none is written.

    Parameters
    ----------
    network
        Marks the nuclei.
    see
        What the network gives for (m, h, w, 4) tiles: scores, or features.
    digest, sample
        Take the tiles up.
    """

    def __init__(
        self, network: NucleiModel, see: See, digest: TileDigest, sample: LooksSample
    ) -> None:
        self._network, self._see = network, see
        self.digest, self.sample = digest, sample
        self._outputs: list[NDArray[np.float32]] = []

    def look(self, normalizer: Normalizer, rgb: RGBBatch) -> tuple[BagArray, NDArray[np.float32]]:
        """Make tiles as the network sees them, and take what it gives."""
        tiles = add_nuclei_channel(self._network, normalizer.apply(rgb))
        return tiles, self._see(tiles)

    def take(self, seen: tuple[BagArray, NDArray[np.float32]]) -> None:
        """Take up what the network gave."""
        tiles, outputs = seen
        self.digest.append(tiles)
        self.sample.append(tiles)
        self._outputs.append(outputs)

    @property
    def outputs(self) -> NDArray[np.float32]:
        """What the network gave for all tiles, (n,) or (n, d)."""
        return np.concatenate(self._outputs) if self._outputs else np.empty(0, np.float32)


def bag_tile(survey: Survey, network: NucleiModel, tile: int) -> BagArray:
    """Read one clean tile of a judged slide again, (h, w, 4) as its bag holds it, by its number there."""
    grid, normalizer = survey.grid, survey.normalizer
    if grid is None or normalizer is None:
        raise ValueError("expected a slide with tiles")
    x, y = grid.positions[survey.kept[tile]]
    rgb = survey.slide.read_region(x, y, grid.side_px, grid.output_px)
    return np.asarray(add_nuclei_channel(network, normalizer.apply(rgb[None]))[0])


def complete_digests(
    found: TileDigests, laid: Survey, network: NucleiModel, *, threads: int
) -> TileDigests:
    """Walk over a slide again for the digest of the bag that it would have made.

    Parameters
    ----------
    found
        Of the first walk, without that digest: tiles were left out.
    laid
        The slide, its tiles laid and not judged.
    """
    digest = TileDigest(laid.recipe.tiling.output_px, found.n_tiles)
    judge_tiles(laid, DigestTiles(network, digest), threads=threads)
    return replace(found, bag_sha256=digest.digests().bag_sha256)


def write_outputs(path: Path, outputs: NDArray[np.float32]) -> Path:
    """Write what the network gave for a slide's tiles, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, outputs, allow_pickle=False)
    return path
