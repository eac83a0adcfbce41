"""A number in a report is the number that was computed, also where rounding would put it on a border."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from jecur.printable import plain_number
from jecur.report.checklist import checklist_table
from jecur.report.evidence import _multivariable_section
from jecur.report.held_out import _number, give_held_out_verdict, weigh_held_out
from jecur.report.tables.accuracy import discrimination_table
from jecur.report.tables.baseline import Factor, baseline_table
from jecur.report.tables.survival import estimate_columns
from jecur.report.tables.table import Table, page_headings, page_rows
from jecur.report.tables.tile_features import feature_table
from jecur.report.verdict import give_verdict, key_numbers
from jecur.report.wording import (
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_ratio,
)
from jecur.settings import StatisticsSettings
from jecur.statistics.cross_validated import held_out_statistics
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import EvaluationInput, to_json_dict
from jecur.statistics.tile_features import compare_tile_features
from jecur.survival.estimate import Estimate


@pytest.mark.parametrize(
    ("value", "figures", "text"),
    [
        (2015, 3, "2015"),
        (258555.4, 3, "258555"),
        (63.26, 3, "63.3"),
        (0.000012345, 3, "0.0000123"),
        (1234567, 15, "1234567"),
        (1e9 + 1, 15, "1000000001"),
        (-1.25, 15, "-1.25"),
        (0.3, 15, "0.3"),
        (0.0, 3, "0"),
        (1e300, 15, "1e+300"),
        (float("inf"), 3, "inf"),
    ],
)
def test_a_number_keeps_the_figures_before_its_point(value, figures, text):
    assert plain_number(value, figures) == text


def test_years_and_large_counts_of_the_baseline_table_are_themselves():
    years = np.arange(1999, 2020).tolist()
    factors = [Factor("Year", years), Factor("Platelets", [1e3 * y for y in years])]
    rows = baseline_table(factors, {"All": np.ones(21, bool)}).rows
    assert rows[1][2] == "2009 (2004–2014)"
    assert rows[2][2] == "2009000 (2004000–2014000)"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0498, "0.0498"),
        (0.0502, "0.0502"),
        (0.04999, "0.04999"),
        (0.05, "0.050"),
        (0.0512, "0.051"),
        (0.0004, "< 0.001"),
        (0.0994, "0.099"),
        (0.0996, "0.10"),
    ],
)
def test_p_shows_on_which_side_of_the_usual_level_it_lies(p, text):
    assert format_p(p) == text


def test_some_patients_are_never_none_nor_all():
    shown = [format_percent(v).replace("\u00a0", " ") for v in (0, 1 / 300, 0.5, 299 / 300, 1)]
    assert shown == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]


def test_a_limit_close_to_one_shows_on_which_side_it_lies_everywhere(study):
    statistics = study[1]
    ratio = replace(statistics.hazard_ratio, estimate=1.5, lower=1.004, upper=2.2)
    changed = replace(statistics, hazard_ratio=ratio)
    verdict = give_verdict(changed, "", virtual=False)
    assert "1.50 times as fast (95\u00a0% CI 1.004–2.20)" in verdict.headline
    assert "1.004–2.20" in verdict.detail
    card = next(c for c in key_numbers(changed) if c.label == "Hazard ratio")
    assert card.note.startswith("1.004–2.20")
    table = Table.of("x", "", estimate_columns("r", "", "ratio"), [ratio])
    assert page_rows(table)[0][0].text == "1.50 (1.004–2.20)"
    assert format_interval(0.8, 0.6, 0.997) == "0.80 (0.60–0.997)"
    # a ratio that cannot be read in its unit keeps its two digits, and the caution that says so
    assert format_interval(1.0001, 0.9999, 1.004) == "1.00 (1.00–1.00)"


def test_ratios_of_a_cross_validation_are_written_as_elsewhere():
    ratio = Estimate(0.0042, 0.0011, 123.4, None, None, 9, 5, 0.95, "Cox")
    card = _number("Hazard ratio", ratio, "stratified by fold")
    assert (card.value, card.note) == ("0.0042", "0.0011–123; stratified by fold")


def test_factors_in_a_model_without_the_classifier_are_not_denied(content):
    statistics = content.statistics
    model = replace(
        statistics.multivariable, covariates=tuple(statistics.multivariable.covariates[1:2])
    )
    section = _multivariable_section(replace(statistics, multivariable=model))
    assert len(model.covariates) == 1
    assert "No clinical factor" not in section.lead


def test_a_model_without_the_classifier_is_not_said_to_hold_it(content):
    statistics = content.statistics
    model = replace(statistics.multivariable, covariates=("age", "stage"), left_out=())
    shown = replace(content, statistics=replace(statistics, multivariable=model))
    rows = {row[1]: row for row in checklist_table(shown).rows if row[0] == "REMARK"}
    assert rows["16"][3] == "no"
    assert "classifier is not in the model" in rows["16"][5]


SIZES = [s * m * 10.0**k for k in range(-13, 40) for m in (1, 4.96, 9.96) for s in (1, -1)]
SHOWN = {
    "ratio": format_ratio,
    **{f"{d} decimals": partial(format_number, digits=d) for d in (1, 2, 3)},
}


@pytest.mark.parametrize("kind", SHOWN)
def test_a_number_of_any_size_reads_as_itself_and_stays_short(kind):
    for value in SIZES:
        text = SHOWN[kind](value)
        assert len(text) <= 12, text
        read = float(text.replace("−", "-"))
        close = 0.051 * abs(value)
        if kind != "ratio" and abs(value) < 1e6:
            close = max(close, 0.5 * 10.0 ** -int(kind[0]))
        assert abs(read - value) <= close * (1 + 1e-9), (value, text)
        assert np.sign(read) == np.sign(value), (value, text)


@pytest.mark.parametrize("kind", SHOWN)
def test_nothing_and_rounding_are_zero_without_a_sign(kind):
    for value in (0.0, -0.0, 2e-17, -2e-17) if kind != "ratio" else (0.0, -0.0):
        text = SHOWN[kind](value)
        assert text.strip("0.") == ""
    assert SHOWN[kind](float("inf")) == "∞"
    assert SHOWN[kind](float("nan")) == "–"


@pytest.mark.parametrize(
    ("adjust", "words"),
    [("holm", "Adjusted (Holm)"), ("bh", "Adjusted (Benjamini and"), ("none", "Not adjusted for")],
)
def test_tile_features_name_their_correction_in_words(adjust, words):
    settings = StatisticsSettings(adjust=adjust)
    at_top = np.repeat([True, False], 20)
    found = compare_tile_features({"f": np.arange(40) % 2}, at_top, np.arange(40) % 10, settings)
    assert words in feature_table(found).note


@pytest.mark.parametrize(("high", "low", "text"), [(9, 0, "∞"), (0, 9, "0.00"), (10, 10, "1.00")])
def test_an_odds_ratio_of_a_feature_seen_at_one_end_alone_is_shown(high, low, text):
    seen = np.repeat([1, 0, 1, 0], [high, 20 - high, low, 20 - low])
    at_top = np.repeat([True, False], 20)
    found = compare_tile_features({"f": seen}, at_top, np.arange(40) % 10, StatisticsSettings())
    table = feature_table(found)
    place = [heading for heading, _ in page_headings(table)].index("Odds ratio (95 % CI)")
    assert page_rows(table)[0][place].text.startswith(text)
    assert to_json_dict(found)["rows"][0]["odds_ratio"] == (
        None if text == "∞" else pytest.approx(found.rows[0].odds_ratio)
    )


@pytest.mark.parametrize("n_folds", [1, 2])
def test_a_few_pairs_that_are_all_right_are_no_proof(n_folds):
    """Concordance 1 with an interval from 1 to 1 was "better than chance", of two patients too."""
    fold = np.repeat(np.arange(n_folds), 2)
    risk = np.tile([0.1, 0.9], n_folds)
    rows = EvaluationInput(
        patient_ids=tuple(f"p{k}" for k in range(fold.size)),
        months=np.tile([40.0, 3.0], n_folds),
        event=np.tile([False, True], n_folds),
        risk=risk,
        high_risk=risk > 0.5,
        endpoint_name="recurrence-free survival",
        endpoint_definition="",
        meaning="score",
    )
    settings = StatisticsSettings()
    found = held_out_statistics(rows, repeat=np.ones_like(fold), fold=fold, settings=settings)
    assert found.concordance.estimate == 1
    assert (found.concordance.lower, found.concordance.upper) == (None, None)
    if n_folds > 1:
        assert (found.concordance_mean.estimate, found.concordance_mean.lower) == (1.0, None)
    told = give_held_out_verdict(found, virtual=False)
    assert told.headline == "Whether the risk orders the patients cannot be said."
    assert "no interval" in told.detail
    assert "no interval" in found.lines()[0]
    numbers = {n.label: n for n in weigh_held_out(found, virtual=False).key_numbers}
    assert numbers["Harrell’s C"].value == "1.00"
    assert numbers["Harrell’s C"].note.startswith("no interval")
    one = evaluate(rows, settings=settings)
    assert (one.auc[0].points[0].estimate, one.auc[0].points[0].lower) == (1.0, None)
    cell = page_rows(discrimination_table(one))[0][1]
    assert cell.text == "1.000 (no interval)"
