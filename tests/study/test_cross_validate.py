"""Cross-validation: no patient is scored by a model that saw them, whatever the study looks like."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.virtual.tiny_study import quick_study

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.settings import (
    SimulationSettings,
    StatisticsSettings,
    TilingSettings,
    TrainingSettings,
    read_study,
    write_study,
)
from jecur.simulate.cohort import simulate_cohort
from jecur.statistics.cross_validated import held_out_statistics
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import EvaluationInput
from jecur.study.memory import memory_beside
from jecur.survival import fit_cox, logrank, time_dependent_auc
from jecur.survival.concordance_index import concordance

TRAINING = TrainingSettings.from_flat(
    encoder="mobilenetv2_035",
    start="random",
    epochs=1,
    frozen_blocks=6,
    tiles_per_bag=1,
    l2=0.0,
    good_months=30.0,
    poor_months=29.0,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """8 patients to cross-validate, 1 to keep apart; 2 slides each; one slide is missing."""
    folder = tmp_path_factory.mktemp("study")
    settings = SimulationSettings(
        n_training=8, n_validation=1, slides_per_patient=2, seed=4, size_px=512,
        tissue_fraction=0.8, n_sites=1,
    )  # fmt: skip
    simulate_cohort(settings, folder)
    table = pd.read_csv(folder / "clinical.csv")
    table["recurrence"] = [1, 0] * 4 + [1]
    table["months"] = [5.5, 61.0, 9.0, 55.0, 12.0, 70.0, 20.0, 49.5, 8.0]
    table["site"] = list("aabbccddd")
    table.to_csv(folder / "clinical.csv", index=False)
    (folder / "slides" / "V-0003-2.tiff").unlink()
    tiny = quick_study("Tiny", TRAINING)
    tiny = msgspec.structs.replace(tiny, tiling=TilingSettings(max_tiles=2))
    (folder / "study.toml").write_text(write_study(tiny))
    return folder / "study.toml"


@pytest.fixture(scope="module")
def finished(study, tmp_path_factory) -> tuple[Path, int]:
    out = tmp_path_factory.mktemp("out") / "cv"
    arguments = ["crossval", str(study), "--out", str(out), "--folds", "2", "--site-preserving"]
    return out, run([*arguments, "-j", "1"])


def test_a_study_of_two_slides_a_patient_with_one_missing_is_cross_validated(finished):
    out, code = finished
    assert code == SOME_FAILED
    scores = pd.read_csv(out / "scores.csv")
    assert sorted(scores["patient_id"]) == [f"V-{k:04d}" for k in range(1, 9)]
    n_slides = scores.set_index("patient_id")["n_slides"]
    assert n_slides["V-0003"] == 1
    assert (n_slides.drop("V-0003") == 2).all()
    slides = pd.read_csv(out / "slides.csv").set_index("slide")
    assert slides.loc["V-0003-2", "status"] == "failed"


def test_no_model_was_trained_on_a_patient_or_site_that_it_scored(finished):
    out = finished[0]
    scores = pd.read_csv(out / "scores.csv")
    assert scores["model"].nunique() == 2
    for model, rows in scores.groupby("model"):
        memory = memory_beside(out / model)
        assert not any(memory.saw(p) for p in rows["patient_id"])
        others = scores[scores["model"] != model]
        assert any(memory.saw(p) for p in others["patient_id"])
        assert not set(rows["site"]) & set(others["site"])


def test_validation_patients_are_kept_apart_and_said(finished):
    gone = pd.read_csv(finished[0] / "exclusions.csv").set_index("patient_id")
    assert list(gone.index) == ["V-0009"]
    assert "validation role" in gone.loc["V-0009", "reason"]


def test_the_files_agree_with_each_other(finished):
    out = finished[0]
    found = json.loads((out / "crossval.json").read_text())["statistics"]
    folds = pd.read_csv(out / "folds.csv")
    scores = pd.read_csv(out / "scores.csv")
    pooled = concordance(
        scores["risk"], scores["months"], scores["event"] == 1, strata=scores["fold"]
    )
    assert found["concordance"]["estimate"] == pytest.approx(pooled.estimate)
    weighted = np.average(folds["concordance"], weights=folds["pairs"])
    assert pooled.estimate == pytest.approx(weighted)
    assert folds["n"].sum() == 8
    assert "within folds" in (out / "crossval.md").read_text()


def test_running_again_learns_nothing_anew(study, finished):
    out = finished[0]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.jecur")}
    first = (out / "scores.csv").read_bytes()
    arguments = ["crossval", str(study), "--out", str(out), "--folds", "2", "--site-preserving"]
    assert run([*arguments, "-j", "1"]) == SOME_FAILED
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jecur")} == before
    assert (out / "scores.csv").read_bytes() == first


def _changed(study, folder, change):
    shutil.copytree(study.parent, folder)
    table = pd.read_csv(folder / "clinical.csv", dtype=str)
    change(table, folder)
    table.to_csv(folder / "clinical.csv", index=False)
    return folder / "study.toml"


def _all_alike(table, folder):
    table["recurrence"] = ["1" if k % 2 else "0" for k in range(len(table))]
    table["months"] = "90"


def _one_slide_twice(table, folder):
    shutil.copy(folder / "slides" / "V-0001-1.tiff", folder / "slides" / "V-0002-2.tiff")


def _two_sites(table, folder):
    table["site"] = ["a", "b"] * 4 + ["a"]


@pytest.mark.parametrize(
    ("change", "command", "words"),
    [
        (_all_alike, ["crossval", "--folds", "2"], "labels-all-alike"),
        (_all_alike, ["train"], "labels-all-alike"),
        (_one_slide_twice, ["crossval", "--folds", "2"], "leak"),
        (_two_sites, ["crossval", "--folds", "3", "--site-preserving"], "too-few-sites"),
        (lambda *_: None, ["crossval", "--folds", "1"], "bad-settings"),
        (lambda *_: None, ["crossval", "--folds", "2", "--inner-folds", "1"], "bad-settings"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    study, finished, tmp_path, capsys, change, command, words
):
    path = _changed(study, tmp_path / "study", change)
    out = tmp_path / "out"
    assert run([command[0], str(path), "--out", str(out), "-j", "1", *command[1:]]) == USER_ERROR
    assert f"[{words}]" in capsys.readouterr().err.splitlines()[-1]
    assert not (out / "scores.csv").exists()


def test_a_slide_under_a_training_and_a_validation_patient_is_caught_before_training(
    study, tmp_path, capsys
):
    def leak(_table, folder):
        shutil.copy(folder / "slides" / "V-0001-1.tiff", folder / "slides" / "V-0009-1.tiff")

    path = _changed(study, tmp_path / "study", leak)
    assert run(["run", str(path), "--out", str(tmp_path / "out"), "-j", "1"]) == USER_ERROR
    said = capsys.readouterr().err
    assert "V-0001" in said
    assert "V-0009" in said
    assert not (tmp_path / "out" / "checkpoints").exists()


RESULTS = ("parts", "scores.csv", "report.html")


def _slides_of(finished, folder):
    """Copy that run's slides as if it had stopped there: preparing them again would show nothing new."""
    shutil.copytree(finished[0], folder, ignore=shutil.ignore_patterns(*RESULTS))
    manifest = json.loads((folder / "manifest.json").read_text())
    facts = {k: v for k, v in manifest.items() if k not in {"command", "study"}}
    (folder / "manifest.json").write_text(json.dumps(facts))
    return folder


