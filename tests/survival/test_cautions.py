"""Few events, and ratios that say nothing as printed: told where they stand, never left out."""

import numpy as np
import pytest

from jecur.report.verdict import give_verdict
from jecur.settings import StatisticsSettings
from jecur.statistics.cautions import reads_one
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import CovariateColumn, EvaluationInput
from jecur.survival.estimate import Estimate

N = 80


def _statistics(n_events, covariates=(), *, seed=4):
    rng = np.random.default_rng(seed)
    event = np.zeros(N, dtype=bool)
    event[rng.permutation(N)[:n_events]] = True
    risk = rng.uniform(0.1, 0.9, N)
    months = rng.uniform(1, 70, N)
    patients = EvaluationInput(
        tuple(map(str, range(N))), months, event, risk, risk > 0.5,
        "overall survival", "to death", tuple(covariates),
    )  # fmt: skip
    return evaluate(patients, settings=StatisticsSettings(multivariable="all"))


def _places(statistics):
    return [(c.code, c.place) for c in statistics.cautions]


def _factor(name, levels):
    rng = np.random.default_rng(len(name))
    return CovariateColumn(name, name.title(), "categorical", tuple(rng.choice(levels, N)))


@pytest.mark.parametrize(("events", "told"), [(19, True), (20, False)])
def test_the_headline_is_cautioned_below_twenty_events(events, told):
    statistics = _statistics(events)
    assert (("few-events", "headline") in _places(statistics)) == told
    detail = give_verdict(statistics, "", virtual=False).detail
    assert ("19 events in all" in detail) == told


@pytest.mark.parametrize(("events", "told"), [(29, True), (30, False)])
def test_a_factor_of_four_levels_needs_thirty_events(events, told):
    statistics = _statistics(events, [_factor("stage", ["I", "II", "III", "IV"])])
    texts = [c.text for c in statistics.cautions if c.place == "univariable"]
    assert any("Stage (29 events, 3 parameters)" in t for t in texts) == told


@pytest.mark.parametrize(("events", "told"), [(29, True), (30, False)])
def test_the_multivariable_model_counts_its_parameters(events, told):
    factors = [_factor("sex", ["f", "m"]), _factor("site", ["a", "b"])]
    statistics = _statistics(events, factors)
    assert (("few-events-per-parameter", "multivariable") in _places(statistics)) == told
    assert ("few-events-per-parameter", "univariable") not in _places(statistics)


def test_subgroups_with_few_events_are_named():
    statistics = _statistics(25, [_factor("stage", ["I", "II", "III", "IV"])])
    (text,) = [c.text for c in statistics.cautions if c.place == "stratified"]
    for level in statistics.stratified[0].levels:
        few = level.events < 10 and level.hazard_ratio.estimate is not None
        assert (f"Stage {level.level} ({level.events})" in text) == few


def _afp(values, **more):
    return CovariateColumn("afp", "AFP", "numeric", tuple(values), unit="ng/ml", **more)


def test_a_ratio_that_reads_one_names_the_setting_that_makes_it_readable():
    rng = np.random.default_rng(2)
    afp = np.exp(rng.normal(5, 2, N))
    (caution,) = [c for c in _statistics(60, [_afp(afp)]).cautions if c.code == "unit-too-small"]
    assert 'scale = "log2"' in caution.text
    assert "per = " in caution.text
    assert '"afp"' in caution.text
    for better in ({"scale": "log2"}, {"per": 1000.0}):
        found = _statistics(60, [_afp(afp, **better)])
        assert not [c for c in found.cautions if c.code == "unit-too-small"]


def test_no_logarithm_is_proposed_where_there_is_none():
    rng = np.random.default_rng(2)
    afp = np.maximum(0, np.exp(rng.normal(5, 2, N)) - 40)
    (caution,) = [c for c in _statistics(60, [_afp(afp)]).cautions if c.code == "unit-too-small"]
    assert "log2" not in caution.text
    per = float(caution.text.split("per = ")[1].split(" ")[0])
    found = _statistics(60, [_afp(afp, per=per)])
    assert not [c for c in found.cautions if c.code == "unit-too-small"]


@pytest.mark.parametrize("unit", [1e-5, 1e-7, 1e-9, 1e-12])
def test_a_ratio_beyond_reading_names_the_setting_that_makes_it_readable(unit):
    values = np.random.default_rng(3).uniform(1, 60, N) * unit
    found = _statistics(60, [_afp(values)])
    (caution,) = [c for c in found.cautions if c.code == "unit-too-large"]
    per = float(caution.text.split("per = ")[1].split(" ")[0])
    better = _statistics(60, [_afp(values, per=per)])
    assert not [c for c in better.cautions if c.code.startswith("unit-")]
    row, again = found.univariable[1], better.univariable[1]
    assert row.hazard_ratio.p == pytest.approx(again.hazard_ratio.p)
    assert row.term.p == pytest.approx(again.term.p)


@pytest.mark.parametrize("unit", [1e-300, 1e-200])
def test_a_unit_that_no_number_holds_costs_itself_alone(unit):
    values = np.random.default_rng(3).uniform(1, 60, N) * unit
    found = _statistics(60, [_afp(values), _factor("sex", ["f", "m"])])
    alone = _statistics(60, [_factor("sex", ["f", "m"])])
    row = found.univariable[1]
    assert row.hazard_ratio.estimate is None
    assert "unit is too large or too small" in row.hazard_ratio.reason
    assert found.univariable[2].hazard_ratio == alone.univariable[1].hazard_ratio


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ((1.0, 0.997, 1.004), True),
        ((1.008, 1.002, 1.014), True),
        ((1.0, 0.984, 1.004), False),
        ((1.014, 1.001, 1.026), False),
        ((None, None, None), False),
        ((float("inf"), 0.0, float("inf")), False),
        ((1.0, 0.0, float("inf")), False),
    ],
)
def test_reads_one(limits, told):
    assert reads_one(Estimate(*limits, 0.1, 1.0, 50, 20, 0.95, "Cox")) == told
