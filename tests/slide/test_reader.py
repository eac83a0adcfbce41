"""What opens, what is refused and why, and whether a pixel read is the pixel asked for."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from jecur.errors import SettingsError, SlideError
from jecur.slide import reader
from jecur.slide.reader import open_slide
from jecur.slide.resample import best_level
from jecur.slide.resolution import resolve_mpp
from jecur.slide.source import Scale

from .conftest import HEIGHT, MPP, WIDTH, coordinate_image, tissue_image, write_pyramid


def expected_colors(x: float, y: float, side: float, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Red along x and green along y that a perfect reading of the square would give."""
    centers = (np.arange(pixels) + 0.5) * side / pixels
    return 20.0 + 200.0 * (x + centers) / WIDTH, 20.0 + 200.0 * (y + centers) / HEIGHT


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(0.0, WIDTH - 300.0),
    y=st.floats(0.0, HEIGHT - 300.0),
    side=st.floats(40.0, 300.0),
    pixels=st.integers(8, 96),
)
def test_any_region_is_in_place_at_any_level(coordinate_slide, x, y, side, pixels):
    with open_slide(coordinate_slide) as slide:
        region = slide.read_region(x, y, side, pixels).astype(float)
    red, green = expected_colors(x, y, side, pixels)
    # One gray level is 7.7 px along x and 6.4 px along y. Whole levels are stored and returned: over
    # the few pixels of a small output the two roundings may lean one way, by half a level each.
    assert np.abs(region[..., 0] - red).max() < 1.2
    assert np.abs(region[..., 1] - green[:, None]).max() < 1.2
    assert abs((region[..., 0] - red).mean()) < 0.7
    assert abs((region[..., 1] - green[:, None]).mean()) < 0.7


def test_reading_at_full_resolution_returns_the_stored_pixels(coordinate_slide):
    with open_slide(coordinate_slide) as slide:
        region = slide.read_region(300, 500, 128, 128)
    np.testing.assert_array_equal(region, coordinate_image()[500:628, 300:428])


def test_a_pixel_wide_line_stays_in_place_on_every_level(tmp_path):
    image = np.full((1024, 1024, 3), 255, dtype=np.uint8)
    image[512:, :] = 0
    path = write_pyramid(tmp_path / "step.tiff", image, compression=None)
    with open_slide(path) as slide:
        for reduction in (1, 2, 4, 3.2):
            pixels = round(512 / reduction)
            column = slide.read_region(256, 256, pixels * reduction, pixels)[:, 0, 0].astype(float)
            # White above, black below: the sum of whiteness is where the step lies.
            edge = 256 + (column / 255.0).sum() * reduction
            assert edge == pytest.approx(512, abs=0.35 * reduction)


def test_what_lies_outside_the_slide_is_white(coordinate_slide):
    with open_slide(coordinate_slide) as slide:
        corner = slide.read_region(-100, -100, 200, 100)
        beyond = slide.read_region(WIDTH + 10, 0, 100, 50)
    assert (corner[:50] == 255).all()
    assert (corner[:, :50] == 255).all()
    assert (corner[55:, 55:, 2] == 128).all()
    assert (beyond == 255).all()


