"""The first sentence of a report: never more than the interval carries."""

from dataclasses import replace

import pytest

from jecur.report.verdict import give_verdict, key_numbers
from jecur.report.wording import event_words, format_minutes, format_number, format_p, format_ratio
from jecur.survival.estimate import NotEstimable


def with_ratio(statistics, estimate, lower, upper):
    ratio = replace(statistics.hazard_ratio, estimate=estimate, lower=lower, upper=upper)
    return replace(statistics, hazard_ratio=ratio)


def without_ratio(statistics, reason):
    n, events = statistics.n, statistics.events
    return replace(statistics, hazard_ratio=NotEstimable(reason, n, events, 0.95, "Cox"))


@pytest.fixture
def statistics(study):
    return study[1]


def test_a_difference_is_said_as_a_multiple_with_its_interval(statistics):
    verdict = give_verdict(with_ratio(statistics, 2.404, 1.63, 3.54), "", virtual=False)
    assert verdict.tone == "shown"
    assert verdict.headline == (
        "High-risk patients recurred or died 2.4 times as fast (95\u00a0% CI 1.6–3.5)."
    )
    assert "2.40 (95\u00a0% CI 1.63–3.54)" in verdict.detail


def test_an_interval_close_to_one_is_not_rounded_onto_it(statistics):
    verdict = give_verdict(with_ratio(statistics, 1.5, 1.02, 2.2), "", virtual=False)
    assert "1.50 times as fast (95\u00a0% CI 1.02–2.20)" in verdict.headline


def test_an_interval_that_holds_one_shows_no_difference(statistics):
    verdict = give_verdict(with_ratio(statistics, 1.8, 0.98, 3.3), "", virtual=False)
    assert verdict.tone == "none"
    assert "No difference" in verdict.headline
    assert "nor rule one out" in verdict.detail


def test_the_wrong_way_round_is_said(statistics):
    verdict = give_verdict(with_ratio(statistics, 0.4, 0.2, 0.8), "", virtual=False)
    assert verdict.tone == "reversed"
    assert "later" in verdict.headline


def test_not_estimable_gives_the_reason_and_no_number(statistics):
    missing = without_ratio(statistics, "nobody of low risk")
    verdict = give_verdict(missing, "", virtual=False)
    assert verdict.tone == "unknown"
    assert verdict.detail.startswith("Nobody of low risk. ")
    card = next(c for c in key_numbers(missing) if c.label == "Hazard ratio")
    assert (card.value, card.note) == ("not estimable", "nobody of low risk")


def test_virtual_patients_are_called_so(statistics):
    assert "virtual patients" in give_verdict(statistics, "", virtual=True).headline


@pytest.mark.parametrize(
    ("endpoint", "did"),
    [
        ("time to recurrence", "recurred"),
        ("overall survival", "died"),
        ("something else", "had the event"),
    ],
)
def test_death_is_called_recurrence_only_where_it_counts(endpoint, did):
    assert event_words(endpoint)[1] == did


def test_numbers_are_never_printed_as_nan():
    nan = float("nan")
    assert [format_ratio(nan), format_number(nan), format_p(nan), format_minutes(nan)] == ["–"] * 4
    minutes = (0.0, 0.0067, 0.01, 9.994, 9.996, 1234.56)
    assert [*map(format_minutes, minutes)] == [
        "< 0.01", "< 0.01", "0.01", "9.99", "10.0", "1,234.6"
    ]  # fmt: skip
    assert format_number(-1e-17, 3) == "0.000"  # no minus zero
    assert format_number(-0.0001, 3) == "−0.0001"
    assert format_number(-1.5, 1) == "−1.5"
