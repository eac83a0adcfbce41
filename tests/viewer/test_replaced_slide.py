"""A slide that was replaced after it was scored: no picture of another one beside its scores."""

import os

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.viewer.hand_made_run import write_run

from jecur.errors import SlideError
from jecur.explain.review import KeyTile
from jecur.reading.tile_pixels import TilePixels
from jecur.scored.pages import _top_tiles
from jecur.slide.content import content_digest
from jecur.viewer.layers import tissue_outline
from jecur.viewer.run_slides import RunSlides
from jecur.viewer.run_tables import read_run_tables

RING = [[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 0.0]]


@pytest.fixture
def slide(tmp_path):
    return _write(tmp_path / "a.tiff", 200)


def _write(path, value):
    pixels = np.full((512, 512, 3), value, np.uint8)
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", resolution=(2e4, 2e4),
                     resolutionunit="CENTIMETER")  # fmt: skip
    return path


def _replace(path):
    """Other pixels under the same name, of the same size and time."""
    before = path.stat()
    _write(path, 90)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def _run(folder, slide, **row):
    known = {"content": content_digest(slide), "mpp": "0.5", **row}
    return write_run(folder / "run", {"a": "a.tiff"}, rows={"a": known}, outlines={"a": [RING]})


def test_the_viewer_does_not_show_it(slide, tmp_path):
    slides = RunSlides(read_run_tables(_run(tmp_path, slide)), tmp_path)
    slides.open(0).close()
    _replace(slide)
    with pytest.raises(SlideError) as said:
        slides.open(0)
    assert said.value.code == "changed-slide"


def test_a_run_that_does_not_say_what_it_saw_is_shown(slide, tmp_path):
    slides = RunSlides(read_run_tables(_run(tmp_path, slide, content="")), tmp_path)
    _replace(slide)
    slides.open(0).close()


def test_a_page_of_a_patient_does_not_show_it(slide, tmp_path):
    tiles = pd.DataFrame(
        {"slide": "a", "x": [0, 256], "y": 0, "side_um": 128.0, "score": [0.1, 0.9]}
    )
    row = {"path": "a.tiff", "mpp": "0.5", "content": content_digest(slide)}
    views, why = _top_tiles(tiles, {"a": row}, tmp_path)
    assert (len(views), why) == (2, "")
    _replace(slide)
    views, why = _top_tiles(tiles, {"a": row}, tmp_path)
    assert not views
    assert "replaced" in why


def test_a_reviewer_is_not_shown_it(slide, tmp_path):
    pixels = TilePixels(_run(tmp_path, slide), tmp_path)
    _replace(slide)
    with pytest.raises(SlideError):
        pixels.picture(_tile(), "around")
    pixels.close()


def _tile() -> KeyTile:
    return KeyTile("t1.png", "P0", "a", 0, 0, 256, 0.9, "high")


def test_pictures_of_a_file_before_are_not_those_of_a_slide_that_failed(slide, tmp_path):
    for status in ("ok", "failed"):
        folder = tmp_path / status
        folder.mkdir()
        run = _run(folder, slide, status=status)
        (run / "slides" / "a" / "thumbnail.png").touch()
        tables = read_run_tables(run)
        assert tables.slides[0].pictured == (status == "ok")
        assert bool(tissue_outline(tables, tables.slides[0])) == (status == "ok")
