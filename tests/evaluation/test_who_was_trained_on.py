"""Patients that a model was trained on, and several models, are told whatever their columns are called."""

import numpy as np
import pandas as pd
import pytest

from jecur.cohort.roles import roles_told
from jecur.cohort.table import read_table
from jecur.errors import TableError
from jecur.evaluation.given import ScoreFiles, evaluate_scores
from jecur.intake.columns import columns_of
from jecur.intake.interview import Interview
from jecur.intake.roles import ask_roles
from jecur.runs.folder import RunFolder
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    EndpointSettings,
    RoleValues,
    ScoreSettings,
    StudySettings,
)

N = 24
ENDPOINT = EndpointSettings(
    kind="time to recurrence", unit="months", event_values=("1",), censored_values=("0",)
)
IDS = [f"A{k}" for k in range(N)]
ROLES = {  # texts of training, of unseen patients, and others that may stand among them
    "as declared": (["training"], ["validation"], []),
    "of machine learning": (["Train"], ["Test", "Val"], ["NA"]),
    "development": (["Development set"], ["external validation"], []),
    "discovery": (["Discovery cohort"], ["Validation cohort"], ["", "unknown"]),
    "derivation": (["derivation"], ["Hold-out"], []),
    "numbered": (["train"], ["Validation 1", "Validation 2"], []),
    "in German": (["Trainingskohorte"], ["Validierungskohorte"], ["k. A."]),
    "with a tuning set": (["train"], ["test"], ["tuning"]),
}


def _evaluate(folder, clinical, scores, **score):
    clinical.to_csv(folder / "clinical.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    study = StudySettings(
        name="x", cohort=CohortSettings(endpoint=ENDPOINT, columns=ColumnSettings())
    )
    run = RunFolder.open(folder / "out")
    files = ScoreFiles(folder / "scores.csv", folder / "clinical.csv")
    return evaluate_scores(files, study, folder, ScoreSettings(**score), run)


def _clinical(**more):
    months = np.arange(N) + 1.0
    return pd.DataFrame({"patient_id": IDS, "time": months, "event": np.arange(N) % 2, **more})


def _scores(**more):
    return pd.DataFrame({"patient_id": IDS, "risk": np.linspace(0.1, 0.9, N), **more})


@pytest.mark.parametrize("heading", ["Set", "Cohort", "x"])
@pytest.mark.parametrize("words", ROLES)
def test_init_and_evaluate_know_a_column_of_roles_by_one_rule(tmp_path, words, heading):
    training, unseen, others = ROLES[words]
    cells = np.resize([*training, *unseen, *others], N)
    clinical = _clinical(**{heading: cells})
    with pytest.raises(TableError, match=f"found none there and .* in column '{heading}'"):
        _evaluate(tmp_path, clinical, _scores(), cutoff=0.5)
    columns = columns_of(read_table(tmp_path / "clinical.csv"))
    names, interview = {"role": "", "site": ""}, Interview({})
    said = ask_roles(columns, names, {}, ["patient_id", "time", "event"], interview)["roles"]
    assert names["role"] == heading
    assert said["training"] == training
    assert set(said["validation"]) | set(said["tuning"]) == {*unseen, *others} - {
        "",
        "NA",
        "unknown",
        "k. A.",
    }
    between = "Val" in unseen
    assert [q.key for q in interview.open] == (["tuning_values"] if between else [])


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("TRUE", "FALSE"), ("yes", "no")])
@pytest.mark.parametrize("heading", ["training", "is_train", "Train set", "in training"])
def test_yes_and_no_below_training_tell_roles(tmp_path, heading, yes, no):
    with pytest.raises(TableError, match=f"in column '{heading}'"):
        _evaluate(tmp_path, _clinical(**{heading: np.resize([yes, no], N)}), _scores(), cutoff=0.5)


@pytest.mark.parametrize(
    ("heading", "cells"),
    [
        ("HBV test", ["positive", "negative"]), ("group", ["A", "B"]), ("Test", ["yes", "no"]),
        ("center", ["Development hospital", "Ulm"]), ("set", ["training"]), ("set", ["test", "validation"]),
        ("value", ["val", "leu"]), ("trained nurse", ["yes", "no"]), ("set", ["train", "bus", "test"]),
    ],
)  # fmt: skip
def test_other_columns_tell_no_roles(heading, cells):
    assert roles_told(heading, cells, RoleValues()) == {}


def test_a_patient_seen_in_training_is_left_out_whatever_the_column_of_the_score_is_called(
    tmp_path,
):
    seen = np.resize([True, False, False], N)
    scores = _scores(seen_in_training=seen)
    for name in ("risk", "score"):
        found = _evaluate(
            tmp_path, _clinical(), scores.rename(columns={"risk": name}), column=name, cutoff=0.5,
            higher="worse",
        )  # fmt: skip
        assert found.statistics.n == N - seen.sum()
        assert {e.reason for e in found.excluded} == {"the model was trained on this patient"}


@pytest.mark.parametrize(
    ("heading", "meant"),
    [
        ("Fold", "fold"), ("FOLD", "fold"), ("cv_fold", "fold"), ("fold id", "fold"), ("k-fold", "fold"),
        ("Repeat", "repeat"), ("Seen in training", "seen_in_training"),
        ("Seen_In_Training", "seen_in_training"),
    ],
)  # fmt: skip
def test_a_heading_that_means_one_of_our_columns_is_not_passed_over(tmp_path, heading, meant):
    more = {heading: np.arange(N) % 2}
    with pytest.raises(TableError, match=f"in column '{meant}', found column '{heading}'"):
        _evaluate(tmp_path, _clinical(), _scores(**more), cutoff=0.5)
    if meant != "seen_in_training":
        same = _scores(**{heading: 1})
        assert _evaluate(tmp_path, _clinical(), same, cutoff=0.5).statistics.n == N
