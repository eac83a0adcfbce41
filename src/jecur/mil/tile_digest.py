"""What a slide's tiles are recognized by, whether they were ever written to disk or not.

Two digests: that of the tiles themselves, and that of the bag file which holds them, or would. The second
begins with the number of tiles, which a stream knows only at its end: it is had in passing where all tiles
of the grid turn out clean, and else by walking over the slide again.
"""

import hashlib
import io
from pathlib import Path

import msgspec
import numpy as np

from jecur.arrays import BagArray
from jecur.mil.bag import bag_file, open_part, write_bag_header
from jecur.mil.packed_bag import PackedTiles
from jecur.runs.files import sha256_file, write_text

__all__ = [
    "DIGESTS_FILE",
    "TileDigest",
    "TileDigests",
    "measure_digests",
    "read_digests",
    "write_digests",
]

DIGESTS_FILE = "tiles.json"
_BLOCK_BYTES = 2**20
_BLOCK_TILES = 16


class TileDigests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Digests of a slide's tiles, hexadecimal SHA-256.

    Parameters
    ----------
    n_tiles
        How many there are.
    tiles_sha256
        Of the tiles' bytes, one after the other.
    bag_sha256
        Of the raw bag file that holds them, or would; "" where nobody needed it.
    model_sha256
        Of the model file that scored them in the same pass; "" if none did.
    """

    n_tiles: int
    tiles_sha256: str
    bag_sha256: str = ""
    model_sha256: str = ""


class TileDigest:
    """Takes up tiles in order and digests them as if they were written.

    Parameters
    ----------
    side
        Of a tile, pixels.
    expected
        Number of tiles, if no tile is left out; None leaves out the digest of the bag.
    """

    def __init__(self, side: int, expected: int | None) -> None:
        header = io.BytesIO()
        write_bag_header(header, expected or 0, side)
        self._tiles = hashlib.sha256()
        self._bag = hashlib.sha256(header.getvalue())
        self._expected = -1 if expected is None else expected
        self._n = 0

    def append(self, tiles: BagArray) -> None:
        """Add (b, side, side, 4) uint8 tiles."""
        data = np.ascontiguousarray(tiles).data
        self._tiles.update(data)
        if self._n <= self._expected:
            self._bag.update(data)
        self._n += len(tiles)

    def digests(self) -> TileDigests:
        """Digests of all tiles; that of the bag is "" if they are not as many as expected."""
        bag = self._bag.hexdigest() if self._n == self._expected else ""
        return TileDigests(self._n, self._tiles.hexdigest(), bag)


def write_digests(folder: Path, digests: TileDigests) -> Path:
    """Write ``tiles.json`` into a slide's folder."""
    return write_text(folder / DIGESTS_FILE, msgspec.json.encode(digests).decode() + "\n")


def read_digests(folder: Path) -> TileDigests:
    """Digests of a prepared slide's tiles; of one prepared before they were kept, from its bag."""
    try:
        return msgspec.json.decode((folder / DIGESTS_FILE).read_bytes(), type=TileDigests)
    except (OSError, msgspec.DecodeError):
        return measure_digests(bag_file(folder))


def measure_digests(bag: Path) -> TileDigests:
    """Digests of what a bag file holds, tiles or features; a packed one is unpacked on the way."""
    array = open_part(bag)
    if isinstance(array, PackedTiles):
        tiles = TileDigest(array.shape[1], len(array))
        for start in range(0, len(array), _BLOCK_TILES):
            tiles.append(array[start : start + _BLOCK_TILES])
        return tiles.digests()
    digest = hashlib.sha256()
    with bag.open("rb") as stream:
        stream.seek(getattr(array, "offset", 0))
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return TileDigests(len(array), digest.hexdigest(), sha256_file(bag))
