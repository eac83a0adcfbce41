"""Work over many slides: one that fails, breaks or kills its process loses nobody else."""

import os

import pytest

from jecur.engine import Failure, SilentProgress, run_all
from jecur.errors import SlideError


def _work(item: int) -> int:
    if item == 3:
        raise SlideError("expected a slide, found three", code="three")
    if item == 5:
        raise ZeroDivisionError("our bug")
    if item == 7:
        os._exit(9)
    return item * item


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_has_an_outcome(workers):
    items = list(range(7))
    outcomes = list(
        run_all(_work, items, workers=workers, progress=SilentProgress(), title="squares")
    )
    results = {o.item: o.result for o in outcomes}
    assert sorted(results) == items
    assert isinstance(results[3], Failure)
    assert (results[3].error.code, type(results[3].error)) == ("three", SlideError)
    assert results[5].error.code == "internal-error"
    assert "ZeroDivisionError" in results[5].trace
    assert {i: r for i, r in results.items() if i not in (3, 5)} == {
        i: i * i for i in (0, 1, 2, 4, 6)
    }


def test_a_process_that_dies_is_named_and_the_rest_is_done():
    results = {
        o.item: o.result
        for o in run_all(_work, [1, 7, 2, 4], workers=2, progress=SilentProgress(), title="squares")
    }
    assert results[7].error.code == "crashed"
    assert (results[1], results[2], results[4]) == (1, 4, 16)
