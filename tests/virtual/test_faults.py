"""Planted faults lie where their masks say, and the product sees them."""

import numpy as np
import pytest
from tests.virtual.faults import INKS, add_blur, add_edge, add_fold, add_pen

from jecur.errors import SimulationError
from jecur.settings import QualitySettings, TilingSettings, TissueSettings
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide.quality import measure_tiles
from jecur.slide.reader import open_slide
from jecur.slide.tiling import read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

UM = 0.5


@pytest.fixture(scope="module")
def clean():
    rng = np.random.default_rng(5)
    tissue = render_tissue(TissueFeatures(0.5, 0.4, 0.5, 0.4), (1536, 1536), UM, rng)
    stain = slide_stain(
        site_stain(rng, angle_deg=4, intensity_sd=0.12), rng, angle_deg=1.5, intensity_sd=0.06
    )
    return render_rgb(tissue, stain, rng)


FAULTS = {
    **{ink: lambda i, r, ink=ink: add_pen(i, UM, r, color=ink, width_um=300) for ink in INKS},
    "blur": lambda i, r: add_blur(i, UM, r, radius_um=4.0),
    "edge": lambda i, r: add_edge(i, UM, r, width_um=200),
    "fold": lambda i, r: add_fold(i, UM, r, width_um=200),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_under_its_mask_and_nowhere_else(clean, name):
    before = clean.copy()
    marked, mask = FAULTS[name](clean, np.random.default_rng(1))
    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(marked[~mask], clean[~mask])
    assert 0.02 < mask.mean() < 0.98
    assert (marked[mask] != clean[mask]).any(axis=-1).mean() > 0.5
    again, _ = FAULTS[name](clean, np.random.default_rng(1))
    np.testing.assert_array_equal(again, marked)


def test_an_unknown_ink_is_refused(clean):
    with pytest.raises(SimulationError, match="purple"):
        add_pen(clean, UM, np.random.default_rng(0), color="purple", width_um=300)


def scorable(tmp_path, image):
    path = tmp_path / "slide.tiff"
    write_slide(path, image, um_per_px=UM)
    with open_slide(path) as slide:
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TilingSettings())
        keep = np.concatenate(
            [
                measure_tiles(b.rgb, tissue.glass).scorable(QualitySettings(), enlarged=False)
                for b in read_tiles(slide, grid, 32)
            ]
        )
    return {tuple(p) for p in grid.positions[keep]}, grid


@pytest.mark.parametrize("name", ["blue", "red", "green", "black", "edge", "blur"])
def test_tiles_under_a_fault_are_not_scored_and_clean_ones_are(tmp_path, clean, name):
    everything, grid = scorable(tmp_path, clean)
    assert len(everything) == len(grid)
    marked, mask = FAULTS[name](clean, np.random.default_rng(3))
    kept, _ = scorable(tmp_path, marked)
    share = {
        p: mask[p[1] : p[1] + grid.side_px, p[0] : p[0] + grid.side_px].mean() for p in everything
    }
    covered = {p for p, s in share.items() if s > 0.99}
    free = {p for p, s in share.items() if s == 0}
    assert covered
    assert free
    assert len(kept & covered) <= 0.05 * len(covered)
    assert free <= kept
