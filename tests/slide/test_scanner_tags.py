"""A scanner's file whose tags contradict its pixels is refused by name, whichever scanner it is of."""

import shutil
import struct

import numpy as np
import pytest
import tifffile

from jecur.errors import SlideError
from jecur.slide.formats import open_source

FILES = [
    "svs_cmu1_small_region/CMU-1-Small-Region.svs",
    "constructed/constructed.scn",
    "constructed/constructed_philips.tiff",
]


def _changed(path, tag, value):
    """Overwrite a tag of every tiled page that has it; how many had."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        pages = [page for page in file.pages if page.is_tiled and tag in page.tags]
        for page in pages:
            page.tags[tag].overwrite(value)
    return len(pages)


@pytest.fixture(params=FILES)
def slide(request, test_data, tmp_path):
    source = test_data / "slides" / request.param
    if not source.is_file():
        pytest.skip(f"no {request.param}")
    return shutil.copy(source, tmp_path / source.name)


def test_as_the_scanner_wrote_it_it_is_read(slide):
    open_source(slide).close()


def test_colors_that_the_tag_denies_are_refused(slide):
    with tifffile.TiffFile(slide) as file:
        page = next(page for page in file.pages if page.is_tiled)
        tagged, codec = int(page.photometric), int(page.compression)
        file.filehandle.seek(page.dataoffsets[0])
        says = b"Adobe" in file.filehandle.read(page.databytecounts[0]) + (page.jpegtables or b"")
    if codec != 7:
        pytest.skip("no JPEG")
    if tagged == 2 and not says:
        pytest.skip("its streams of R, G, B do not say what they hold: only the tag does")
    assert _changed(slide, "PhotometricInterpretation", 2 if tagged == 6 else 6)
    with pytest.raises(SlideError) as told:
        open_source(slide)
    assert told.value.code in {"unreadable", "not-a-slide"}
    assert "tag" in told.value.message


def test_a_turned_picture_is_refused(slide):
    if not _changed(slide, "Orientation", 3):
        pytest.skip("the file has no Orientation")
    with pytest.raises(SlideError, match="Orientation 3 in a scanner's file") as told:
        open_source(slide)
    assert told.value.code == "not-a-slide"


@pytest.mark.parametrize("value", [0, 5, 8])
def test_colors_of_another_kind_are_refused(slide, value):
    """Inverted gray, CMYK and L*a*b* cannot be what three samples of a scanner hold."""
    assert _changed(slide, "PhotometricInterpretation", value)
    with pytest.raises(SlideError):
        open_source(slide)


def test_a_fourth_sample_that_nobody_explains_is_refused(tmp_path):
    """OpenSlide takes it for opacity: tissue fades."""
    samples = np.full((300, 260, 4), 128, np.uint8)
    told = "Aperio Image Library v11 \n260x300 (128x128) x|AppMag = 40|MPP = 0.25"
    for kind in ("unassalpha", "unspecified"):
        tifffile.imwrite(tmp_path / "a.svs", samples, description=told, tile=(128, 128), metadata=None,
                         photometric="rgb", extrasamples=[kind], compression="deflate")  # fmt: skip
        if kind == "unassalpha":
            open_source(tmp_path / "a.svs").close()
    with pytest.raises(SlideError, match="fourth sample"):
        open_source(tmp_path / "a.svs")


def _with_planes(source, target, *offsets):
    """Append planes of an NDPI that lie ``offsets`` nanometers beside the one in focus."""
    data = bytearray(source.read_bytes())
    with tifffile.TiffFile(source) as file:
        first, last = file.pages[0].offset, file.pages[-1].offset
    (n,), (n_last,) = struct.unpack_from("<H", data, first), struct.unpack_from("<H", data, last)
    # entries, the next directory in 8 bytes, the upper half of every value
    whole, link = bytes(data[first : first + 10 + 16 * n]), last + 2 + 12 * n_last
    for offset in offsets:
        plane = bytearray(whole)
        for at in range(2, 2 + 12 * n, 12):
            if struct.unpack_from("<H", plane, at)[0] == 65_424:
                struct.pack_into("<i", plane, at + 8, offset)
        struct.pack_into("<Q", plane, 2 + 12 * n, 0)
        data += bytes(len(data) % 2)
        struct.pack_into("<Q", data, link, len(data))
        link = len(data) + 2 + 12 * n
        data += plane
    target.write_bytes(data)


@pytest.mark.parametrize(("offsets", "flags"), [((), []), ((-2000, 2000), ["focal-planes"])])
def test_focal_planes_of_ndpi_are_told(test_data, tmp_path, offsets, flags):
    _with_planes(
        test_data / "slides/constructed/constructed_HE.ndpi", tmp_path / "a.ndpi", *offsets
    )
    source = open_source(tmp_path / "a.ndpi")
    source.close()
    assert [flag for flag, _ in source.notes] == flags


def test_focal_planes_of_scn_are_told(test_data, tmp_path):
    path = shutil.copy(test_data / "slides/constructed/constructed.scn", tmp_path / "a.scn")
    with tifffile.TiffFile(path, mode="r+b") as file:
        text = file.pages[0].description
        assert "<dimension " in text
        spare = text.index("<dimension ")
        plane = text[spare : text.index("/>", spare) + 2].replace(
            "<dimension ", '<dimension z="1" '
        )
        file.pages[0].tags["ImageDescription"].overwrite(
            text[:spare] + plane + text[spare:].replace("<dimension ", '<dimension z="0" ')
        )
    source = open_source(path)
    source.close()
    assert [flag for flag, _ in source.notes] == ["focal-planes"]
