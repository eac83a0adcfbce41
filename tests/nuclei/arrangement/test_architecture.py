"""Graphs of hand-made patterns, whose values are known, and what leaves them alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nuclei.arrangement.motion import moved

from jecur.nuclei.arrangement.architecture import architecture_measures, arrangement_values
from jecur.nuclei.arrangement.graphs import spanning_tree, triangulate, voronoi_cells
from jecur.nuclei.arrangement.orientation import co_occurring_orientations
from jecur.nuclei.arrangement.pattern import NuclearPattern, summaries, variations


def square_lattice(n: int, a: float) -> np.ndarray:
    return a * np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2).astype(
        float
    )


def hexagonal_lattice(n: int, a: float) -> np.ndarray:
    row, column = np.divmod(np.arange(n * n), n)
    return a * np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2])


def poisson(n: int, per_um2: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, np.sqrt(n / per_um2), (n, 2))


def pattern(xy: np.ndarray, orientation=None, eccentricity=0.9, seed: int = 0) -> NuclearPattern:
    rng = np.random.default_rng(seed)
    n = len(xy)
    turned = rng.uniform(0, np.pi, n) if orientation is None else np.broadcast_to(orientation, n)
    return NuclearPattern(
        xy, rng.uniform(20, 90, n), np.full(n, eccentricity), turned, rng.uniform(0.3, 1.2, n)
    )


@pytest.mark.parametrize("a", [7.0, 12.5])
def test_a_square_lattice(a):
    values = arrangement_values(square_lattice(12, a))
    for name, known in {
        "voronoi_area_um2": a * a,
        "voronoi_perimeter_um": 4 * a,
        "voronoi_reach_um": a / np.sqrt(2),
        "delaunay_area_um2": a * a / 2,
        "tree_edge_um": a,
        "neighbor_1_um": a,
    }.items():
        there = values[name][np.isfinite(values[name])]
        np.testing.assert_allclose(there, known, rtol=1e-6, err_msg=name)
    assert np.isfinite(values["voronoi_area_um2"]).sum() == 100  # those of the rim are open
    assert len(values["tree_edge_um"]) == 143
    edge = np.sort(values["delaunay_edge_um"])
    n_sides = 2 * 12 * 11
    np.testing.assert_allclose(edge[:n_sides], a)
    np.testing.assert_allclose(edge[n_sides:], a * np.sqrt(2))


def test_a_hexagonal_lattice():
    a = 11.0
    values = arrangement_values(hexagonal_lattice(14, a))
    inner = np.isfinite(values["voronoi_area_um2"])
    middle = np.median(values["voronoi_area_um2"][inner])
    assert middle == pytest.approx(np.sqrt(3) / 2 * a * a)
    assert np.median(values["voronoi_perimeter_um"][inner]) == pytest.approx(2 * np.sqrt(3) * a)
    assert np.median(values["delaunay_area_um2"]) == pytest.approx(np.sqrt(3) / 4 * a * a)
    assert np.median(values["delaunay_edge_um"]) == pytest.approx(a)
    np.testing.assert_allclose(values["tree_edge_um"], a)
    six = values["density_20_um"].max() * np.pi * 20**2 / 1e6
    assert six == pytest.approx(12)  # six at a, six at a sqrt(3) = 19.05; the next at 22


@pytest.mark.slow
def test_poisson_points_have_the_known_moments():
    """Okabe et al. 2000: cell 1/l (variation 0.529), edge 32/(9 pi), nearest 1/2, tree 0.65 about."""
    density = 0.003
    xy = poisson(20_000, density)
    values = arrangement_values(xy)
    unit = 1 / np.sqrt(density)
    inner = ((xy > 60) & (xy < xy.max() - 60)).all(axis=1)  # cells of the rim run out of the square
    values = {k: v[inner] if len(v) == len(xy) else v for k, v in values.items()}
    found = summaries(values) | variations(values)
    assert found["voronoi_area_um2_mean"] == pytest.approx(1 / density, rel=0.02)
    assert found["voronoi_area_um2_variation"] == pytest.approx(0.529, abs=0.02)
    assert found["voronoi_perimeter_um_mean"] == pytest.approx(4 * unit, rel=0.02)
    assert found["neighbor_1_um_mean"] == pytest.approx(unit / 2, rel=0.02)
    assert found["neighbor_1_um_variation"] == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.03)
    assert found["delaunay_edge_um_mean"] == pytest.approx(32 / (9 * np.pi) * unit, rel=0.02)
    assert found["delaunay_area_um2_mean"] == pytest.approx(1 / (2 * density), rel=0.02)
    assert found["tree_edge_um_mean"] == pytest.approx(0.6331 * unit, rel=0.03)
    for radius in (20, 40, 80):
        assert found[f"density_{radius}_um_mean"] == pytest.approx(1e6 * density, rel=0.02)


def test_disorder_tells_a_lattice_from_poisson_points_of_the_same_density():
    lattice = variations(arrangement_values(hexagonal_lattice(30, 18.0)))
    loose = variations(arrangement_values(poisson(900, 1 / (18.0**2 * np.sqrt(3) / 2))))
    for name in ("voronoi_area_um2", "delaunay_edge_um", "tree_edge_um", "neighbor_1_um"):
        assert loose[f"{name}_variation"] > 5 * lattice[f"{name}_variation"] + 0.1


@settings(max_examples=12, deadline=None)
@given(
    angle=st.floats(0, 6.3),
    shift=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
    seed=st.integers(0, 1000),
)
def test_turning_and_moving_a_slide_changes_nothing(angle, shift, seed):
    nuclei = pattern(poisson(300, 0.004, seed), seed=seed)
    before = architecture_measures(nuclei)
    after = architecture_measures(moved(nuclei, angle, np.array(shift)))
    for name, value in before.items():
        # A direction at the edge of a bin may round the other way in one graph of hundreds.
        loose = name.startswith("core_")
        assert after[name] == pytest.approx(
            value, rel=2e-2 if loose else 1e-6, abs=2e-3 if loose else 1e-9, nan_ok=True
        ), name


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(0.3, 1.2))
def test_lengths_grow_with_the_scale_areas_with_its_square(seed, factor):
    xy = poisson(250, 0.004, seed)
    small, large = arrangement_values(xy), arrangement_values(xy * factor)
    edges, other = (triangulate(p).edges for p in (xy, xy * factor))
    np.testing.assert_allclose(other.length, edges.length * factor)
    np.testing.assert_allclose(
        np.sort(spanning_tree(other, 250)), np.sort(spanning_tree(edges, 250) * factor)
    )
    np.testing.assert_allclose(
        np.nanmedian(large["neighbor_3_um"]), np.nanmedian(small["neighbor_3_um"]) * factor
    )
    area, perimeter, reach = voronoi_cells(xy, max_reach=np.inf)
    scaled = voronoi_cells(xy * factor, max_reach=np.inf)
    np.testing.assert_allclose(scaled[0], area * factor**2)
    np.testing.assert_allclose(scaled[1], perimeter * factor)
    np.testing.assert_allclose(scaled[2], reach * factor)


def test_the_tree_is_the_shortest_that_spans():
    """Against Prim's algorithm on all pairs."""
    xy = poisson(120, 0.01, 4)
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    reached, nearest, total = {0}, apart[0].copy(), 0.0
    while len(reached) < len(xy):
        k = min((j for j in range(len(xy)) if j not in reached), key=lambda j: nearest[j])
        total += nearest[k]
        reached.add(k)
        nearest = np.minimum(nearest, apart[k])
    tree = spanning_tree(triangulate(xy).edges, len(xy))
    assert tree.sum() == pytest.approx(total)