def test_reduction_does_not_alias(tmp_path):
    stripes = np.zeros((1024, 1024, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    path = write_pyramid(tmp_path / "stripes.tiff", stripes, levels=1, compression=None)
    with open_slide(path) as slide:
        region = slide.read_region(100, 100, 512, 224).astype(float)
    # Sampling without a filter would leave values from 0 to 255.
    assert np.abs(region - 127.5).max() < 25.0
    assert region.mean() == pytest.approx(127.5, abs=1.0)


@given(
    wanted=st.floats(0.2, 200.0),
    ratios=st.lists(st.floats(1.5, 4.5), min_size=0, max_size=8),
)
def test_best_level_is_the_coarsest_that_is_fine_enough(wanted, ratios):
    downsamples = tuple(np.cumprod([1.0, *ratios]))
    level = best_level(downsamples, wanted)
    assert level == 0 or downsamples[level] <= 1.01 * wanted
    assert all(value > 1.01 * wanted for value in downsamples[level + 1 :])


def test_overview_covers_the_slide_at_the_scale_asked(coordinate_slide):
    with open_slide(coordinate_slide) as slide:
        overview = slide.overview(8.0).astype(float)
    assert overview.shape == (HEIGHT * MPP // 8, WIDTH * MPP // 8, 3)
    x = (np.arange(overview.shape[1]) + 0.5) * 8.0 / MPP
    assert np.abs(overview[..., 0] - (20.0 + 200.0 * x / WIDTH)).max() < 1.5


def test_overview_in_blocks_equals_one_block(tmp_path):
    image = tissue_image(2304, 1280)
    path = write_pyramid(tmp_path / "blocks.tiff", image, levels=1, compression=None)
    with open_slide(path) as slide:
        overview = slide.overview(2.0)
    whole = Image.fromarray(image).resize(
        (2304 // 4, 1280 // 4), Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    assert np.abs(overview.astype(int) - np.asarray(whole).astype(int)).max() <= 1


def test_ome_tiff_levels_in_subifds_are_all_seen(tmp_path):
    path = write_pyramid(tmp_path / "a.ome.tiff", coordinate_image(), compression=None, ome=True)
    with open_slide(path) as slide:
        assert slide.reader == "tifffile"
        assert slide.downsamples == pytest.approx((1.0, 2.0, 4.0))
        assert (slide.mpp, slide.mpp_source) == (pytest.approx(MPP), "file")
        region = slide.read_region(400, 300, 512, 128).astype(float)
    red, green = expected_colors(400, 300, 512, 128)
    assert np.abs(region[..., 0] - red).max() < 1.2
    assert np.abs(region[..., 1] - green[:, None]).max() < 1.2


def test_strips_of_a_plain_tiff_are_read_in_place(tmp_path):
    image = coordinate_image(700, 500)
    path = tmp_path / "strips.tif"
    tifffile.imwrite(
        path,
        image,
        rowsperstrip=37,
        compression="lzw",
        photometric="rgb",
        resolution=(20_000, 20_000),
        resolutionunit="centimeter",
    )
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read_region(100, 90, 256, 256), image[90:346, 100:356])
        assert (slide.mpp, slide.mpp_source) == (pytest.approx(0.5), "resolution-tag")


def test_transparent_pixels_are_white(tmp_path):
    rgba = np.zeros((64, 64, 4), dtype=np.uint8)
    rgba[:, 32:] = (200, 100, 150, 255)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    with open_slide(tmp_path / "alpha.png", mpp=0.5) as slide:
        pixels = slide.read_region(0, 0, 64, 64)
    assert (pixels[:, :32] == 255).all()
    assert (pixels[:, 32:] == (200, 100, 150)).all()


def code_of(path: Path, mpp: float | None = None) -> str:
    """Code with which a file is refused; one line, naming no folder."""
    with pytest.raises(SlideError) as refusal:
        open_slide(path, mpp=mpp)
    message = refusal.value.message
    assert "\n" not in message
    assert str(path.parent) not in message
    assert path.name in message
    return refusal.value.code


def test_no_file(tmp_path):
    assert code_of(tmp_path / "nothing.svs") == "missing-file"
    assert code_of(tmp_path / "no" / "folder.svs") == "missing-file"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    (tmp_path / "loop.svs").symlink_to(tmp_path / "loop.svs")
    (tmp_path / "folder.svs").mkdir()
    (tmp_path / "empty.svs").touch()
    assert code_of(tmp_path / "pipe.svs") == "not-a-slide"
    assert code_of(tmp_path / "loop.svs") == "not-a-slide"
    assert code_of(tmp_path / "folder.svs") == "not-a-slide"
    assert code_of(tmp_path / "empty.svs") == "truncated"


@pytest.mark.parametrize("suffix", [".svs", ".png", ".tiff", ".dcm", ".ndpi"])
def test_noise_is_not_a_slide(tmp_path, suffix):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(5_000))
    assert code_of(path) == "not-a-slide"


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("ome", [False, True])
def test_a_file_cut_short_is_refused(tmp_path, kept, ome):
    whole = write_pyramid(tmp_path / "whole.tiff", tissue_image(), ome=ome)
    cut = tmp_path / "cut.tiff"
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * kept)])
    assert code_of(cut) == "truncated"


def test_a_truncated_image_is_refused(tmp_path):
    Image.fromarray(tissue_image(300, 300)).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    assert code_of(tmp_path / "cut.jpg", mpp=0.5) == "truncated"


