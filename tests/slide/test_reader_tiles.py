"""File tiles decoded by ourselves: OpenSlide's very pixels, and no damage passed over."""

import numpy as np
import openslide
import pytest
import tifffile

from jecur.errors import SlideError
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_tile
from jecur.slide.reader import open_slide
from jecur.slide.tiff.reader_tiles import FileTileSource

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


def test_streams_that_contradict_the_tag_are_refused_and_not_called_damage(image, tmp_path):
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
    with pytest.raises(SlideError, match="Y, Cb, Cr under a tag that says R, G, B") as caught:
        open_slide(path)
    assert "damage" not in caught.value.message


def test_one_tile_of_another_kind_inside_is_openslides(image, tmp_path):
    """The guard cannot try every tile: a tile whose header differs is held against OpenSlide."""
    big = np.tile(image, (3, 3, 1))
    path = tmp_path / "mixed.svs"
    text = APERIO.format(w=big.shape[1], h=big.shape[0], codec="JPEG")
    kind = KINDS["jpeg-ycbcr"]
    tifffile.imwrite(path, big, tile=(256, 256), description=text, metadata=None, **kind)
    offset, count = _tile_bytes(path, 10)
    content = bytearray(path.read_bytes())
    stream = bytes(content[offset : offset + count])
    # Adobe's marker, transform 0: the stream now says R, G, B
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    at = len(content)
    content += stream[:2] + marker + stream[2:]
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        offsets, counts = tags["TileOffsets"].valueoffset, tags["TileByteCounts"].valueoffset
        wide = tags["TileByteCounts"].dtype == tifffile.DATATYPE.LONG
    content[offsets + 40 : offsets + 44] = at.to_bytes(4, "little")
    size = 4 if wide else 2
    content[counts + 10 * size : counts + 11 * size] = (count + 16).to_bytes(size, "little")
    path.write_bytes(content)
    columns = -(-big.shape[1] // 256)
    x, y = 10 % columns * 256, 10 // columns * 256
    handle = openslide.OpenSlide(str(path))
    plain = np.asarray(handle.read_region((x, y), 0, (256, 256)))[..., :3]
    handle.close()
    with open_slide(path) as ours:
        np.testing.assert_array_equal(ours._source.read(0, x, y, 256, 256), plain)


def test_a_file_that_is_gone_when_opened_again_leaves_other_files_open(slide, tmp_path):
    """The number of a descriptor that was closed belongs to the next file that anybody opens."""
    own = tmp_path / slide.name
    own.write_bytes(slide.read_bytes())
    ours = open_slide(own)
    assert isinstance(ours._source, FileTileSource)
    own.unlink()
    with pytest.raises(FileNotFoundError):
        ours._source.reopen()
    with slide.open("rb") as others:
        ours.close()
        assert others.read(2) == slide.read_bytes()[:2]