def test_what_reaches_across_a_gap_is_not_counted():
    near = square_lattice(6, 10.0)
    both = np.concatenate([near, near + np.array([1000.0, 0.0])])
    one, two = arrangement_values(near), arrangement_values(both)
    assert two["delaunay_edge_um"].max() < 15
    assert two["tree_edge_um"].max() == pytest.approx(10.0)
    assert np.nanmax(two["voronoi_area_um2"]) == pytest.approx(100.0)
    assert len(two["tree_edge_um"]) == 2 * len(one["tree_edge_um"])


def test_nuclei_that_lie_one_way_and_any_way():
    xy = poisson(1500, 0.002, 1)
    rng = np.random.default_rng(2)
    long = np.full(len(xy), 0.9)
    one_way = co_occurring_orientations(xy, np.full(len(xy), 0.7), long)
    np.testing.assert_allclose(one_way["core_entropy"], 0.0, atol=1e-12)
    np.testing.assert_allclose(one_way["core_energy"], 1.0)
    np.testing.assert_allclose(one_way["core_contrast"], 0.0, atol=1e-12)
    np.testing.assert_allclose(one_way["core_homogeneity"], 1.0)
    np.testing.assert_allclose(one_way["alignment"], 1.0)
    any_way = co_occurring_orientations(xy, rng.uniform(0, np.pi, len(xy)), long)
    assert any_way["core_contrast"].mean() == pytest.approx(0.5, abs=0.03)
    assert any_way["core_entropy"].mean() > 0.7
    assert any_way["alignment"].mean() < 0.35
    crossed = co_occurring_orientations(
        square_lattice(10, 10.0), np.where(np.indices((10, 10)).sum(0).ravel() % 2, 0.0, np.pi / 2),
        np.full(100, 0.9),
    )  # fmt: skip
    assert crossed["core_contrast"].mean() > 0.6  # sides at right angles, diagonals parallel


