"""The grid is in micrometers, inside the slide, repeatable; reading survives damage."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.settings import QualitySettings, TilingSettings, TissueSettings
from jecur.slide import color
from jecur.slide.quality import TileQuality, judge_slide, measure_tiles
from jecur.slide.reader import open_slide
from jecur.slide.tiling import TileGrid, TileLoss, read_tiles, sample_pixels, tile_tissue
from jecur.slide.tissue import TissueMask, find_tissue

from .conftest import coordinate_image, tissue_image, write_pyramid


class PaperSlide:
    """Size and scale without a file."""

    def __init__(self, width, height, mpp):
        self.path, self.size, self.mpp = Path("paper.svs"), Size(width, height), mpp


def full_tissue(slide, seed=None):
    shape = (
        int(slide.size.height * slide.mpp / 8.0) + 1,
        int(slide.size.width * slide.mpp / 8.0) + 1,
    )
    mask = np.ones(shape, dtype=bool)
    if seed is not None:
        mask = np.random.default_rng(seed).random(shape) < 0.5
    return TissueMask(mask, 8.0, slide.mpp, np.zeros_like(mask), color.DEFAULT_GLASS)


SLIDES = st.builds(
    PaperSlide, st.integers(1_500, 6_000), st.integers(1_500, 6_000), st.floats(0.1, 2.0)
)


@settings(deadline=None, max_examples=30)
@given(SLIDES, st.floats(40.0, 140.0), st.integers(0, 40))
def test_tiles_lie_inside_and_do_not_overlap(slide, side_um, max_tiles):
    grid = tile_tissue(
        slide, full_tissue(slide), TilingSettings(side_um=side_um, max_tiles=max_tiles)
    )
    assert abs(grid.side_px * slide.mpp - side_um) <= 0.5 * slide.mpp
    assert (grid.positions >= 0).all()
    assert (grid.positions[:, 0] + grid.side_px <= slide.size.width).all()
    assert (grid.positions[:, 1] + grid.side_px <= slide.size.height).all()
    # Distinct multiples of the side: no two tiles share a pixel.
    assert len(np.unique(grid.positions, axis=0)) == len(grid)
    assert not (grid.positions % grid.side_px).any()
    assert len(grid) == (min(max_tiles, grid.n_candidates) if max_tiles else grid.n_candidates)
    np.testing.assert_array_equal(grid.positions[:, 0], grid.cols * grid.side_px)
    np.testing.assert_array_equal(grid.positions[:, 1], grid.rows * grid.side_px)
    assert (grid.rows < grid.n_rows).all()
    assert (grid.cols < grid.n_cols).all()


@settings(deadline=None, max_examples=30)
@given(SLIDES, st.integers(0, 5))
def test_same_seed_same_tiles_and_they_are_candidates(slide, seed):
    tissue = full_tissue(slide, seed=1)
    few = TilingSettings(max_tiles=5, seed=seed, min_tissue_fraction=0.4)
    first, again = (tile_tissue(slide, tissue, few) for _ in range(2))
    np.testing.assert_array_equal(first.positions, again.positions)
    every = tile_tissue(slide, tissue, TilingSettings(min_tissue_fraction=0.4))
    assert set(map(tuple, first.positions.tolist())) <= set(map(tuple, every.positions.tolist()))
    assert (first.tissue_fraction >= 0.4).all()


def test_seeds_differ():
    slide = PaperSlide(6_000, 6_000, 0.5)
    draws = [
        tile_tissue(slide, full_tissue(slide), TilingSettings(max_tiles=20, seed=seed)).positions
        for seed in (0, 1)
    ]
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize("mpp", [0.121, 0.23, 0.2499, 0.2501, 0.4991, 0.5])
def test_a_tile_that_holds_just_the_tissue_that_is_asked_for_is_kept(mpp):
    slide = PaperSlide(round(900 / mpp), round(900 / mpp), mpp)
    whole = full_tissue(slide)
    grid = tile_tissue(slide, whole, TilingSettings(min_tissue_fraction=1.0))
    assert len(grid) == grid.n_rows * grid.n_cols
    assert grid.tissue_fraction == pytest.approx(1.0)


def test_overlap_moves_the_step_not_the_side():
    slide = PaperSlide(2_560, 2_560, 0.5)
    grid = tile_tissue(slide, full_tissue(slide), TilingSettings(overlap_um=64.0))
    assert grid.side_px == 256
    assert sorted({int(x) for x in grid.positions[:, 0]})[:3] == [0, 128, 256]


def test_grid_survives_json():
    slide = PaperSlide(3_000, 2_000, 0.25)
    grid = tile_tissue(slide, full_tissue(slide, seed=0), TilingSettings(min_tissue_fraction=0.4))
    back = TileGrid.from_dict(json.loads(json.dumps(grid.to_dict())))
    for name in TileGrid.__slots__:
        np.testing.assert_array_equal(getattr(back, name), getattr(grid, name))
    assert back.positions.dtype == np.int64


def test_no_room_and_no_tissue_have_their_own_codes():
    tiny = PaperSlide(200, 200, 0.5)
    with pytest.raises(SlideError) as refusal:
        tile_tissue(tiny, full_tissue(tiny), TilingSettings())
    assert refusal.value.code == "too-small"
    slide = PaperSlide(2_000, 2_000, 0.5)
    bare = full_tissue(slide)
    bare.mask[:] = False
    with pytest.raises(SlideError) as refusal:
        tile_tissue(slide, bare, TilingSettings())
    assert refusal.value.code == "no-tiles"


def test_the_same_field_at_two_scans_gives_the_same_tile(tmp_path):
    fine = coordinate_image(2048, 2048)
    coarse = fine.reshape(1024, 2, 1024, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    tiles = []
    for name, image, mpp in (("fine", fine, 0.25), ("coarse", coarse, 0.5)):
        path = write_pyramid(tmp_path / f"{name}.tiff", image, mpp=mpp, compression=None)
        with open_slide(path) as slide:
            grid = tile_tissue(slide, full_tissue(slide), TilingSettings())
            tiles.append(np.concatenate([b.rgb for b in read_tiles(slide, grid, 8)]))
    assert tiles[0].shape == tiles[1].shape == (16, 224, 224, 3)
    assert np.abs(tiles[0].astype(int) - tiles[1].astype(int)).max() <= 2


@pytest.fixture
def opened(tissue_slide):
    with open_slide(tissue_slide) as slide:
        tissue = find_tissue(slide, TissueSettings())
        yield slide, tissue, tile_tissue(slide, tissue, TilingSettings(output_px=64))


def test_batches_hold_every_tile_once_in_order(opened):
    slide, _, grid = opened
    batches = list(read_tiles(slide, grid, 5))
    assert all(1 <= len(b.rgb) <= 5 for b in batches)
    np.testing.assert_array_equal(
        np.concatenate([b.indices for b in batches]), np.arange(len(grid))
    )
    x, y = grid.positions[7]
    np.testing.assert_array_equal(
        batches[1].rgb[2], slide.read_region(x, y, grid.side_px, grid.output_px)
    )


def test_sampled_pixels_are_tissue_and_repeatable(opened):
    slide, _, grid = opened
    pixels = sample_pixels(slide, grid, 3_000, np.random.default_rng(3))
    again = sample_pixels(slide, grid, 3_000, np.random.default_rng(3))
    assert pixels.shape == (3_000, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, again)
    assert color.density(color.optical_density(pixels, color.DEFAULT_GLASS)).min() > 0.1
    # 900 squares of 9 x 9 on 1536 x 1280: about 3.6 % of the tissue is nuclei.
    assert 0.02 < (pixels[:, 0] < 150).mean() < 0.06


def corrupt_tiles(path, indices):
    """Overwrite the JPEG data of some level-0 file tiles with 0xFF 0x00 noise."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = [(page.dataoffsets[i], page.databytecounts[i]) for i in indices]
    with path.open("r+b") as file:
        for offset, count in places:
            file.seek(offset)
            file.write(b"\x00" * count)


