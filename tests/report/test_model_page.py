"""The card for people: what a reader asks first, in sentences; nothing invented where a field is missing."""

import json

import pytest
from tests.model_files import toy_card

from jecur.model.card import write_card
from jecur.report.document import make_report
from jecur.report.model_page import model_page
from jecur.settings import TrainingSettings
from jecur.study.training_card import selection


def _card(**changes):
    return json.loads(write_card(toy_card())) | changes


def test_it_says_use_endpoint_cut_off_patients_metrics_and_limits():
    said = dict(model_page(_card(cutoff=0.25)))
    assert {"Name", "Use", "Endpoint", "Cut-off", "Trained on", "Limits", "Made"} <= said.keys()
    assert said["Cut-off"].startswith("high risk above 0.25")
    assert "need a validation of their own" in said["Limits"]


def test_virtual_models_say_so_and_outcomes_have_the_names_of_their_loss():
    card = _card(virtual=True)
    card["training"] = {"loss": {"name": "cox"}}
    card["cohort"] = {"n_good": 7, "n_poor": 5, "n_tuning": 3, "n_tiles": 1234}
    card["cohort"]["selection"] = selection(TrainingSettings.from_flat(loss="cox"))
    said = dict(model_page(card))
    assert "mean nothing for real slides" in said["Virtual"]
    assert said["Trained on"] == (
        "12 patients (7 without event so far, 5 with event), 1,234 tiles; 3 patients to monitor "
        "training. All patients with follow-up."
    )
    assert "Virtual" not in dict(model_page(_card(virtual=False)))


def test_metrics_have_their_interval_or_say_why_there_are_none():
    found = {
        "note": "n",
        "n": 9,
        "n_events": 4,
        "concordance": {"estimate": 0.7, "lower": 0.6, "upper": 0.8},
    }
    assert dict(model_page(_card(metrics=found)))["Metrics"].startswith(
        "Harrell's C 0.700 (95 % CI 0.600-0.800) in 9 tuning patients, 4 with event"
    )
    assert dict(model_page(_card(metrics={"note": "none here"})))["Metrics"] == "none here"


def test_a_card_that_is_none_gets_no_page():
    assert model_page({"license": None}) == ()


@pytest.mark.slow
def test_the_card_itself_is_attached_closed(content):
    page = make_report(content).html
    assert '<details class="attachment">' in page
    assert "<details open" not in page
