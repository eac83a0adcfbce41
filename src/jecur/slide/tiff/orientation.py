"""TIFF's Orientation: stored rows and columns, and the picture they stand for.

OpenSlide turns every tile inside its own place or not at all, by its codec; here the whole
picture is turned, whatever the codec, as Pillow turns it. TIFF 6.0, tag 274.
"""

from collections.abc import Callable

import numpy as np

from jecur.arrays import RGB
from jecur.geometry import Size

__all__ = ["UPRIGHT", "read_turned", "turned"]

UPRIGHT = 1
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""For each value: are rows and columns exchanged, then x mirrored, then y mirrored."""


def turned(size: Size, orientation: int) -> Size:
    """Size of the picture whose stored size is ``size``."""
    swapped = _TURNS[orientation][0]
    return Size(size.height, size.width) if swapped else size


def read_turned(
    read: Callable[[int, int, int, int], RGB],
    stored: Size,
    orientation: int,
    window: tuple[int, int, int, int],
) -> RGB:
    """Read a rectangle of the picture from what is stored.

    Parameters
    ----------
    read
        Reads (left, top, width, height) of the stored image.
    stored
        Its size.
    orientation
        1 to 8.
    window
        (left, top, width, height) in the picture.

    Returns
    -------
    RGB
        (height, width, 3) uint8 of the picture.
    """
    swapped, mirror_x, mirror_y = _TURNS[orientation]
    left, top, width, height = window
    whole = turned(stored, orientation)
    if mirror_x:
        left = whole.width - left - width
    if mirror_y:
        top = whole.height - top - height
    pixels = read(top, left, height, width) if swapped else read(left, top, width, height)
    if swapped:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])