def judged(path, **changes):
    loss = TileLoss()
    with open_slide(path) as slide:
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TilingSettings())
        parts = [measure_tiles(b.rgb, tissue.glass) for b in read_tiles(slide, grid, 4, loss=loss)]
        quality = judge_slide(
            slide, tissue, grid, TileQuality.join(parts), loss, QualitySettings(**changes)
        )
    return quality, loss, grid


def test_a_corrupt_file_tile_costs_the_tiles_over_it_and_no_other(tmp_path):
    path = write_pyramid(tmp_path / "corrupt.tiff", tissue_image())
    corrupt_tiles(path, [2 * 6 + 2])  # columns 512 to 768, rows 512 to 768
    quality, loss, grid = judged(path)
    lost = grid.positions[loss.indices]
    assert 1 <= len(loss) <= 9
    # Every lost tile reaches the damage, the filter's margin included.
    assert (np.abs(lost + grid.side_px / 2 - 640) < 128 + grid.side_px / 2 + 8).all()
    assert (512, 512) in set(map(tuple, lost.tolist()))
    assert (quality.status, quality.code) == ("failed", "corrupt-tiles")
    assert quality.n_tiles + quality.n_lost == len(grid)
    tolerant, _, _ = judged(path, max_corrupt_fraction=1.0)
    assert (tolerant.status, tolerant.code) == ("flagged", "some-tiles-lost")


def test_damage_under_the_overview_is_still_tried(tmp_path):
    path = write_pyramid(tmp_path / "single.tiff", tissue_image(), levels=1)
    corrupt_tiles(path, [2 * 6 + 2])
    with open_slide(path) as slide:
        image, damage = slide.overview_and_damage(8.0)
        tissue = find_tissue(slide, TissueSettings())
    assert damage.any()
    assert damage.mean() < 0.25
    assert (image[damage] == 255).all()
    assert tissue.mask[damage].all()


def test_nothing_readable_is_unreadable(tmp_path):
    path = write_pyramid(tmp_path / "dead.tiff", tissue_image(), levels=1)
    corrupt_tiles(path, range(30))
    with open_slide(path) as slide, pytest.raises(SlideError) as refusal:
        slide.overview(8.0)
    assert refusal.value.code == "unreadable"
