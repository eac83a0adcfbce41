"""Work in threads comes back in the order it was given, and never runs far ahead."""

import threading
import time

import pytest

from jecur.runs.in_order import in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_items_are_drawn_as_they_are_taken(threads):
    drawn = []

    def items():
        for k in range(40):
            drawn.append(k)
            yield k

    def slow_at_first(k):
        time.sleep(0.003 * (k % 3 == 0))
        return k * k

    taken = 0
    for k, result in enumerate(in_order(slow_at_first, items(), threads=threads)):
        assert result == k * k
        assert len(drawn) - taken <= max(1, 2 * threads)
        taken += 1
    assert taken == 40


def test_items_are_drawn_by_the_caller_and_worked_on_elsewhere():
    here, who = threading.get_ident(), []

    def items():
        for k in range(6):
            assert threading.get_ident() == here
            yield k

    for ident in in_order(lambda _: threading.get_ident(), items(), threads=2):
        who.append(ident)
    assert here not in who


def test_an_error_comes_where_its_item_stood():
    results = in_order(lambda k: 1 / (k - 3), range(10), threads=3)
    assert [next(results) for _ in range(3)] == [1 / -3, 1 / -2, -1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
