"""What the statistics room offers, name by name: each is compared with R somewhere, and here is where."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from jecur import survival as sv

FOLDER = Path(__file__).parent
PATIENTS = json.loads((FOLDER.parent / "golden" / "probabilities_in_r.json").read_text("utf-8"))
GOLD = json.loads((FOLDER.parent / "golden" / "offered_in_r.json").read_text("utf-8"))

COMPARED = {
    "adjust_p_values": "test_contingency.py::test_adjustment_matches_r",
    "baseline_hazard": "test_cox.py::test_baseline_hazards_match_r",
    "bootstrap_interval": "test_offered_in_r.py::test_limits_over_given_draws_match_r",
    "brier_score": "test_probabilities_in_r.py::test_brier_score",
    "calibration_curve": "test_probabilities_in_r.py::test_slope_intercept_ratio_and_curve",
    "calibration_groups": "test_probabilities_in_r.py"
    "::test_calibration_groups_count_the_events_by_the_horizon",
    "calibration_slope": "test_probabilities_in_r.py::test_slope_intercept_ratio_and_curve",
    "compare_auc": "test_probabilities_in_r.py::test_auc_and_its_differences",
    "compare_concordance": "test_offered_in_r.py::test_a_difference_of_concordances_matches_r",
    "concordance": "test_concordance.py::test_every_concordance_matches_r",
    "cumulative_incidence": "test_probabilities_in_r.py"
    "::test_cumulative_incidence_and_its_interval",
    "decision_curve": "test_probabilities_in_r.py::test_decision_curve",
    "fisher_exact": "test_contingency.py::test_fisher_matches_r",
    "fit_cox": "test_cox.py::test_every_model_matches_r",
    "fit_fine_gray": "test_offered_in_r.py::test_fine_gray_coefficients_match_r",
    "gray_test": "test_probabilities_in_r.py::test_cumulative_incidence_and_its_interval",
    "integrated_brier_score": "test_probabilities_in_r.py"
    "::test_integrated_brier_score_of_a_fitted_model",
    "kaplan_meier": "test_kaplan_meier.py::test_every_step_matches_r",
    "likelihood_ratio_test": "test_offered_in_r.py::test_a_likelihood_ratio_test_matches_r",
    "logrank": "test_logrank.py::test_every_survdiff_matches_r",
    "median_follow_up": "test_kaplan_meier.py::test_median_follow_up_matches_r",
    "observed_expected": "test_probabilities_in_r.py::test_slope_intercept_ratio_and_curve",
    "pairwise_logrank": "test_logrank.py::test_pairwise_tests_match_survminer",
    "proportional_hazards_test": "test_cox.py::test_every_zph_matches_r",
    "roc_curve": "test_auc.py::test_roc_curves_match_timeroc",
    "time_dependent_auc": "test_auc.py::test_every_auc_matches_timeroc_and_riskregression",
    "uno_concordance": "test_offered_in_r.py::test_uno_matches_r",
}


def _names_in(node: ast.AST) -> set[str]:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def _used_by(test: ast.FunctionDef, functions: dict[str, ast.FunctionDef]) -> set[str]:
    """Names in a test and in the functions and fixtures of its file that it uses."""
    used, waiting = set(), [test]
    while waiting:
        node = waiting.pop()
        names = (_names_in(node) | {a.arg for a in node.args.args}) - used
        used |= names
        waiting += [functions[name] for name in names & functions.keys()]
    return used


def test_every_name_offered_is_compared_with_r_in_the_test_named_here():
    assert sorted(COMPARED) == sorted(sv.__all__)
    for name, where in COMPARED.items():
        file, _, test = where.partition("::")
        tree = ast.parse((FOLDER / file).read_text(encoding="utf-8"))
        functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        used = _used_by(functions[test], functions)
        assert name in used, f"{where} does not call {name}"
        assert used & {"r", "GOLD"}, f"{where} looks at no number of R"


@pytest.fixture
def cohort():
    columns = {k: np.array(v, dtype=float) for k, v in PATIENTS["censored"]["data"].items()}
    return columns, (columns["months"], columns["cause"] == 1)


def test_a_difference_of_concordances_matches_r(cohort):
    data, response = cohort
    have = sv.compare_concordance(data["prob"], data["age"], *response)
    want = GOLD["compare_concordance"]
    assert have.estimate == pytest.approx(want["difference"], rel=1e-12)
    assert have.upper - have.lower == pytest.approx(2 * 1.959964 * want["se"], rel=1e-6)


def test_uno_matches_r(cohort):
    data, response = cohort
    have = sv.uno_concordance(data["prob"], *response, tau=36.0)
    assert have.estimate == pytest.approx(GOLD["uno_concordance"]["estimate"], rel=1e-12)


def test_a_likelihood_ratio_test_matches_r(cohort):
    data, response = cohort
    x = np.column_stack([data["age"], data["prob"], data["group"]])
    large = sv.fit_cox(x, *response, names=("age", "prob", "group"))
    small = sv.fit_cox(x[:, :1], *response, names=("age",))
    have, want = sv.likelihood_ratio_test(large, small), GOLD["likelihood_ratio"]
    assert have.df == want["df"]
    assert have.chi2 == pytest.approx(want["chi2"], rel=1e-9)
    assert have.p == pytest.approx(want["p"], rel=1e-7)


class _GivenDraws:
    """In place of a generator: the rows of the patients that R drew."""

    def __init__(self, draws):
        self.draws = iter(np.array(draws))

    def integers(self, low, high, size):
        return next(self.draws)


def test_limits_over_given_draws_match_r(cohort):
    data, (months, event) = cohort
    want = GOLD["bootstrap"]
    have = sv.bootstrap_interval(
        lambda rows: sv.concordance(data["prob"][rows], months[rows], event[rows]).estimate,
        months.size,
        rng=_GivenDraws(want["draws"]),
        n_replicates=len(want["draws"]),
    )
    np.testing.assert_allclose(have.replicates, want["value"], rtol=1e-12)
    np.testing.assert_allclose([have.lower, have.upper], want["limits"], rtol=1e-12)
    assert have.estimate == pytest.approx(want["estimate"], rel=1e-12)
    assert have.standard_error == pytest.approx(want["sd"], rel=1e-12)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_fine_gray_coefficients_match_r(ties):
    data = {k: np.array(v, dtype=float) for k, v in PATIENTS["competing"]["data"].items()}
    x = np.column_stack([data["prob"], data["age"]])
    response = data["months"], data["cause"] == 1, data["cause"] == 2
    have = sv.fit_fine_gray(x, *response, names=("prob", "age"), ties=ties)
    want = GOLD["fine_gray"]
    np.testing.assert_allclose(have.coefficients, want[ties], rtol=1e-6)
    if ties == "breslow":  # as cmprsk counts ties
        error = np.sqrt(np.diag(have.covariance))
        np.testing.assert_allclose(error, want["crr_se"], rtol=5e-3)
