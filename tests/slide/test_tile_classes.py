"""The class of a tile by drawn regions: hand-made squares, and a plain count of points as the oracle."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from jecur.errors import SettingsError
from jecur.slide.annotation.reading import Region
from jecur.slide.annotation.tile_classes import classes_of_tiles, drawn_classes

SIDE = 256


def box(name, left, right, top=0, bottom=SIDE, **more):
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float)
    return Region(name, (ring,), **more)


def labels(regions, places, cover=0.75):
    positions = np.array(places, dtype=np.int64).reshape(-1, 2)
    return classes_of_tiles(regions, ("Stroma", "Tumor"), positions, SIDE, cover=cover)


ROW = [(0, 0), (256, 0), (512, 0), (2048, 0)]
DRAWN = [box("Tumor", 0, 448), box("Stroma", 448, 768)]


def test_a_tile_takes_the_class_that_covers_enough_of_it():
    found = labels(DRAWN, ROW)  # the second tile is three quarters tumor
    assert found.label.tolist() == [1, 1, 0, -1]
    assert (found.n_two, found.n_partly, found.n_outside) == (0, 0, 1)


def test_a_tile_of_two_classes_is_left_out_and_counted():
    found = labels(DRAWN, ROW, cover=0.8)
    assert found.label.tolist() == [1, -1, 0, -1]
    assert (found.n_two, found.n_partly, found.n_outside) == (1, 0, 1)
    twice = labels([box("Tumor", 0, 256), box("Stroma", 0, 256)], [(0, 0)])
    assert (twice.label.tolist(), twice.n_two) == ([-1], 1)


def test_a_tile_at_the_edge_of_one_class_is_left_out_and_counted():
    found = labels([box("Tumor", 0, 128)], [(0, 0)])
    assert (found.label.tolist(), found.n_partly) == ([-1], 1)
    assert labels([box("Tumor", 0, 128)], [(0, 0)], cover=0.5).label.tolist() == [1]


def test_holes_negative_regions_and_other_classes_do_not_count():
    hole = Region("Tumor", (box("", 0, 256).rings[0], box("", 64, 192, 0, 256).rings[0]))
    assert labels([hole], [(0, 0)]).label.tolist() == [-1]
    erased = [box("Tumor", 0, 256), box("Tumor", 0, 128, negative=True)]
    assert labels(erased, [(0, 0)]).label.tolist() == [-1]
    assert labels([box("Necrosis", 0, 256)], [(0, 0)]).n_outside == 1


def test_drawing_elsewhere_moves_nothing():
    moved = [
        Region(r.name, tuple(ring + np.array([5000, 3000]) for ring in r.rings)) for r in DRAWN
    ]
    far = [(x + 5000, y + 3000) for x, y in ROW]
    assert labels(moved, far).label.tolist() == labels(DRAWN, ROW).label.tolist()


def test_the_share_is_that_of_points_counted_one_by_one():
    rng = np.random.default_rng(3)
    turn = np.sort(rng.uniform(0, 2 * np.pi, 40))
    ring = 1200 + rng.uniform(300, 1100, 40)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    regions = [Region("Tumor", (ring,))]
    places = np.stack(np.meshgrid(np.arange(9), np.arange(9)), -1).reshape(-1, 2) * SIDE
    points = (np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).reshape(-1, 2) + 0.5) * 4
    outline = Outline(np.vstack([ring, ring[:1]]))
    share = np.array([outline.contains_points(points + place).mean() for place in places])
    assert 10 < (share >= 0.5).sum() < 70
    sure = (
        np.abs(share - 0.75) > 0.06
    )  # 64 squares a tile know its cover no better at a ragged edge
    found = labels(regions, places).label
    assert (found[sure] == np.where(share[sure] >= 0.75, 1, -1)).all()


def test_classes_are_those_drawn_without_the_ones_that_qupath_ignores():
    drawn = [box("Tumor", 0, 9), box("", 0, 9), box("Ignore*", 0, 9), box("Stroma", 0, 9)]
    assert drawn_classes(drawn) == ("Stroma", "Tumor")


def test_covers_out_of_range_are_refused():
    for cover in (0.4, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="cover"):
            labels(DRAWN, ROW, cover=cover)
