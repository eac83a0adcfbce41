"""Pictures as bytes: what is read back is what was written, to the last pixel, and nothing else is there."""

import io

import numpy as np
import pytest
from PIL import Image

from jecur.runs.pictures import png_bytes

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (61, 47, 3), dtype=np.uint8)
IMAGES = {
    "noise": NOISE,
    "one pixel": NOISE[:1, :1],
    "one color": np.full((300, 700, 3), 243, np.uint8),
    "a slope": np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 90, 3)),
    "every second pixel": NOISE[::2, ::-2],
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_png_holds_the_very_pixels_without_metadata(name):
    image = IMAGES[name]
    data = png_bytes(image)
    assert data == png_bytes(image.copy())
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert (picture.format, picture.mode, picture.info) == ("PNG", "RGB", {})
        assert np.array_equal(np.asarray(picture), image)


def test_what_is_blank_costs_next_to_nothing():
    assert len(png_bytes(IMAGES["one color"])) < 0.01 * IMAGES["one color"].size
