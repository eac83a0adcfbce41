"""Cox models that are hard for arithmetic: skewed covariates, offsets, scales, weights."""

import numpy as np
import pytest

from jecur.errors import NotEstimableError
from jecur.survival.cox import fit_cox
from jecur.survival.fine_gray import fit_fine_gray
from jecur.survival.follow_up import check_follow_up
from jecur.survival.partial_likelihood import evaluate_likelihood
from jecur.survival.risk_sets import risk_sets
from jecur.survival.running import running, running_from_end


def cohort(seed, n=120, log_sd=3.0):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.exp(log_sd * rng.normal(size=n)), rng.normal(size=n)])
    time = np.ceil(rng.exponential(np.exp(-0.3 * x[:, 1] - 0.1 * np.log(x[:, 0]))) * 12)
    return x, time, rng.random(n) < 0.7, rng.integers(0, 3, n)


def by_hand(beta, x, time, event, stratum):
    """Breslow's log partial likelihood and its slope, one risk set after the other."""
    eta = x @ beta
    total, slope = 0.0, np.zeros(x.shape[1])
    for i in np.flatnonzero(event):
        at_risk = (time >= time[i]) & (stratum == stratum[i])
        norm = np.logaddexp.reduce(eta[at_risk])
        total += eta[i] - norm
        slope += x[i] - np.exp(eta[at_risk] - norm) @ x[at_risk]
    return total, slope


@pytest.mark.parametrize("height", [1.0, 50.0, 2000.0, 1e5])
def test_likelihood_of_any_height_is_that_of_each_risk_set(height):
    x, time, event, stratum = cohort(0)
    x = x / x.std(axis=0)
    beta = np.array([height, -height / 3])
    sets = risk_sets(time, event, stratum, "breslow")
    at = evaluate_likelihood(beta, x[sets.order], sets)
    total, slope = by_hand(beta, x, time, event, stratum)
    assert at.log_likelihood == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(at.gradient, slope, rtol=1e-9)


@pytest.mark.parametrize("sizes", [[7], [3, 1, 5], [1] * 200, [90] + [2] * 80])
@pytest.mark.parametrize("operation", [np.add, np.maximum])
def test_running_sums_begin_anew_in_each_segment(sizes, operation):
    edges = np.concatenate([[0], np.cumsum(sizes)])
    values = np.random.default_rng(0).normal(size=(edges[-1], 2))
    pieces = np.split(values, edges[1:-1])
    forward = np.concatenate([operation.accumulate(p, axis=0) for p in pieces])
    backward = np.concatenate([operation.accumulate(p[::-1], axis=0)[::-1] for p in pieces])
    np.testing.assert_allclose(running(values, edges, operation), forward, atol=1e-13)
    np.testing.assert_allclose(running_from_end(values, edges, operation), backward, atol=1e-13)


def statistics(model):
    return np.array([[r.z, r.p] for r in model.hazard_ratios()])


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("seed", range(4))
def test_the_unit_of_a_skewed_covariate_changes_only_its_own_coefficient(factor, seed):
    x, time, event, stratum = cohort(seed)
    plain = fit_cox(x, time, event, names=("afp", "age"), strata=stratum)
    other = fit_cox(x * [factor, 1], time, event, names=("afp", "age"), strata=stratum)
    np.testing.assert_allclose(statistics(other), statistics(plain), rtol=1e-7)
    np.testing.assert_allclose(other.coefficients * [factor, 1], plain.coefficients, rtol=1e-7)


