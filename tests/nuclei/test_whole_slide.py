"""Every nucleus once: the table depends on no tile, block or batch, and says what is on the slide."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import KDTree
from skimage.measure import regionprops_table

from jecur.errors import NucleiModelError, SlideError
from jecur.nuclei import whole_slide
from jecur.nuclei.segmentation import NucleiModel
from jecur.nuclei.single import SingleNuclei, measure_each
from jecur.nuclei.whole_slide import (
    Blocks,
    CoveredTiles,
    each_nucleus,
    write_each_nucleus,
)
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide.reader import open_slide
from jecur.stain.color_map import KeepColor
from jecur.stain.normalizer import Normalizer

SIDE = 1280
KEEP = Normalizer(None, KeepColor(), ())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A slide full of tissue at 0.5 um/px, and every nucleus that was drawn on it."""
    rng = np.random.default_rng(3)
    tissue = render_tissue(TissueFeatures(0.2, 0.3, 0.8, 0.2), (SIDE, SIDE), 0.5, rng)
    path = tmp_path_factory.mktemp("whole") / "slide.tiff"
    stain = site_stain(rng, angle_deg=0.0, intensity_sd=0.0)
    write_slide(path, render_rgb(tissue, stain, rng), um_per_px=0.5, quality=95)
    return path, tissue.nuclei


@pytest.fixture(scope="module")
def network():
    return NucleiModel.load(threads=1)


def square(first: int, n: int, side: int = 256, shift: int = 0) -> CoveredTiles:
    """n x n tiles side by side."""
    at = first + shift + side * np.arange(n)
    return CoveredTiles(np.array([(x, y) for y in at for x in at], dtype=np.int64), side)


def found(path, tiles, network, **blocks) -> np.ndarray:
    """(n, columns) sorted by place."""
    with open_slide(path) as slide:
        parts = [
            np.column_stack([getattr(f.nuclei, name) for name in SingleNuclei.names()])
            for f in each_nucleus(slide, tiles, KEEP, network, blocks=Blocks(**blocks))
        ]
    every = np.concatenate(parts)
    return every[np.lexsort((every[:, 0], every[:, 1]))]


@pytest.fixture(scope="module")
def usual(drawn, network):
    return found(drawn[0], square(128, 3), network)