def test_train_stops_at_the_model_and_score_takes_it(study, finished, tmp_path, capsys):
    out = _slides_of(finished, tmp_path / "run")
    assert run(["train", str(study), "--out", str(out), "-j", "1", "--json"]) == SOME_FAILED
    facts = json.loads(capsys.readouterr().out)
    assert Path(facts["model"]).is_file()
    assert not (out / "scores.csv").exists()
    assert not (out / "report.html").exists()
    slides = [str(study.parent / "slides" / f"V-0009-{k}.tiff") for k in (1, 2)]
    scored = ["score", *slides, "--model", facts["model"], "--out", str(tmp_path / "scored")]
    assert run([*scored, "--patient", "V-0009", "-j", "1"]) == OK
    table = pd.read_csv(tmp_path / "scored" / "scores.csv")
    assert table["n_slides"].tolist() == [2]
    assert not table["seen_in_training"].any()


def test_inner_folds_choose_the_epochs_without_the_outer_fold(study, finished, tmp_path):
    settings = read_study(study)
    training = settings.training.with_changes(epochs=2)
    longer = msgspec.structs.replace(settings, training=training)
    folder = tmp_path / "study"
    shutil.copytree(study.parent, folder)  # times of files are kept
    (folder / "study.toml").write_text(write_study(longer))
    out = _slides_of(finished, tmp_path / "cv")
    arguments = ["crossval", str(folder / "study.toml"), "--out", str(out), "--folds", "2"]
    assert run([*arguments, "--inner-folds", "2", "-j", "1"]) == SOME_FAILED
    folds = pd.read_csv(out / "folds.csv")
    assert set(folds["epochs"]) <= {1, 2}
    scores = pd.read_csv(out / "scores.csv")
    for fold, rows in scores.groupby("fold"):
        part = out / "parts" / f"repeat-1-fold-{fold}"
        inner = sorted((part / "parts").glob("inner-*/models/*.jecur"))
        assert len(inner) == 2
        for path in inner:
            memory = memory_beside(path)
            assert memory.patients
            assert not any(memory.saw(p) for p in rows["patient_id"])


