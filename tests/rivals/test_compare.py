"""Models side by side: the same unseen patients for all; what is planted is found by who can see it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tests.rivals.feature_study import write_feature_study

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.errors import NotEstimableError
from jecur.rivals.clinical import Clinical
from jecur.rivals.networks import Network
from jecur.statistics.compared import concordance_of_draws
from jecur.survival.concordance_index import concordance


def _command(study, out, models="clinical,chowder", *more):
    return ["compare", str(study), "--models", models, "--out", str(out), "--draws", "200", *more]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_feature_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def compared(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "compared"
    assert run(_command(study, out, "clinical,jecur,chowder")) == OK
    return out


def _found(out):
    return json.loads((out / "compare.json").read_text())["comparison"]


def _concordances(out):
    return {m["name"]: m["statistics"]["concordance"]["estimate"] for m in _found(out)["models"]}


def test_who_can_see_the_tissue_finds_what_is_planted_there(compared):
    found = _concordances(compared)
    assert found["jecur"] > 0.62
    assert found["chowder"] > 0.62
    assert found["clinical"] < 0.6
    differences = [d for d in _found(compared)["differences"] if d["measure"] == "Concordance"]
    assert {(d["model"], d["reference"]) for d in differences} == {
        ("jecur", "clinical"),
        ("chowder", "clinical"),
    }
    assert all(d["difference"]["lower"] > 0 for d in differences)


def test_every_model_is_measured_on_the_same_unseen_patients(compared, study):
    scores = pd.read_csv(compared / "scores.csv")
    table = pd.read_csv(study.parent / "clinical.csv")
    unseen = set(table.loc[table["role"] == "validation", "patient_id"])
    assert all(set(rows["patient_id"]) == unseen for _, rows in scores.groupby("model"))
    page = (compared / "report.html").read_text()
    assert "No patient was left out." in page
    assert "<dt>Definition</dt>" in page
    assert "&lt; 0.01</td>" in page  # minutes of the covariates alone
    assert "<svg" in (compared / "figures" / "comparison.svg").read_text()
    text = (compared / "compare.md").read_text()
    assert "CHOWDER" in text
    assert "Minutes" in text
    csv = pd.read_csv(compared / "tables" / "models.csv")
    assert "minutes" not in csv  # what no two runs share stands apart
    assert (pd.read_csv(compared / "tables" / "cost.csv")["mib"] > 10).all()


def test_the_row_of_a_model_is_what_evaluate_says_of_its_scores(compared, study, tmp_path):
    scores = pd.read_csv(compared / "scores.csv")
    one = scores[scores["model"] == "jecur"]
    one.to_csv(tmp_path / "one.csv", index=False)
    cutoff = str(one["cutoff"].iloc[0])
    command = ["evaluate", "--scores", str(tmp_path / "one.csv"), "--study", str(study), "--out"]
    more = ["--column", "score", "--higher", "worse", "--cutoff", cutoff]
    assert run([*command, str(tmp_path / "out"), *more]) == OK
    said = json.loads((tmp_path / "out" / "statistics.json").read_text())["validation"]
    row = next(m for m in _found(compared)["models"] if m["name"] == "jecur")["statistics"]
    for name in ("concordance", "hazard_ratio"):
        assert row[name]["estimate"] == pytest.approx(said[name]["estimate"], rel=1e-9)
        assert row[name]["lower"] == pytest.approx(said[name]["lower"], rel=1e-9)


def test_outcomes_of_those_held_out_move_no_score(compared, study, tmp_path):
    shutil.copytree(study.parent, tmp_path / "study")
    table = pd.read_csv(tmp_path / "study" / "clinical.csv")
    unseen = table["role"] == "validation"
    columns = ["months", "recurrence"]
    table.loc[unseen, columns] = table.loc[unseen, columns].to_numpy()[::-1]
    table.to_csv(tmp_path / "study" / "clinical.csv", index=False)
    assert run(_command(tmp_path / "study" / "study.toml", tmp_path / "out")) == OK
    before, after = (pd.read_csv(out / "scores.csv") for out in (compared, tmp_path / "out"))
    same = before[before["model"] != "jecur"].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, same, check_exact=True)


def test_folds_hold_everybody_out_once_and_sites_together(study, tmp_path):
    command = _command(study, tmp_path / "out", "clinical,chowder", "--folds", "5")
    assert run([*command, "--site-preserving"]) == OK
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    table = pd.read_csv(study.parent / "clinical.csv").set_index("patient_id")
    for _, rows in scores.groupby("model"):
        assert sorted(rows["patient_id"]) == sorted(table.index[table["role"] == "training"])
        assert (
            rows.groupby(table.loc[rows["patient_id"], "site"].to_numpy())["fold"].nunique().max()
            == 1
        )
    assert _concordances(tmp_path / "out")["chowder"] > 0.6


def test_a_comparison_that_was_stopped_goes_on_where_it_was(study, compared, tmp_path, monkeypatch):
    trained = []
    whole = Network.train

    def stops_at_chowder(self, bench, division, part):
        trained.append(self.name)
        if self.name == "chowder" and trained.count("chowder") == 1:
            raise KeyboardInterrupt
        return whole(self, bench, division, part)

    monkeypatch.setattr(Network, "train", stops_at_chowder)
    command = _command(study, tmp_path / "out", "clinical,jecur,chowder")
    assert run(command) == 130
    assert run(command) == OK
    assert trained == ["jecur", "chowder", "chowder"]
    for name in ("scores.csv", "compare.json", "tables/models.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (compared / name).read_bytes(), name


def test_one_model_that_cannot_be_trained_does_not_stop_the_others(
    study, tmp_path, monkeypatch, capsys
):
    def refuses(self, bench, division, part):
        raise NotEstimableError("expected something, found nothing")

    monkeypatch.setattr(Clinical, "train", refuses)
    assert run(_command(study, tmp_path / "out")) == SOME_FAILED
    assert "clinical: no scores" in capsys.readouterr().out
    assert list(_concordances(tmp_path / "out")) == ["chowder"]


@pytest.mark.parametrize(
    ("models", "more", "code"),
    [
        ("clinical,network", [], "unknown-model"),
        ("clinical,clinical", [], "unknown-model"),
        ("clinical", ["--folds", "1"], "bad-settings"),
        ("clinical", ["--site-preserving"], "bad-settings"),
        ("clinical", ["--folds", "40"], "too-few-patients"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    models, more, code, study, tmp_path, capsys
):
    assert run(_command(study, tmp_path / "out", models, *more)) == USER_ERROR
    assert f"[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "out" / "slides").exists()


def test_everything_that_is_lacking_is_told_at_once(study, tmp_path, capsys):
    shutil.copytree(study.parent, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "slides")
    (tmp_path / "file").write_text("x")
    assert run(_command(tmp_path / "study" / "study.toml", tmp_path / "file" / "out")) == USER_ERROR
    said = capsys.readouterr().err
    assert "[missing-folder]" in said
    assert "[no-permission]" in said


def test_another_commands_results_are_not_written_over(study, tmp_path, capsys):
    assert run(["train", str(study), "--out", str(tmp_path / "run"), "-j", "1"]) == OK
    assert run(_command(study, tmp_path / "run")) == USER_ERROR
    assert "[other-recipe]" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_counts_as_if_its_patients_were_there_so_often(seed):
    rng = np.random.default_rng(seed)
    n = 40
    months, event = rng.integers(1, 20, n).astype(float), rng.random(n) < 0.6
    risk, division = rng.integers(0, 9, n).astype(float), rng.integers(1, 4, n)
    times = rng.multinomial(n, np.full(n, 1 / n), 3).T.astype(float)
    found = concordance_of_draws(risk, months, event, division, times)
    for column, value in zip(times.T, found, strict=True):
        rows = np.repeat(np.arange(n), column.astype(int))
        whole = concordance(risk[rows], months[rows], event[rows], strata=division[rows])
        assert value == pytest.approx(whole.estimate, abs=1e-12)


def test_slides_that_change_hands_change_the_scores_of_a_folder_used_before(tmp_path):
    study = write_feature_study(tmp_path / "study", n_training=16, n_unseen=8)
    assert run(_command(study, tmp_path / "used", "chowder")) == OK
    before = (tmp_path / "used" / "scores.csv").read_text()
    table = study.parent / "clinical.csv"
    rows = pd.read_csv(table)
    rows.loc[[16, 17], "slide"] = rows.loc[[17, 16], "slide"].to_numpy()
    rows.to_csv(table, index=False)
    for out in ("used", "fresh"):
        assert run(_command(study, tmp_path / out, "chowder")) == OK
    now = (tmp_path / "used" / "scores.csv").read_text()
    assert now == (tmp_path / "fresh" / "scores.csv").read_text() != before