def test_two_groups_each_lying_its_own_way_are_locally_aligned():
    left, right = square_lattice(9, 12.0), square_lattice(9, 12.0) + np.array([600.0, 0.0])
    angle = np.repeat([0.2, 1.6], 81)
    found = co_occurring_orientations(np.concatenate([left, right]), angle, np.full(162, 0.9))
    np.testing.assert_allclose(found["alignment"], 1.0)
    np.testing.assert_allclose(found["core_entropy"], 0.0, atol=1e-12)


def test_round_nuclei_have_no_direction():
    found = co_occurring_orientations(square_lattice(8, 10.0), np.zeros(64), np.full(64, 0.3))
    assert all(len(values) == 0 for values in found.values())


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_too_few_nuclei_say_nothing_and_stop_nothing(n):
    found = architecture_measures(pattern(poisson(n, 0.01) if n else np.empty((0, 2))))
    assert set(found) == set(architecture_measures(pattern(poisson(50, 0.01))))
    assert np.isnan(found["voronoi_area_um2_mean"])


def test_nuclei_on_one_line_stop_nothing():
    line = np.column_stack([np.arange(30.0), np.arange(30.0)])
    found = architecture_measures(pattern(line))
    assert np.isnan(found["voronoi_area_um2_mean"])
    assert found["neighbor_1_um_mean"] == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.1])
def test_a_turned_lattice_has_the_triangles_of_the_lattice(angle):
    lattice = pattern(square_lattice(8, 9.0), orientation=0.0)
    turned = moved(lattice, angle, np.array([1e5, 1e5]))
    found = triangulate(turned.xy)
    assert len(found.triangle_area) == 2 * 49
    assert len(found.edges.pairs) == 2 * 56 + 49
    np.testing.assert_allclose(found.triangle_area, 40.5, rtol=1e-6)
    assert len(spanning_tree(found.edges, 64)) == 63


def test_nuclei_that_all_stand_alone_have_no_disorder_and_stop_nothing():
    found = architecture_measures(pattern(square_lattice(4, 50.0)))
    assert found["density_20_um_mean"] == 0.0
    assert np.isnan(found["density_20_um_variation"])
    assert found["density_80_um_variation"] > 0
