"""Levels stand in the order declared, and the first one seen is the reference."""

import numpy as np
import pytest

from jecur.statistics.results import CovariateColumn
from jecur.statistics.terms import factor_levels, make_term


def _column(values, levels):
    return CovariateColumn("v", "V", "categorical", tuple(values), levels=levels)


@pytest.mark.parametrize(
    ("values", "levels", "expected"),
    [
        (["macro", "none", "micro"], ("none", "micro", "macro"), ("none", "micro", "macro")),
        (["macro", "micro", None], ("none", "micro", "macro"), ("micro", "macro")),
        (["macro", "none", "micro"], (), ("macro", "micro", "none")),
    ],
)
def test_order_and_reference(values, levels, expected):
    assert factor_levels(_column(values, levels)) == expected


def test_contrasts_name_the_reference_and_one_unit():
    term = make_term(_column(["b", "a", "b", "c"], ("b", "a", "c")), 4)
    assert term.contrasts == ("a vs b", "c vs b")
    age = CovariateColumn("age", "Age", "numeric", (60.0, 70.0), unit="years")
    assert make_term(age, 2).contrasts == ("per year",)
    assert np.asarray(make_term(age, 2).columns).shape == (2, 1)
