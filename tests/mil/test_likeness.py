"""Slides of the training slides' kind pass, strangers are told, and too little is said to be so."""

import msgspec
import numpy as np
import pytest

from jecur.errors import SettingsError
from jecur.mil.likeness import FEWEST_PATIENTS, SlideLooks, fit_looks, likeness
from jecur.mil.looks import EVERYDAY, measure_looks
from jecur.model.looks import TrainingLooks
from jecur.settings.base import make_settings

P = 12


def slides(n, seed, *, shift=0.0, per_patient=1, names=None, p=P):
    """Correlated looks of n patients; ``shift`` in standard deviations along one measure."""
    mixing = np.random.default_rng(7).normal(size=(p, p)) / np.sqrt(p)
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(n, p)) @ mixing
    found = []
    for k in range(n):
        for _ in range(per_patient):
            values = own[k] + 0.2 * rng.normal(size=p)
            values[0] += shift
            measures = dict(zip(names or (f"feature_{j}" for j in range(p)), values, strict=True))
            found.append(SlideLooks(f"P{k}", measures, "aperio", 0.5))
    return found


def share_unlike(training, new):
    looks = fit_looks(training)
    return np.mean([likeness(looks, slide.measures).unlike for slide in new])


@pytest.mark.parametrize("n", [FEWEST_PATIENTS, 12, 20, 60])
@pytest.mark.parametrize("per_patient", [1, 3])
def test_few_of_the_same_kind_are_flagged_however_few_were_trained_on(n, per_patient):
    shares = [
        share_unlike(slides(n, seed, per_patient=per_patient), slides(60, 1000 + seed))
        for seed in range(10)
    ]
    assert np.mean(shares) <= 0.05


def test_strangers_are_told_and_what_differs_is_named():
    training = slides(40, 1)
    scores_without_patient = slides(40, 2, shift=8.0)
    assert share_unlike(training, scores_without_patient) >= 0.95
    found = likeness(fit_looks(training), scores_without_patient[0].measures)
    assert found.most[0][0] == "feature_0"
    assert found.distance > found.limit


def test_a_measure_that_was_constant_in_training_does_not_flag_everything():
    names = ["white_red", *(f"feature_{j}" for j in range(P - 1))]
    training = slides(30, 3, names=names)
    even = [
        SlideLooks(s.patient, {**s.measures, "white_red": 244.0}, s.vendor, s.mpp) for s in training
    ]
    looks = fit_looks(even)
    near = {**even[0].measures, "white_red": 244.0 + EVERYDAY["white_red"]}
    far = {**even[0].measures, "white_red": 200.0}
    assert not likeness(looks, near).unlike
    assert likeness(looks, far).unlike


def test_too_few_patients_say_nothing_and_not_a_number_is_unlike_everything():
    few = fit_looks(slides(FEWEST_PATIENTS - 1, 4, per_patient=3))
    assert few.limit is None
    assert likeness(few, slides(1, 5)[0].measures).distance is None
    looks = fit_looks(slides(30, 6))
    assert likeness(looks, {**slides(1, 7)[0].measures, "feature_3": float("nan")}).unlike


def test_absent_measures_are_left_out_on_both_sides():
    looks = fit_looks(slides(30, 8))
    whole = slides(1, 9)[0].measures
    part = {name: value for name, value in whole.items() if name != "feature_2"}
    assert likeness(looks, part).distance == pytest.approx(likeness(looks, whole).distance, rel=0.5)
    assert likeness(looks, {"other": 1.0}).distance is None


def test_wide_features_are_taken_one_by_one():
    training, new = slides(20, 10, p=300), slides(20, 11, p=300)
    looks = fit_looks(training)
    assert len(looks.covariance) == 1
    assert np.mean([likeness(looks, s.measures).unlike for s in new]) <= 0.05
    away = [{k: v + 2.0 for k, v in s.measures.items()} for s in new]
    assert all(likeness(looks, measures).unlike for measures in away)


def test_the_section_survives_json_and_refuses_what_does_not_fit():
    looks = fit_looks(slides(12, 12))
    plain = msgspec.json.decode(msgspec.json.encode(looks))
    assert make_settings(plain, TrainingLooks) == looks
    for spoil in (
        {"mean": plain["mean"][1:]}, {"limit": "far"}, {"more": 1}, {"limit": -1.0}, {"limit": None},
        {"covariance": plain["covariance"][1:]}, {"names": ["feature_0"] * P},
        {"covariance": [[0.0] * P] * P},
    ):  # fmt: skip
        with pytest.raises(SettingsError):
            make_settings(plain | spoil, TrainingLooks)


def test_a_covariance_that_is_none_makes_everything_unlike():
    looks = fit_looks(slides(12, 13))
    flat = msgspec.structs.replace(looks, covariance=((1.0,) * P,) * P)
    assert likeness(flat, slides(1, 14)[0].measures).unlike


def test_measures_say_what_they_should():
    rng = np.random.default_rng(0)
    tile = np.full((3, 224, 224, 4), 200, np.uint8)
    tile[..., 3] = 0
    yy, xx = np.mgrid[:224, :224]
    spots = [(40, 40), (40, 120), (120, 60), (170, 170)]
    for y, x in spots:
        inside = (yy - y) ** 2 + (xx - x) ** 2 <= 10**2
        tile[:, inside] = (90, 60, 140, 255)
    plain = measure_looks(tile, None)
    area = ((yy - 40) ** 2 + (xx - 40) ** 2 <= 100).sum() * (128 / 224) ** 2
    assert plain["log_nuclear_area_um2"] == pytest.approx(np.log(area), abs=1e-6)
    assert plain["nuclear_darkness"] == pytest.approx(-np.log(90 / 255))
    assert plain["nuclear_doubt"] == 0.0
    assert not any(name.startswith(("hematoxylin", "eosin", "white")) for name in plain)
    noisy = tile.copy()
    noisy[..., :3] = np.clip(tile[..., :3] + rng.normal(0, 20, tile[..., :3].shape), 0, 255)
    assert measure_looks(noisy, None)["log_sharpness_1"] > plain["log_sharpness_1"] + 1
    assert set(plain) <= set(EVERYDAY)
    features = np.array([[1.0, 4.0], [3.0, 0.0]], np.float32)
    assert measure_looks(features, None) == {"feature_0": 2.0, "feature_1": 2.0}


@pytest.mark.parametrize("width", [8, 100])
def test_a_feature_that_no_training_slide_woke_does_not_decide_alone(width):
    rng = np.random.default_rng(0)

    def slide(k, dead):
        values = rng.normal(size=width)
        values[3] = dead
        return SlideLooks(
            f"p{k}", {f"feature_{j}": float(v) for j, v in enumerate(values)}, "x", 0.25
        )

    training = fit_looks([slide(k, 0.0) for k in range(30)])
    nearly = likeness(training, slide(99, 1e-3).measures)
    wholly = likeness(training, slide(99, 100.0).measures)
    assert not nearly.unlike
    assert wholly.unlike
    assert wholly.most[0][0] == "feature_3"
