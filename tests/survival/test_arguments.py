"""What the public functions are given: names that exist, numbers, and rows of the same patients."""

import inspect
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest

from jecur import survival as sv
from jecur.errors import JecurError, SettingsError, TableError

N = 60


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    x = rng.normal(size=N)
    time = np.round(rng.exponential(20 * np.exp(-x)), 1) + 0.1
    event = rng.random(N) < 0.7
    return pd.DataFrame(
        {
            "age": x,
            "afp": rng.normal(size=N),
            "months": time,
            "event": event,
            "other": ~event & (rng.random(N) < 0.5),
            "p": 1 / (1 + np.exp(-x)),
            "arm": rng.choice(["a", "b", "c"], N),
        }
    )


def _calls(t: pd.DataFrame) -> dict:
    """Every public function of follow-up, called as one would call it."""
    x, follow_up = t[["age", "afp"]], (t["months"], t["event"])
    model = sv.fit_cox(x, *follow_up)
    return {
        "baseline_hazard": lambda **k: sv.baseline_hazard(model, x, *follow_up, **k),
        "brier_score": lambda **k: sv.brier_score(t["p"], *follow_up, 12.0, **k),
        "calibration_curve": lambda **k: sv.calibration_curve(t["p"], *follow_up, 12.0, **k),
        "calibration_groups": lambda **k: sv.calibration_groups(t["p"], *follow_up, 12.0, **k),
        "calibration_slope": lambda **k: sv.calibration_slope(t["p"], *follow_up, **k),
        "compare_auc": lambda **k: sv.compare_auc(t["age"], t["afp"], *follow_up, 12.0, **k),
        "compare_concordance": lambda **k: sv.compare_concordance(
            t["age"], t["afp"], *follow_up, **k
        ),
        "concordance": lambda **k: sv.concordance(t["age"], *follow_up, **k),
        "cumulative_incidence": lambda **k: sv.cumulative_incidence(*follow_up, t["other"], **k),
        "decision_curve": lambda **k: sv.decision_curve(
            t["p"], *follow_up, 12.0, **({"thresholds": [0.2, 0.5]} | k)
        ),
        "fit_cox": lambda **k: sv.fit_cox(x, *follow_up, **k),
        "fit_fine_gray": lambda **k: sv.fit_fine_gray(x, *follow_up, t["other"], **k),
        "gray_test": lambda **k: sv.gray_test(*follow_up, t["other"], t["arm"], **k),
        "integrated_brier_score": lambda **k: sv.integrated_brier_score(
            lambda _t: t["p"], *follow_up, 12.0, **k
        ),
        "kaplan_meier": lambda **k: sv.kaplan_meier(*follow_up, **k),
        "logrank": lambda **k: sv.logrank(*follow_up, t["arm"], **k),
        "median_follow_up": lambda **k: sv.median_follow_up(*follow_up, **k),
        "observed_expected": lambda **k: sv.observed_expected(t["p"], *follow_up, 12.0, **k),
        "pairwise_logrank": lambda **k: sv.pairwise_logrank(*follow_up, t["arm"], **k),
        "proportional_hazards_test": lambda **k: sv.proportional_hazards_test(
            model, x, *follow_up, **k
        ),
        "roc_curve": lambda **k: sv.roc_curve(t["age"], *follow_up, 12.0, **k),
        "time_dependent_auc": lambda **k: sv.time_dependent_auc(t["age"], *follow_up, [12.0], **k),
        "uno_concordance": lambda **k: sv.uno_concordance(t["age"], *follow_up, **k),
        "adjust_p_values": lambda **k: sv.adjust_p_values([0.1, 0.2], **k),
    }


NO_FOLLOW_UP = {"bootstrap_interval", "fisher_exact", "likelihood_ratio_test"}
NAMES = {
    (name, parameter): get_args(kind)
    for name in sv.__all__
    for parameter, kind in get_type_hints(getattr(sv, name)).items()
    if get_args(kind) and all(isinstance(choice, str) for choice in get_args(kind))
}


def test_every_public_function_is_called_here(table):
    assert set(_calls(table)) | NO_FOLLOW_UP == set(sv.__all__)


@pytest.mark.parametrize(("name", "parameter"), sorted(NAMES), ids="-".join)
@pytest.mark.parametrize("wrong", ["", "efrn", "loglog", "N", None, 1])
def test_a_name_that_does_not_exist_is_refused_with_those_that_do(table, name, parameter, wrong):
    with pytest.raises(SettingsError) as caught:
        _calls(table)[name](**{parameter: wrong})
    assert all(repr(choice) in caught.value.message for choice in NAMES[name, parameter])
    assert repr(wrong) in caught.value.message


