"""Slides whose pixels, scale or place once came out silently wrong; each with the right value."""

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image, ImageOps

from jecur.errors import SlideError
from jecur.slide.reader import open_slide


def openslide_level(path, level):
    handle = openslide.OpenSlide(str(path))
    plain = np.asarray(handle.read_region((0, 0), level, handle.level_dimensions[level]))
    handle.close()
    alpha = plain[..., 3:].astype(float) / 255.0
    return np.rint(plain[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)


def whole(slide, level=0):
    size = slide.levels[level]
    return slide._source.read(level, 0, 0, size.width, size.height)


@pytest.mark.parametrize(
    "name", ["svs_missing_tiles_level1.svs", "control_svs_no_missing_tiles.svs"]
)
def test_missing_tiles_are_drawn_as_openslide_draws_them(cases, name):
    path = cases / "slides" / name
    with open_slide(path) as slide:
        assert len(slide.levels) == 2
        for level in range(len(slide.levels)):
            np.testing.assert_array_equal(whole(slide, level), openslide_level(path, level))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ome_overview_first.ome.tif", 1024),
        ("ome_one_level_no_tags.ome.tif", 1024),
        ("ome_jpeg2000.ome.tif", 1024),
    ],
)
def test_scale_and_pixels_are_those_of_the_image_that_is_read(cases, name, size):
    path = cases / "slides" / name
    with open_slide(path) as slide, tifffile.TiffFile(path) as file:
        assert (slide.mpp, slide.mpp_source) == (0.25, "file")
        assert (slide.size.width, slide.size.height) == (size, size)
        series = max(file.series, key=lambda series: series.shape[0])
        for number, level in enumerate(series.levels):
            np.testing.assert_array_equal(whole(slide, number), level.asarray())


def test_metadata_and_tags_that_contradict_each_other_are_refused(cases):
    path = cases / "slides" / "ome_one_level_tags_contradict.ome.tif"
    with pytest.raises(SlideError, match=r"0\.25 um/px in the metadata, 0\.5") as caught:
        open_slide(path)
    assert caught.value.code == "scale-contradiction"
    with open_slide(path, mpp=0.25) as slide:
        assert slide.mpp == 0.25
        assert [flag for flag, _ in slide.notes] == ["scale-contradiction"]


def test_orientation_turns_the_whole_picture(cases):
    path = cases / "slides" / "orientation3_tiled.tif"
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), upright)


def test_a_folder_of_two_series_is_refused_by_name(cases):
    folder = cases / "slides" / "dicom_two_slides_one_folder"
    with pytest.raises(SlideError) as caught:
        open_slide(folder)
    assert caught.value.code == "several-scans"
    assert "A_level" in caught.value.message
    assert "B_level" in caught.value.message
    for file in sorted(folder.glob("*.dcm")):
        with open_slide(file) as slide:
            assert slide.size.width > 0


@pytest.mark.parametrize("kind", ["rgba_premultiplied", "ycbcr"])
def test_strips_and_tiles_have_the_colors_of_openslide(cases, kind):
    suffix = "_deflate" if kind == "ycbcr" else ""
    strips = "ycbcr_strips_deflate" if suffix else "rgba_premultiplied_strips"
    tiles = "ycbcr_tiled_deflate_control" if suffix else "rgba_premultiplied_tiled_control"
    control = cases / "slides" / f"{tiles}.tif"
    expected = openslide_level(control, 0).astype(int)
    for name in (strips, tiles):
        with open_slide(cases / "slides" / f"{name}.tif") as slide:
            assert np.abs(whole(slide).astype(int) - expected).max() <= 2
