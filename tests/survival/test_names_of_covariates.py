"""Which ratio is whose: covariates are told apart by name, so no two may share one."""

import numpy as np
import pandas as pd
import pytest

from jecur import survival as sv
from jecur.errors import TableError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
FOLLOW_UP = RNG.exponential(10, 60), RNG.random(60) < 0.7
OTHER = ~FOLLOW_UP[1] & (RNG.random(60) < 0.5)
FITS = {
    "Cox": lambda x, **k: sv.fit_cox(x, *FOLLOW_UP, **k),
    "Fine-Gray": lambda x, **k: sv.fit_fine_gray(x, *FOLLOW_UP, OTHER, **k),
}


@pytest.fixture(params=FITS)
def fit(request):
    return FITS[request.param]


@pytest.mark.parametrize(
    "columns", [["age", "age"], [1, "1"], [("a", "b"), ("a", "b")]], ids=["twice", "1", "tuple"]
)
def test_two_columns_of_one_name_are_refused(fit, columns):
    with pytest.raises(TableError, match="different names"):
        fit(pd.DataFrame(X, columns=pd.Index(columns, tupleize_cols=False)))


def test_two_names_alike_are_refused(fit):
    with pytest.raises(TableError, match="different names"):
        fit(X, names=("age", "age"))


def test_names_that_exchange_the_columns_of_a_table_are_refused(fit):
    table = pd.DataFrame(X, columns=["age", "afp"])
    with pytest.raises(TableError, match="order of the columns"):
        fit(table, names=("afp", "age"))
    assert fit(table, names=("age", "afp")).names == ("age", "afp")
    assert fit(table, names=("Age, years", "AFP")).names == ("Age, years", "AFP")


@pytest.mark.parametrize("names", ["ab", (1, 2), 5, ()])
def test_what_is_no_tuple_of_texts_is_refused(fit, names):
    with pytest.raises(TableError, match="name"):
        fit(X, names=names)


@pytest.mark.parametrize("digits", [1, 2])
def test_a_threshold_that_is_a_prediction_but_for_rounding(digits):
    predicted = np.round(RNG.random(60), digits)
    whole = np.arange(1, 10**digits)
    exact = whole / 10**digits
    for apart in (whole * 0.1**digits, np.cumsum(np.full(whole.size, 0.1**digits))):
        one, two = (
            sv.decision_curve(predicted, *FOLLOW_UP, 8.0, thresholds=t) for t in (exact, apart)
        )
        np.testing.assert_array_equal(one.n_treated, two.n_treated)
        np.testing.assert_allclose(one.net_benefit, two.net_benefit, atol=1e-10)
