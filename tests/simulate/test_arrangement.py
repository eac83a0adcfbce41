"""What is planted in the arrangement of nuclei moves the measurement made for it, and not the others."""

from typing import get_args

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from jecur.nuclei.agreement import find_nuclei
from jecur.nuclei.arrangement.architecture import architecture_measures
from jecur.nuclei.arrangement.lymphocytes import lymphocyte_measures
from jecur.nuclei.arrangement.pattern import NuclearPattern
from jecur.nuclei.segmentation import NucleiModel
from jecur.nuclei.single import measure_each
from jecur.settings import SimulationSettings
from jecur.settings.simulation import Plant
from jecur.simulate.nuclei import HEPATOCYTE, LYMPHOCYTE
from jecur.simulate.patients import FEATURE_MEAN, draw_cohort
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb
from jecur.simulate.stains import site_stain
from jecur.simulate.tissue import Tissue, render_tissue

SCALE = 128 / 224
N = 8


def piece(seed: int, side: int = 768, **arranged: float) -> Tissue:
    """Tissue of random features (in the middle of their range) and a given arrangement."""
    rng = np.random.default_rng(seed)
    stroma, atypia, dark, immune = rng.uniform(0.3, 0.7, 4)
    features = TissueFeatures(stroma, atypia, dark, immune, **arranged)
    return render_tissue(features, (side, side), SCALE, rng)


def of_kind(tissue: Tissue, kind: int) -> np.ndarray:
    nuclei = tissue.nuclei
    return np.column_stack([nuclei.x, nuclei.y])[nuclei.kind == kind] * SCALE


def measured(tissue: Tissue, network: NucleiModel) -> dict[str, float]:
    """What is read from the picture: found, measured, summed up."""
    stain = site_stain(np.random.default_rng(0), angle_deg=0.0, intensity_sd=0.0)
    rgb = render_rgb(tissue, stain, np.random.default_rng(1))
    labels = find_nuclei(network.map(rgb[None])[0])
    each = measure_each(labels, rgb, um_per_px=SCALE)
    nuclei = NuclearPattern(
        np.column_stack([each.x, each.y]) * SCALE,
        each.area_um2, each.eccentricity, each.orientation, each.density,
    )  # fmt: skip
    return architecture_measures(nuclei) | lymphocyte_measures(nuclei) | {"n": len(nuclei)}


@pytest.fixture(scope="module")
def moved():
    """Plant -> measurement -> how far it moves from none to all of it, in SD over pieces of tissue."""
    network = NucleiModel.load(threads=1)
    found = {}
    for plant in ("disorder", "til_apart"):
        rows = [
            [measured(piece(100 + k, **{plant: value}), network) for value in (1e-9, 1.0)]
            for k in range(N)
        ]
        values = {n: np.array([[row[n] for row in pair] for pair in rows]) for n in rows[0][0]}
        found[plant] = {
            n: float((v[:, 1] - v[:, 0]).mean() / v[:, 0].std(ddof=1))
            for n, v in values.items()
            if np.ptp(v[:, 0]) > 0
        }
        found[plant]["share found"] = float((values["n"][:, 1] / values["n"][:, 0]).mean())
    return found


def test_disorder_moves_the_architecture_and_not_the_lymphocytes_or_shapes(moved):
    for own in ("voronoi_area_um2_variation", "delaunay_edge_um_variation"):
        assert moved["disorder"][own] > 2, own
    assert moved["disorder"]["tree_edge_um_variation"] > 1
    assert 0.93 < moved["disorder"]["share found"] <= 1.02  # crowded nuclei hide each other
    for other in ("til_percent", "til_to_tumor_um_mean", "til_group_mixed_mean", "area_um2_mean"):
        assert abs(moved["disorder"][other]) < 0.7, other


def test_lymphocytes_apart_move_their_distance_and_not_their_number_or_shapes(moved):
    assert moved["til_apart"]["til_to_tumor_um_mean"] > 5
    assert moved["til_apart"]["tumor_near_til_per_mm2_mean"] < -5
    for other in ("n", "til_percent", "area_um2_mean", "eccentricity_mean", "core_contrast_mean"):
        assert abs(moved["til_apart"][other]) < 0.7, other


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_nuclei_are_the_same_only_their_places_are_not(seed):
    even, crowded = (piece(seed, disorder=d) for d in (1e-9, 1.0))
    count = [len(of_kind(t, HEPATOCYTE)) for t in (even, crowded)]
    assert count[0] == pytest.approx(count[1], rel=0.02)
    spread = []
    for tissue in (even, crowded):
        at = of_kind(tissue, HEPATOCYTE)
        nearest = cKDTree(at).query(at, k=2)[0][:, 1]
        spread.append(nearest.std() / nearest.mean())
    assert spread[1] > 1.15 * spread[0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_as_many_lymphocytes_lie_apart_as_near(seed):
    near, far = (piece(seed, til_apart=a) for a in (0.0, 1.0))
    number = [len(of_kind(t, LYMPHOCYTE)) for t in (near, far)]
    assert number[0] == pytest.approx(number[1], rel=0.1)
    away = [
        float(np.median(cKDTree(of_kind(t, HEPATOCYTE)).query(of_kind(t, LYMPHOCYTE))[0]))
        for t in (near, far)
    ]
    assert 6.0 < away[0] < 13.0
    assert away[1] > 1.8 * away[0]


@pytest.mark.parametrize("plant", [p for p in get_args(Plant) if p != "tissue"])
def test_the_hazard_hangs_on_what_is_planted_and_on_nothing_else(plant):
    settings = SimulationSettings(n_training=0, n_validation=4000, plant=plant)
    patients = draw_cohort(settings, np.random.default_rng(0))
    column = {"stroma": 0, "atypia": 1}.get(plant)
    planted = patients.arrangement if column is None else patients.features[:, column]
    assert np.corrcoef(planted, patients.feature_log_hazard)[0, 1] == pytest.approx(1.0)
    assert patients.feature_log_hazard.std() == pytest.approx(0.9, rel=0.03)
    others = [k for k in range(4) if k != column]
    for feature in patients.features[:, others].T:
        assert abs(spearmanr(feature, patients.log_hazard).statistic) < 0.05
    assert planted.mean() == pytest.approx(FEATURE_MEAN, abs=0.02)
    months = patients.table["months"]
    assert spearmanr(planted, months).statistic < -0.2
    nothing = draw_cohort(
        SimulationSettings(n_training=0, n_validation=4000, plant=plant, null=True),
        np.random.default_rng(0),
    )
    assert np.ptp(nothing.feature_log_hazard) == 0
    silent = nothing.arrangement if column is None else nothing.features[:, column]
    assert abs(spearmanr(silent, nothing.table["months"]).statistic) < 0.05
