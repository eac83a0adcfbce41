"""OME-TIFF as exporters write it: separate channels, focal planes, codecs that OpenSlide lacks."""

import numpy as np
import pytest
import tifffile

from jecur.errors import SlideError
from jecur.slide.reader import open_slide

SCALE = {
    "PhysicalSizeX": 0.25,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 0.25,
    "PhysicalSizeYUnit": "µm",
}


def picture(height=300, width=260, shift=0):
    y, x = np.mgrid[:height, :width]
    return np.stack(((x + shift) % 256, y % 256, (x * y) % 256), axis=-1).astype(np.uint8)


def write(path, image, axes, metadata=None, **options):
    options = {"photometric": "minisblack", "tile": (128, 128)} | options
    levels = options.pop("levels", 2)
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(
            image, subifds=levels - 1, metadata={"axes": axes} | SCALE | (metadata or {}), **options
        )
        for k in range(1, levels):
            smaller = (
                image[..., :: 2**k, :: 2**k]
                if axes.endswith("YX")
                else image[..., :: 2**k, :: 2**k, :]
            )
            writer.write(smaller, subfiletype=1, metadata=None, **options)
    return path


def whole(slide, level=0):
    size = slide.levels[level]
    return slide._source.read(level, 0, 0, size.width, size.height)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("names", [None, ["Red", "Green", "Blue"]])
def test_three_separate_channels_are_one_picture(tmp_path, levels, names):
    image = picture()
    told = {"Channel": {"Name": names}} if names else {}
    path = write(tmp_path / "a.ome.tif", np.moveaxis(image, -1, 0), "CYX", told, levels=levels)
    with open_slide(path) as slide:
        assert (slide.mpp, slide.mpp_source, len(slide.levels)) == (0.25, "file", levels)
        for level in range(levels):
            np.testing.assert_array_equal(whole(slide, level), image[:: 2**level, :: 2**level])


@pytest.mark.parametrize("names", [["DAPI", "FITC", "TRITC"], ["Blue", "Green", "Red"]])
def test_channels_that_are_not_red_green_blue_are_refused_by_name(tmp_path, names):
    told = {"Channel": {"Name": names}}
    path = write(tmp_path / "a.ome.tif", np.moveaxis(picture(), -1, 0), "CYX", told)
    with pytest.raises(SlideError, match=", ".join(names)):
        open_slide(path)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("axes", ["ZYXS", "ZCYX", "CZYX"])
def test_the_middle_of_a_stack_is_read_and_flagged(tmp_path, axes, depth, levels):
    planes = np.stack([picture(shift=40 * k) for k in range(depth)])
    order = {"ZYXS": (0, 1, 2, 3), "ZCYX": (0, 3, 1, 2), "CZYX": (3, 0, 1, 2)}[axes]
    options = {"photometric": "rgb"} if axes == "ZYXS" else {}
    path = write(tmp_path / "a.ome.tif", planes.transpose(order), axes, levels=levels, **options)
    with open_slide(path) as slide:
        assert [flag for flag, _ in slide.notes] == ["focal-planes"]
        assert f"of {depth}" in slide.notes[0][1]
        assert slide.mpp == 0.25
        for level in range(levels):
            expected = planes[depth // 2, :: 2**level, :: 2**level]
            np.testing.assert_array_equal(whole(slide, level), expected)


def test_a_time_series_is_refused(tmp_path):
    frames = np.stack([picture(), picture(shift=9)])
    path = write(tmp_path / "a.ome.tif", frames, "TYXS", photometric="rgb")
    with pytest.raises(SlideError, match="time series"):
        open_slide(path)


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize(
    ("codec", "arguments"),
    [(33003, {"reversible": True, "level": 0}), (33005, {"reversible": True, "level": 0}),
     (34712, {"reversible": True, "level": 0}), ("webp", {"lossless": True}),
     ("jpegxl", {"level": 101}), ("lzma", {}), ("zstd", {}), ("lerc", {}), ("png", {})],
)  # fmt: skip
def test_codecs_that_openslide_lacks(tmp_path, codec, arguments, levels):
    image = picture()
    path = write(tmp_path / "a.ome.tif", image, "YXS", photometric="rgb", levels=levels,
                 compression=codec, compressionargs=arguments)  # fmt: skip
    with open_slide(path) as slide:
        assert slide.mpp == 0.25
        for level in range(levels):
            np.testing.assert_array_equal(whole(slide, level), image[:: 2**level, :: 2**level])


def test_an_unknown_compression_is_not_called_damage(tmp_path):
    path = write(tmp_path / "a.ome.tif", picture(), "YXS", photometric="rgb", levels=1,
                 compression="deflate")  # fmt: skip
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["Compression"].valueoffset
    content = bytearray(path.read_bytes())
    content[place : place + 2] = (50_999).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(SlideError, match=r"50999.*not supported") as caught:
        open_slide(path)
    assert "damage" not in caught.value.message


RED, GREEN, BLUE = -16_776_961, 16_711_935, 65_535


@pytest.mark.parametrize(
    ("colors", "read"),
    [((RED, GREEN, BLUE), True), ((-1, -1, -1), True), ((BLUE, GREEN, RED), False),
     ((16_777_215, -16_711_681, -65_281), False)],
)  # fmt: skip
def test_colors_of_channels_without_names_are_believed(tmp_path, colors, read):
    image = picture()
    told = {"Channel": {"Color": list(colors)}}
    path = write(tmp_path / "a.ome.tif", np.moveaxis(image, -1, 0), "CYX", told)
    if not read:
        with pytest.raises(SlideError, match=r"not red, green and blue.*#"):
            open_slide(path)
        return
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), image)


@pytest.mark.parametrize(
    ("told", "mpp"),
    [
        ({"PhysicalSizeX": 0.25}, 0.25),
        ({"PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"}, 0.25),
        ({"PhysicalSizeX": 0.25 / 25.4, "PhysicalSizeXUnit": "thou"}, 0.25),
        ({"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "um/px"}, None),
        ({"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}, 0.5),
        ({}, 0.5),
    ],
)
def test_tags_do_not_speak_where_ome_tells_half_or_in_a_strange_unit(tmp_path, told, mpp):
    path = tmp_path / "a.ome.tif"
    tags = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        path, picture(), ome=True, metadata={"axes": "YXS"} | told, photometric="rgb", **tags
    )
    code = "no-mpp" if mpp is None else "scale-contradiction"
    if mpp == 0.5:
        with open_slide(path) as slide:
            assert slide.mpp == pytest.approx(0.5)
        return
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("scan", "label image"), 1),
        (("scan", "Macro_1"), 1),
        (("scan", "scan overview"), 1),
        (("scan", "macrophages"), 2),
        (("scan", "unlabeled 2"), 2),
        (("macro", "scan"), 2),
        (("macro", "label"), 1),
    ],
)
def test_a_scan_is_no_label_because_its_name_holds_the_word(tmp_path, names, found):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name, size in zip(names, ((300, 260), (280, 250)), strict=True):
            told = {"axes": "YXS", "Name": name} | SCALE
            writer.write(picture(*size), metadata=told, photometric="rgb", tile=(128, 128))
    if found == 1:
        with open_slide(path) as slide:
            np.testing.assert_array_equal(whole(slide), picture())
        return
    with pytest.raises(SlideError, match=f"found 2.*{names[1]}"):
        open_slide(path)
