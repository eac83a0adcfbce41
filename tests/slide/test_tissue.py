"""Tissue is kept; glass, pen and black edges are not; other stains are refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from jecur.errors import SlideError
from jecur.settings import TissueSettings
from jecur.slide import color
from jecur.slide.outline import trace_outlines
from jecur.slide.reader import open_slide
from jecur.slide.tissue import TissueMask, find_tissue

from .conftest import HEIGHT, MPP, WIDTH, tissue_image

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
SIDE = 1280


def tissue_of(tmp_path, image, mpp=1.0, **changes):
    Image.fromarray(image.astype(np.uint8)).save(tmp_path / "image.png", compress_level=0)
    with open_slide(tmp_path / "image.png", mpp=mpp) as slide:
        return find_tissue(slide, TissueSettings(**changes))


def code_of(tmp_path, image, mpp=1.0):
    with pytest.raises(SlideError) as refusal:
        tissue_of(tmp_path, image, mpp)
    return refusal.value.code


def scene(tissue=(226, 160, 195), glass=(244, 242, 243), seed=0):
    """Glass with a tissue rectangle in the middle; 1 um a pixel."""
    image = np.full((SIDE, SIDE, 3), glass, float)
    image[400:900, 300:1000] = tissue
    return np.clip(image + np.random.default_rng(seed).normal(0, 2, image.shape), 0, 255)


def overlap(mask, rows, cols):
    """Jaccard index of a mask with a rectangle in overview pixels (8 um)."""
    wanted = np.zeros_like(mask)
    wanted[rows, cols] = True
    return (mask & wanted).sum() / (mask | wanted).sum()


def test_a_disk_of_tissue_is_found_with_its_area(tissue_slide):
    with open_slide(tissue_slide) as slide:
        tissue = find_tissue(slide, TissueSettings())
    radius_mm = 0.4 * min(WIDTH, HEIGHT) * MPP / 1000.0
    assert tissue.area_mm2 == pytest.approx(np.pi * radius_mm**2, rel=0.06)
    assert not tissue.ink.any()


@pytest.mark.parametrize(
    "tissue",
    [(226, 160, 195), (236, 218, 230), (110, 80, 150), (215, 120, 165), (60, 35, 90)],
    ids=["eosin", "pale", "nuclei", "pink", "dense"],
)
@pytest.mark.parametrize("glass", [(255, 255, 255), (244, 242, 243), (228, 225, 220)])
def test_light_and_dark_tissue_on_any_glass(tmp_path, tissue, glass):
    tissue = np.array(tissue) * glass / 255.0  # light passes both
    found = tissue_of(tmp_path, scene(tissue, glass))
    assert overlap(found.mask, slice(50, 112), slice(38, 125)) > 0.9


def test_fat_stays_tissue(tmp_path):
    image = scene()
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    inside = (slice(400, 900), slice(300, 1000))
    lumen = ((x % 70) - 35) ** 2 + ((y % 70) - 35) ** 2 < 31**2  # 62 um vacuoles, thin walls
    image[inside][lumen[inside]] = (244, 242, 243)
    found = tissue_of(tmp_path, image)
    assert overlap(found.mask, slice(50, 112), slice(38, 125)) > 0.85


@pytest.mark.parametrize(
    "pen",
    [(30, 80, 190), (20, 110, 90), (200, 15, 25), (25, 22, 20)],
    ids=["blue", "green", "red", "black"],
)
def test_pen_is_left_out(tmp_path, pen):
    image = scene()
    image[100:1200, 1050:1150] = pen  # beside the tissue
    image[500:560, 400:700] = pen  # on it
    found = tissue_of(tmp_path, image)
    assert not found.mask[13:150, 131:144].any()
    assert not found.mask[63:70, 50:87].any()
    assert found.ink[63:70, 50:87].all()
    assert found.mask[100:110, 45:120].all()


def test_gray_dirt_and_coverslip_edges_are_no_tissue(tmp_path):
    image = scene()
    image[:, 40:52] = (20, 20, 20)
    image[1000:1100, 200:900] = (190, 190, 189)
    found = tissue_of(tmp_path, image)
    assert not found.mask[:, :10].any()
    assert not found.mask[120:].any()


def test_specks_are_glass(tmp_path):
    image = scene()
    image[100:160, 100:160] = (226, 160, 195)  # 0.0036 mm2
    assert not tissue_of(tmp_path, image).mask[:30, :30].any()


def test_strong_eosin_is_not_taken_for_red_pen(tmp_path):
    found = tissue_of(tmp_path, scene(tissue=(215, 124, 158)))
    assert not found.ink.any()


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (np.full((SIDE, SIDE, 3), 244), "no-tissue"),
        (np.full((SIDE, SIDE, 3), 120), "no-tissue"),
        (255 - scene(), "not-he"),
        (scene(tissue=(150, 100, 55)), "not-he"),
        (scene(tissue=(90, 130, 210)), "not-he"),
        (np.full((20, 20, 3), 200), "too-small"),
    ],
    ids=["empty", "gray", "inverted", "brown", "blue", "tiny"],
)
def test_what_is_no_he_tissue_is_named(tmp_path, image, code):
    assert code_of(tmp_path, image) == code


def test_fluorescence_is_refused(tmp_path):
    image = np.zeros((SIDE, SIDE, 3))
    image[400:900, 300:1000, 2] = 160
    assert code_of(tmp_path, image) == "not-he"


def whole_mask(mask, um_per_px=8.0, mpp=0.5):
    return TissueMask(mask, um_per_px, mpp, np.zeros_like(mask), color.DEFAULT_GLASS)


@settings(deadline=None)
@given(MASKS, st.integers(0, 12), st.integers(0, 12), st.integers(1, 12))
def test_fraction_on_pixel_edges_is_a_mean(mask, column, row, side):
    step = 16  # level-0 pixels a mask pixel
    square = np.zeros((side, side), dtype=bool)
    part = mask[row : row + side, column : column + side]
    square[: part.shape[0], : part.shape[1]] = part
    fraction = whole_mask(mask).fraction(column * step, row * step, side * step)
    np.testing.assert_allclose(fraction, [square.mean()], atol=1e-12)


@settings(deadline=None)
@given(MASKS, st.floats(0.0, 150.0), st.floats(0.0, 150.0), st.floats(8.0, 90.0))
def test_fraction_is_additive_over_the_four_quarters(mask, x, y, side):
    tissue = whole_mask(mask)
    quarters = tissue.fraction(
        np.array([x, x + side / 2, x, x + side / 2]),
        np.array([y, y, y + side / 2, y + side / 2]),
        side / 2,
    )
    np.testing.assert_allclose(tissue.fraction(x, y, side), [quarters.mean()], atol=1e-9)


def shoelace(ring):
    x, y = np.asarray(ring, float).T
    return 0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])


@settings(deadline=None, max_examples=300)
@given(MASKS)
def test_outlines_enclose_exactly_the_mask(mask):
    pieces = trace_outlines(mask)
    area = sum(shoelace(outer) + sum(map(shoelace, holes)) for outer, holes in pieces)
    assert area == mask.sum()
    for outer, holes in pieces:
        assert shoelace(outer) > 0
        assert all(shoelace(hole) < 0 for hole in holes)
        assert all((ring[0] == ring[-1]).all() for ring in (outer, *holes))


def test_geojson_is_in_level_0_pixels_and_serializable():
    mask = np.zeros((6, 8), dtype=bool)
    mask[1:5, 2:7] = True
    mask[2:4, 3:5] = False
    document = json.loads(json.dumps(whole_mask(mask).to_geojson()))
    (feature,) = document["features"]
    outer, hole = feature["geometry"]["coordinates"]
    assert {tuple(point) for point in outer} == {(32, 16), (112, 16), (112, 80), (32, 80)}
    assert {tuple(point) for point in hole} == {(48, 32), (80, 32), (80, 64), (48, 64)}
    assert feature["properties"]["classification"]["name"] == "Tissue"


@pytest.mark.parametrize("level", [0, 37, 255])
def test_optical_density_of_gray_has_no_magenta(level):
    od = color.optical_density(np.full((4, 4, 3), level, np.uint8), color.DEFAULT_GLASS)
    assert od.min() >= 0.0
    np.testing.assert_allclose(color.magenta(od), 0.0, atol=1e-6)
    np.testing.assert_allclose(od[0, 0, 0], max(0.0, -np.log(max(level, 1) / 245)), rtol=1e-5)


def test_glass_is_the_median_of_bright_neutral_pixels():
    image = tissue_image()
    np.testing.assert_allclose(color.estimate_glass(image), (244, 242, 243), atol=1.0)
    np.testing.assert_array_equal(
        color.estimate_glass(np.full((50, 50, 3), 90, np.uint8)), color.DEFAULT_GLASS
    )