def test_sixteen_bit_and_gray_are_not_slides(tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((64, 64, 3), np.uint16), photometric="rgb")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "gray.png")
    assert code_of(tmp_path / "deep.tif", mpp=0.5) == "not-a-slide"
    assert code_of(tmp_path / "gray.png", mpp=0.5) == "not-a-slide"


def test_a_small_file_that_claims_a_huge_image_is_refused(tmp_path):
    path = tmp_path / "bomb.tiff"
    blank = zlib.compress(bytes(256 * 256 * 3))
    # 40,000 x 40,000 claimed in one level: 4.5 GiB decoded.
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            (blank for _ in range(157 * 157)),
            shape=(40_000, 40_000, 3),
            dtype=np.uint8,
            tile=(256, 256),
            photometric="rgb",
            compression="zlib",
            metadata=None,
        )
    assert path.stat().st_size < 30e6
    assert code_of(path, mpp=0.5) == "too-large"


def test_scale_is_asked_for_when_the_file_is_silent(tmp_path):
    path = write_pyramid(tmp_path / "silent.tiff", tissue_image(), mpp=None)
    assert code_of(path) == "no-mpp"
    with open_slide(path, mpp=0.42) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.42, "override")


@pytest.mark.parametrize("mpp", [0.05, 2.5, 1000.0])
def test_impossible_scale_is_refused_wherever_it_comes_from(tmp_path, mpp):
    path = write_pyramid(tmp_path / "scale.tiff", tissue_image(), mpp=mpp)
    assert code_of(path) == "implausible-mpp"
    assert code_of(path, mpp=mpp) == "implausible-mpp"


@pytest.mark.parametrize(
    ("scale", "vendor", "outcome"),
    [
        (Scale(0.25, 0.25, "file", 40.0), "aperio", 0.25),
        (Scale(0.2325, 0.2325, "file", 20.0), "mirax", 0.2325),
        (Scale(0.25, 0.25, "file", 20.0), "aperio", "implausible-mpp"),
        (Scale(0.5, 0.5, "file", 40.0), "hamamatsu", "implausible-mpp"),
        (Scale(0.25, 0.26, "file"), "aperio", 0.255),
        (Scale(0.25, 0.30, "file"), "aperio", "implausible-mpp"),
        (Scale(float("nan"), 0.25, "file"), "aperio", "implausible-mpp"),
        (Scale(0.0, 0.0, "file"), "aperio", "implausible-mpp"),
        (Scale(None, None, "file", 20.0), "aperio", 0.5),
        (Scale(None, None, "file", 0.0), "aperio", "no-mpp"),
        (Scale(), "tiff", "no-mpp"),
    ],
)
def test_scale_is_believed_only_if_it_can_be_true(scale, vendor, outcome):
    if isinstance(outcome, str):
        with pytest.raises(SlideError) as refusal:
            resolve_mpp(scale, vendor, override=None, name="a.svs")
        assert refusal.value.code == outcome
    else:
        assert resolve_mpp(scale, vendor, override=None, name="a.svs")[0] == pytest.approx(outcome)


def test_an_embedded_color_profile_is_told_and_not_applied(tmp_path):
    pixels = tissue_image(300, 300)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "with.png", icc_profile=profile)
    Image.fromarray(pixels).save(tmp_path / "without.png")
    tifffile.imwrite(
        tmp_path / "with.tiff",
        pixels,
        photometric="rgb",
        rowsperstrip=100,
        iccprofile=profile,
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
    )
    for name, told in (("with.png", True), ("without.png", False), ("with.tiff", True)):
        with open_slide(tmp_path / name, mpp=0.5) as slide:
            assert slide.icc_profile is told
            np.testing.assert_array_equal(slide.read_region(0, 0, 300, 300), pixels)


@pytest.mark.parametrize("tissue", [False, True], ids=["coordinates", "tissue"])
def test_a_square_read_in_parts_is_the_square_read_whole_and_no_part_is_large(
    tissue, tmp_path, monkeypatch
):
    image = tissue_image() if tissue else coordinate_image()
    path = write_pyramid(tmp_path / "flat.tiff", image, levels=1, compression=None)
    with open_slide(path) as slide:
        asked = [
            (0, 0, WIDTH + 40, 37),
            (11.3, 7.9, 901.7, 100),
            (300, 200, 600, 600),
        ]
        whole = [slide.read_region(*square) for square in asked]
        read, windows = slide._source.read, []
        monkeypatch.setattr(
            slide._source, "read", lambda *w: (windows.append(w[3] * w[4]), read(*w))[1]
        )
        monkeypatch.setattr(reader, "_MOST_AT_ONCE_PX", 2**15)
        monkeypatch.setattr(reader, "_FINER_PX", 64)
        for square, expected in zip(asked, whole, strict=True):
            windows.clear()
            apart = np.abs(slide.read_region(*square).astype(int) - expected)
            # the filter is cut at the edges of the square, and of its parts
            assert apart.mean() < 0.5
            assert apart.max() <= 12
            assert max(windows) <= 2**15
            assert len(windows) > 8


