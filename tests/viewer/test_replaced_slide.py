"""A slide that was replaced, or has failed, since it was scored: no picture of another beside its scores."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from tests.viewer.hand_made_run import write_run

from jecur.scored.pages import _top_tiles
from jecur.viewer.layers import tissue_outline
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


def test_a_page_of_a_patient_does_not_show_another_slide(slide, tmp_path):
    tiles = pd.DataFrame(
        {"slide": "a", "x": [0, 256], "y": 0, "side_um": 128.0, "score": [0.1, 0.9]}
    )
    row = {"path": "a.tiff", "mpp": "0.5", "width": "512", "height": "512", "origin": "0 0"}
    (tmp_path / "slides" / "a").mkdir(parents=True)
    Image.new("RGB", (128, 128), (200, 200, 200)).save(tmp_path / "slides" / "a" / "thumbnail.png")
    places = (tmp_path / "slides", tmp_path)
    views, why = _top_tiles(tiles, {"a": row}, places)
    assert (len(views), why) == (2, "")
    _write(slide, 90)
    views, why = _top_tiles(tiles, {"a": row}, places)
    assert not views
    assert "another slide" in why


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_pictures_of_a_file_before_are_not_those_of_a_slide_that_failed(tmp_path, status):
    rows, outlines = {"a": {"status": status}}, {"a": [RING]}
    run = write_run(tmp_path / "run", {"a": "a.tiff"}, rows=rows, outlines=outlines)
    (run / "slides" / "a" / "thumbnail.png").touch()
    tables = read_run_tables(run)
    assert tables.slides[0].pictured == (status == "ok")
    assert bool(tissue_outline(tables, tables.slides[0])) == (status == "ok")
