"""Concordance and its variance against R, against all pairs, and its symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.errors import NotEstimableError, TableError
from jecur.survival.concordance_index import (
    compare_concordance,
    concordance,
    harrell_concordance,
    uno_concordance,
)


def test_every_concordance_matches_r(r):
    gold = r.table("standard/concordance.csv")
    for row in gold.itertuples():
        design = r.build(row.formula, r.data(row.dataset))
        sign = 1 if row.reverse else -1
        have = concordance(
            sign * design.columns[:, 0],
            design.time,
            design.event,
            weight=row.timewt,
            strata=design.strata,
            cluster=design.cluster,
        )
        assert have.estimate == pytest.approx(row.C, abs=1e-12), row
        assert have.standard_error == pytest.approx(row.se, rel=1e-10), row
        counts = have.concordant, have.discordant, have.tied_marker, have.tied_time, have.tied_both
        want = row.concordant, row.discordant, row[9], row[10], row[11]
        np.testing.assert_allclose(counts, want, rtol=1e-11, atol=1e-9)


def test_tcga_stage_concordance_matches_r(r):
    for row in r.table("tcga/concordance_stage.csv").itertuples():
        data = r.tcga_rule(row.rule).dropna(subset=["stage_num"])
        have = concordance(data.stage_num, data.t, data.e, weight=row.timewt)
        assert have.estimate == pytest.approx(row.C, abs=1e-12)
        assert have.standard_error == pytest.approx(row.se, rel=1e-10)


def all_pairs(marker, time, event):
    """Concordance by looking at every pair."""
    good = total = 0.0
    for i in np.flatnonzero(event):
        for j in range(time.size):
            if time[j] > time[i] or (time[j] == time[i] and not event[j]):
                total += 1
                good += (marker[i] > marker[j]) + 0.5 * (marker[i] == marker[j])
    return good / total if total else None


patients = st.lists(
    st.tuples(st.integers(0, 8), st.integers(1, 15), st.booleans()), min_size=1, max_size=40
)


@settings(max_examples=200)
@given(patients)
@pytest.mark.slow
def test_it_counts_every_pair_and_turns_over_with_the_marker(rows):
    marker, time, event = (np.array(v) for v in zip(*rows, strict=True))
    want = all_pairs(marker, time, event)
    if want is None:
        with pytest.raises(NotEstimableError, match="no such pair"):
            harrell_concordance(marker, time, event)
        return
    for weight in ("n", "n/G2"):
        have = concordance(marker, time, event, weight=weight)
        turned = concordance(-marker, time, event, weight=weight)
        monotone = concordance(np.exp(marker * 3.0), time, event, weight=weight)
        assert have.estimate + turned.estimate == pytest.approx(1)
        assert turned.standard_error == pytest.approx(have.standard_error, abs=1e-12)
        assert monotone.estimate == pytest.approx(have.estimate)
        assert abs(have.influence.sum()) < 1e-9
        if have.standard_error > 1e-12:
            assert 0 <= have.lower <= have.estimate <= have.upper <= 1
        else:
            assert (have.lower, have.upper) == (None, None)
    assert harrell_concordance(marker, time, event).estimate == pytest.approx(want)


def test_uno_without_censoring_is_harrell():
    rng = np.random.default_rng(1)
    marker, time = rng.normal(size=50), rng.exponential(size=50)
    event = np.ones(50, bool)
    a, b = harrell_concordance(marker, time, event), uno_concordance(marker, time, event)
    assert a.estimate == pytest.approx(b.estimate, abs=1e-14)


def test_uno_stops_at_tau():
    rng = np.random.default_rng(1)
    marker, time, event = rng.normal(size=80), rng.exponential(size=80), rng.random(80) < 0.6
    early = uno_concordance(marker, time, event, tau=0.5)
    kept = uno_concordance(marker, np.where(time > 0.5, 9, time), event & (time <= 0.5), tau=0.5)
    assert early.estimate == pytest.approx(kept.estimate, abs=1e-12)


def test_difference_of_two_markers():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=400)
    time, event = rng.exponential(np.exp(-truth)), rng.random(400) < 0.8
    weak = truth + rng.normal(size=400) * 3
    better = compare_concordance(truth, weak, time, event)
    worse = compare_concordance(weak, truth, time, event)
    same = compare_concordance(truth, truth, time, event)
    assert better.estimate == -worse.estimate > 0
    assert better.p == pytest.approx(worse.p)
    assert better.p < 1e-6
    assert better.lower > 0
    assert (same.estimate, same.p) == (0, 1)


@pytest.mark.slow
def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits, draws, truth = 0, 400, _true_concordance()
    for _ in range(draws):
        marker = rng.normal(size=120)
        time, limit = rng.exponential(np.exp(-marker)), rng.exponential(2.0, size=120)
        c = uno_concordance(marker, np.minimum(time, limit), time <= limit, tau=1.0)
        hits += c.lower <= truth <= c.upper
    assert 0.91 <= hits / draws <= 0.98


def _true_concordance():
    rng = np.random.default_rng(0)
    marker = rng.normal(size=200_000)
    time = rng.exponential(np.exp(-marker))
    return concordance(marker, time, np.ones(time.size, bool), tau=1.0).estimate


def test_refuses_missing_markers():
    with pytest.raises(TableError, match="finite"):
        harrell_concordance([1.0, np.nan], [1.0, 2.0], [True, True])
