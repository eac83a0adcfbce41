"""Real H&E is accepted; other stains and broken colors are refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from jecur.errors import StainError
from jecur.settings import StainSettings
from jecur.stain import builtin_reference, fit_normalizer, fit_slide_stain
from jecur.stain.optical_density import mean_optical_density

SETTINGS = StainSettings(n_pixels=10_000)
HE_FOLDERS = [
    "stain",
    "nuclei/monuseg2018_train/images",
    "nuclei/cpm15/images",
    "liver/steatosis/images",
    "liver/tcga_chol",
]


def pixels_of(path, n=20_000):
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return pixels[np.random.default_rng(0).permutation(len(pixels))[:n]]


@pytest.mark.parametrize("folder", HE_FOLDERS)
def test_every_hematoxylin_and_eosin_image_is_accepted(test_data, folder):
    paths = [p for p in sorted((test_data / folder).iterdir()) if p.suffix in (".png", ".jpg")]
    assert paths
    for path in paths:
        fit = fit_slide_stain(pixels_of(path), SETTINGS)
        assert fit.stains.vectors[0, 0] > fit.stains.vectors[1, 0], path.name


@pytest.mark.parametrize("name", ["OS-2-ndpi.ome.tif", "OS-2-vsi.ome.tif"])
def test_ki67_is_refused(test_data, name):
    with tifffile.TiffFile(test_data / "slides/ome_tiff_ki67_ihc_nonHE" / name) as tiff:
        rgb = tiff.series[0].asarray()
    rgb = np.moveaxis(rgb, 0, -1) if rgb.shape[0] == 3 else rgb
    pixels = rgb.reshape(-1, 3)[::50]
    with pytest.raises(StainError) as refused:
        fit_slide_stain(np.ascontiguousarray(pixels), SETTINGS)
    assert refused.value.code == "not-hematoxylin-eosin"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("slides/ndpi_fluorescence_nonHE/test3-DAPI-2-(387).ndpi", "inverted"),
        ("slides/dicom_google_nonHE/raw/raw.dcm", "not-hematoxylin-eosin"),
        (
            "slides/dicom_cmu1_pyramid_wrong_colour/cmu-1-small-region/level-0-frames-0-30.dcm",
            "not-hematoxylin-eosin",
        ),
    ],
)
def test_other_stains_and_wrong_colors_are_refused(test_data, path, code):
    openslide = pytest.importorskip("openslide")
    with openslide.OpenSlide(str(test_data / path)) as slide:
        size = tuple(min(1_000, n) for n in slide.dimensions)
        corner = tuple((n - s) // 2 for n, s in zip(slide.dimensions, size, strict=True))
        rgb = np.asarray(slide.read_region(corner, 0, size))[..., :3]
    with pytest.raises(StainError) as refused:
        fit_slide_stain(np.ascontiguousarray(rgb.reshape(-1, 3)), SETTINGS)
    assert refused.value.code == code


def test_the_authors_pairs_come_closer(test_data):
    """Tissue color of two very different slides agrees better after than before."""
    pair = [pixels_of(test_data / f"stain/vahadane_{name}.png") for name in ("source1", "target2")]
    tissue = [p[mean_optical_density(p) > 0.15] for p in pair]
    made = [
        fit_normalizer(p, SETTINGS, builtin_reference()).apply(t[None, None])[0, 0]
        for p, t in zip(pair, tissue, strict=True)
    ]
    before = np.abs(tissue[0].mean(axis=0) - tissue[1].mean(axis=0)).sum()
    after = np.abs(made[0].mean(axis=0) - made[1].mean(axis=0)).sum()
    assert after < before
