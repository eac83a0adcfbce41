"""PNG and JPEG of one picture: read as Pillow reads what is sound, refused where the stream is damaged."""

import numpy as np
import pytest
from PIL import Image
from tests.slide.conftest import tissue_image

from jecur.errors import SlideError
from jecur.slide.reader import open_slide

SIDE = 400
WAYS = [
    {"quality": 90}, {"quality": 30, "subsampling": 0}, {"progressive": True}, {"optimize": True},
    {"subsampling": 1}, {"restart_marker_blocks": 4},
]  # fmt: skip


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(tissue_image(SIDE, SIDE))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_sound_jpeg_is_read_as_pillow_reads_it(tmp_path, picture, way):
    path = tmp_path / "a.jpg"
    picture.save(path, **way)
    with open_slide(path, mpp=0.5) as slide:
        shown = slide._source.read(0, 0, 0, SIDE, SIDE)
    np.testing.assert_array_equal(shown, np.asarray(Image.open(path)))


@pytest.mark.parametrize(
    ("kind", "bytes_"), [("jpg", b"\xff\xd9"), ("jpg", b"\xff\x80"), ("png", b"\0\0")]
)
def test_a_damaged_picture_is_refused(tmp_path, picture, kind, bytes_):
    """Zeros within a JPEG can be colors, and nobody can tell; markers that do not belong there are none."""
    path = tmp_path / f"a.{kind}"
    picture.save(path)
    whole = path.read_bytes()
    for part in range(2, 12):
        at = len(whole) * part // 12
        path.write_bytes(whole[:at] + bytes_ * 32 + whole[at + 64 :])
        with pytest.raises(SlideError) as told:
            open_slide(path, mpp=0.5)
        assert told.value.code in {"unreadable", "truncated"}


def test_a_jpeg_without_its_end_is_refused(tmp_path, picture):
    path = tmp_path / "a.jpg"
    picture.save(path)
    path.write_bytes(path.read_bytes()[:-300] + b"\xff\xd9")
    with pytest.raises(SlideError) as told:
        open_slide(path, mpp=0.5)
    assert told.value.code in {"unreadable", "truncated"}
