"""Cox models, their tests and residuals against R's coxph and cox.zph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.errors import NotEstimableError, TableError
from jecur.survival.baseline import baseline_hazard
from jecur.survival.concordance_index import concordance
from jecur.survival.cox import fit_cox, likelihood_ratio_test
from jecur.survival.logrank_test import logrank
from jecur.survival.partial_likelihood import evaluate_likelihood, score_residuals
from jecur.survival.proportional_hazards import proportional_hazards_test
from jecur.survival.risk_sets import risk_sets

R_FITS_TO = 1e-7
"""R stops when the likelihood changes by less than 1e-9; its coefficients are that good."""


def fit(design, ties):
    return fit_cox(
        design.columns,
        design.time,
        design.event,
        names=design.names,
        ties=ties,
        strata=design.strata,
        robust_cluster=design.cluster,
    )


def test_every_model_matches_r(r):
    gold = r.table("standard/coxph_coef.csv").query("ties != 'exact'")
    whole = r.table("standard/coxph_model.csv")
    seen = 0
    for (model, formula, ties), want in gold.groupby(["model", "formula", "ties"]):
        design = r.build(formula, r.of_model(model))
        have = fit(design, ties)
        assert have.names == tuple(want.term), model
        naive = np.sqrt(np.diag(have.model_covariance))
        np.testing.assert_allclose(have.coefficients, want.coef, rtol=R_FITS_TO, atol=1e-9)
        np.testing.assert_allclose(naive, want.se, rtol=R_FITS_TO)
        if design.cluster is not None:
            np.testing.assert_allclose(
                np.sqrt(np.diag(have.covariance)), want.robust_se, rtol=1e-6, err_msg=model
            )
        for ratio, row in zip(have.hazard_ratios(), want.itertuples(), strict=True):
            assert ratio.estimate == pytest.approx(row.HR, rel=R_FITS_TO)
            assert ratio.lower == pytest.approx(row.lo95, rel=1e-6)
            assert ratio.upper == pytest.approx(row.hi95, rel=1e-6)
            assert ratio.z == pytest.approx(row.z, rel=1e-6, abs=1e-7)
            assert ratio.p == pytest.approx(row.p, rel=1e-5)
        row = whole[(whole.model == model) & (whole.ties == ties)].iloc[0]
        assert (have.n_patients, have.n_events) == (row.n, row.events)
        assert have.log_likelihood == pytest.approx(row.loglik, rel=1e-11)
        assert have.null_log_likelihood == pytest.approx(row.loglik0, rel=1e-12)
        assert have.likelihood_ratio().chi2 == pytest.approx(row.lrt, rel=1e-7)
        assert have.likelihood_ratio().p == pytest.approx(row.lrt_p, rel=1e-6)
        assert have.score().chi2 == pytest.approx(row.score, rel=1e-9)
        assert have.wald().chi2 == pytest.approx(row.wald, abs=0.0051)  # R rounds it
        c = concordance(
            have.risk(design.columns),
            design.time,
            design.event,
            strata=design.strata,
            cluster=design.cluster,
        )
        assert c.estimate == pytest.approx(row.concordance, rel=1e-10), model
        assert c.standard_error == pytest.approx(row.concordance_se, rel=1e-9), model
        seen += len(want)
    assert seen == len(gold)


def test_tightly_converged_models_match_to_the_last_digits(r):
    formulas = r.table("standard/coxph_model.csv").groupby("model").formula.first()
    for (model, ties), want in r.table("standard/coxph_coef_tight.csv").groupby(["model", "ties"]):
        have = fit(r.build(formulas[model], r.of_model(model)), ties)
        np.testing.assert_allclose(have.coefficients, want.coef, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.sqrt(np.diag(have.covariance)), want.se, rtol=1e-9)
        assert have.log_likelihood == pytest.approx(want.loglik.iloc[0], rel=1e-13)


def test_robust_errors_match_r(r):
    gold = r.table("standard/robust_se.csv")
    for case, want in gold.groupby("case"):
        data = r.data("kidney_noties" if case == "kidney_no_ties" else "kidney")
        design = r.build("Surv(time,status)~age+sex+cluster(id)", data)
        have = fit(design, "breslow" if "breslow" in case else "efron")
        np.testing.assert_allclose(np.sqrt(np.diag(have.covariance)), want.robust_se, rtol=1e-9)


@pytest.mark.parametrize("file", ["cox_univariable", "cox_multivariable"])
@pytest.mark.slow
def test_every_tcga_model_matches_r(r, file):
    gold = r.table(f"tcga/{file}.csv").query("ties != 'exact'")
    seen = 0
    for rule, table in gold.groupby("rule"):
        data = r.tcga_rule(rule)
        for (model, ties), want in table.groupby(["model", "ties"], sort=False):
            have = fit(r.build(f"Surv(t,e)~{model}", data), ties)
            assert have.names == tuple(want.term)
            row = want.iloc[0]
            assert (have.n_patients, have.n_events) == (row.n, row.events)
            np.testing.assert_allclose(have.coefficients, want.coef, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(np.sqrt(np.diag(have.covariance)), want.se, rtol=1e-6)
            assert have.log_likelihood == pytest.approx(row.loglik, rel=1e-11)
            assert have.score().chi2 == pytest.approx(row.score, rel=1e-8, abs=1e-10)
            seen += len(want)
    assert seen == len(gold)


def zph(r, design, model, ties, want, transform):
    have = proportional_hazards_test(
        model,
        design.columns,
        design.time,
        design.event,
        transform=transform,
        strata=design.strata,
        terms=design.terms if want.terms.iloc[0] else None,
    )
    tests = dict(zip(have.terms, have.tests, strict=True)) | {"GLOBAL": have.global_test}
    assert set(tests) == set(want.term)
    for row in want.itertuples():
        assert tests[row.term].df == row.df
        assert tests[row.term].chi2 == pytest.approx(row.chisq, rel=1e-6, abs=1e-7), row
        assert tests[row.term].p == pytest.approx(row.p, rel=1e-5), row
    return len(want)


@pytest.mark.slow
def test_every_zph_matches_r(r):
    gold = r.table("standard/coxzph.csv")
    formulas = r.table("standard/coxph_model.csv").groupby("model").formula.first()
    seen = 0
    for (name, ties), table in gold.groupby(["model", "ties"]):
        design = r.build(formulas[name], r.of_model(name))
        model = fit(design, ties)
        for (transform, _), want in table.groupby(["transform", "terms"]):
            seen += zph(r, design, model, ties, want, transform)
    assert seen == len(gold)


@pytest.mark.slow
def test_every_tcga_zph_matches_r(r):
    gold = r.table("tcga/coxzph.csv")
    seen = 0
    for rule, table in gold.groupby("rule"):
        whole = r.tcga_rule(rule)
        for (formula, transform, _), want in table.groupby(["model", "transform", "terms"]):
            data = whole[whole.t > 0] if transform == "log" else whole
            design = r.build(f"Surv(t,e)~{formula}", data)
            seen += zph(r, design, fit(design, "efron"), "efron", want, transform)
    assert seen == len(gold)


@pytest.mark.parametrize("model", ["lung1", "veteran1"])
def test_score_residuals_match_r(r, model):
    formula = r.table("standard/coxph_model.csv").query("model == @model").formula.iloc[0]
    design = r.build(formula, r.of_model(model))
    have = fit(design, "efron")
    sets = risk_sets(design.time, design.event, np.zeros(design.time.size, int), "efron")
    x = design.columns - design.columns.mean(axis=0)
    at = evaluate_likelihood(have.coefficients, x[sets.order], sets)
    residuals = np.empty_like(x)
    residuals[sets.order] = score_residuals(x[sets.order], sets, at)
    gold = r.table(f"standard/residuals_{model}.csv")
    np.testing.assert_allclose(residuals, gold.filter(like="score."), atol=2e-6)
    np.testing.assert_allclose(residuals @ have.covariance, gold.filter(like="dfbeta"), atol=1e-8)
    np.testing.assert_allclose(have.risk(design.columns), gold.lp_zero, atol=1e-6)


def test_baseline_hazards_match_r(r):
    gold = r.table("standard/basehaz_uncentered.csv")
    formulas = r.table("standard/coxph_model.csv").groupby("model").formula.first()
    seen = 0
    for (model, ties), want in gold.groupby(["model", "ties"]):
        design = r.build(formulas[model], r.of_model(model))
        have = baseline_hazard(fit(design, ties), design.columns, design.time, design.event)
        np.testing.assert_array_equal(have.time, want.time)
        np.testing.assert_allclose(have.cumulative, want.hazard, rtol=2e-6)
        seen += len(want)
    assert seen == len(gold)


@pytest.mark.parametrize("model", ["lung1", "veteran1"])
def test_predicted_survival_matches_r(r, model):
    formula = r.table("standard/coxph_model.csv").query("model == @model").formula.iloc[0]
    design = r.build(formula, r.of_model(model))
    have = baseline_hazard(fit(design, "efron"), design.columns, design.time, design.event)
    want = r.table(f"standard/survfit_cox_{model}_first3rows_loglog.csv")
    survival = have.survival(design.columns[:3], want.time)
    np.testing.assert_allclose(survival.T, want[["S1", "S2", "S3"]], atol=1e-7)


def test_cox_without_ties_is_stationary_and_curvature_is_the_derivative():
    rng = np.random.default_rng(3)
    x, time, event = rng.normal(size=(60, 3)), rng.exponential(size=60), rng.random(60) < 0.7
    time[10:20] = time[0]  # ties
    sets = risk_sets(time, event, np.repeat([0, 1], 30), "efron")
    beta, h = np.array([0.3, -0.2, 0.1]), 1e-6
    at = evaluate_likelihood(beta, x[sets.order], sets)
    for k in range(3):
        step = h * np.eye(3)[k]
        up = evaluate_likelihood(beta + step, x[sets.order], sets)
        down = evaluate_likelihood(beta - step, x[sets.order], sets)
        slope = (up.log_likelihood - down.log_likelihood) / (2 * h)
        assert slope == pytest.approx(at.gradient[k], rel=1e-6, abs=1e-7)
        bend = (down.gradient - up.gradient) / (2 * h)
        np.testing.assert_allclose(bend, at.information[k], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        score_residuals(x[sets.order], sets, at).sum(axis=0), at.gradient, atol=1e-10
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_scaling_and_shifting_a_covariate_changes_only_its_own_ratio(seed, factor, shift):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(80, 2))
    time, event = np.ceil(rng.exponential(np.exp(-x[:, 0])) * 5), rng.random(80) < 0.8
    names = ("a", "b")
    plain = fit_cox(x, time, event, names=names)
    moved = fit_cox(x * [factor, 1] + [shift, 0], time, event, names=names)
    order = rng.permutation(80)
    shuffled = fit_cox(x[order], time[order], event[order], names=names)
    np.testing.assert_allclose(moved.coefficients * [factor, 1], plain.coefficients, rtol=1e-6)
    np.testing.assert_allclose(shuffled.coefficients, plain.coefficients, rtol=1e-8)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-10)


def test_the_score_test_of_an_indicator_is_the_logrank_test_without_ties():
    rng = np.random.default_rng(0)
    time, group = rng.exponential(size=50), rng.random(50) < 0.5
    event = rng.random(50) < 0.7
    model = fit_cox(group[:, None], time, event, names=("group",))
    assert model.score().chi2 == pytest.approx(logrank(time, event, group).chi2, rel=1e-10)


class TestRefusals:
    time = np.arange(1.0, 13.0)
    event = np.array([True, False] * 6)
    x = np.sin(np.arange(12.0) * 1.7)

    def test_no_events(self):
        with pytest.raises(NotEstimableError, match="at least one event"):
            fit_cox(self.x[:, None], self.time, ~np.ones(12, bool), names=("a",))

    def test_constant_covariate_is_named(self):
        with pytest.raises(NotEstimableError, match="found one value only in flat"):
            fit_cox(
                np.column_stack([self.x, np.full(12, 7.1)]),
                self.time,
                self.event,
                names=("a", "flat"),
            )

    def test_collinear_covariate_is_named(self):
        both = np.column_stack([self.x, 2 * self.x + 1])
        with pytest.raises(NotEstimableError, match=r"(a|twice) follows from the others"):
            fit_cox(both, self.time, self.event, names=("a", "twice"))

    def test_separation_is_named(self):
        early = (self.time < 6.5).astype(float)
        with pytest.raises(NotEstimableError, match="separates") as caught:
            fit_cox(
                np.column_stack([self.x, early]),
                self.time,
                (early > 0) & self.event,
                names=("a", "early"),
            )
        assert "early" in caught.value.message
        assert "for a" not in caught.value.message
        assert caught.value.code == "separation"

    def test_constant_within_strata(self):
        half = (self.time < 6.5).astype(float)
        with pytest.raises(NotEstimableError, match="at risk when events happened"):
            fit_cox(half[:, None], self.time, self.event, names=("half",), strata=half)

    def test_missing_values(self):
        x = self.x.copy()
        x[3] = np.nan
        with pytest.raises(TableError, match="missing values, found some in a"):
            fit_cox(x[:, None], self.time, self.event, names=("a",))

    def test_models_that_are_not_nested(self):
        a = fit_cox(self.x[:, None], self.time, self.event, names=("a",))
        b = fit_cox(np.cos(self.x)[:, None], self.time, self.event, names=("b",))
        with pytest.raises(NotEstimableError, match="nested"):
            likelihood_ratio_test(a, b)


def test_likelihood_ratio_of_nested_models(r):
    design = r.build("Surv(time,d)~age+sex+ph.ecog", r.data("lung"))
    larger = fit(design, "efron")
    smaller = fit_cox(design.columns[:, :2], design.time, design.event, names=design.names[:2])
    test = likelihood_ratio_test(larger, smaller)
    assert test.df == 1
    expected = 2 * (larger.log_likelihood - smaller.log_likelihood)
    assert test.chi2 == pytest.approx(expected)
