"""Features move what they name, and nothing is left to chance."""

import numpy as np
import pytest
from scipy.ndimage import label as connected

from jecur.errors import SimulationError
from jecur.simulate.nuclei import HEPATOCYTE, LYMPHOCYTE, SPINDLE
from jecur.simulate.regions import FEATURES, TissueFeatures, stroma_share
from jecur.simulate.sprites import sprites_for
from jecur.simulate.tissue import Tissue, nuclei_labels, render_tissue

MIDDLE = dict.fromkeys(FEATURES, 0.5)
LEVELS = (0.05, 0.5, 0.95)
SCALE = 0.5


def render(seed: int = 3, size: int = 512, **features: float) -> Tissue:
    wanted = TissueFeatures(**{**MIDDLE, **features})
    return render_tissue(wanted, (size, size), SCALE, np.random.default_rng(seed))


def areas(tissue: Tissue, kind: int) -> np.ndarray:
    every = tissue.nuclei.areas_um2(sprites_for(SCALE), SCALE)
    return every[tissue.nuclei.kind == kind]


def density_in_hepatocytes(tissue: Tissue) -> float:
    """Mean hematoxylin concentration inside the hepatocyte nuclei, read off the picture."""
    labels = nuclei_labels(tissue)
    hepatocytes = 1 + np.flatnonzero(tissue.nuclei.kind == HEPATOCYTE)
    return float(tissue.hematoxylin[np.isin(labels, hepatocytes)].mean())


def test_atypia_raises_size_and_spread_of_hepatocyte_nuclei() -> None:
    found = [areas(render(atypia=level), HEPATOCYTE) for level in LEVELS]
    means = [area.mean() for area in found]
    spreads = [area.std() / area.mean() for area in found]
    assert means[0] * 1.2 < means[1] < means[2] / 1.2
    assert spreads[0] < spreads[1] < spreads[2]
    assert np.pi * 3.3**2 < means[0] < np.pi * 4.3**2  # 7 to 8 um across


def test_atypia_makes_outlines_irregular() -> None:
    def roughness(level: float) -> float:
        tissue = render(atypia=level, immune=0.0)
        bank = sprites_for(SCALE).sprites
        shapes = [bank[k].cover >= 0.5 for k in tissue.nuclei.sprite[tissue.nuclei.kind == 0]]
        yy, xx = (np.concatenate(c) for c in zip(*(np.nonzero(s) for s in shapes), strict=True))
        assert yy.size == xx.size
        ratios = []
        for shape in shapes:
            spread = np.linalg.eigvalsh(np.cov(np.stack(np.nonzero(shape))))
            ratios.append(np.sqrt(spread[1] / spread[0]))
        return float(np.mean(ratios))

    assert roughness(0.05) < 1.2 < 1.3 < roughness(0.95)


def test_hyperchromasia_raises_density_and_leaves_size() -> None:
    tissues = [render(hyperchromasia=level) for level in LEVELS]
    density = [density_in_hepatocytes(tissue) for tissue in tissues]
    assert density[0] * 1.2 < density[1] < density[2] / 1.2
    sizes = [areas(tissue, HEPATOCYTE) for tissue in tissues]
    np.testing.assert_array_equal(sizes[0], sizes[2])


def test_immune_raises_the_count_of_small_dark_nuclei() -> None:
    tissues = [render(immune=level, size=1024) for level in LEVELS]
    counts = [int((tissue.nuclei.kind == LYMPHOCYTE).sum()) for tissue in tissues]
    assert counts[0] * 2 < counts[1] < counts[2] / 1.5
    assert areas(tissues[2], LYMPHOCYTE).mean() < 0.6 * areas(tissues[2], HEPATOCYTE).mean()


def test_lymphocytes_lie_in_clusters() -> None:
    tissue = render(immune=0.5, size=1024)
    mine = tissue.nuclei.kind == LYMPHOCYTE
    count = np.histogram2d(tissue.nuclei.x[mine], tissue.nuclei.y[mine], bins=16)[0]
    assert count.var() > 3.0 * count.mean()  # 1 if they were scattered


def test_stroma_covers_the_stated_share() -> None:
    for level in LEVELS:
        tissue = render(stroma=level, size=1024)
        frame = tissue.plan.stroma_margin[1:-2, 1:-2]
        assert abs((frame > 0).mean() - stroma_share(level)) < 0.02


