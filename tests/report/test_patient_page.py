"""The page of one patient: what it says, on screens and on paper."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jecur.errors import SettingsError
from jecur.mil.pooling import risk_from_score
from jecur.model.risks import N_QUANTILES, TrainingRisks
from jecur.report.patient_page import (
    PatientPage,
    SlideLine,
    SlidePictures,
    TileView,
    patient_page,
    share_below,
)
from jecur.runs.pictures import jpeg_bytes
from jecur.settings.base import make_settings
from jecur.study.training_card import training_risks


def picture(seed: int, side: int = 256) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return jpeg_bytes(np.asarray(Image.fromarray(coarse).resize((side, side))))


def made(**changes: object) -> PatientPage:
    rng = np.random.default_rng(1)
    risks = training_risks(list(rng.normal(0, 1, 40)), [k % 2 == 0 for k in range(40)])
    values = {
        "patient": "P-001",
        "model": "Clinic",
        "risk": 0.7125,
        "group": "high",
        "cutoff": 0.5,
        "banners": ("A slide is unlike those the model was trained on (distance 2.31).",),
        "endpoint_name": "recurrence-free survival",
        "endpoint_definition": "months from surgery to recurrence or death",
        "risks": risks,
        "heatmaps": tuple(SlidePictures(f"s{k}", picture(k), picture(k + 9)) for k in range(4)),
        "n_more_slides": 3,
        "tiles": tuple(
            TileView(picture(k, 224), f"s{k % 4}", 5.0 - k, "high" if k < 6 else "low")
            for k in range(12)
        ),
        "slides": tuple(
            SlideLine(
                f"a slide with quite a long name, block {k}", "ok", "blurred-tiles", 100 + k, 0.5
            )
            for k in range(7)
        ),
        "model_lines": (("Cut-off", "high risk above 0.5"), ("Limits", "of its cohort. " * 12)),
    }
    return PatientPage(**(values | changes))


def test_a_page_asks_nothing_of_a_network_and_lets_no_text_act():
    text = patient_page(made(patient="<script>alert(1)</script>\u202e", model="a&b"))
    assert "<script" not in text
    assert "\u202e" not in text
    assert "a&amp;b" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "Research use only" in text
    assert patient_page(made()) == patient_page(made())


def test_a_model_that_keeps_no_training_risks_is_told_so():
    text = patient_page(made(risks=None, tiles=(), no_tiles="None to show: no pixels."))
    assert "nothing but the cut-off" in text
    assert "have a lower risk" not in text
    assert "None to show: no pixels." in text


scores = st.lists(st.floats(-8, 8), min_size=2, max_size=60)


@given(scores, scores, st.floats(0, 1))
def test_the_share_below_is_that_of_the_patients_to_a_twentieth(good, poor, risk):
    found = training_risks([*good, *poor], [False] * len(good) + [True] * len(poor))
    assert (found.n_good, found.n_poor) == (len(good), len(poor))
    for side, kept in ((good, found.good), (poor, found.poor)):
        risks = np.array([risk_from_score(score) for score in side])
        assert len(kept) == N_QUANTILES
        assert kept[0] == pytest.approx(risks.min(), abs=1e-4)
        assert kept[-1] == pytest.approx(risks.max(), abs=1e-4)
        share = share_below(risk, kept)
        # Between two patients their quantiles lie on a line: one patient more or less.
        slack = 0.06 + 1 / (len(side) - 1)
        below = np.mean(risks < risk - 1e-4), np.mean(risks <= risk + 1e-4)
        assert below[0] - slack <= share <= below[1] + slack


@pytest.mark.parametrize("good", [[0.1] * 20, [0.2, *[0.1] * 20], [*[0.1] * 20, 1.5]])
def test_a_card_whose_training_risks_cannot_be_is_refused(good):
    values = {"n_good": 3, "n_poor": 3, "good": good, "poor": [0.5] * N_QUANTILES}
    with pytest.raises(SettingsError):
        make_settings(values, TrainingRisks)
