"""Blur, ink and foreign colors are measured; the verdict names the gravest finding."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jecur.settings import QualitySettings, TilingSettings, TissueSettings
from jecur.slide.quality import TileQuality, judge_slide, measure_tiles
from jecur.slide.reader import open_slide
from jecur.slide.tiling import TileLoss, read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

from .conftest import tissue_image, write_pyramid


def he_tile(seed=0):
    """224 px of eosin with sharp nuclei of 10 px (6 um)."""
    rng = np.random.default_rng(seed)
    tile = np.full((224, 224, 3), (225.0, 150.0, 190.0))
    for x, y in rng.integers(0, 214, size=(120, 2)):
        tile[y : y + 10, x : x + 10] = (95, 60, 140)
    return np.clip(tile + rng.normal(0, 2, tile.shape), 0, 255).astype(np.uint8)


def blurred(tile, sigma):
    return ndimage.gaussian_filter(tile.astype(float), (sigma, sigma, 0)).astype(np.uint8)


def test_focus_falls_with_blur():
    tile = he_tile()
    tiles = np.stack([tile, *(blurred(tile, sigma) for sigma in (1, 2, 4))])
    quality = measure_tiles(tiles)
    assert (np.diff(quality.focus) < 0).all()
    np.testing.assert_array_equal(quality.blurred(QualitySettings()), [False, False, True, True])


def test_focus_is_the_variance_of_the_laplacian():
    tile = he_tile(1)
    gray = tile.astype(float) @ [0.299, 0.587, 0.114]
    expected = ndimage.laplace(gray)[1:-1, 1:-1].var()
    assert measure_tiles(tile[None]).focus[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("pen", [(30, 80, 190), (20, 110, 90), (200, 15, 25), (25, 22, 20)])
def test_ink_share_is_its_area(pen):
    tile = he_tile()
    tile[:, :84] = pen  # six of sixteen blocks
    quality = measure_tiles(tile[None])
    assert quality.ink_fraction[0] + quality.black_fraction[0] == pytest.approx(6 / 16, abs=0.02)
    assert quality.inked(QualitySettings())[0]
    assert not measure_tiles(he_tile()[None]).inked(QualitySettings())[0]


def test_tissue_share_leaves_glass_out():
    tile = he_tile()
    tile[:56] = 245
    assert measure_tiles(tile[None]).tissue_fraction[0] == pytest.approx(0.75, abs=0.01)


def test_empty_batch_has_empty_measures():
    assert len(measure_tiles(np.empty((0, 224, 224, 3), np.uint8))) == 0
    assert len(TileQuality.join([])) == 0


def verdict(tmp_path, image, *, mpp=0.5, settings=None, override=None):
    path = write_pyramid(tmp_path / "slide.tiff", image, mpp=mpp)
    with open_slide(path, mpp=override) as slide:
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TilingSettings())
        tiles = TileQuality.join(
            [measure_tiles(batch.rgb, tissue.glass) for batch in read_tiles(slide, grid, 8)]
        )
        return judge_slide(slide, tissue, grid, tiles, TileLoss(), settings or QualitySettings())


def test_a_good_slide_is_ok(tmp_path):
    quality = verdict(tmp_path, tissue_image())
    assert (quality.status, quality.code, quality.flags) == ("ok", "", ())
    assert quality.median_focus > 30.0


def test_exchanged_channels_are_recognized(tmp_path):
    quality = verdict(tmp_path, tissue_image()[..., ::-1])
    assert (quality.status, quality.code) == ("failed", "not-he")
    assert "exchanged" in quality.reason


def test_blur_low_resolution_and_few_tiles_are_named(tmp_path):
    soft = blurred(tissue_image(), 3.0)
    assert verdict(tmp_path, soft).flags == ("blurred",)
    assert "low-resolution" in verdict(tmp_path, tissue_image(), mpp=1.0).flags
    few = verdict(tmp_path, tissue_image(), settings=QualitySettings(min_tiles=500))
    assert (few.status, few.code) == ("failed", "too-few-tiles")


@pytest.mark.parametrize(
    "folder", ["nuclei/monuseg2018_train/images", "nuclei/cpm15/images", "liver/tcga_chol"]
)
def test_real_he_is_neither_foreign_nor_inked_nor_exchanged(test_data, folder):
    paths = sorted(p for p in (test_data / folder).rglob("*") if p.suffix in {".png", ".jpg"})[:12]
    assert paths
    tiles = [np.asarray(Image.open(path).convert("RGB"))[:224, :224] for path in paths]
    quality = measure_tiles(np.stack(tiles))
    swapped = measure_tiles(np.stack(tiles)[..., ::-1])
    assert np.median(quality.he_fraction) > 0.95
    assert quality.nuclear_lean.min() > -0.1
    assert np.median(swapped.nuclear_lean) < -0.15
    assert quality.ink_fraction.max() < 0.1