NOT_A_NUMBER = [float("nan"), float("inf"), "0", None, True, 1j]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("x", "y", "size_px_level0") for value in NOT_A_NUMBER],
        *[("size_px_level0", value) for value in (0, -1.0)],
        *[("output_px", value) for value in (*NOT_A_NUMBER, 0, -3, 2.5, 10**6)],
    ],
)
def test_a_square_that_is_none_is_refused_by_name(coordinate_slide, name, value):
    asked = {"x": 0, "y": 0, "size_px_level0": 100, "output_px": 10} | {name: value}
    with (
        open_slide(coordinate_slide) as slide,
        pytest.raises(SettingsError, match=f"^{name}: expected"),
    ):
        slide.read_region(**asked)


def test_a_square_takes_numbers_of_numpy(coordinate_slide):
    with open_slide(coordinate_slide) as slide:
        plain = slide.read_region(10, 20, 100, 10)
        given = slide.read_region(np.int64(10), np.float32(20), np.float64(100), np.int32(10))
    np.testing.assert_array_equal(given, plain)


def write_pages(path, *pages):
    with tifffile.TiffWriter(path) as writer:
        for image, mpp, reduced in pages:
            writer.write(
                image,
                tile=(128, 128),
                photometric="rgb",
                metadata=None,
                subfiletype=int(reduced),
                resolution=(1e4 / mpp, 1e4 / mpp),
                resolutionunit="centimeter",
            )
    return path


@pytest.mark.parametrize("steps", [(4, 1), (4, 2, 1), (2, 1, 4)])
def test_a_smaller_copy_before_the_slide_is_not_the_slide(tmp_path, steps):
    image = coordinate_image(640, 512)
    pages = [(image[::step, ::step], 0.5 * step, step > 1) for step in steps]
    with open_slide(write_pages(tmp_path / "a.tif", *pages)) as slide:
        assert (slide.mpp, slide.size.width, len(slide.levels)) == (0.5, 640, len(steps))
        np.testing.assert_array_equal(slide._source.read(0, 0, 0, 640, 512), image)


@pytest.mark.parametrize("tag", [(500, 300), (320, 256), (90, 60)])
def test_another_piece_of_tissue_in_the_file_is_told(tmp_path, tag):
    image, other = coordinate_image(640, 512), coordinate_image(*tag)
    path = write_pages(tmp_path / "a.tif", (image, 0.5, False), (other, 0.5, False))
    with open_slide(path) as slide:
        told = [flag for flag, _ in slide.notes]
        assert told == (["images-not-read"] if tag == (500, 300) else [])


@pytest.mark.parametrize(
    ("own", "given", "told"),
    [(0.5, 0.5, False), (0.5, 0.52, False), (0.5, 0.25, True), (None, 0.25, False), (40.0, 0.25, False)],
)  # fmt: skip
def test_a_scale_of_the_user_that_the_file_denies_is_told(tmp_path, own, given, told):
    path = write_pyramid(tmp_path / "a.tiff", coordinate_image(), mpp=own, levels=1)
    with open_slide(path, mpp=given) as slide:
        assert (slide.mpp, slide.mpp_source) == (given, "override")
        assert [flag for flag, _ in slide.notes] == (["mpp-override"] if told else [])


@pytest.mark.parametrize(
    ("x", "y", "found"),
    [(0, 0, "found 0;"), (-0.5, -0.5, "found -0.5;"), (0.5, 0, "found 0.5 x 0;")],
)
def test_a_scale_of_nothing_is_said_to_be_that(x, y, found):
    with pytest.raises(SlideError, match=r"above 0, " + found) as said:
        resolve_mpp(Scale(float(x), float(y)), "aperio", override=None, name="a.svs")
    assert said.value.code == "implausible-mpp"
