"""Kather 2019 among the rivals: the score by hand, drawings that leak, and the effect it is made for."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.rivals.tissue_study import write_tissue_study

from jecur.cli import OK, USER_ERROR, run
from jecur.errors import NotEstimableError
from jecur.rivals.stroma_score import StromaScore, at_least_median, fit_stroma_score
from jecur.survival.cox import fit_cox


def outcomes(rng, n=120):
    """Fractions of three classes; the first brings the event forward, the second puts it off."""
    harm, third = rng.uniform(0.1, 0.5, n), rng.uniform(0.0, 0.1, n)
    fractions = np.stack([harm, 1 - harm - third, third], axis=1)
    months = rng.exponential(np.exp(-8 * (harm - 0.3))) * 20 + 0.1
    return fractions, months, np.ones(n, dtype=bool)


def test_cutoffs_and_weights_are_those_worked_out_one_by_one():
    fractions, months, event = outcomes(np.random.default_rng(0))
    found = fit_stroma_score(fractions, ("a", "b", "c"), months, event, horizon=15.0)
    assert "a" in found.classes
    assert "b" not in found.classes
    for k, cut, ratio in zip(found.index, found.cutoffs, found.hazard_ratios, strict=True):
        f = fractions[:, k]
        case = months <= 15.0
        gains = {t: (f >= t)[case].mean() - (f >= t)[~case].mean() for t in f}
        assert gains[cut] == pytest.approx(max(gains.values()))
        alone = fit_cox((f / f.std())[:, None], months, event, names=("f",))
        assert ratio == pytest.approx(np.exp(alone.coefficients[0]))
        assert ratio >= 1
    by_hand = sum(
        w * (fractions[:, k] >= t)
        for k, t, w in zip(found.index, found.cutoffs, found.hazard_ratios, strict=True)
    )
    np.testing.assert_allclose(found.of(fractions), by_hand)


def test_a_fraction_at_its_cutoff_counts():
    score = StromaScore(("a", "c"), (0, 2), np.array([0.5, 0.1]), np.array([2.0, 1.5]))
    rows = np.array([[0.5, 0.5, 0.0], [0.4, 0.5, 0.1], [0.5, 0.4, 0.1], [0.4, 0.59, 0.01]])
    np.testing.assert_allclose(score.of(rows), [2.0, 1.5, 3.5, 0.0])


def test_the_unit_of_a_fraction_changes_no_score():
    fractions, months, event = outcomes(np.random.default_rng(1))
    whole, small = (
        fit_stroma_score(fractions * unit, ("a", "b", "c"), months, event, horizon=15.0)
        for unit in (1.0, 1e-3)
    )
    np.testing.assert_allclose(whole.of(fractions), small.of(fractions * 1e-3), rtol=1e-6)


def test_fractions_that_do_not_vary_give_no_score():
    _, months, event = outcomes(np.random.default_rng(2))
    with pytest.raises(NotEstimableError, match="does not vary"):
        fit_stroma_score(np.full((120, 2), 0.5), ("a", "b"), months, event, horizon=15.0)


@pytest.mark.parametrize(
    ("scores", "high"),
    [
        (
            [0, 0, 1, 1, 2],
            [False, False, True, True, True],
        ),  # median 1: the paper's "median or more"
        ([0, 0, 0, 1, 2], [False, False, False, True, True]),
        ([0, 2, 2, 2], [False, True, True, True]),
        ([1, 1, 1], [False, False, False]),
        ([0, 0, 2, 2], [False, False, True, True]),
    ],
)
def test_the_high_group_reaches_the_median(scores, high):
    values = np.array(scores, dtype=float)
    assert (values > at_least_median(values)).tolist() == high


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study in which stroma brings the event forward, and a classifier of its tissue."""
    folder = tmp_path_factory.mktemp("kather")
    study, share = write_tissue_study(folder / "study")
    drawings = study.parent / "drawings"
    command = ["tissue", "train", str(study), "--annotations", str(drawings), "-j", "1"]
    assert run([*command, "--out", str(folder / "tissue")]) == OK
    return study, share, folder / "tissue" / "models" / "tissue.safetensors"


def compare(study, out, *more):
    models = "tissue,tissue-fractions,clinical"
    return run(
        [
            "compare",
            str(study),
            "--models",
            models,
            "--out",
            str(out),
            "--draws",
            "50",
            "-j",
            "1",
            *more,
        ]
    )


def test_planted_stroma_is_found_and_the_clinical_model_is_not_as_good(trained, tmp_path):
    study, share, model = trained
    out = tmp_path / "out"
    assert compare(study, out, "--tissue-model", str(model)) == OK
    found = json.loads((out / "compare.json").read_text())["comparison"]["models"]
    reached = {m["name"]: m["statistics"]["concordance"]["estimate"] for m in found}
    assert reached["tissue-fractions"] > 0.7
    assert reached["tissue"] > 0.6
    assert reached["tissue"] > reached["clinical"] + 0.05
    scores = pd.read_csv(out / "scores.csv").query("model == 'tissue'")
    assert len(scores) == 24
    assert set(scores["group"]) == {"high", "low"}
    by_share = share[30:] >= np.median(share)
    high = (scores["group"] == "high").to_numpy()
    assert (by_share == high).mean() > 0.7


def test_patients_whose_drawings_trained_are_not_scored(trained, tmp_path, capsys):
    study, _, model = trained
    out = tmp_path / "out"
    compare(study, out, "--tissue-model", str(model), "--folds", "2")
    assert "[leak]" in capsys.readouterr().err
    drawn = {f"P{k:03}" for k in range(8)}
    scores = pd.read_csv(out / "scores.csv")
    assert not drawn & set(scores.query("model == 'tissue'")["patient_id"])
    left_out = pd.read_csv(out / "exclusions.csv").astype(str)
    assert drawn <= set(left_out.iloc[:, 0])


def test_without_a_classifier_the_command_says_how_to_get_one(trained, tmp_path, capsys):
    study, _, model = trained
    assert compare(study, tmp_path / "a") == USER_ERROR
    said = capsys.readouterr().err
    assert "jecur tissue train" in said
    assert "no-tissue-model" in said
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(model.read_bytes()[:-1])
    assert compare(study, tmp_path / "b", "--tissue-model", str(broken)) == USER_ERROR
    assert "bad-model-file" in capsys.readouterr().err