@pytest.mark.parametrize("exponent", range(-320, 301, 20))
@pytest.mark.parametrize("competing", [False, True])
def test_in_every_unit_the_test_is_the_same_or_there_is_none(exponent, competing):
    rng = np.random.default_rng(6)
    x, time, cause = rng.normal(size=60), rng.exponential(size=60), rng.integers(0, 3, 60)

    def p_value(values):
        if competing:
            model = fit_fine_gray(values[:, None], time, cause == 1, cause == 2, names=("x",))
        else:
            model = fit_cox(values[:, None], time, cause == 1, names=("x",))
        return model.hazard_ratios()[0].p

    try:
        found = p_value(x * 10.0**exponent)
    except NotEstimableError:
        assert abs(exponent) > 140
        return
    assert found == pytest.approx(p_value(x), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_a_shift_and_an_offset_inside_strata_change_nothing(seed):
    x, time, event, stratum = cohort(seed, log_sd=1.5)
    plain = fit_cox(x, time, event, names=("afp", "age"), strata=stratum)
    for shift in (np.full(120, 1e6), np.array([0.0, 1e6, -3e5])[stratum]):
        moved = fit_cox(x + shift[:, None], time, event, names=("afp", "age"), strata=stratum)
        np.testing.assert_allclose(statistics(moved), statistics(plain), rtol=1e-6)
        np.testing.assert_allclose(moved.coefficients, plain.coefficients, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_order_of_rows_changes_nothing(seed):
    x, time, event, stratum = cohort(seed, log_sd=3.5)
    order = np.random.default_rng(seed).permutation(len(time))
    weight = np.random.default_rng(9).uniform(0.2, 3.0, len(time))
    names = ("afp", "age")
    plain = fit_cox(x, time, event, names=names, strata=stratum, weights=weight)
    mixed = fit_cox(
        x[order],
        time[order],
        event[order],
        names=names,
        strata=stratum[order],
        weights=weight[order],
    )
    np.testing.assert_allclose(statistics(mixed), statistics(plain), rtol=1e-7)


def test_a_weight_of_two_is_a_patient_twice():
    x, time, event, _ = cohort(2, log_sd=1.0)
    time = time + np.random.default_rng(0).random(len(time))  # twins aside, no ties
    weight = np.random.default_rng(1).integers(1, 4, len(time))
    twice = np.repeat(np.arange(len(time)), weight)
    weighted = fit_cox(x, time, event, names=("a", "b"), ties="breslow", weights=weight)
    repeated = fit_cox(x[twice], time[twice], event[twice], names=("a", "b"), ties="breslow")
    np.testing.assert_allclose(weighted.coefficients, repeated.coefficients, rtol=1e-9)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-9)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-12)


def test_patients_who_leave_before_the_first_event_have_no_say():
    x, time, event, stratum = cohort(1)
    plain = fit_cox(x, time + 1, event, names=("a", "b"), strata=stratum)
    with_gone = fit_cox(
        np.concatenate([x, [[1e12, -1e9]]]),
        np.append(time + 1, 0.5),
        np.append(event, False),
        names=("a", "b"),
        strata=np.append(stratum, 0),
    )
    np.testing.assert_allclose(statistics(with_gone), statistics(plain), rtol=1e-9)


def test_with_nobody_competing_fine_gray_is_cox():
    x, time, event, _ = cohort(3)
    cox = fit_cox(x, time, event, names=("a", "b"))
    gray = fit_fine_gray(x, time, event, np.zeros(len(time)), names=("a", "b"))
    np.testing.assert_allclose(gray.coefficients, cox.coefficients, rtol=1e-8)
    assert gray.log_likelihood == pytest.approx(cox.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_separating_combination_is_refused_and_named_whatever_its_scale(p):
    rng = np.random.default_rng(p)
    x = np.exp(2.5 * rng.normal(size=(60, p)))
    time = np.argsort(np.argsort(-x.sum(axis=1))) + 1.0  # largest sum first: no finite maximum
    with pytest.raises(NotEstimableError, match="finite maximum") as caught:
        fit_cox(x, time, np.ones(60, bool), names=tuple("abc"[:p]))
    assert caught.value.code == "separation"
    with pytest.raises(NotEstimableError):
        fit_fine_gray(x, time, np.ones(60, bool), np.zeros(60), names=tuple("abc"[:p]))


def test_one_exposed_patient_with_the_first_event_has_no_finite_ratio():
    """One stride of Newton ends where the score is nil by rounding; R gives NA without a word."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=42), np.arange(42) == 0])
    time, event = np.arange(42.0) + 1, rng.random(42) < 0.2
    event[0] = True
    with pytest.raises(NotEstimableError, match="found none for exposed:"):
        fit_cox(x, time, event, names=("age", "exposed"))


def test_a_single_reversed_pair_makes_the_maximum_finite():
    x = np.arange(30.0)
    time = 30.0 - x
    time[[3, 4]] = time[[4, 3]]
    model = fit_cox(x[:, None], time, np.ones(30, bool), names=("x",))
    assert np.isfinite(model.hazard_ratios()[0].upper)


def test_times_that_differ_by_rounding_are_tied():
    months, _ = check_follow_up(
        np.array([62.3 - 61.0, 1.3, 1.9, 71.9 - 70.0, 40.0]), [1, 1, 0, 1, 0]
    )
    assert np.unique(months).size == 3
    apart = np.array([1.3, 1.30001, 40.0])
    np.testing.assert_array_equal(check_follow_up(apart, [1, 1, 0])[0], apart)
