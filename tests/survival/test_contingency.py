"""Exact and approximate tests of counts against R; patients as clusters; p-value adjustment."""

import numpy as np
import pytest
from scipy.stats import nchypergeom_fisher

from jecur.errors import NotEstimableError, TableError
from jecur.survival import contingency
from jecur.survival.contingency import chi_squared, clustered_difference, fisher_exact
from jecur.survival.multiplicity import adjust_p_values


def table_of(row):
    return [[row.a, row.n1 - row.a], [row.b, row.n2 - row.b]]


def test_fisher_matches_r(r):
    for row in r.table("fisher/fisher_2x2.csv").itertuples():
        have = fisher_exact(table_of(row))
        assert have.p == pytest.approx(row.fisher_two_sided, rel=1e-10), row.table
        assert have.p_greater == pytest.approx(row.fisher_greater, rel=1e-10)
        assert have.p_less == pytest.approx(row.fisher_less, rel=1e-10)
        assert have.p_mid == pytest.approx(row.fisher_midp, rel=1e-10)
        # R solves the limits to a loose tolerance; the next test checks them by definition
        assert have.lower == pytest.approx(row.fisher_or_lo, rel=2e-2)
        assert have.upper == pytest.approx(row.fisher_or_hi, rel=2e-2)


def test_limits_of_the_odds_ratio_leave_the_stated_tails(r):
    for row in r.table("fisher/fisher_2x2.csv").itertuples():
        have = fisher_exact(table_of(row), level=0.9)
        total, column = row.n1 + row.n2, row.a + row.b
        if have.lower > 0:
            above = nchypergeom_fisher(total, row.n1, column, have.lower).sf(row.a - 1)
            assert above == pytest.approx(0.05, rel=1e-6)
        if np.isfinite(have.upper):
            below = nchypergeom_fisher(total, row.n1, column, have.upper).cdf(row.a)
            assert below == pytest.approx(0.05, rel=1e-6)


def test_odds_ratio_matches_the_tightly_solved_one(r):
    for row in r.table("fisher/or_tight.csv").itertuples():
        assert fisher_exact(table_of(row)).odds_ratio == pytest.approx(row.or_tight, rel=1e-9)


def test_chi_squared_matches_r(r):
    for row in r.table("fisher/fisher_2x2.csv").itertuples():
        plain, yates = chi_squared(table_of(row)), chi_squared(table_of(row), yates=True)
        assert plain.chi2 == pytest.approx(row.chisq_uncorrected, rel=1e-10, abs=1e-12)
        assert plain.p == pytest.approx(row.chisq_uncorrected_p, rel=1e-10)
        assert yates.chi2 == pytest.approx(row.chisq_yates, rel=1e-10, abs=1e-12)
        assert yates.p == pytest.approx(row.chisq_yates_p, rel=1e-10)
    for row in r.table("fisher/rxc.csv").itertuples():
        counts = [[int(v) for v in line.split(",")] for line in row.counts.split(";")]
        have = chi_squared(counts)
        assert (have.chi2, have.df) == (pytest.approx(row.chisq, rel=1e-10), row.df)
        assert have.p == pytest.approx(row.p, rel=1e-9)


def test_adjustment_matches_r(r):
    table = r.table("fisher/padjust_bh1995.csv")
    for name in ("bonferroni", "holm", "hochberg", "BH", "BY"):
        have = adjust_p_values(table.p[::-1], name.lower())[::-1]
        np.testing.assert_allclose(have, table[name], rtol=1e-12)
    table3 = r.table("fisher/table3_padjust_m4.csv")
    raw = table3[table3.adjust == "none"].set_index(["test", "feature"]).p
    for (test, adjust), want in table3[table3.adjust != "hommel"].groupby(["test", "adjust"]):
        p = raw[test][want.feature]
        np.testing.assert_allclose(adjust_p_values(p, adjust.lower()), want.p, rtol=1e-12)


