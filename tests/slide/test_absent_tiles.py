"""Tiles that a TIFF does not store: glass stays white, tissue is told as lost and never shown as glass."""

import numpy as np
import pytest
import tifffile
from tests.slide.conftest import tissue_image
from tests.slide.test_levels import SUFFIXES, TILE, reduced

from jecur.errors import SlideError
from jecur.settings import QualitySettings, TilingSettings, TissueSettings
from jecur.slide.quality import TileQuality, judge_slide, measure_tiles
from jecur.slide.reader import open_slide
from jecur.slide.tiling import TileLoss, read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

WIDTH, HEIGHT = 2048, 1536
COLUMNS = WIDTH // TILE


def _slide(seed, glass=244):
    """Tissue in the right half, glass in the left."""
    image = np.full((HEIGHT, WIDTH, 3), glass, np.uint8)
    image[:, WIDTH // 2 :] = tissue_image(WIDTH // 2, HEIGHT, seed)
    return image


def _write(path, levels, kind, absent=()):
    """As `tests.slide.test_levels.write`, some tiles of level 0 being listed and not stored."""
    ome = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="3" '
        'SizeZ="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
        '<Channel ID="Channel:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/></Pixels>'
        "</Image></OME>"
    )
    with tifffile.TiffWriter(path, ome=False) as writer:
        for number, level in enumerate(levels):
            options = {"photometric": "rgb", "tile": (TILE, TILE), "compression": "deflate"}
            if number:
                options["subfiletype"] = 1
            else:
                options |= {"resolution": (2e4, 2e4), "resolutionunit": "centimeter"}
                options["subifds"] = len(levels) - 1 if kind in {"ome", "subifds"} else 0
                options["description"] = ome if kind == "ome" else None
            writer.write(level, metadata=None, **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("TileByteCounts", "TileOffsets"):
            tag = file.pages[0].tags[name]
            tag.overwrite([0 if k in absent else n for k, n in enumerate(tag.value)])
    return path


def _levels(image, steps=(4,)):
    return [image, *(reduced(image, WIDTH // s, HEIGHT // s) for s in steps)]


def _share_of_tissue(image, index):
    row, column = divmod(index, COLUMNS)
    tile = image[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
    return float((tile.min(axis=2) < 200).mean())


def _read(slide, index, px=TILE):
    row, column = divmod(index, COLUMNS)
    return slide.read_region(column * TILE, row * TILE, TILE, px)


@pytest.mark.parametrize("kind", ["generic", "ome", "subifds"])
@pytest.mark.parametrize("steps", [(4,), (2, 8), (3, 9, 18)])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_smaller_copy_shows_as_tissue_is_lost_and_glass_is_white(
    tmp_path, kind, steps, seed
):
    rng, image = np.random.default_rng(seed), _slide(seed)
    absent = set(rng.choice(COLUMNS * HEIGHT // TILE, 14, replace=False).tolist())
    path = _write(tmp_path / f"a{SUFFIXES[kind]}", _levels(image, steps), kind, absent)
    whole = _write(tmp_path / f"b{SUFFIXES[kind]}", _levels(image, steps), kind)
    shares = {k: _share_of_tissue(image, k) for k in absent}
    assert max(shares.values()) > 0.2
    assert min(shares.values()) == 0
    with open_slide(path) as slide, open_slide(whole) as sound:
        for k in range(COLUMNS * HEIGHT // TILE):
            row, column = divmod(k, COLUMNS)
            inner = (column * TILE + 32, row * TILE + 32, TILE - 64, TILE - 64)
            if k in absent and 0 < shares[k] <= 0.2:
                continue  # at the border of the tissue both are right
            if k in absent and shares[k] > 0.2:
                with pytest.raises(SlideError, match="not stored") as said:
                    slide.read_region(*inner)
                assert said.value.code == "unreadable"
            elif k in absent:
                assert (slide.read_region(*inner) == 255).all()
            else:
                same = sound.read_region(*inner)
                np.testing.assert_array_equal(slide.read_region(*inner), same)


def test_lost_tiles_of_a_slide_are_told_and_the_others_are_scored(tmp_path):
    path = _write(tmp_path / "a.tif", _levels(_slide(1)), "generic", {13})
    loss = TileLoss()
    with open_slide(path) as slide:
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TilingSettings())
        parts = [measure_tiles(b.rgb, tissue.glass) for b in read_tiles(slide, grid, 4, loss=loss)]
        found = judge_slide(slide, tissue, grid, TileQuality.join(parts), loss, QualitySettings())
    assert 1 <= len(loss) < len(grid)
    assert (found.status, found.code) == ("failed", "corrupt-tiles")  # more than a hundredth
    assert "tile 2, 6 of level 0 is not stored" in loss.reason


def test_places_are_those_of_the_file_where_its_first_column_is_absent(tmp_path):
    """OpenSlide's readable bounds then begin with the second."""
    image = _slide(1)
    absent = {*range(0, COLUMNS * HEIGHT // TILE, COLUMNS), 3, 21}
    path = _write(tmp_path / "a.tif", _levels(image), "generic", absent)
    with open_slide(path) as slide:
        left = round(slide.canvas_offset[0])
        assert left in {0, TILE}
        for k in range(COLUMNS * HEIGHT // TILE):
            row, column = divmod(k, COLUMNS)
            if column * TILE < left:
                continue
            inner = (column * TILE - left + 32, row * TILE + 32, TILE - 64, TILE - 64)
            if k == 21:
                with pytest.raises(SlideError, match="tile 3, 6 of level 0 is not stored"):
                    slide.read_region(*inner)
            else:
                x, y = column * TILE + 32, row * TILE + 32
                expected = 255 if k in absent else image[y : y + TILE - 64, x : x + TILE - 64]
                assert (slide.read_region(*inner) == expected).all()


@pytest.mark.parametrize("beyond", [0, 20, 255])
def test_absent_glass_is_glass_however_it_looks_in_the_smaller_copy(tmp_path, beyond):
    """Black where nothing was scanned, or white; a seam to the tissue bleeds into it."""
    image = _slide(2, glass=beyond)
    absent = {0, 3, 9, 18, 33}
    path = _write(tmp_path / "a.tif", _levels(image, (16,)), "generic", absent)
    with open_slide(path) as slide:
        for k in absent:
            assert (_read(slide, k)[8:-8, 8:-8] == 255).all()


def test_a_pyramid_without_the_place_and_one_level_alone_tell_nothing(tmp_path):
    image = _slide(3)
    path = _write(tmp_path / "a.tif", [image], "generic", {5})
    with open_slide(path) as slide:
        assert (_read(slide, 5)[8:-8, 8:-8] == 255).all()
