"""Time-dependent AUC against timeROC and riskRegression, and its symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.survival.auc import compare_auc, roc_curve, time_dependent_auc
from jecur.survival.cox import fit_cox

METHODS = {"riskRegression_Score_km": "score", "timeROC_marginal": "timeroc"}


def own_predictor(design):
    model = fit_cox(design.columns, design.time, design.event, names=design.names)
    return model.risk(design.columns)


def marker_of(r, dataset, marker):
    """Marker, time and event as the gold script made them."""
    if dataset.startswith("tcga_"):
        data = r.tcga_rule(dataset.removeprefix("tcga_"))
        if marker == "lp_age_sex_stage":
            design = r.build("Surv(t,e)~age+male+stage3", data)
            return own_predictor(design), design.time, design.event
        column = {"stage_num": "stage_num", "vi_binary": "vi_yes"}[marker]
        known = [column, "age", "male"] if marker == "stage_num" else [column]
        data = data.dropna(subset=known)
        return data[column], data.t, data.e
    if dataset == "lung":
        design = r.build("Surv(time,d)~age+sex+ph.ecog", r.data("lung"))
        age, sex, ecog = design.columns.T
        values = {"age": age, "ph.ecog": ecog, "sex_male_binary": sex == 1}
        values["lp_age_sex_ecog"] = own_predictor(design)
        return values[marker], design.time, design.event
    if dataset == "pbc_death":
        formula = "Surv(time,d)~age+log(bili)+log(albumin)+log(protime)+edema"
        design = r.build(formula, r.data("pbc"))
        bili = design.columns[:, 1]
        return own_predictor(design) if marker == "lp_mayo" else bili, design.time, design.event
    data = r.data(
        {"colon_recurrence": "colon_rec", "hepatoCellular_RFS": "hepatoCellular"}.get(
            dataset, dataset
        )
    )
    if dataset == "colon_recurrence":
        data = data.dropna(subset=["nodes", "age"])
    values = {
        "minus_karno": lambda: -data.karno,
        "prior_binary": lambda: data.prior == 10,
        "nodes": lambda: data.nodes,
        "node4_binary": lambda: data.node4,
        "age": lambda: data.age,
        "female_binary": lambda: data.sex == 2,
        "TNM": lambda: data.TNM,
        "Tumorsize_binary": lambda: data.Tumorsize,
        "CXCL17T": lambda: data.CXCL17T,
    }[marker]().astype(float)
    hcc = dataset.startswith("hepato")
    time, event = (data.RFS, data.Recurrence) if hcc else (data.time, data.status)
    known = values.notna() & time.notna() & event.notna()
    return values[known], time[known], event[known]


def test_every_auc_matches_timeroc_and_riskregression(r):
    gold = r.table("timeauc/tdauc.csv").query("method in @METHODS")
    seen, worst = 0, 0.0
    for (dataset, marker), both in gold.groupby(["dataset", "marker"]):
        values = marker_of(r, dataset, marker)
        for method, want in both.groupby("method"):
            have = time_dependent_auc(*values, want.time, recipe=METHODS[method], interval="plain")
            where = f"{dataset} {marker} {method}"
            np.testing.assert_allclose(have.estimate, want.auc, atol=1e-12, err_msg=where)
            np.testing.assert_array_equal(have.n_controls, want.controls)
            assert have.n == want.n.iloc[0]
            if METHODS[method] == "score":
                np.testing.assert_array_equal(have.n_cases, want.cases)
            ratio = have.standard_error / want.se.to_numpy()
            worst = max(worst, float(np.abs(ratio - 1).max()))
            np.testing.assert_allclose(have.lower, want.lo95, atol=2e-4, err_msg=where)
            seen += len(want)
    assert seen == len(gold)
    assert worst < 2e-4, worst  # they break ties in time at random, we do not


def test_three_recipes_are_told_apart(r):
    gold = r.table("timeauc/recipes.csv")
    for row in gold.itertuples():
        dataset = {"hepatoCellular": "hepatoCellular_RFS"}.get(row.dataset, row.dataset)
        values = marker_of(r, dataset, row.marker)
        for recipe, want in (
            ("score", row.riskRegression_recipe),
            ("timeroc", row.timeROC_recipe),
        ):
            have = time_dependent_auc(*values, [row.time], recipe=recipe)
            assert have.estimate[0] == pytest.approx(want, abs=1e-12)


def test_roc_curves_match_timeroc(r):
    gold = r.table("timeauc/timeroc_curves.csv")
    for (dataset, marker, time), want in gold.groupby(["dataset", "marker", "time"]):
        values = marker_of(r, dataset, marker)
        have = roc_curve(*values, time, recipe="timeroc")
        rising = np.unique(np.round(want[["fpr", "tpr"]].to_numpy(), 10), axis=0)
        own = np.stack([have.false_positive, have.true_positive], axis=1)
        np.testing.assert_allclose(np.unique(np.round(own, 10), axis=0), rising, atol=2e-10)
        area = np.trapezoid(have.true_positive, have.false_positive)
        auc = time_dependent_auc(*values, [time], recipe="timeroc").estimate[0]
        assert area == pytest.approx(auc, abs=1e-12)


patients = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 12), st.booleans()), min_size=2, max_size=40
)


@settings(max_examples=150)
@given(patients, st.sampled_from(["score", "timeroc"]), st.randoms())
@pytest.mark.slow
def test_symmetries(rows, recipe, random):
    horizons = [2.0, 5.0, 9.0]
    marker, time, event = (np.array(v) for v in zip(*rows, strict=True))
    have = time_dependent_auc(marker, time, event, horizons, recipe=recipe)
    turned = time_dependent_auc(-marker, time, event, horizons, recipe=recipe)
    np.testing.assert_allclose(
        have.estimate + turned.estimate, np.where(np.isnan(have.estimate), np.nan, 1.0)
    )
    random.shuffle(rows)
    shuffled = time_dependent_auc(
        *(np.array(v) for v in zip(*rows, strict=True)), horizons, recipe=recipe
    )
    np.testing.assert_allclose(shuffled.estimate, have.estimate)
    np.testing.assert_allclose(shuffled.standard_error, have.standard_error, atol=1e-12)
    for k, reason in enumerate(have.reasons):
        assert (reason is None) == bool(np.isfinite(have.estimate[k]))
        if reason is None:
            assert abs(have.influence[k].sum()) < 1e-9
            if have.standard_error[k] > 1e-12:
                assert have.lower[k] <= have.estimate[k] <= have.upper[k]
            else:
                assert np.isnan([have.lower[k], have.upper[k]]).all()


def test_standard_error_is_the_spread_over_samples():
    rng = np.random.default_rng(9)
    estimates, errors = [], []
    for _ in range(500):
        marker = rng.normal(size=150)
        time, limit = rng.exponential(np.exp(-marker)), rng.exponential(1.5, size=150)
        auc = time_dependent_auc(marker, np.minimum(time, limit), time <= limit, [1.0])
        estimates.append(auc.estimate[0])
        errors.append(auc.standard_error[0])
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.1)


def test_difference_of_two_markers_at_a_horizon():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=400)
    time, limit = rng.exponential(np.exp(-truth)), rng.exponential(3.0, size=400)
    seen = np.minimum(time, limit), time <= limit
    weak = truth + rng.normal(size=400) * 3
    better = compare_auc(truth, weak, *seen, 1.0)
    assert better.lower > 0
    assert compare_auc(weak, truth, *seen, 1.0).estimate == pytest.approx(-better.estimate)
    assert compare_auc(truth, truth * 2, *seen, 1.0).p == 1