def _rows(n_repeats, seed=3, n=60):
    """Risks that are perfect within each fold and shifted between folds."""
    rng = np.random.default_rng(seed)
    months, event = rng.exponential(30, n) + 1, rng.uniform(size=n) < 0.6
    fold = np.concatenate([rng.permutation(n) % 3 for _ in range(n_repeats)])
    months, event = np.tile(months, n_repeats), np.tile(event, n_repeats)
    risk = 0.5 - months / 1000 + 0.2 * (fold - 1)
    return {
        "risk": risk, "months": months, "event": event, "high_risk": risk > 0.5,
        "patient_ids": tuple(f"p{k}" for k in range(n)) * n_repeats,
        "repeat": np.repeat(np.arange(n_repeats), n), "fold": fold,
    }  # fmt: skip


def _held_out(rows):
    divided = {name: rows[name] for name in ("repeat", "fold")}
    data = EvaluationInput(
        **{k: v for k, v in rows.items() if k not in divided},
        endpoint_name="time to recurrence",
        endpoint_definition="",
    )
    return held_out_statistics(data, **divided, settings=StatisticsSettings())


def test_risks_of_different_models_are_compared_within_folds_only():
    found = _held_out(_rows(1))
    assert found.concordance.estimate == 1.0
    assert found.concordance_mean.estimate == 1.0
    assert found.concordance_across.estimate < 0.8


def test_repeats_add_no_patients_and_do_not_shrink_the_interval():
    rows = _rows(1)
    rows["risk"] = np.random.default_rng(0).uniform(size=60)
    twice = {
        name: np.tile(value, 4) if isinstance(value, np.ndarray) else value * 4
        for name, value in rows.items()
    } | {"repeat": np.repeat(np.arange(4), 60)}
    once, four = (_held_out(data).concordance for data in (rows, twice))
    assert (four.estimate, four.lower, four.upper) == pytest.approx(
        (once.estimate, once.lower, once.upper)
    )
    assert four.n == 60
    assert once.lower < 0.5 < once.upper