def test_stroma_is_eosin_with_few_nuclei() -> None:
    tissue = render(stroma=0.9, immune=0.0, size=1024)
    inside = np.kron(tissue.plan.stroma_margin[1:-2, 1:-2] > 0.1, np.ones((8, 8), bool))
    assert tissue.eosin[inside].mean() > 1.15 * tissue.eosin[~inside].mean()
    assert tissue.hematoxylin[inside].mean() < 0.5 * tissue.hematoxylin[~inside].mean()
    assert (tissue.nuclei.kind == SPINDLE).sum() > 50


@pytest.mark.parametrize("name", FEATURES[1:])
def test_regions_report_the_local_value(name: str) -> None:
    low, high = (render(**{name: level}).plan.regions(64) for level in (0.1, 0.9))
    k = FEATURES.index(name)
    assert low.shape == (4, 8, 8)
    assert np.nanmean(low[k]) < 0.3
    assert np.nanmean(high[k]) > 0.7
    assert np.nanstd(high[k]) > 0.01


def test_tiles_of_one_slide_differ() -> None:
    tissue = render(size=2048)
    local = tissue.plan.regions(256)
    assert np.all(np.nanstd(local.reshape(4, -1), axis=1) > 0.1)


def test_labels_are_the_nuclei() -> None:
    tissue = render()
    labels = nuclei_labels(tissue)
    assert labels.shape == tissue.eosin.shape
    assert labels.max() <= tissue.nuclei.x.size
    seen = np.unique(labels)[1:]
    assert seen.size > 0.9 * tissue.nuclei.x.size
    nuclear, other = tissue.hematoxylin[labels > 0], tissue.hematoxylin[labels == 0]
    assert nuclear.mean() > 5 * other.mean()


def test_tissue_fills_the_stated_share_in_one_piece_off_the_rim() -> None:
    tissue = render_tissue(
        TissueFeatures(**MIDDLE), (1024, 1024), SCALE, np.random.default_rng(0), tissue_fraction=0.4
    )
    inside = tissue.plan.tissue_margin[1:-2, 1:-2] > 0
    assert abs(inside.mean() - 0.4) < 0.01
    pieces, n = connected(inside)
    assert np.bincount(pieces.ravel())[1:].max() > 0.98 * inside.sum()
    assert n < 5
    for layer in (tissue.hematoxylin, tissue.eosin):
        rim = np.concatenate([layer[0], layer[-1], layer[:, 0], layer[:, -1]])
        assert rim.max() < 0.05
        assert layer.min() >= 0


def test_scale_is_micrometers() -> None:
    """At 0.25 um/px nuclei hold four times the pixels of 0.5 um/px."""
    fine = render_tissue(TissueFeatures(**MIDDLE), (512, 512), 0.25, np.random.default_rng(1))
    coarse = render_tissue(TissueFeatures(**MIDDLE), (256, 256), 0.5, np.random.default_rng(1))
    bank, bank_coarse = sprites_for(0.25), sprites_for(0.5)
    fine_um2 = fine.nuclei.areas_um2(bank, 0.25).mean()
    coarse_um2 = coarse.nuclei.areas_um2(bank_coarse, 0.5).mean()
    assert abs(fine_um2 / coarse_um2 - 1) < 0.25


def test_one_seed_one_tissue() -> None:
    one, same, other = render(seed=1), render(seed=1), render(seed=2)
    np.testing.assert_array_equal(one.concentrations, same.concentrations)
    assert not np.array_equal(one.eosin, other.eosin)


@pytest.mark.parametrize("size", [(224, 224), (256, 300), (512, 128)])
def test_any_frame(size: tuple[int, int]) -> None:
    tissue = render_tissue(TissueFeatures(**MIDDLE), size, SCALE, np.random.default_rng(0))
    assert tissue.concentrations.shape == (*size, 2)
    assert np.isfinite(tissue.concentrations).all()


def test_features_out_of_range_are_refused() -> None:
    with pytest.raises(SimulationError, match="expected stroma in"):
        TissueFeatures(**{**MIDDLE, "stroma": 1.2})
    with pytest.raises(SimulationError, match="um/px"):
        render_tissue(TissueFeatures(**MIDDLE), (64, 64), 3.0, np.random.default_rng(0))
    with pytest.raises(SimulationError, match="fraction"):
        render_tissue(
            TissueFeatures(**MIDDLE), (64, 64), 0.5, np.random.default_rng(0), tissue_fraction=0.0
        )
