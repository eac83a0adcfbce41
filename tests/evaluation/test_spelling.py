"""A patient who is spelled otherwise in a second table is not left out of both without a word."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jecur.cohort.cohort import SlideEntry
from jecur.errors import TableError
from jecur.evaluation.given import ScoreFiles, evaluate_scores
from jecur.evaluation.score_table import refuse_other_spelling
from jecur.runs.folder import RunFolder
from jecur.scored.earlier import Earlier, settle
from jecur.scored.given import Given, GivenSlide
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    EndpointSettings,
    ScoreSettings,
    StudySettings,
)

ENDPOINT = EndpointSettings(
    kind="time to recurrence", unit="months", event_values=("1",), censored_values=("0",)
)
COLUMNS = ColumnSettings(patient="patient_id", time="months", event="status", role="")


@pytest.mark.parametrize(
    ("scored", "known"), [("p2", "P2"), ("2", "002"), ("2.0", "2"), ("P 2", "P-2")]
)
@pytest.mark.parametrize("folds", [False, True])
def test_half_a_table_in_another_spelling_is_refused(tmp_path, scored, known, folds):
    n = 8
    status = [k % 2 for k in range(n)]
    ids = [known if k == 2 else f"A{k}" for k in range(n)]
    clinical = pd.DataFrame({"patient_id": ids, "months": np.arange(n) + 1.0, "status": status})
    clinical.to_csv(tmp_path / "clinical.csv", index=False)
    ids[2] = scored
    scores = pd.DataFrame({"patient_id": ids, "risk": np.linspace(0.1, 0.9, n)})
    scores = scores.assign(fold=1) if folds else scores
    scores.to_csv(tmp_path / "scores.csv", index=False)
    study = StudySettings(name="x", cohort=CohortSettings(endpoint=ENDPOINT, columns=COLUMNS))
    run = RunFolder.open(tmp_path / "out")
    files = ScoreFiles(tmp_path / "scores.csv", tmp_path / "clinical.csv")
    with pytest.raises(TableError) as said:
        evaluate_scores(files, study, tmp_path, ScoreSettings(cutoff=0.5), run)
    assert said.value.code == "no-match"
    assert f"'{scored}' for '{known}'" in said.value.message


def test_a_patient_of_nearly_that_name_who_has_a_score_is_another():
    refuse_other_spelling(["P1", "p1"], ["P1", "P2"], ["P2"], "scores.csv")


def test_score_tells_of_a_patient_who_is_there_in_another_spelling():
    earlier = Earlier(patients={"P1": {"patient_id": "P1"}, "P2": {"patient_id": "P2"}})
    for patient, told in (("p1", 1), ("P1", 0), ("P3", 0), ("", 0)):
        slide = GivenSlide(SlideEntry("p2", Path("/s/p2.tiff"), None), patient)
        assert len(settle(Given((slide,), Path("/s")), earlier)[1]) == told
