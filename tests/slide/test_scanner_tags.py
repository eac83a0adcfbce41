"""A scanner's file whose tags contradict its pixels is refused by name, whichever scanner it is of."""

import shutil

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
