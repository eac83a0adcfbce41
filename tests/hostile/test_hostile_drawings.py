"""Drawings that nobody should draw: refused in one line, soon; large true ones are read."""

import time

import numpy as np
import pytest
from tests.hostile.drawings_inputs import DRAWINGS, SQUARE, asap, circle, geojson, zigzag
from tests.hostile.refusal import SECONDS, refused

from jecur.errors import AnnotationError
from jecur.slide.annotation.reading import Region, read_regions
from jecur.slide.annotation.regions import fill_rings, region_mask


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_hostile_drawing_is_refused_in_one_line(tmp_path, name):
    content = DRAWINGS[name]
    path = tmp_path / "slide.geojson"
    path.write_bytes(content() if callable(content) else content)
    error = refused(read_regions, path)
    assert isinstance(error, AnnotationError)
    assert "slide.geojson" in error.message


@pytest.mark.parametrize("write", [geojson, lambda ring: asap(*ring)], ids=["GeoJSON", "ASAP XML"])
def test_a_region_of_200_000_points_is_read_and_filled(tmp_path, write):
    path = tmp_path / "slide"
    ring = np.round(circle(200_000), 2)
    path.write_bytes(write(ring.tolist()))
    (region,) = read_regions(path)
    mask = region_mask([region], (1200, 1200), 1.0)
    assert mask.sum() == pytest.approx(np.pi * 500**2, rel=1e-3)


def test_an_edge_that_crosses_the_slide_a_million_times_is_refused():
    start = time.process_time()
    with pytest.raises(AnnotationError, match="again and again"):
        region_mask([Region("a", (zigzag(1_000_000, 1000),))], (1000, 1000), 1.0)
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("named", [lambda k: "a", str], ids=["one class", "many"])
def test_a_hundred_thousand_regions_over_the_whole_slide_are_refused(named):
    ring = np.array(SQUARE, dtype=float) * 10
    start = time.process_time()
    with pytest.raises(AnnotationError, match="100000 of"):
        region_mask([Region(named(k), (ring,)) for k in range(100_000)], (1000, 1000), 1.0)
    assert time.process_time() - start < SECONDS


def test_many_crossings_are_filled_as_few_are():
    ring = zigzag(4001, 999.0)
    whole = fill_rings([ring], (1000, 1000))
    for row in (0, 500, 999):
        x = np.sort(np.interp(row + 0.5, [0, 999], [0, 1]) * 0.25 + np.arange(0, 1000, 0.5))
        assert whole[row].shape == (1000,)
        assert x.size == 2000
    assert fill_rings([ring[::-1]], (1000, 1000)).sum() == whole.sum()


def test_a_ring_that_crosses_itself_is_filled_by_even_and_odd():
    bow = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], dtype=float)
    assert fill_rings([bow], (10, 10)).sum() == pytest.approx(50, abs=6)
    twice = np.array([*SQUARE[:-1], *SQUARE[:-1]], dtype=float) / 10
    assert fill_rings([twice], (10, 10)).sum() == 0