@pytest.mark.parametrize(("name", "parameter"), sorted(NAMES), ids="-".join)
def test_every_name_that_is_listed_is_taken(table, name, parameter):
    for choice in NAMES[name, parameter]:
        _calls(table)[name](**{parameter: choice})


COLUMNS = {
    "time": "months",
    "event": "event",
    "competing": "other",
    "predicted": "p",
    "risk": "age",
    "marker": "age",
}


@pytest.mark.parametrize("column", ["months", "event", "age", "p"])
@pytest.mark.parametrize("value", [np.nan, None, pd.NA, "12", "x", pd.Timestamp("2020-01-01"), 1j])
def test_what_is_no_number_is_refused_everywhere(table, column, value):
    changed = table.astype({column: object})
    changed.loc[7, column] = value
    calls = _calls(table)
    for name, call in _calls_on(changed, column).items():
        assert name in calls
        with pytest.raises(JecurError, match="expected"):
            call()


WHOLE_COLUMNS = {
    "durations": lambda v: pd.to_timedelta(v.astype(float) * 30.4, unit="D"),
    "dates": lambda v: pd.Timestamp("2020-01-01") + pd.to_timedelta(v.astype(float), unit="D"),
    "complex numbers": lambda v: v.astype(complex),
    "text": lambda v: v.astype(str),
}


@pytest.mark.parametrize("column", ["months", "event", "age", "p"])
@pytest.mark.parametrize("kind", WHOLE_COLUMNS)
def test_a_column_of_no_numbers_is_refused_everywhere(table, column, kind):
    changed = table.assign(**{column: WHOLE_COLUMNS[kind](table[column])})
    for call in _calls_on(changed, column).values():
        with pytest.raises(JecurError, match="expected"):
            call()


@pytest.mark.parametrize("column", ["months", "event", "p"])
def test_what_is_masked_is_missing(table, column):
    values = np.ma.masked_array(table[column].to_numpy(), mask=table.index == 7)
    given = {name: table[name].to_numpy() for name in ("months", "event", "p")} | {column: values}
    with pytest.raises(JecurError, match="expected"):
        sv.brier_score(given["p"], given["months"], given["event"], 12.0)


def test_a_value_of_numpy_is_told_as_people_write_it():
    with pytest.raises(JecurError, match="coded 0 or 1, found 2;"):
        sv.kaplan_meier([1.0, 2.0], np.array([1, 2]))


def _calls_on(t: pd.DataFrame, column: str) -> dict:
    """Functions that look at the column."""
    y = (t["months"], t["event"])
    if column == "age":
        return {
            "fit_cox": lambda: sv.fit_cox(t[["age"]], *y),
            "concordance": lambda: sv.concordance(t["age"], *y),
            "uno_concordance": lambda: sv.uno_concordance(t["age"], *y),
            "time_dependent_auc": lambda: sv.time_dependent_auc(t["age"], *y, [12.0]),
            "fit_fine_gray": lambda: sv.fit_fine_gray(t[["age"]], *y, t["other"]),
        }
    if column == "p":
        return {
            "brier_score": lambda: sv.brier_score(t["p"], *y, 12.0),
            "calibration_groups": lambda: sv.calibration_groups(t["p"], *y, 12.0),
            "decision_curve": lambda: sv.decision_curve(t["p"], *y, 12.0, thresholds=[0.5]),
            "observed_expected": lambda: sv.observed_expected(t["p"], *y, 12.0),
        }
    return {
        "kaplan_meier": lambda: sv.kaplan_meier(*y),
        "logrank": lambda: sv.logrank(*y, t["arm"]),
        "cumulative_incidence": lambda: sv.cumulative_incidence(*y, t["other"]),
        "fit_cox": lambda: sv.fit_cox(t[["age"]], *y),
    }


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -3.0, "12", None, True])
def test_a_horizon_is_months_above_zero(table, bad):
    y = (table["months"], table["event"])
    for call in (
        lambda: sv.brier_score(table["p"], *y, bad),
        lambda: sv.integrated_brier_score(lambda _t: table["p"], *y, bad),
        lambda: sv.time_dependent_auc(table["age"], *y, [bad]),
        lambda: sv.roc_curve(table["age"], *y, bad),
        lambda: sv.observed_expected(table["p"], *y, bad),
        lambda: sv.decision_curve(table["p"], *y, bad, thresholds=[0.5]),
        lambda: sv.calibration_groups(table["p"], *y, bad),
    ):
        with pytest.raises(SettingsError, match="horizon: expected months above 0"):
            call()


