"""Cores of virtual arrays with planted truth: found, on their row and column, cut out alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.virtual.tissue_array import ArraySimulationSettings, draw_array

from jecur.errors import SlideError
from jecur.geometry import CoreMap, CorePlace, Size
from jecur.settings import (
    TilingSettings,
    TissueArraySettings,
    TissueSettings,
)
from jecur.simulate.slide import write_slide
from jecur.slide.reader import open_slide
from jecur.slide.tiling import tile_tissue
from jecur.slide.tissue import find_tissue
from jecur.slide.tissue_array.core_slide import array_tiles, core_slide, restrict_to_core
from jecur.slide.tissue_array.finding import find_discs, measure_diameter
from jecur.slide.tissue_array.grid import lay_out
from jecur.slide.tissue_array.mapping import core_id, draw_map, map_cores

SETTINGS = ArraySimulationSettings(
    rows=5, columns=6, um_per_px=1.0, missing_fraction=0.2, torn_fraction=0.3
)


@pytest.fixture(scope="module")
def array(tmp_path_factory):
    drawn = draw_array(SETTINGS, np.random.default_rng(1))
    path = tmp_path_factory.mktemp("array") / "array.tiff"
    write_slide(path, drawn.image, um_per_px=1.0)
    with open_slide(path) as slide:
        yield drawn, slide


@pytest.fixture(scope="module")
def found(array):
    return map_cores(array[1], TissueArraySettings(), TissueSettings())


def test_the_truth_holds_missing_and_torn_cores_and_is_plain_json(array):
    cores = array[0].cores
    assert {core.state for core in cores} == {"whole", "torn", "missing"}
    assert json.loads(json.dumps(array[0].truth()))["cores"][0]["row"] == 1


def test_every_core_is_found_on_its_row_and_column_and_no_other(array, found):
    truth = {(c.row, c.column): c for c in array[0].cores}
    assert found.shape == (5, 6)
    for core in found.cores.cores:
        planted = truth[core.row, core.column]
        assert core.present == (planted.state != "missing")
        limit = {"whole": 25.0, "torn": 80.0, "missing": 300.0}[planted.state]
        assert np.hypot(core.x - planted.x, core.y - planted.y) < limit
    assert found.diameter_um == pytest.approx(600, rel=0.05)
    assert found.rotation_deg == pytest.approx(array[0].rotation_deg, abs=2.0)


def test_what_is_known_of_the_array_changes_nothing_here(array, found):
    known = TissueArraySettings(diameter_um=600, rows=5, columns=6)
    again = map_cores(array[1], known, TissueSettings())
    assert [(c.id, c.present) for c in again.cores.cores] == [
        (c.id, c.present) for c in found.cores.cores
    ]


def test_a_preview_is_a_picture_with_marks(array, found):
    picture = draw_map(array[1], found.cores)
    assert (picture == (213, 94, 0)).all(axis=2).any()


def test_slides_without_round_pieces_have_no_cores():
    mask = np.zeros((200, 200), bool)
    mask[20:40, 10:190] = True
    with pytest.raises(SlideError) as caught:
        measure_diameter(mask, smallest=10, largest=150)
    assert caught.value.code == "no-cores"


def test_a_half_core_keeps_its_center():
    y, x = np.mgrid[0:200, 0:200]
    mask = (np.hypot(x - 99.5, y - 99.5) < 50) & (x < 100)
    discs = find_discs(mask, 100.0, TissueArraySettings())
    assert len(discs.centers) == 1
    assert np.hypot(*(discs.centers[0] - 100)) < 8
    assert discs.coverage[0] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("degrees", [-20.0, 0.0, 7.0, 30.0])
def test_a_turned_grid_with_a_missing_block_is_laid_out(degrees):
    rows, columns = np.indices((7, 9))
    places = np.stack([columns.ravel() * 1.5, rows.ravel() * 1.8], axis=1)
    turn = np.deg2rad(degrees)
    places = places @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    kept = ~(
        (rows.ravel() > 1) & (rows.ravel() < 4) & (columns.ravel() > 2) & (columns.ravel() < 6)
    )
    layout = lay_out(places[kept], np.ones(kept.sum()), diameter=1.0, size=(0, 0), reach=0.4)
    expected = np.stack([rows.ravel(), columns.ravel()], axis=1)[kept]
    assert np.array_equal(layout.cells, expected)
    assert layout.rotation_deg == pytest.approx(degrees, abs=0.5)
    gone = places[~kept].reshape(2, 3, 2)
    assert np.abs(layout.places[2:4, 3:6] - gone).max() < 0.2


def test_a_speck_beside_the_grid_makes_no_line_of_its_own():
    rows, columns = np.indices((3, 4))
    places = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)
    points = np.vstack([places, [[-1.0, 1.0]]])
    coverage = np.append(np.ones(12), 0.2)
    layout = lay_out(points, coverage, diameter=0.7, size=(0, 0), reach=0.4)
    assert layout.places.shape == (3, 4, 2)
    assert (layout.cells[-1] == -1).all()


def test_names_of_places():
    assert [core_id(r, c) for r, c in ((1, 1), (26, 3), (27, 12))] == ["A-1", "Z-3", "AA-12"]


def test_a_core_as_a_slide_shows_the_file_and_only_its_own_tissue(array, found):
    slide, tiling = array[1], TilingSettings()
    core = found.cores.present[7]
    place = CorePlace(core.id, found.cores)
    window = core_slide(slide, place, tiling)
    assert window.size.width % 128 == 0
    x, y = window.origin
    direct = slide.read_region(x + 128, y + 128, 128, 224)
    assert np.array_equal(window.read_region(128, 128, 128, 224), direct)
    tissue = restrict_to_core(window, find_tissue(window, TissueSettings()), place)
    rows, columns = np.nonzero(tissue.mask)
    away = np.hypot((columns + 0.5) * 8 + x - core.x, (rows + 0.5) * 8 + y - core.y)
    assert away.max() <= core.diameter / 2
    grid = tile_tissue(window, tissue, tiling)
    centers = grid.positions + 64 + (x, y)
    assert len(grid) >= 10
    assert np.hypot(*(centers - (core.x, core.y)).T).max() < core.diameter / 2


def test_stains_are_sampled_on_every_core_that_is_there(array, found):
    place = CorePlace("A-1", found.cores)
    grid = array_tiles(array[1], place, TilingSettings())
    assert len(grid) == 4 * len(found.cores.present)


@pytest.mark.parametrize("case", ["unknown-core", "core-missing", "core-outside"])
def test_a_core_that_cannot_be_scored_says_why(array, found, case):
    cores, name = found.cores, "Z-9"
    if case == "core-missing":
        name = next(c.id for c in cores.cores if not c.present)
    if case == "core-outside":
        name = cores.present[0].id
        cores = CoreMap((replace(cores.present[0], x=1e6),))
    with pytest.raises(SlideError) as caught:
        core_slide(array[1], CorePlace(name, cores), TilingSettings())
    assert caught.value.code == case


@pytest.mark.parametrize("corner", [(-100, -60), (1500, -60), (-100, 1300), (1500, 1300)])
def test_a_window_beyond_the_edge_shows_white_there_and_the_slide_in_its_place(tmp_path, corner):
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (96, 112, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    write_slide(tmp_path / "edge.tiff", picture, um_per_px=1.0)
    with open_slide(tmp_path / "edge.tiff") as slide:
        window = slide.window(*corner, Size(384, 384))
        for x, y, side, px in (
            (0, 0, 128, 128),
            (0, 0, 384, 224),
            (256, 256, 128, 224),
            (60, 30, 128, 64),
        ):
            direct = slide.read_region(corner[0] + x, corner[1] + y, side, px)
            assert np.array_equal(window.read_region(x, y, side, px), direct)
        overview = window.overview(8.0)
        assert np.array_equal(overview, slide.read_region(*corner, 384, 48))