def test_folds_without_a_comparable_pair_are_not_estimable_and_say_why():
    rows = _rows(1) | {"event": np.zeros(60, dtype=bool)}
    found = _held_out(rows)
    assert found.concordance.estimate is None
    assert found.concordance.reason
    assert all("not estimable" in line for line in found.lines())


def test_ratio_and_test_are_stratified_by_fold_and_auc_is_that_of_each_fold():
    rows = _rows(1)
    rng = np.random.default_rng(5)
    rows["risk"] = rng.uniform(size=60) - rows["months"] / 100 + rows["fold"]
    rows["high_risk"] = rows["risk"] > np.median(rows["risk"])
    found = _held_out(rows)
    x, response = rows["high_risk"].astype(float)[:, None], (rows["months"], rows["event"])
    ratio = fit_cox(x, *response, names=("high",), strata=rows["fold"]).hazard_ratios()[0]
    assert found.hazard_ratio.estimate == pytest.approx(ratio.estimate)
    test = logrank(*response, rows["high_risk"], strata=rows["fold"])
    assert found.logrank.p == pytest.approx(test.p)
    horizon = found.auc.landmark.months
    parts = [
        time_dependent_auc(
            rows["risk"][inside], rows["months"][inside], rows["event"][inside], [horizon]
        )
        for inside in (rows["fold"] == f for f in range(3))
    ]
    weights = [p.n_cases[0] * p.n_controls[0] for p in parts]
    expected = np.average([p.estimate[0] for p in parts], weights=weights)
    assert found.auc.landmark.estimate == pytest.approx(expected)
    assert found.auc.landmark.n_cases == sum(p.n_cases[0] for p in parts)
    # A scale of its own for each fold changes nothing.
    shifted = _held_out(rows | {"risk": rows["risk"] * (1 + rows["fold"]) - 7.0 * rows["fold"]})
    assert shifted.auc == found.auc
    assert shifted.concordance == found.concordance


def test_one_fold_says_what_a_single_model_says():
    rows = _rows(1) | {"fold": np.zeros(60, dtype=np.int64)}
    rows["risk"] = np.random.default_rng(6).uniform(0.1, 0.9, size=60)
    rows["high_risk"] = rows["risk"] > 0.5
    found = _held_out(rows)
    data = {k: v for k, v in rows.items() if k not in {"repeat", "fold"}}
    single = evaluate(
        EvaluationInput(**data, endpoint_name="time to recurrence", endpoint_definition=""),
        settings=StatisticsSettings(),
    )
    assert found.hazard_ratio.estimate == pytest.approx(single.hazard_ratio.estimate)
    assert found.logrank.p == pytest.approx(single.logrank.p)
    assert found.auc.points == single.auc[0].points
    for ours, theirs in zip(found.groups, single.groups, strict=True):
        assert ours.median == theirs.median
        assert np.array_equal(ours.curve.survival, theirs.curve.survival)


def test_the_report_has_pairs_within_folds_as_its_headline_and_pools_no_scale(finished):
    out = finished[0]
    page = (out / "report.html").read_text()
    assert "stratified by fold" in page
    assert "pairs within folds" in page
    assert 'id="heatmaps"' in page
    assert 'id="tiles"' in page
    assert "Calibration" not in page
    assert "Brier" not in page.replace("Brier score", "", 0).split('id="methods"')[0]
    assert (out / "review" / "review.csv").is_file()
    flow = json.loads((out / "crossval.json").read_text())
    assert flow["excluded"]
    assert {p.name for p in (out / "tables").glob("*.csv")} >= {"folds.csv", "discrimination.csv"}


def test_evaluating_its_scores_says_what_the_cross_validation_says(study, finished, tmp_path):
    out = finished[0]
    scores = ["evaluate", "--scores", str(out / "scores.csv"), "--study", str(study)]
    assert run([*scores, "--out", str(tmp_path / "again")]) == OK
    ours, theirs = (
        json.loads((folder / "crossval.json").read_text())["statistics"]
        for folder in (out, tmp_path / "again")
    )
    assert ours == theirs
