"""Every probability of a report against R, without and with a competing event.

The numbers are those of ``benchmarks/probabilities_in_r.R``: survfit, cmprsk, riskRegression::Score.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jecur.errors import NotEstimableError
from jecur.survival.auc import compare_auc, roc_curve, time_dependent_auc
from jecur.survival.baseline import baseline_hazard
from jecur.survival.brier import brier_score, integrated_brier_score
from jecur.survival.calibration import (
    calibration_curve,
    calibration_groups,
    calibration_intercept,
    calibration_slope,
    observed_expected,
)
from jecur.survival.competing import cumulative_incidence, gray_test
from jecur.survival.cox import fit_cox
from jecur.survival.decision import decision_curve
from jecur.survival.fine_gray import fit_fine_gray
from jecur.survival.fine_gray_baseline import subdistribution_baseline
from jecur.survival.outcome_at import outcome_at
from jecur.survival.survival_curve import kaplan_meier

GOLD = json.loads(
    (Path(__file__).parents[1] / "golden" / "probabilities_in_r.json").read_text(encoding="utf-8")
)


@pytest.fixture(params=["competing", "censored"])
def cohort(request):
    gold = GOLD[request.param]
    data = {name: np.array(column, dtype=float) for name, column in gold["data"].items()}
    other = data["cause"] == 2 if request.param == "competing" else None
    return gold, data, (data["months"], data["cause"] == 1), other


def rows(gold, part, model):
    table = gold[part]
    keep = [k for k, name in enumerate(table["model"]) if name == model]
    return {name: np.array([values[k] for k in keep]) for name, values in table.items()}


def test_auc_and_its_differences(cohort):
    gold, data, response, other = cohort
    for name, marker in (("prob", data["prob"]), ("age", data["age"])):
        want = rows(gold, "auc", name)
        have = time_dependent_auc(
            marker, *response, gold["times"], competing=other, interval="plain"
        )
        np.testing.assert_allclose(have.estimate, want["AUC"], rtol=1e-10)
        np.testing.assert_allclose(have.standard_error, want["se"], rtol=1e-2)
    contrast = gold["auc_contrast"]
    for k, t in enumerate(gold["times"]):
        have = compare_auc(data["age"], data["prob"], *response, t, competing=other)
        assert have.estimate == pytest.approx(contrast["delta.AUC"][k], rel=1e-10)
        assert have.upper - have.lower == pytest.approx(
            contrast["upper"][k] - contrast["lower"][k], rel=1e-2
        )


def test_the_roc_curve_has_the_area_of_the_auc(cohort):
    gold, data, response, other = cohort
    curve = roc_curve(data["prob"], *response, 36.0, competing=other)
    area = np.trapezoid(curve.true_positive, curve.false_positive)
    assert area == pytest.approx(rows(gold, "auc", "prob")["AUC"][1], rel=1e-10)


def test_brier_score(cohort):
    gold, data, response, other = cohort
    want, null = rows(gold, "brier", "prob"), rows(gold, "brier", "Null model")
    for k, t in enumerate(gold["times"]):
        have = brier_score(data["prob"], *response, t, competing=other)
        assert have.estimate == pytest.approx(want["Brier"][k], rel=1e-10)
        assert have.null == pytest.approx(null["Brier"][k], rel=1e-10)
        assert have.standard_error == pytest.approx(want["se"][k], rel=1e-2)


def test_integrated_brier_score_of_a_fitted_model(cohort):
    gold, data, response, other = cohort
    x = data["prob"][:, None]
    if other is None:
        model = fit_cox(x, *response, names=("p",), ties="breslow")
        base = baseline_hazard(model, x, *response)

        def predict(t):
            return 1.0 - base.survival(x, [t])[:, 0]

    else:
        b = fit_fine_gray(x, *response, other, names=("p",), ties="breslow").coefficients
        curve = subdistribution_baseline(x @ b, *response, other)

        def predict(t):
            return curve.incidence(x @ b, [t])[:, 0]

    have = integrated_brier_score(predict, *response, 36.0, competing=other)
    assert have.estimate == pytest.approx(gold["ibs"]["model"], rel=1e-7)
    assert have.null == pytest.approx(gold["ibs"]["null"], rel=1e-10)
    assert have.lower < have.estimate < have.upper
    assert have.influence.sum() == pytest.approx(0, abs=1e-12)


def test_cumulative_incidence_and_its_interval():
    gold = GOLD["competing"]
    data = {name: np.array(column, dtype=float) for name, column in gold["data"].items()}
    seen, other, high = data["cause"] == 1, data["cause"] == 2, data["group"] == 1
    parts = {"overall": [np.ones(seen.size, dtype=bool)], "low_then_high": [~high, high]}
    for name, groups in parts.items():
        have = {key: [] for key in gold[name]}
        for keep in groups:
            curve = cumulative_incidence(data["months"][keep], seen[keep], other[keep])
            free = kaplan_meier(data["months"][keep], (seen | other)[keep])
            times = gold["times"]
            have["incidence"] += list(curve.at(times))
            have["lower"] += list(curve.interval_at(times)[0])
            have["upper"] += list(curve.interval_at(times)[1])
            rival = curve.competing_at(times)
            for key, values in zip(
                ("competing", "competing_lower", "competing_upper"), rival, strict=True
            ):
                have[key] += list(values)
            have["free"] += list(free.at(times))
            have["free_lower"] += list(free.interval_at(times)[0])
            have["free_upper"] += list(free.interval_at(times)[1])
            have["n_risk"] += list(curve.n_at_risk(times))
            have["se"] += [
                outcome_at(
                    data["months"][keep], seen[keep], t, competing=other[keep]
                ).standard_error
                for t in times
            ]
        for key, values in have.items():
            want = [np.nan if v == "NA" else v for v in gold[name][key]]
            np.testing.assert_allclose(values, want, rtol=1e-9, err_msg=f"{name} {key}")
    test = gray_test(data["months"], seen, other, high)
    np.testing.assert_allclose([test.chi2, test.p], gold["gray"], rtol=1e-6)


def test_pseudo_values_are_those_of_survival(cohort):
    gold, _, response, other = cohort
    have = outcome_at(*response, 36.0, competing=other)
    np.testing.assert_allclose(have.pseudo_values, gold["pseudo"], atol=1e-10)
    assert have.pseudo_values.mean() == pytest.approx(have.estimate, rel=1e-12)


def test_calibration_groups_count_the_events_by_the_horizon(cohort):
    gold, data, response, other = cohort
    have = calibration_groups(data["prob"], *response, 36.0, competing=other)
    assert len(have) == len(gold["fifths"])
    for group, want in zip(have, gold["fifths"], strict=True):
        assert (group.n, group.events) == (want["n"], want["events"])
        for key in ("predicted", "observed", "lower", "upper"):
            assert getattr(group, key) == pytest.approx(want[key], rel=1e-9), key


def test_slope_intercept_ratio_and_curve(cohort):
    gold, data, response, other = cohort
    p = data["prob"]
    slope = calibration_slope(p, *response, competing=other)
    assert slope.estimate == pytest.approx(gold["slope"]["efron"], rel=1e-6)
    if other is not None:
        tied = calibration_slope(p, *response, competing=other, ties="breslow")
        assert tied.estimate == pytest.approx(gold["slope"]["breslow"], rel=1e-6)
        assert tied.estimate == pytest.approx(gold["slope"]["crr"], rel=1e-3)  # ties otherwise
    intercept = calibration_intercept(p, *response, 36.0, competing=other)
    assert intercept.estimate == pytest.approx(gold["intercept"]["estimate"], rel=1e-6)
    assert intercept.standard_error == pytest.approx(gold["intercept"]["se"], rel=1e-6)
    ratio = observed_expected(p, *response, 36.0, competing=other)
    for key in ("ratio", "lower", "upper"):
        assert getattr(ratio, {"ratio": "estimate"}.get(key, key)) == pytest.approx(
            gold["observed_expected"][key], rel=1e-9
        )
    curve = calibration_curve(p, *response, 36.0, competing=other)
    for key in ("observed", "lower", "upper"):
        have = np.interp(gold["curve"]["at"], curve.predicted, getattr(curve, key))
        np.testing.assert_allclose(have, gold["curve"][key], atol=5e-4, err_msg=key)


def test_decision_curve(cohort):
    gold, data, response, other = cohort
    want = gold["decision"]
    have = decision_curve(
        data["prob"], *response, 36.0, thresholds=want["thresholds"], competing=other
    )
    np.testing.assert_allclose(have.net_benefit, want["net_benefit"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(have.treat_all, want["treat_all"], rtol=1e-9)


def test_nobody_competes_is_no_competing_risk(cohort):
    """An empty competing event changes no number, only its name."""
    _, data, response, _ = cohort
    none = np.zeros(response[0].size, dtype=bool)
    p, t = data["prob"], 36.0
    for compute in (
        lambda other: brier_score(p, *response, t, competing=other).estimate,
        lambda other: time_dependent_auc(p, *response, [t], competing=other).estimate[0],
        lambda other: calibration_intercept(p, *response, t, competing=other).estimate,
        lambda other: calibration_slope(p, *response, competing=other).estimate,
        lambda other: decision_curve(
            p, *response, t, thresholds=[0.3], competing=other
        ).net_benefit[0],
    ):
        assert compute(none) == pytest.approx(compute(None), rel=1e-7)


def test_a_model_drawn_perfect_is_found_so():
    """Intercept 0, slope 1, ratio 1, a curve on the diagonal; off by as much as it is made to be."""
    rng = np.random.default_rng(5)
    n = 6000
    p = rng.uniform(0.05, 0.9, n)
    time = 36 * rng.exponential(size=n) / -np.log1p(-p)
    limit = rng.uniform(12, 90, n)
    response = np.minimum(time, limit), time <= limit
    assert calibration_slope(p, *response).estimate == pytest.approx(1, abs=0.06)
    assert calibration_intercept(p, *response, 36.0).estimate == pytest.approx(0, abs=0.06)
    assert observed_expected(p, *response, 36.0).estimate == pytest.approx(1, abs=0.04)
    curve = calibration_curve(p, *response, 36.0)
    inside = (curve.lower <= curve.predicted) & (curve.predicted <= curve.upper)
    assert inside.mean() > 0.8
    assert np.max(np.abs(curve.observed - curve.predicted)) < 0.06
    sharp = -np.expm1(-2.0 * (-np.log1p(-p)))  # twice the hazard
    assert calibration_intercept(sharp, *response, 36.0).estimate == pytest.approx(
        -np.log(2), abs=0.06
    )


def test_what_follow_up_does_not_reach_is_not_estimable():
    p = np.linspace(0.1, 0.9, 20)
    response = np.linspace(1, 20, 20), np.arange(20) % 2 == 0
    for compute in (calibration_intercept, calibration_curve, observed_expected):
        with pytest.raises(NotEstimableError):
            compute(p, *response, 36.0)
    with pytest.raises(NotEstimableError):
        integrated_brier_score(lambda t: p, *response, 36.0)
    assert all(np.isnan(g.observed) for g in calibration_groups(p, *response, 36.0))
    ended = calibration_groups(p, response[0], np.ones(20, dtype=bool), 36.0)
    assert all(g.observed == 1.0 for g in ended)  # everybody had the event: known for good


def test_nothing_is_said_of_a_time_that_nobody_was_followed_beyond():
    """Deaths alone as controls would give a number for any horizon however late."""
    months, cause = np.arange(1.0, 31.0), np.arange(30) % 3
    have = time_dependent_auc(-months, months, cause == 1, [15.0, 40.0], competing=cause == 2)
    assert np.isfinite(have.estimate[0])
    assert np.isnan(have.estimate[1])
    assert "followed beyond" in have.reasons[1]


def test_decision_curve_is_that_of_the_package_dcurves():
    dcurves = pytest.importorskip("dcurves")
    frame = pd.DataFrame(GOLD["censored"]["data"])
    at = [0.12, 0.26, 0.37, 0.48, 0.63]  # some are the prediction of somebody
    table = dcurves.dca(
        data=frame.assign(cause=frame["cause"].astype(int)),
        outcome="cause",
        modelnames=["prob"],
        thresholds=np.array(at),
        time=36,
        time_to_outcome_col="months",
    )
    have = decision_curve(frame["prob"], frame["months"], frame["cause"] == 1, 36.0, thresholds=at)
    for name, values in (("prob", have.net_benefit), ("all", have.treat_all)):
        want = table[table["model"] == name].set_index("threshold")["net_benefit"]
        np.testing.assert_allclose(values, [want[t] for t in at], rtol=1e-6, err_msg=name)
