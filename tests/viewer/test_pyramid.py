"""Tiles of the viewer against the reader: the same pixels, bounded memory, damage shown as damage."""

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.reader import Slide, open_slide
from jecur.slide.source import Scale
from jecur.viewer.guard import Refused
from jecur.viewer.kept_bytes import KeptBytes
from jecur.viewer.pictures import require_tile
from jecur.viewer.pyramid import (
    TILE_PX,
    Pyramid,
    hatched,
    read_overview,
    read_tile,
)
from jecur.viewer.slide_pool import SlidePool

WIDTH, HEIGHT = 1100, 900


def coordinates(width=WIDTH, height=HEIGHT):
    """Red and green tell the place; blue is noise, so that no two pixels are alike by chance."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(1).integers(0, 255, (height, width))
    return np.stack([x * 255 // width, y * 255 // height, noise], axis=2).astype(np.uint8)


class ArraySource:
    """A file that is an array, parts of which cannot be decoded."""

    reader, vendor, icc_profile, notes = "array", "array", False, ()
    scale, canvas_offset = Scale(0.5, 0.5), (0.0, 0.0)

    def __init__(self, image, damage=None):
        self._image, self._damage = image, damage
        self.levels = (Size(image.shape[1], image.shape[0]),)
        self.downsamples = (1.0,)
        self.closed = False

    def read(self, level, left, top, width, height):
        if self._damage is not None:
            x0, y0, x1, y1 = self._damage
            if left < x1 and left + width > x0 and top < y1 and top + height > y0:
                raise SlideError("damaged")
        return self._image[top : top + height, left : left + width].copy()

    def reopen(self):
        pass

    def close(self):
        self.closed = True


def slide_of(image, damage=None, path="array.tiff"):
    return Slide(ArraySource(image, damage), Path(path), 0.5, "file")


@pytest.fixture
def pyramid_file(tmp_path):
    path = tmp_path / "p.tiff"
    image = coordinates()
    options = {"tile": (256, 256), "photometric": "rgb", "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        for level in range(3):
            part = image[:: 2**level, :: 2**level]
            resolution = (2e4 / 2**level,) * 2
            writer.write(part, subfiletype=int(level > 0), resolution=resolution, **options)
    return path


def test_tiles_of_the_last_level_are_the_pixels_of_the_file(pyramid_file):
    with open_slide(pyramid_file) as slide:
        pyramid = Pyramid(slide.size)
        n = pyramid.n_tiles(pyramid.last)
        rows = [
            np.concatenate(
                [read_tile(slide, pyramid.place(pyramid.last, c, r)) for c in range(n.width)],
                axis=1,
            )
            for r in range(n.height)
        ]
    assert np.array_equal(np.concatenate(rows), coordinates())


def test_tiles_of_every_level_are_what_the_reader_gives_there(pyramid_file):
    with open_slide(pyramid_file) as slide:
        pyramid = Pyramid(slide.size)
        for level in range(pyramid.last + 1):
            n, step = pyramid.n_tiles(level), pyramid.step(level)
            for column, row in np.ndindex(n.width, n.height):
                place = pyramid.place(level, column, row)
                tile = read_tile(slide, place)
                assert tile.shape == (place.height, place.width, 3)
                if place.width == place.height == TILE_PX:
                    own = slide.read_region(place.x, place.y, TILE_PX * step, TILE_PX)
                    assert np.array_equal(tile, own)


def test_levels_cover_the_slide_and_no_more():
    for size in (Size(1, 1), Size(16, 16), Size(256, 256), Size(257, 1), Size(40_960, 30_720)):
        pyramid = Pyramid(size)
        assert pyramid.level_size(pyramid.last) == size
        assert pyramid.level_size(0) == Size(1, 1)
        for level in range(pyramid.last + 1):
            n, whole = pyramid.n_tiles(level), pyramid.level_size(level)
            last = pyramid.place(level, n.width - 1, n.height - 1)
            assert (n.width - 1) * TILE_PX + last.width == whole.width
            assert (n.height - 1) * TILE_PX + last.height == whole.height
            assert last.width >= 1


@pytest.mark.parametrize("place", [(-1, 0, 0), (12, 0, 0), (11, 5, 0), (11, 0, 4), (11, 0, -1)])
def test_tiles_that_are_not_there_are_refused(place):
    with pytest.raises(Refused):
        require_tile(Pyramid(Size(WIDTH, HEIGHT)), *place)


def test_damage_is_hatched_where_it_is_and_nothing_else_is_touched():
    image, damage = coordinates(), (300, 310, 330, 340)
    slide = slide_of(image, damage)
    tile = read_tile(slide, Pyramid(slide.size).place(11, 1, 1))
    stripes = hatched((256, 256), 256)
    touched = (tile != image[256:512, 256:512]).any(axis=2)
    assert np.array_equal(tile[touched], stripes[touched])  # stripes, and no pixel invented
    rows, columns = np.nonzero(touched)
    assert columns.min() + 256 >= 300 - 40
    assert columns.max() + 256 <= 330 + 40
    assert rows.min() + 256 >= 310 - 40
    assert touched[310 - 256 : 340 - 256, 300 - 256 : 330 - 256].mean() > 0.95


def test_a_slide_without_one_sound_pixel_is_all_stripes():
    slide = slide_of(coordinates(), (0, 0, WIDTH, HEIGHT))
    tile = read_tile(slide, Pyramid(slide.size).place(11, 0, 0))
    assert np.array_equal(tile, hatched((0, 0), 256))


def test_stripes_run_on_from_tile_to_tile():
    whole = hatched((0, 0), 512)
    assert np.array_equal(whole[256:, :256], hatched((0, 256), 256))
    assert np.array_equal(whole[32:64, 48:80], hatched((48, 32), 32))


@pytest.mark.slow
def test_a_file_of_one_level_is_read_once_from_afar_and_in_bounded_memory(tmp_path):
    side = 10_240
    path = tmp_path / "one.tiff"
    tile = np.random.default_rng(2).integers(0, 255, (256, 256, 3), np.uint8)
    tile[:128] = 255
    n = (side // 256) ** 2
    tifffile.imwrite(
        path, (tile for _ in range(n)), shape=(side, side, 3), dtype=np.uint8, tile=(256, 256),
        photometric="rgb", compression="jpeg", resolution=(2e4, 2e4), resolutionunit="CENTIMETER",
    )  # fmt: skip
    with open_slide(path) as slide:
        pyramid = Pyramid(slide.size)
        step = pyramid.overview_step(slide)
        assert step == 16
        tracemalloc.start()
        overview = read_overview(slide, step)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert overview.n_bytes == (side // 16) ** 2 * 3
        assert peak < 150 * 2**20  # the slide is 315 MB; the reader keeps 96 MiB of decoded tiles
        level = pyramid.last - 4
        seen = read_tile(slide, pyramid.place(level, 1, 1), overview)
        own = slide.read_region(256 * 16, 256 * 16, 256 * 16, 256)
        assert np.abs(seen.astype(int) - own).mean() < 2.0


def test_a_pyramid_needs_no_overview(pyramid_file):
    with open_slide(pyramid_file) as slide:
        assert Pyramid(slide.size).overview_step(slide) == 0


def test_what_is_kept_is_bounded_and_made_once():
    kept, made = KeptBytes(100, len), []

    def make(key):
        made.append(key)
        return bytes(30)

    for key in (1, 2, 3, 1, 4):  # 1 is used again, so 2 is the longest unused
        kept.get(key, lambda key=key: make(key))
    assert kept.n_bytes == 90
    kept.get(1, lambda: make(1))
    kept.get(2, lambda: make(2))
    assert made == [1, 2, 3, 4, 2]
    kept.get("large", lambda: bytes(101))
    assert kept.n_bytes == 90


def test_six_who_ask_for_one_thing_wait_for_one_making():
    kept, made, start = KeptBytes(100, len), [], threading.Barrier(6)

    def ask():
        start.wait()
        kept.get("a", lambda: made.append(1) or bytes(10))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_a_making_that_fails_is_tried_again():
    kept = KeptBytes(100, len)
    with pytest.raises(SlideError):
        kept.get("a", lambda: (_ for _ in ()).throw(SlideError("no")))
    assert kept.get("a", lambda: b"made") == b"made"


def test_few_slides_are_open_at_a_time_and_the_rest_are_closed():
    opened = []

    def open_number(number):
        slide = slide_of(coordinates(32, 32))
        opened.append(slide)
        return slide

    pool = SlidePool(open_number, most=3)

    def use(number):
        for k in range(20):
            with pool.borrow((number + k) % 7) as slide:
                assert not slide._source.closed
                assert sum(not s._source.closed for s in list(opened)) <= 3

    threads = [threading.Thread(target=use, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) > 3
    pool.close()
    assert all(slide._source.closed for slide in opened)


def test_a_slide_that_failed_is_not_lent_again():
    pool = SlidePool(lambda _: slide_of(coordinates(32, 32)), most=2)
    with pytest.raises(SlideError), pool.borrow(0) as first:
        raise SlideError("no")
    assert first._source.closed
    with pool.borrow(0) as second:
        assert second is not first
