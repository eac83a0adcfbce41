"""What is said of a patient's influence is what happens when the patient counts a little more.

Each estimator is written down plainly, with a number of times that each patient counts, and that number is
moved. Times are in whole months, so that many are censored together, where the hazard of being censored
is far from small.
"""

import numpy as np
import pytest

from jecur.survival.auc import time_dependent_auc
from jecur.survival.brier import brier_score, integrated_brier_score
from jecur.survival.fine_gray import fit_fine_gray

STEP = 1e-5


def patients(seed, n=14):
    rng = np.random.default_rng(seed)
    months = rng.integers(1, 8, n).astype(float)
    cause = rng.choice(3, n, p=[0.5, 0.35, 0.15])
    if seed % 2:
        cause[(months == 3) & (cause == 2)] = 0  # a month in which all who leave are censored
        months[:5], cause[:5] = 3.0, 0
    months[-2:], cause[-2:] = 8.0, 0
    cause[-4:-2], months[-4:-2] = [1, 2], [2.0, 1.0]
    x = np.column_stack([rng.normal(size=n), rng.integers(0, 2, n)])
    return months, cause == 1, cause == 2, x, rng.random(n)


def free_of_censoring(months, ended, count, before):
    """G just before a time."""
    g = 1.0
    for u in np.unique(months[months < before]):
        left = count[(months > u) | ((months == u) & ~ended)].sum()
        g *= 1 - count[(months == u) & ~ended].sum() / left
    return g


def weights(months, ended, count, horizon):
    g = [free_of_censoring(months, ended, count, min(t, horizon + 1e-9)) for t in months]
    known = (months > horizon) | ended
    return np.where(known, count / np.array(g), 0.0)


def brier(p, months, seen, other, horizon, count):
    w = weights(months, seen | other, count, horizon)
    return np.sum(w * ((seen & (months <= horizon)) - p) ** 2) / count.sum()


def auc(marker, months, seen, other, horizon, count):
    w = weights(months, seen | other, count, horizon)
    case = w * (seen & (months <= horizon))
    control = w * ((months > horizon) | (other & (months <= horizon)))
    above = (marker[:, None] > marker) + (marker[:, None] == marker) / 2
    return case @ above @ control / (case.sum() * control.sum())


def score(beta, x, months, seen, other, count):
    """Fine and Gray's, with Breslow's ties."""
    total = np.zeros(x.shape[1])
    g = np.array([free_of_censoring(months, seen | other, count, t) for t in months])
    for t in np.unique(months[seen]):
        stays = np.where(other & (months < t), g[months == t][0] / g, 1.0 * (months >= t))
        r = count * stays * np.exp(x @ beta)
        here = seen & (months == t)
        total += count[here] @ (x[here] - r @ x / r.sum())
    return total


def moved(function, n):
    """(n, ...) slope of the function in how often each patient counts."""
    slopes = []
    for step in np.eye(n) * STEP:
        slopes.append((function(1.0 + step) - function(1.0 - step)) / (2 * STEP))
    return np.array(slopes)


def error_of(influence):
    n = len(influence)
    return np.sqrt(np.sum(influence**2, axis=0) * n / (n - 1))


@pytest.mark.parametrize("competes", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_standard_errors_of_auc_and_brier_score(seed, competes):
    months, seen, other, x, p = patients(seed)
    other = other & competes
    for horizon in (3.0, 4.5, 6.0):
        response = months, seen, other, horizon
        have = time_dependent_auc(x[:, 0], months, seen, [horizon], competing=other)
        want = moved(lambda c, r=response: auc(x[:, 0], *r, c), months.size)
        np.testing.assert_allclose(have.influence[0], want, atol=1e-7)
        assert have.standard_error[0] == pytest.approx(error_of(want), rel=1e-6, abs=1e-9)
        own = brier_score(p, months, seen, horizon, competing=other)
        want = moved(lambda c, r=response: brier(p, *r, c), months.size)
        assert own.standard_error == pytest.approx(error_of(want), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_influence_on_the_integrated_brier_score(seed):
    months, seen, other, _, p = patients(seed)
    times = np.append(0.0, np.unique(months[months < 6]))
    widths = np.diff(np.append(times, 6.0)) / 6

    def plain(count):
        return widths @ [brier(p * t / 6, months, seen, other, t, count) for t in times]

    have = integrated_brier_score(lambda t: p * t / 6, months, seen, 6.0, competing=other)
    np.testing.assert_allclose(have.influence, moved(plain, months.size), atol=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_covariance_of_fine_and_gray(seed):
    months, seen, other, x, _ = patients(seed, 40)
    data = x, months, seen, other
    model = fit_fine_gray(*data, names=("a", "b"), ties="breslow")
    beta, once = model.coefficients, np.ones(months.size)
    np.testing.assert_allclose(score(beta, *data, once), 0, atol=1e-7)
    slope = [
        (score(beta + h, *data, once) - score(beta - h, *data, once)) / (2 * STEP)
        for h in np.eye(2) * STEP
    ]
    influence = np.linalg.solve(slope, moved(lambda c: score(beta, *data, c), months.size).T)
    np.testing.assert_allclose(model.covariance, influence @ influence.T, rtol=1e-5, atol=1e-9)
