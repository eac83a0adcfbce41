"""Kaplan-Meier curves, intervals, quantiles and restricted means against R's survfit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.errors import EndpointError, NotEstimableError, SettingsError
from jecur.survival.survival_curve import kaplan_meier, median_follow_up

INTERVALS = ("log", "log-log", "plain")


def curves(r, dataset, formula, interval):
    """Curve of each stratum, by R's name for it."""
    data = r.data(dataset)
    left, right = formula.split("~")
    time, event = left[5:-1].split(",")
    if right == "1":
        yield "all", kaplan_meier(data[time], data[event], interval=interval)
        return
    for level, part in data.dropna(subset=[right]).groupby(right):
        name = f"{right}={level:g}" if isinstance(level, float) else f"{right}={level}"
        yield name, kaplan_meier(part[time], part[event], interval=interval)


def test_every_step_matches_r(r):
    gold = r.table("standard/km_full.csv")
    seen = 0
    for (dataset, formula, interval), table in gold.groupby(["dataset", "formula", "conf_type"]):
        for name, curve in curves(r, dataset, formula, interval):
            want = table[table.stratum == name]
            seen += len(want)
            for column, have in {
                "time": curve.time,
                "n_risk": curve.n_risk,
                "n_event": curve.n_event,
                "n_censor": curve.n_censored,
            }.items():
                np.testing.assert_array_equal(have, want[column], err_msg=f"{name} {column}")
            for column, have in {
                "surv": curve.survival,
                "lower": curve.lower,
                "upper": curve.upper,
            }.items():
                np.testing.assert_allclose(
                    have, want[column], rtol=0, atol=1e-12, err_msg=f"{formula} {name} {column}"
                )
    assert seen == len(gold)


def test_values_at_given_times_match_r(r):
    gold = r.table("standard/km_at_times.csv").query("conf_type in @INTERVALS")
    seen = 0
    for (dataset, formula, interval), table in gold.groupby(["dataset", "formula", "conf_type"]):
        for name, curve in curves(r, dataset, formula, interval):
            want = table[table.stratum == name]
            seen += len(want)
            np.testing.assert_array_equal(curve.n_at_risk(want.time), want.n_risk)
            np.testing.assert_allclose(curve.at(want.time), want.surv, rtol=0, atol=1e-12)
            lower, upper = curve.interval_at(want.time)
            np.testing.assert_allclose(lower, want.lower, rtol=0, atol=1e-12)
            np.testing.assert_allclose(upper, want.upper, rtol=0, atol=1e-12)
    assert seen == len(gold)


def test_quantiles_and_restricted_means_match_r(r):
    gold = r.table("standard/km_quantiles_rmean.csv").query("conf_type in @INTERVALS")
    seen = 0
    for (dataset, formula, interval), table in gold.groupby(["dataset", "formula", "conf_type"]):
        for name, curve in curves(r, dataset, formula, interval):
            want = table[table.stratum == name].iloc[0]
            seen += 1
            assert (curve.n, curve.events) == (want.n, want.events)
            mean, error = curve.restricted_mean(want.rmean_tau)
            assert mean == pytest.approx(want.rmean, rel=1e-12)
            assert error == pytest.approx(want.rmean_se, rel=1e-10)
            for share, stem in ((0.5, "median"), (0.25, "q25"), (0.75, "q75")):
                q = curve.quantile(share)
                have = np.array([q.estimate, q.lower, q.upper], dtype=float)  # None: no such time
                assert (q.reason is None) == np.isfinite(have[0])
                expected = [want[stem], want[f"{stem}_lo"], want[f"{stem}_hi"]]
                np.testing.assert_allclose(have, expected, rtol=1e-12, err_msg=f"{name} {stem}")
    assert seen == len(gold)


@pytest.mark.slow
def test_tcga_curves_match_r(r):
    at_years, medians = r.table("tcga/km_at_years.csv"), r.table("tcga/km_median_rmean.csv")
    for row in medians.itertuples():
        data = r.tcga_rule(row.rule)
        if row.stratum != "all":
            data = data[data.stage3 == row.stratum.split("=")[1]]
        curve = kaplan_meier(data.t, data.e, interval=row.conf_type)
        median = curve.median()
        np.testing.assert_allclose(
            np.array([median.estimate, median.lower, median.upper], dtype=float),
            [row.median, row.lo, row.hi],
            rtol=1e-12,
        )
        assert curve.restricted_mean(60)[0] == pytest.approx(row.rmean60, rel=1e-12)
        want = at_years[
            (at_years.rule == row.rule)
            & (at_years.formula == row.formula)
            & (at_years.conf_type == row.conf_type)
            & (at_years.stratum == row.stratum)
        ]
        assert len(want) == 7
        np.testing.assert_allclose(curve.at(want.months), want.surv, atol=1e-12)
        np.testing.assert_allclose(curve.interval_at(want.months)[0], want.lower, atol=1e-12)
        np.testing.assert_array_equal(curve.n_at_risk(want.months), want.n_risk)


def test_median_follow_up_matches_r(r):
    for row in r.table("tcga/rule_sizes.csv").itertuples():
        data = r.tcga_rule(row.rule)
        median = median_follow_up(data.t, data.e)
        assert (len(data), int(data.e.sum())) == (row.n, row.events), row.rule
        assert median.estimate == pytest.approx(row.median_followup_revKM, rel=1e-12)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=60), st.randoms()
)
def test_curve_falls_within_limits_whatever_the_order(rows, random):
    time, event = (np.array(v) for v in zip(*rows, strict=True))
    curve = kaplan_meier(time, event)
    assert np.all(np.diff(curve.survival) <= 0)
    assert np.all((curve.survival >= 0) & (curve.survival <= 1))
    known = np.isfinite(curve.lower)
    assert np.all(curve.lower[known] <= curve.survival[known] + 1e-15)
    assert np.all(curve.upper[known] >= curve.survival[known] - 1e-15)
    random.shuffle(rows)
    again = kaplan_meier(*(np.array(v) for v in zip(*rows, strict=True)))
    np.testing.assert_allclose(again.survival, curve.survival, rtol=1e-14)


def test_without_censoring_it_is_the_share_still_free():
    time = np.array([1.0, 2.0, 2.0, 5.0])
    curve = kaplan_meier(time, np.ones(4, bool))
    np.testing.assert_allclose(curve.at([0, 1, 2, 4.9, 5]), [1, 0.75, 0.25, 0.25, 0])


@pytest.mark.parametrize(
    ("time", "event", "error"),
    [
        ([-1.0], [True], EndpointError),
        ([np.nan], [True], EndpointError),
        ([1.0, 2.0], [True], EndpointError),
        ([1.0], [2], EndpointError),
        ([], [], NotEstimableError),
    ],
)
def test_refuses_what_is_no_follow_up(time, event, error):
    with pytest.raises(error, match="expected"):
        kaplan_meier(np.array(time), np.array(event))


def test_refuses_a_level_outside_0_1():
    with pytest.raises(SettingsError, match="level"):
        kaplan_meier([1.0], [True], level=95)
