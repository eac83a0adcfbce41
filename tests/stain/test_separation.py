"""The closed form is the optimum: by its optimality conditions and against another solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from jecur.stain import RUIFROK, StainMatrix
from jecur.stain.separation import separate_stains, solve_concentrations

entries = st.floats(0.01, 1.0)
stain_matrices = st.tuples(*[st.tuples(entries, entries, entries)] * 2).map(StainMatrix.from_rows)
seeds = st.integers(0, 2**32 - 1)
sparsities = st.floats(0.0, 0.5)


@settings(deadline=None)
@given(stain_matrices.filter(lambda s: s.separation > 0.5), sparsities, seeds)
def test_optimality_conditions_hold(stains, sparsity, seed):
    od = np.random.default_rng(seed).uniform(-0.2, 5.6, size=(50, 3))
    c = separate_stains(od, stains, sparsity=sparsity)
    # The problem is convex: c >= 0, gradient >= 0 and complementary slackness mean optimal.
    gradient = (c @ stains.vectors - od) @ stains.vectors.T + sparsity
    assert (c >= 0).all()
    assert (gradient >= -1e-9).all()
    np.testing.assert_allclose(c * gradient, 0.0, atol=1e-8)


def test_without_penalty_it_is_nonnegative_least_squares():
    od = np.random.default_rng(1).uniform(0.0, 3.0, size=(300, 3))
    expected = np.array([nnls(RUIFROK.vectors.T, pixel)[0] for pixel in od])
    np.testing.assert_allclose(separate_stains(od, RUIFROK), expected, atol=1e-12)


@pytest.mark.parametrize("sparsity", [0.02, 0.3])
def test_no_point_of_a_fine_grid_is_better(sparsity):
    od = np.random.default_rng(2).uniform(0.0, 2.0, size=(20, 3))
    c = separate_stains(od, RUIFROK, sparsity=sparsity)
    axis = np.linspace(0.0, 4.0, 101)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)

    def objective(points, pixel):
        residual = pixel - points @ RUIFROK.vectors
        return (residual**2).sum(axis=1) / 2.0 + sparsity * points.sum(axis=1)

    for pixel, solved in zip(od, c, strict=True):
        assert objective(solved[None], pixel)[0] <= objective(grid, pixel).min() + 1e-12


def test_planted_concentrations_come_back():
    amounts = np.random.default_rng(3).uniform(0.0, 2.0, size=(200, 2))
    np.testing.assert_allclose(
        separate_stains(amounts @ RUIFROK.vectors, RUIFROK), amounts, atol=1e-12
    )


def test_white_has_no_stain():
    assert separate_stains(np.zeros((5, 3)), RUIFROK, sparsity=0.02).tolist() == [[0.0, 0.0]] * 5


def test_parallel_stains_share_and_stay_finite():
    row = RUIFROK.vectors[0]
    c = solve_concentrations(2.0 * row[None], np.array([row, row]), 0.0)
    np.testing.assert_allclose(c.sum(), 2.0, rtol=1e-3)
