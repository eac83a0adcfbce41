"""Factors that no model can take, in every table: not estimable, with a reason, never missing."""

from functools import cache

import numpy as np
import pytest

from jecur.report.tables.survival import (
    multivariable_table,
    stratified_table,
    univariable_table,
)
from jecur.settings import StatisticsSettings
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import CovariateColumn, EvaluationInput
from jecur.survival.cox import fit_cox

N = 90
RNG = np.random.default_rng(9)
AGE = RNG.normal(60, 8, N).round(1)
SEX = RNG.choice(["female", "male"], N)
RISK = RNG.uniform(0.05, 0.95, N)
MONTHS = RNG.exponential(30 * np.exp(-RISK)).round(2) + 0.1
EVENT = RNG.uniform(size=N) < 0.7


def _numeric(values, name="odd"):
    return CovariateColumn(name, name.title(), "numeric", tuple(values))


def _levels(values, name="odd", **more):
    return CovariateColumn(name, name.title(), "categorical", tuple(values), **more)


KINDS = {
    "constant number": _numeric([4.0] * N),
    "constant level": _levels(["no"] * N),
    "no number known": _numeric([None] * N),
    "not-a-number": _numeric([float("nan")] * N),
    "no level known": _levels([None] * N),
    "number known once": _numeric([3.0] + [None] * (N - 1)),
    "level known once": _levels(["yes"] + [None] * (N - 1)),
    "reference never seen": _levels(list(SEX), reference="other"),
    "identifiers": _levels([f"P{k}" for k in range(N)]),
}
COLLINEAR = {
    "copy": _numeric(AGE),
    "other unit": _numeric(12 * AGE + 7),
    "other coding": _numeric((SEX == "male").astype(float)),
    "the risk group": _levels(np.where(RISK > 0.5, "b", "a")),
}


def _statistics(*odd, competes=False):
    covariates = (_numeric(AGE, "age"), _levels(list(SEX), "sex"), *odd)
    other = ~EVENT & (np.arange(N) % 2 == 0) if competes else None
    patients = EvaluationInput(
        tuple(map(str, range(N))), MONTHS, EVENT, RISK, RISK > 0.5, "time to recurrence",
        "to recurrence", covariates, competing=other,
    )  # fmt: skip
    return evaluate(patients, settings=StatisticsSettings(multivariable="all"))


@cache
def _of_sound_factors():
    return _statistics()


def _check_rows(rows, name):
    mine = [r for r in rows if r.covariate == name]
    assert mine, f"{name} is missing without a word"
    for row in mine:
        assert row.hazard_ratio.estimate is None
        assert row.hazard_ratio.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_it_is_not_estimable_in_every_table_and_costs_no_other_factor(kind):
    whole, found = _of_sound_factors(), _statistics(KINDS[kind])
    _check_rows(found.univariable, "odd")
    _check_rows(found.multivariable.rows, "odd")
    for a, b in zip(whole.multivariable.rows, found.multivariable.rows, strict=False):
        assert b.hazard_ratio.estimate == pytest.approx(a.hazard_ratio.estimate, rel=1e-9)
    assert found.auc[-1].marker == "odd"
    assert found.auc[-1].landmark.estimate is None
    assert found.auc[-1].landmark.reason
    assert found.concordances[-1].harrell.estimate is None
    assert found.concordances[-1].harrell.reason
    assert found.stratified[-1].interaction.p is None
    assert found.stratified[-1].interaction.reason
    assert any(text.startswith("Odd") for text in found.added_value.left_out)
    assert found.added_value.likelihood_ratio == whole.added_value.likelihood_ratio
    for table in (
        univariable_table(found.univariable, 0.95),
        multivariable_table(found.multivariable, 0.95),
        stratified_table(found.stratified, 0.95),
    ):
        mine = [row for row in table.rows if row[0] == "Odd"]
        assert mine, table.name
        # the one level of a constant factor is everybody, and has the ratio of everybody
        assert all(row[-1] or table.name == "subgroups" for row in mine), table.name
        assert any(row[-1] for row in mine) or "constant" in kind


@pytest.mark.parametrize("kind", COLLINEAR)
@pytest.mark.slow
def test_what_follows_from_earlier_factors_is_estimable_alone_and_not_beside_them(kind):
    whole, found = _of_sound_factors(), _statistics(COLLINEAR[kind])
    (alone,) = [r for r in found.univariable if r.covariate == "odd"]
    assert alone.hazard_ratio.estimate is not None
    _check_rows(found.multivariable.rows, "odd")
    assert found.multivariable.reason is None
    for a, b in zip(whole.multivariable.rows, found.multivariable.rows, strict=False):
        assert b.hazard_ratio.estimate == pytest.approx(a.hazard_ratio.estimate, rel=1e-9)


def test_a_factor_that_is_the_risk_group_leaves_it_nothing_to_add():
    found = _statistics(COLLINEAR["the risk group"])
    assert found.multivariable.added_value.p is None
    assert "follows" in found.multivariable.added_value.reason
    assert found.multivariable.added_value_score.p is not None


def test_a_level_that_is_gone_where_another_factor_is_known_costs_itself_alone():
    stage = RNG.choice(["I", "II", "III"], N)
    other = [None if s == "III" else float(v) for s, v in zip(stage, AGE, strict=True)]
    found = _statistics(_levels(list(stage), "stage"), _numeric(other, "afp"))
    rows = {(r.covariate, r.contrast): r.hazard_ratio for r in found.multivariable.rows}
    assert rows["stage", "III vs I"].estimate is None
    assert "one value only" in rows["stage", "III vs I"].reason
    keep = stage != "III"
    # afp is age in these patients: it follows from it
    assert rows["afp", "per unit"].estimate is None
    x = np.column_stack([RISK > 0.5, AGE, SEX == "male", stage == "II"]).astype(float)[keep]
    direct = fit_cox(x, MONTHS[keep], EVENT[keep], names=("high", "age", "sex", "II"))
    assert rows["stage", "II vs I"].estimate == pytest.approx(
        direct.hazard_ratios()[3].estimate, rel=1e-8
    )


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.slow
def test_it_is_not_estimable_where_death_competes_either(kind):
    found = _statistics(KINDS[kind], competes=True)
    mine = [r for r in found.competing.subdistribution if r.covariate == "odd"]
    assert mine
    assert all(r.hazard_ratio.estimate is None and r.hazard_ratio.reason for r in mine)
