"""The Beer-Lambert law forward, and slides that any reader opens at the right scale."""

import hashlib
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.errors import SystemRefusedError
from jecur.simulate.regions import FEATURES, TissueFeatures
from jecur.simulate.slide import render_rgb, render_tile, write_slide
from jecur.simulate.stains import VirtualStain, beer_lambert, site_stain, slide_stain
from jecur.simulate.tissue import Tissue, render_tissue

MIDDLE = TissueFeatures(**dict.fromkeys(FEATURES, 0.5))


def draw_stain(seed: int) -> VirtualStain:
    rng = np.random.default_rng(seed)
    site = site_stain(rng, angle_deg=4.0, intensity_sd=0.12)
    return slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06)


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    return render_tissue(MIDDLE, (1024, 1024), 0.5, np.random.default_rng(5), tissue_fraction=0.45)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    hematoxylin=st.floats(0, 3),
    eosin=st.floats(0, 3),
)
def test_light_follows_beer_lambert(seed: int, hematoxylin: float, eosin: float) -> None:
    stain = draw_stain(seed)
    light = beer_lambert(
        np.full((2, 3), hematoxylin, np.float32), np.full((2, 3), eosin, np.float32), stain
    )
    amounts = np.array([hematoxylin, eosin]) * stain.intensity
    expected = stain.white * np.exp(-amounts @ stain.vectors)
    np.testing.assert_allclose(light[:, 1, 2], expected, rtol=2e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_stains_are_unit_and_near_the_base(seed: int) -> None:
    site = site_stain(np.random.default_rng(seed), angle_deg=4.0, intensity_sd=0.1)
    slide = slide_stain(site, np.random.default_rng(seed), angle_deg=1.5, intensity_sd=0.05)
    np.testing.assert_allclose(np.linalg.norm(slide.vectors, axis=1), 1.0, atol=1e-12)
    assert (slide.vectors > 0).all()
    turned = np.rad2deg(np.arccos(np.clip((site.vectors * slide.vectors).sum(axis=1), -1, 1)))
    assert turned.max() < 3.2
    assert ((slide.white > 230) & (slide.white < 255)).all()


def test_unmixing_the_file_gives_the_concentrations_back(tissue: Tissue, tmp_path: Path) -> None:
    """The recorded stain matrix is the one the pixels were made with."""
    stain = draw_stain(1)
    path = tmp_path / "slide.tiff"
    write_slide(path, render_rgb(tissue, stain, np.random.default_rng(0)), um_per_px=0.5)
    image = tifffile.imread(path).reshape(-1, 3).astype(np.float64)
    true = tissue.concentrations.reshape(-1, 2) * stain.intensity
    od = -np.log(np.maximum(image, 1.0) / stain.white)
    stained = (true.sum(axis=1) > 0.3) & (image.min(axis=1) > 15)
    found, *_ = np.linalg.lstsq(true[stained], od[stained], rcond=None)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    angle = np.rad2deg(np.arccos(np.clip((found * stain.vectors).sum(axis=1), -1, 1)))
    assert angle.max() < 1.0
    amounts = od[stained] @ np.linalg.pinv(stain.vectors)
    assert np.corrcoef(amounts[:, 0], true[stained, 0])[0, 1] > 0.97
    assert abs(np.median(amounts[:, 1] - true[stained, 1])) < 0.03


def test_glass_is_off_white_with_little_noise(tissue: Tissue) -> None:
    stain = draw_stain(2)
    corner = render_rgb(tissue, stain, np.random.default_rng(0))[:60, :60].reshape(-1, 3)
    np.testing.assert_allclose(corner.mean(axis=0), stain.white, atol=0.6)
    assert (corner.std(axis=0) < 2.5).all()
    assert (corner.std(axis=0) > 0.3).all()


def test_openslide_finds_pyramid_and_scale(tissue: Tissue, tmp_path: Path) -> None:
    path = tmp_path / "slide.tiff"
    write_slide(path, render_rgb(tissue, draw_stain(3), np.random.default_rng(0)), um_per_px=0.4)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.4, rel=1e-6)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.4, rel=1e-6)
        assert slide.level_dimensions == ((1024, 1024), (256, 256))
        told = " ".join(slide.properties.values())
        assert str(tmp_path) not in told
        center = np.asarray(slide.read_region((480, 480), 0, (64, 64)))[..., :3]
        small = np.asarray(slide.read_region((480, 480), 1, (16, 16)))[..., :3]
    np.testing.assert_allclose(
        small.mean(axis=(0, 1)), center.mean(axis=(0, 1)), atol=6.0
    )  # levels show the same place


def test_one_seed_one_file(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.tiff", "b.tiff"):
        image = render_tile(MIDDLE, np.random.default_rng(9))
        write_slide(tmp_path / name, image, um_per_px=0.5)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tiff", "b.tiff"]


def test_tile_darkens_with_hyperchromasia_and_lymphocytes() -> None:
    def dark_share(**features: float) -> float:
        wanted = TissueFeatures(**{**dict.fromkeys(FEATURES, 0.2), **features})
        tiles = [
            render_tile(wanted, np.random.default_rng(k), size_px=224, stain=draw_stain(0))
            for k in range(6)
        ]
        return float(np.mean([(tile[..., 0] < 100).mean() for tile in tiles]))

    plain = dark_share()
    assert dark_share(hyperchromasia=0.95) > 1.5 * plain
    assert dark_share(immune=0.95) > 1.5 * plain


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(SystemRefusedError, match=r"found: .* at .*slide\.tiff"):
        write_slide(tmp_path / "absent" / "slide.tiff", image, um_per_px=0.5)