def test_missing_p_values_are_not_counted():
    np.testing.assert_allclose(adjust_p_values([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_refuses_what_is_no_table():
    with pytest.raises(TableError, match="2 x 2"):
        fisher_exact([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(TableError, match="counts"):
        chi_squared([[0.5, 1], [2, 3]])
    with pytest.raises(NotEstimableError, match="two rows"):
        chi_squared([[1, 2], [0, 0]])


def test_a_patient_a_tile_is_the_plain_score_test():
    rng = np.random.default_rng(0)
    high, present = np.repeat([True, False], 200), rng.random(400) < 0.3
    have = clustered_difference(present, high, np.arange(400))
    plain = chi_squared(
        [
            [np.sum(present & high), 200 - np.sum(present & high)],
            [np.sum(present & ~high), 200 - np.sum(present & ~high)],
        ]
    )
    assert have.z**2 == pytest.approx(plain.chi2, rel=0.05, abs=0.02)
    assert have.design_effect == pytest.approx(1, abs=0.05)


def test_repeating_every_tile_within_its_patient_adds_no_evidence():
    rng = np.random.default_rng(1)
    high, patient = rng.random(60) < 0.5, np.arange(60) // 3
    present = rng.random(60) < np.where(high, 0.6, 0.3)
    once = clustered_difference(present, high, patient)
    five = clustered_difference(np.tile(present, 5), np.tile(high, 5), np.tile(patient, 5))
    assert five.p == pytest.approx(once.p, rel=1e-10)
    assert five.difference == pytest.approx(once.difference)
    assert fisher_p(np.tile(present, 5), np.tile(high, 5)) < fisher_p(present, high)


def fisher_p(present, high):
    return fisher_exact(
        [
            [np.sum(present & high), np.sum(~present & high)],
            [np.sum(present & ~high), np.sum(~present & ~high)],
        ]
    ).p


@pytest.mark.slow
def test_without_a_difference_clustered_p_is_uniform_and_fisher_is_not():
    rng = np.random.default_rng(4)
    clustered, exact, wild = [], [], []
    for _ in range(300):
        patient = np.repeat(np.arange(40), 10)
        high = np.repeat(rng.permutation(np.repeat([True, False], 20)), 10)
        present = rng.random(400) < np.repeat(rng.beta(0.5, 1.0, size=40), 10)
        test = clustered_difference(present, high, patient, rng=rng, n_replicates=99)
        clustered.append(test.p < 0.05)
        wild.append(test.p_wild <= 0.05)
        exact.append(fisher_p(present, high) < 0.05)
    assert 0.02 <= np.mean(clustered) <= 0.09
    assert 0.02 <= np.mean(wild) <= 0.09
    assert np.mean(exact) > 0.3


@pytest.mark.parametrize("at_once", [1, 50, 2**18])
@pytest.mark.parametrize("n_patients", [2, 3, 12, 41])
def test_signs_drawn_at_once_count_as_those_drawn_one_by_one(monkeypatch, n_patients, at_once):
    """Equal scores too, whose totals meet the one seen."""
    monkeypatch.setattr(contingency, "_SIGNS_AT_ONCE", at_once)
    for scores in (np.random.default_rng(1).normal(size=n_patients), np.full(n_patients, 0.1)):
        rng, seen, beyond = np.random.default_rng(2), abs(scores.sum()) * (1 - 1e-12), 0
        for _ in range(301):
            signs = rng.integers(0, 2, size=n_patients) * 2 - 1
            beyond += bool(abs(signs @ scores) >= seen)
        again = np.random.default_rng(2)
        assert contingency._wild(scores, again, 301) == (beyond + 1) / 302
        assert again.bit_generator.state == rng.bit_generator.state


def test_clusters_refuse_one_group():
    with pytest.raises(NotEstimableError, match="two groups"):
        clustered_difference([True, False], [True, True], ["a", "b"])


@pytest.mark.parametrize("n_patients", [2, 3, 7, 10, 30])
@pytest.mark.parametrize("once", [1, 3, 7])
def test_patients_with_as_many_at_both_ends_are_no_certainty(n_patients, once):
    """Every patient's score is 0 but for rounding, which was a p of its own."""
    high = np.tile(np.repeat([True, False], [4 * once, 3 * once]), n_patients)
    present = np.tile(np.repeat([1, 0, 1, 0], [4, 4 * once - 4, 3, 3 * once - 3]), n_patients)
    if present.all():
        present = np.where(np.arange(present.size) < 7, 0, present)
    patient = np.repeat(np.arange(n_patients), 7 * once)
    with pytest.raises(NotEstimableError):
        clustered_difference(present, high, patient, rng=np.random.default_rng(0))


@pytest.mark.parametrize("n_patients", [2, 5, 20])
def test_a_feature_at_one_end_alone_has_no_interval_of_no_width(n_patients):
    high = np.tile([True, True, False], n_patients)
    have = clustered_difference(high, high, np.repeat(np.arange(n_patients), 3))
    assert have.difference == 1
    assert np.isnan([have.lower, have.upper]).all()