@pytest.mark.parametrize("level", [np.nan, 0.0, 1.0, 95, "0.95", None])
def test_a_level_lies_between_zero_and_one(table, level):
    for name, call in _calls(table).items():
        if "level" in inspect.signature(getattr(sv, name)).parameters:
            with pytest.raises(SettingsError, match="expected a level between 0 and 1"):
                call(level=level)


def test_thresholds_are_probabilities(table):
    for bad in ([np.nan], [0.0], [1.0], [0.5, np.nan], [], ["a"]):
        with pytest.raises(SettingsError):
            _calls(table)["decision_curve"](thresholds=bad)


def test_a_curve_is_not_asked_at_no_time(table):
    curve = sv.kaplan_meier(table["months"], table["event"])
    incidence = sv.cumulative_incidence(table["months"], table["event"], table["other"])
    for ask in (curve.at, curve.n_at_risk, incidence.at, incidence.n_at_risk):
        with pytest.raises(SettingsError):
            ask(np.nan)


def test_columns_of_other_rows_are_refused(table):
    shuffled = table.sample(frac=1, random_state=1)
    with pytest.raises(TableError, match="same rows in the same order") as caught:
        sv.fit_cox(table[["age"]], shuffled["months"], shuffled["event"])
    assert caught.value.code == "other-rows"
    with pytest.raises(TableError):
        sv.concordance(shuffled["age"], table["months"], table["event"])
    with pytest.raises(TableError):
        sv.logrank(table["months"], table["event"], shuffled["arm"])
    plain = sv.concordance(shuffled["age"].to_numpy(), table["months"], table["event"])
    assert plain.n == N  # arrays have no names of rows: the order is the caller's


def test_frames_columns_and_arrays_give_the_same_number(table):
    x = table[["age", "afp"]]
    by_frame = sv.fit_cox(x, table["months"], table["event"])
    by_array = sv.fit_cox(
        x.to_numpy(), list(table["months"]), table["event"].astype(int), names=("age", "afp")
    )
    assert by_frame.names == ("age", "afp")
    np.testing.assert_array_equal(by_frame.coefficients, by_array.coefficients)
    one = sv.fit_cox(table["age"], table["months"], table["event"])
    assert one.names == ("age",)
    nullable = table.convert_dtypes()
    again = sv.fit_cox(nullable[["age", "afp"]], nullable["months"], nullable["event"])
    np.testing.assert_array_equal(by_frame.coefficients, again.coefficients)


def test_text_columns_of_a_frame_are_named(table):
    with pytest.raises(TableError, match=r"text or categories in arm; .*get_dummies"):
        sv.fit_cox(table[["age", "arm"]], table["months"], table["event"])
    with pytest.raises(TableError, match="a name for each covariate"):
        sv.fit_cox(table[["age"]].to_numpy(), table["months"], table["event"])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_group_that_is_missing_is_no_group(table, missing):
    groups = table["arm"].astype(object)
    groups[3] = missing
    with pytest.raises(TableError, match="row 3"):
        sv.logrank(table["months"], table["event"], groups)


def test_p_values_are_probabilities():
    with pytest.raises(TableError, match=r"in \[0, 1\], found 5"):
        sv.adjust_p_values([0.1, 5.0])


@pytest.mark.parametrize("columns", [(2,), (-1,), (0, 0), (), (0, 5)])
def test_terms_of_columns_that_are_not_there_are_refused(table, columns):
    x, follow_up = table[["age", "afp"]], (table["months"], table["event"])
    model = sv.fit_cox(x, *follow_up)
    with pytest.raises(SettingsError, match="terms"):
        sv.proportional_hazards_test(model, x, *follow_up, terms={"age": (0,), "other": columns})


def test_what_has_no_value_is_refused(table):
    with pytest.raises(JecurError, match="above 0"):
        sv.observed_expected(np.zeros(N), table["months"], table["event"], 12.0)
    with pytest.raises(TableError, match="vector"):
        sv.adjust_p_values([[0.1, 0.2], [0.3, 0.01]])
