"""A numeric factor on its scale: what the ratio is of, what it equals, what is refused."""

import numpy as np
import pytest

from jecur.cohort.cohort import read_cohort
from jecur.errors import SettingsError, TableError
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    EndpointSettings,
    StatisticsSettings,
    make_settings,
)
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import CovariateColumn, EvaluationInput
from jecur.statistics.terms import make_term

N = 120


def _afp(**more):
    rng = np.random.default_rng(3)
    values = tuple(np.exp(rng.normal(3, 1.5, N)))
    return CovariateColumn("afp", "AFP", "numeric", values, unit="ng/ml", **more)


def _row(covariate):
    rng = np.random.default_rng(5)
    log = np.log(np.array(covariate.values))
    months = rng.exponential(30 * np.exp(-0.4 * (log - 3)))
    end = rng.uniform(10, 80, N)
    risk = rng.uniform(0.1, 0.9, N)
    patients = EvaluationInput(
        tuple(map(str, range(N))),
        np.minimum(months, end),
        months <= end,
        risk,
        risk > 0.5,
        "overall survival",
        "to death",
        (covariate,),
    )
    return evaluate(patients, settings=StatisticsSettings(multivariable="all"))


@pytest.mark.parametrize(
    ("more", "step"),
    [
        ({}, "per ng/ml"),
        ({"per": 100.0}, "per 100 ng/ml"),
        ({"per": 0.5}, "per 0.5 ng/ml"),
        ({"scale": "log2"}, "per doubling"),
        ({"scale": "log10"}, "per tenfold increase"),
    ],
)
def test_tables_say_what_the_ratio_is_of(more, step):
    statistics = _row(_afp(**more))
    assert [r.contrast for r in statistics.univariable if r.covariate == "afp"] == [step]
    assert [r.contrast for r in statistics.multivariable.rows if r.covariate == "afp"] == [step]


def test_plain_names_of_units():
    values = tuple(float(k) for k in range(9))
    years = CovariateColumn("age", "Age", "numeric", values, unit="years")
    assert make_term(years, 9).contrasts == ("per year",)
    decades = CovariateColumn("age", "Age", "numeric", values, unit="years", per=10.0)
    assert make_term(decades, 9).contrasts == ("per 10 years",)
    bare = CovariateColumn("x", "X", "numeric", values, per=10.0)
    assert make_term(bare, 9).contrasts == ("per 10 units",)


def test_a_unit_raises_the_ratio_to_its_power_and_leaves_p_and_auc_alone():
    one, hundred = _row(_afp()), _row(_afp(per=100.0))
    a, b = (s.univariable[1].hazard_ratio for s in (one, hundred))
    assert b.estimate == pytest.approx(a.estimate**100, rel=1e-8)
    assert (b.lower, b.upper) == pytest.approx((a.lower**100, a.upper**100), rel=1e-7)
    assert b.p == pytest.approx(a.p, rel=1e-7)
    assert hundred.auc[-1].landmark.estimate == pytest.approx(one.auc[-1].landmark.estimate)
    assert [s.level for s in hundred.stratified[0].levels] == [
        s.level for s in one.stratified[0].levels
    ]


def test_tenfold_is_a_doubling_to_the_power_of_log2_of_ten():
    a, b = (_row(_afp(scale=s)).univariable[1].hazard_ratio for s in ("log2", "log10"))
    assert b.estimate == pytest.approx(a.estimate ** np.log2(10), rel=1e-8)
    assert b.p == pytest.approx(a.p, rel=1e-7)


def test_subgroups_are_cut_in_the_numbers_of_the_table():
    (factor,) = _row(_afp(scale="log2", cut=20.0)).stratified
    assert [s.level for s in factor.levels] == ["<= 20 ng/ml", "> 20 ng/ml"]


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_no_logarithm_below_zero(bad):
    covariate = CovariateColumn("afp", "AFP", "numeric", (1.0, bad, 5.0), scale="log2")
    with pytest.raises(TableError, match="above 0 in afp"):
        make_term(covariate, 3)


def _read(folder, **more):
    endpoint = EndpointSettings(
        kind="overall survival", unit="months", event_values=("1",), censored_values=("0",)
    )
    columns = ColumnSettings(patient="id", role="", slide="")
    covariate = Covariate(column="change", **more)
    return read_cohort(
        CohortSettings(
            endpoint=endpoint, columns=columns, covariates=(covariate,), implausible="warn"
        ),
        folder,
    )


def test_the_table_is_refused_with_the_rows_of_what_has_no_logarithm(tmp_path):
    rows = ["id,time,event,change", "a,3,1,10", "b,4,0,0", "c,5,1,NA", "d,6,1,-2"]
    (tmp_path / "clinical.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(TableError, match=r"above 0 in column 'change'.*found 0 in rows 3, 5"):
        _read(tmp_path, scale="log2")
    assert _read(tmp_path).patients[1].covariates["change"] == 0.0
    with pytest.raises(TableError, match="in row 5"):
        _read(tmp_path, scale="log10", missing_values=("", "NA", "0"))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"scale": "log"}, "expected one of 'linear', 'log2', 'log10', found 'log'"),
        ({"per": 0}, "per"),
        ({"per": -5.0}, "per"),
        ({"scale": "log2", "per": 100.0}, "found both"),
        ({"kind": "categorical", "scale": "log2"}, "categorical"),
        ({"kind": "categorical", "per": 10.0}, "categorical"),
    ],
)
def test_scales_and_units_that_mean_nothing_are_refused(raw, words):
    with pytest.raises(SettingsError, match=words):
        make_settings({"column": "afp", **raw}, Covariate)