@pytest.mark.parametrize(
    "blocks",
    [{"cells": 1}, {"cells": 2}, {"cells": 3, "offset": (-1, -3)}, {"cells": 5, "offset": (-4, 1)}],
)
def test_the_table_depends_on_no_block(drawn, network, usual, blocks):
    other = found(drawn[0], square(128, 3), network, **blocks)
    assert len(usual) > 300
    np.testing.assert_allclose(other, usual, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "places",
    [[(0, 0)], [(1024, 1024)], [(256, 512), (256, 768)], [(300, 310), (560, 290)], [(700, 100)]],
    ids=["first corner", "last corner", "on the lattice", "two apart", "across"],
)
def test_what_no_tile_reaches_is_not_read_and_not_missed(drawn, network, monkeypatch, places):
    """The table of whole blocks; 4 cells, so that blocks have edges within the slide."""
    tiles, pixels = CoveredTiles(np.array(places, dtype=np.int64), 256), []
    read = whole_slide._read

    def counted(given, corner, cells):
        pixels[-1] += cells**2
        return read(given, corner, cells)

    monkeypatch.setattr(whole_slide, "_read", counted)
    pixels.append(0)
    part = found(drawn[0], tiles, network, cells=4)
    monkeypatch.setattr(whole_slide._Part, "square", lambda part, cells: ((0, 0), cells))
    pixels.append(0)
    whole = found(drawn[0], tiles, network, cells=4)
    assert len(whole) > 20
    np.testing.assert_allclose(part, whole, rtol=1e-9, atol=1e-9)
    assert pixels[0] < pixels[1]


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_square_read_holds_all_cells_that_tiles_reach(n):
    rng = np.random.default_rng(n)
    for _ in range(200):
        side = int(rng.integers(1, 700))
        tiles = CoveredTiles(rng.integers(0, 3000, (int(rng.integers(1, 6)), 2)), side)
        seen = np.zeros((40, 40), dtype=int)
        for corner, part in whole_slide._corners(tiles, 256, Blocks(n)):
            (x, y), cells = part.square(n)
            assert min(x, y) >= 0
            assert max(x, y) + cells <= n
            column, row = int(corner[0]) // 256 + x, int(corner[1]) // 256 + y
            seen[row : row + cells, column : column + cells] += 1
        assert seen.max() == 1  # no cell twice: no nucleus either
        for x, y in tiles.positions:
            rows = slice(y // 256, -(-(y + side) // 256))
            assert seen[rows, x // 256 : -(-(x + side) // 256)].all()


def test_the_table_depends_on_no_tile_grid(drawn, network, usual):
    """Where two grids both lie, the same nuclei are found; each belongs to one tile."""
    shifted = found(drawn[0], square(128, 3, shift=100), network)
    inside = [
        t[(t[:, :2] >= 228).all(axis=1) & (t[:, :2] < 128 + 3 * 256).all(axis=1)]
        for t in (usual, shifted)
    ]
    np.testing.assert_array_equal(*inside)
    small = found(drawn[0], square(128, 6, side=128), network)
    np.testing.assert_array_equal(small, usual)
    overlapping = CoveredTiles(
        np.concatenate([square(128, 3).positions, square(170, 2).positions]), 256
    )
    np.testing.assert_array_equal(found(drawn[0], overlapping, network), usual)


def test_no_nucleus_is_cut_or_counted_twice(drawn, usual):
    """Nuclei at the seams of tiles are as many and as large as elsewhere."""
    nearest = KDTree(usual[:, :2]).query(usual[:, :2], k=2)[0][:, 1]
    assert nearest.min() > 3.0  # level-0 pixels: 1.5 um
    inner = ((usual[:, :2] - 128) % 256).min(axis=1)
    seam = (inner < 8) | (((128 - usual[:, :2]) % 256).min(axis=1) < 8)
    area = usual[:, SingleNuclei.names().index("area_um2")]
    assert 0.08 < seam.mean() < 0.18  # 12 % of the area
    assert np.median(area[seam]) == pytest.approx(np.median(area[~seam]), rel=0.15)


def test_the_nuclei_are_those_that_were_drawn(drawn, usual):
    nuclei = drawn[1]
    truth = np.column_stack([nuclei.x, nuclei.y])
    there = truth[(truth >= 128).all(axis=1) & (truth < 896).all(axis=1)]
    distance, _ = KDTree(truth).query(usual[:, :2])
    assert (distance < 8).mean() > 0.9  # 4 um
    missed, _ = KDTree(usual[:, :2]).query(there)
    assert (missed < 8).mean() > 0.75


def test_what_is_written(drawn, network, usual, tmp_path):
    with open_slide(drawn[0]) as slide:
        done = write_each_nucleus(tmp_path / "n.parquet", slide, square(128, 3), KEEP, network)
    table = pd.read_parquet(done.table).sort_values(["y", "x"])
    assert done.n_nuclei == len(table) == len(usual)
    assert done.n_tiles_lost == 0
    np.testing.assert_array_equal(table[["x", "y"]].to_numpy(), usual[:, :2])
    np.testing.assert_allclose(table[["x_um", "y_um"]], usual[:, :2] * 0.5)
    corner = square(128, 3).positions[table["tile"]]
    offset = table[["x", "y"]].to_numpy() - corner
    assert (offset >= 0).all()
    assert (offset < 256).all()


def test_a_place_that_cannot_be_decoded_costs_what_lies_around_it(drawn, network, usual):
    with open_slide(drawn[0]) as slide:
        read = slide.read_region

        def damaged(x, y, size, output):
            if x < 1000 < x + size and y < 1000 < y + size:
                raise SlideError("damaged", code="unreadable")
            return read(x, y, size, output)

        slide.read_region = damaged
        blocks = list(each_nucleus(slide, square(128, 3), KEEP, network))
    lost = [f.lost for f in blocks if f.lost]
    left = sum(len(f.nuclei) for f in blocks if f.nuclei is not None)
    assert 1 <= len(lost) <= 9
    assert 0.5 * len(usual) < left < len(usual)


def test_measurements_are_those_of_scikit_image():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200]
    labels = np.zeros((200, 200), np.int32)
    for k in range(16):
        cy, cx = 25 + 50 * (k // 4), 25 + 50 * (k % 4)
        a, b, t = rng.uniform(4, 20), rng.uniform(3, 9), rng.uniform(0, np.pi)
        u, v = (
            (x - cx) * np.cos(t) + (y - cy) * np.sin(t),
            (y - cy) * np.cos(t) - (x - cx) * np.sin(t),
        )
        labels[(u / a) ** 2 + (v / b) ** 2 <= 1] = k + 1
    rgb = rng.integers(30, 220, (200, 200, 3)).astype(np.uint8)
    ours = measure_each(labels, rgb, um_per_px=0.5)
    red = -np.log(rgb[..., 0] / 255.0)
    theirs = regionprops_table(
        labels, red,
        properties=(
            "centroid", "area", "axis_major_length", "axis_minor_length", "orientation",
            "eccentricity", "solidity", "mean_intensity", "intensity_std",
        ),
    )  # fmt: skip
    np.testing.assert_allclose(ours.y - 0.5, theirs["centroid-0"])
    np.testing.assert_allclose(ours.x - 0.5, theirs["centroid-1"])
    np.testing.assert_allclose(ours.area_um2, theirs["area"] / 4)
    # scikit-image takes each pixel as a square: its moments are 1/12 larger.
    for name, axis in (("major_um", "axis_major_length"), ("minor_um", "axis_minor_length")):
        np.testing.assert_allclose(getattr(ours, name), theirs[axis] / 2, rtol=0.02)
    np.testing.assert_allclose(ours.eccentricity, theirs["eccentricity"], atol=0.01)
    np.testing.assert_allclose(ours.density, theirs["mean_intensity"])
    np.testing.assert_allclose(ours.density_sd, theirs["intensity_std"])
    np.testing.assert_allclose(
        ours.solidity, theirs["solidity"], atol=0.1
    )  # their hull: of pixel middles
    # Theirs is counted from the rows, downwards; ours from the columns.
    turn = np.pi / 2 - theirs["orientation"] - ours.orientation
    np.testing.assert_allclose(np.sin(turn), 0.0, atol=1e-6)


def test_texture_of_a_checkerboard_is_its_step_and_of_a_plain_nucleus_nothing():
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[20:30, 20:30] = 1, 2
    rgb = np.full((40, 40, 3), 120, np.uint8)
    rgb[(np.indices((40, 40)).sum(axis=0) % 2 == 0) & (labels == 1)] = 60
    found = measure_each(labels, rgb, um_per_px=1.0)
    np.testing.assert_allclose(found.texture, [np.log(2), 0.0], atol=1e-12)
    np.testing.assert_allclose(found.density_sd, [np.log(2) / 2, 0.0], atol=1e-12)


def test_an_image_without_nuclei_gives_none_and_sizes_must_match():
    nothing = measure_each(np.zeros((9, 9), np.int32), np.zeros((9, 9, 3), np.uint8), um_per_px=1)
    assert len(nothing) == 0
    with pytest.raises(NucleiModelError, match="labels"):
        measure_each(np.zeros((8, 8), np.int32), np.zeros((8, 9, 3), np.uint8), um_per_px=1)
