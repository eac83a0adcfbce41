"""Scores of several models: compared within folds, never on one scale; what is missing is named."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from jecur.cli import OK, USER_ERROR, run
from jecur.survival import concordance, fit_cox

N = 80
STUDY = """
name = "Folds"

[cohort]
table = "clinical.csv"

[cohort.columns]
patient = "patient_id"
time = "months"
event = "recurrence"

[cohort.endpoint]
kind = "recurrence-free survival"
unit = "months"
event_values = ["1"]
censored_values = ["0"]
definition = "surgery to recurrence or death"
"""


def _tables(folder):
    rng = np.random.default_rng(11)
    score = rng.normal(size=N)
    months = np.ceil(rng.exponential(30 * np.exp(-0.8 * score)) + 1)
    clinical = pd.DataFrame(
        {
            "patient_id": [f"P{k:02d}" for k in range(N)],
            "role": ["training"] * 70 + ["validation"] * 10,
            "months": months,
            "recurrence": (rng.uniform(size=N) < 0.7).astype(int),
        }
    )
    fold = rng.permutation(N) % 4 + 1
    scores = pd.DataFrame(
        {"patient_id": clinical["patient_id"], "fold": fold, "theirs": 3.0 * score + 20.0 * fold}
    )
    (folder / "study.toml").write_text(STUDY)
    clinical.to_csv(folder / "clinical.csv", index=False)
    return folder, clinical, scores


@pytest.fixture
def tables(tmp_path):
    return _tables(tmp_path)


@pytest.fixture(scope="module")
def by_rows(tmp_path_factory):
    """Evaluated with a cut-off in each row: the table, and what was said."""
    folder, _, scores = _tables(tmp_path_factory.mktemp("by-rows"))
    rows = scores.assign(cutoff=20.0 * scores["fold"])
    assert _evaluate(folder, rows) == OK
    return rows, _said(folder)


def _evaluate(folder, scores, *options):
    scores.to_csv(folder / "scores.csv", index=False)
    named = ["--scores", str(folder / "scores.csv"), "--study", str(folder / "study.toml")]
    column = ["--column", "theirs", "--higher", "worse"]
    return run(["evaluate", *named, *column, "--out", str(folder / "out"), *options])


def _said(folder):
    return json.loads((folder / "out" / "crossval.json").read_text())


@pytest.mark.slow
def test_scales_of_their_own_change_nothing_and_all_patients_are_compared_within_folds(tables):
    folder, clinical, scores = tables
    assert _evaluate(folder, scores) == OK
    found = _said(folder)["statistics"]
    response = clinical["months"], clinical["recurrence"] == 1
    expected = concordance(scores["theirs"], *response, strata=scores["fold"])
    assert found["n"] == N
    assert found["concordance"]["estimate"] == pytest.approx(expected.estimate)
    high = scores["theirs"] > scores.groupby("fold")["theirs"].transform("median")
    x = high.to_numpy(float)[:, None]
    ratio = fit_cox(x, *response, names=("high",), strata=scores["fold"]).hazard_ratios()[0]
    assert found["hazard_ratio"]["estimate"] == pytest.approx(ratio.estimate)
    page = (folder / "out" / "report.html").read_text()
    assert "median of each fold" in page
    assert "Column &#39;fold&#39; names the model" in page


@pytest.mark.slow
def test_cut_offs_of_the_rows_and_a_declared_one_make_the_groups(tables, by_rows):
    folder, _, scores = tables
    rows, said = by_rows
    assert "column 'cutoff'" in said["score"]["rule"]
    high = rows["theirs"] > rows["cutoff"]
    assert said["statistics"]["groups"][0]["n"] == high.sum()
    assert _evaluate(folder, scores, "--cutoff", "50") == OK
    assert _said(folder)["statistics"]["groups"][0]["n"] == (scores["theirs"] > 50).sum()


@pytest.mark.slow
@pytest.mark.parametrize("n_empty", [1, N // 2, N - 1])
def test_a_score_without_its_cut_off_is_refused_and_not_cut_at_a_median(tables, n_empty, capsys):
    folder, _, scores = tables
    rows = scores.assign(cutoff=(20.0 * scores["fold"]).mask(scores.index >= N - n_empty))
    assert _evaluate(folder, rows) == USER_ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert "expected a cut-off beside every score in column 'cutoff'" in said
    assert f"row{'s' if n_empty > 1 else ''} {N - n_empty + 2}" in said


def test_a_cut_off_may_lack_where_the_score_does(tables):
    folder, _, scores = tables
    rows = scores.assign(cutoff=20.0 * scores["fold"]).astype({"theirs": object, "cutoff": object})
    rows.loc[5, ["theirs", "cutoff"]] = ""
    assert _evaluate(folder, rows) == OK
    assert "column 'cutoff'" in _said(folder)["score"]["rule"]


def test_probabilities_are_not_declared_in_vain(tables, capsys):
    folder, _, scores = tables
    assert _evaluate(folder, scores, "--probability") == USER_ERROR
    assert "leave out --probability" in " ".join(capsys.readouterr().err.split())


def test_the_other_direction_gives_the_same(tables, by_rows):
    folder, _, scores = tables
    turned = scores.assign(theirs=-scores["theirs"], cutoff=-20.0 * scores["fold"])
    turned.to_csv(folder / "scores.csv", index=False)
    named = ["--scores", str(folder / "scores.csv"), "--study", str(folder / "study.toml")]
    column = ["--column", "theirs", "--higher", "better", "--out", str(folder / "out")]
    assert run(["evaluate", *named, *column]) == OK
    assert _said(folder)["statistics"] == by_rows[1]["statistics"]


def test_in_is_analyzed_plus_excluded(tables):
    folder, _, scores = tables
    some = scores.iloc[5:].copy()
    some.loc[some.index[0], "theirs"] = np.nan
    other = pd.DataFrame({"patient_id": ["nobody"], "fold": [1], "theirs": [1.0]})
    assert _evaluate(folder, pd.concat([some, other])) == OK
    gone = pd.read_csv(folder / "out" / "exclusions.csv")
    assert _said(folder)["statistics"]["n"] == N - 6
    assert (gone["reason"] == "no score").sum() == 5
    assert (gone["reason"] == "score missing").sum() == 1
    assert gone.set_index("patient_id").loc["nobody", "reason"] == "not in the clinical table"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), "one score a patient and repeat.*'P00' in rows 2, 82"),
        (lambda t: pd.concat([t.assign(repeat=1), t.iloc[3:].assign(repeat=2)]), "each of 2 repeats"),
        (lambda t: t.assign(fold=t["fold"] + 0.5), "whole numbers in column 'fold'"),
        (lambda t: t.assign(patient_id="x" + t["patient_id"]), "held-out scores of patients"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tables, change, words, capsys):
    folder, _, scores = tables
    assert _evaluate(folder, change(scores)) == USER_ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(words, said), said


@pytest.mark.parametrize("column", ["model", "cutoff"])
def test_risks_of_several_models_are_not_pooled_where_no_column_names_folds(tables, column, capsys):
    folder, _, scores = tables
    of_model = {"model": "m" + scores["fold"].astype(str), "cutoff": scores["fold"] / 10}[column]
    given = scores.assign(risk=0.5, **{column: of_model}).drop(columns="fold")
    given.to_csv(folder / "given.csv", index=False)
    named = ["--scores", str(folder / "given.csv"), "--study", str(folder / "study.toml")]
    assert run(["evaluate", *named, "--out", str(folder / "out")]) == USER_ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert f"found 4 in column '{column}'" in said
    assert "[several-models]" in said


@pytest.mark.slow
def test_repeats_are_averaged_and_one_fold_alone_is_one_model(tables):
    folder, _, scores = tables
    rng = np.random.default_rng(3)
    again = scores.assign(fold=rng.permutation(N) % 4 + 1)
    both = pd.concat([scores.assign(repeat=1), again.assign(repeat=2)])
    assert _evaluate(folder, both) == OK
    assert _said(folder)["statistics"]["n_repeats"] == 2
    assert _evaluate(folder, scores.assign(fold=1)) == OK
    single = json.loads((folder / "out" / "statistics.json").read_text())
    assert (
        single["validation"]["n"] == 10
    )  # of one model: patients of the training role are left out
