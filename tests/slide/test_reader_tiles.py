"""File tiles decoded by ourselves: OpenSlide's very pixels, and no damage passed over."""

import numpy as np
import openslide
import pytest
import tifffile

from jecur.errors import SlideError
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_tile
from jecur.slide.reader import open_slide
from jecur.slide.reader_tiles import FileTileSource

APERIO = "Aperio Image Library v11.2.1 \n{w}x{h} (256x256) {codec}|AppMag = 40|MPP = 0.2500"
KINDS = {
    "jpeg-ycbcr": {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (2, 2)},
    "jpeg-rgb": {"photometric": "rgb", "compression": "jpeg"},
    "jpeg-2000": {"photometric": "rgb", "compression": 33005, "compressionargs": {"level": 40}},
}


@pytest.fixture(scope="module")
def image():
    tile = render_tile(
        TissueFeatures(0.4, 0.5, 0.5, 0.3), np.random.default_rng(4), size_px=700, um_per_px=0.25
    )
    return np.ascontiguousarray(tile[:, :640])


@pytest.fixture(scope="module", params=list(KINDS))
def slide(request, image, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiles") / f"{request.param}.svs"
    height, width = image.shape[:2]
    text = APERIO.format(w=width, h=height, codec=request.param)
    tifffile.imwrite(
        path, image, tile=(256, 256), description=text, metadata=None, **KINDS[request.param]
    )
    return path


def test_regions_are_openslides_very_pixels(slide):
    with open_slide(slide) as ours:
        assert isinstance(ours._source, FileTileSource)
        assert (ours.reader, ours.vendor, ours.mpp) == ("openslide", "aperio", 0.25)
        handle = openslide.OpenSlide(str(slide))
        rng = np.random.default_rng(0)
        spots = [(0, 0, 640, 700), (600, 650, 40, 50), (255, 255, 2, 2)]
        spots += [(*rng.integers(0, 300, 2), *rng.integers(1, 300, 2)) for _ in range(12)]
        for x, y, width, height in spots:
            plain = np.asarray(handle.read_region((int(x), int(y)), 0, (int(width), int(height))))
            region = ours._source.read(0, int(x), int(y), int(width), int(height))
            np.testing.assert_array_equal(region, plain[..., :3])
        handle.close()


def _tile_bytes(path, index):
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return page.dataoffsets[index], page.databytecounts[index]


def test_a_tile_cut_short_or_broken_is_an_error_and_its_neighbors_are_not(slide, tmp_path):
    offset, count = _tile_bytes(slide, 0)
    content = bytearray(slide.read_bytes())
    content[offset + count // 2 : offset + count] = bytes(count - count // 2)
    broken = tmp_path / slide.name
    broken.write_bytes(content)
    with open_slide(broken) as ours, open_slide(slide) as sound:
        with pytest.raises(SlideError) as caught:
            ours.read_region(10, 10, 100, 100)
        assert caught.value.code == "unreadable"
        np.testing.assert_array_equal(
            ours.read_region(300, 300, 100, 100), sound.read_region(300, 300, 100, 100)
        )


def test_a_tile_that_claims_a_vast_size_takes_no_memory(slide, tmp_path):
    offset, count = _tile_bytes(slide, 0)
    content = bytearray(slide.read_bytes())
    stream = bytes(content[offset : offset + count])
    if "2000" in slide.name:
        at = offset + stream.index(b"\xff\x4f\xff\x51") + 8
        content[at : at + 8] = (60_000).to_bytes(4, "big") * 2
    else:
        at = offset + stream.index(b"\xff\xc0") + 5
        content[at : at + 4] = (60_000).to_bytes(2, "big") * 2
    (tmp_path / slide.name).write_bytes(content)
    with open_slide(tmp_path / slide.name) as ours, pytest.raises(SlideError, match="claims"):
        ours._source.read(0, 0, 0, 10, 10)


def test_other_colors_than_openslides_leave_the_level_to_openslide(image, tmp_path):
    path = tmp_path / "wrong-tag.svs"
    height, width = image.shape[:2]
    text = APERIO.format(w=width, h=height, codec="JPEG")
    tifffile.imwrite(
        path, image, tile=(256, 256), description=text, metadata=None, **KINDS["jpeg-ycbcr"]
    )
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["PhotometricInterpretation"].valueoffset
    content = bytearray(path.read_bytes())
    content[place] = 2  # says R, G, B; the streams hold Y, Cb, Cr and no marker that says so
    path.write_bytes(content)
    handle = openslide.OpenSlide(str(path))
    plain = np.asarray(handle.read_region((30, 40), 0, (300, 200)))[..., :3]
    handle.close()
    with open_slide(path) as ours:
        np.testing.assert_array_equal(ours._source.read(0, 30, 40, 300, 200), plain)
