import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.settings import StainSettings
from jecur.stain import RUIFROK
from jecur.stain.gates import usable_density
from jecur.stain.optical_density import from_optical_density, to_optical_density
from jecur.stain.separation import solve_concentrations
from jecur.stain.vahadane import descend, estimate_stains, update_stains


def fit(pixels, seed=0, **options):
    return estimate_stains(to_optical_density(pixels), rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize(
    ("kind", "sparsity", "limit"),
    [("pure", 0.02, 1.0), ("mixed", 0.02, 3.0), ("pure", 0.005, 1.5), ("mixed", 0.005, 2.0)],
)
def test_planted_stains_are_found(plant, kind, sparsity, limit):
    """Noise of 0.02: a penalty of 0.02 suits pure pixels best, 0.005 (the default) mixed ones.

    benchmarks/stain_planted.py measures both on 200 draws of noise and tissue.
    """
    errors = []
    for seed in range(6):
        stains, pixels = plant(seed, kind)
        errors.append(fit(pixels, sparsity=sparsity).stains.angle_to(stains))
    assert np.median(errors) <= limit


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.3))
def test_objective_never_rises_from_any_start(seed, sparsity):
    rng = np.random.default_rng(seed)
    od = rng.gamma(1.0, 0.5, size=(400, 3))
    start = rng.uniform(0.05, 1.0, size=(2, 3))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    run = descend(od, start, sparsity=sparsity, tolerance=1e-9, max_iterations=60)
    steps = np.diff(run.objectives)
    assert (steps <= 1e-12).all()


def test_reported_objective_is_the_definition(plant):
    _, pixels = plant(0)
    od = to_optical_density(pixels)
    run = descend(od, RUIFROK.vectors, sparsity=0.1, tolerance=0.0, max_iterations=1)
    c = solve_concentrations(od, RUIFROK.vectors, 0.1)
    by_hand = ((od - c @ RUIFROK.vectors) ** 2).sum() / 2.0 + 0.1 * np.abs(c).sum()
    assert run.objective == pytest.approx(by_hand / len(od), rel=1e-12)


def test_stain_update_is_the_best_unit_row(plant):
    """No other unit row near or far does better for fixed concentrations."""
    _, pixels = plant(1)
    od = to_optical_density(pixels)
    c = solve_concentrations(od, RUIFROK.vectors, 0.02)
    gram, cross = c.T @ c, c.T @ od
    updated = update_stains(RUIFROK.vectors, gram, cross)

    def misfit(eosin):
        rows = np.array([updated[0], eosin])
        return np.vdot(gram @ rows, rows) - 2.0 * np.vdot(cross, rows)

    others = np.abs(np.random.default_rng(0).normal(size=(2_000, 3)))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert misfit(updated[1]) <= min(misfit(row) for row in others)


def test_the_start_does_not_decide(plant):
    _, pixels = plant(2)
    od = to_optical_density(pixels)
    rng = np.random.default_rng(0)
    best = fit(pixels, sparsity=0.02).stains
    for _ in range(3):
        start = od[rng.choice(len(od), 2, replace=False)]
        start = start / np.linalg.norm(start, axis=1, keepdims=True)
        run = descend(od, start, sparsity=0.02, tolerance=1e-6, max_iterations=2_000)
        assert run.stains.angle_to(best).max() < 0.5


@pytest.mark.slow
def test_long_steps_reach_what_plain_steps_reach(plant, monkeypatch):
    """Extrapolated steps are a short cut to the same minimum, not to another one."""
    for seed, kind in itertools.product(range(3), ("pure", "mixed")):
        od = to_optical_density(plant(seed, kind)[1])
        options = {"sparsity": 0.005, "tolerance": 1e-7, "max_iterations": 3_000}
        quick = descend(od, RUIFROK.vectors, **options)
        with monkeypatch.context() as plainly:
            plainly.setattr("jecur.stain.vahadane.REMEMBERED", 1)
            slow = descend(od, RUIFROK.vectors, **options)
        assert quick.converged
        assert slow.converged
        assert len(quick.objectives) < len(slow.objectives)
        assert quick.stains.angle_to(slow.stains).max() < 0.01
        assert quick.objective <= slow.objective * (1.0 + 1e-7)


@pytest.mark.slow
def test_nearly_black_pixels_do_not_decide(plant):
    """Level 5 and below are rounded so coarsely that they would turn the stains."""
    without, with_dark = [], []
    for seed in range(4):
        stains, pixels = plant(seed)
        rng = np.random.default_rng(seed)
        amounts = rng.gamma(4.0, (1.2, 0.8), size=(3_000, 2))
        amounts[:1_000, 0] = amounts[1_000:2_000, 1] = 0.0
        od = np.vstack([to_optical_density(pixels), amounts @ stains.vectors])
        rounded = to_optical_density(from_optical_density(od))
        for kept, angles in (
            (usable_density(rounded, StainSettings()), without),
            (rounded, with_dark),
        ):
            found = estimate_stains(kept, rng=np.random.default_rng(0)).stains
            angles.append(found.angle_to(stains).max())
    assert max(without) < max(with_dark)


def test_the_same_seed_gives_the_same_stains(plant):
    _, pixels = plant(3, n=15_000)
    assert fit(pixels, seed=5) == fit(pixels, seed=5)
    assert fit(pixels, seed=5).stains.angle_to(fit(pixels, seed=6).stains).max() < 0.1


def test_penalty_on_concentrations_narrows_the_cone(plant):
    """The L1 penalty draws stains together; on the stains (a known slip) it drives them apart."""
    _, pixels = plant(4, "mixed")
    assert fit(pixels, sparsity=0.3).stains.separation < fit(pixels, sparsity=0.0).stains.separation


def test_hematoxylin_is_first_even_if_the_start_is_swapped(plant):
    stains, pixels = plant(5)
    od = to_optical_density(pixels)
    run = descend(od, RUIFROK.vectors[::-1], sparsity=0.02, tolerance=1e-5, max_iterations=500)
    assert run.stains.angle_to(stains).max() < 1.0
