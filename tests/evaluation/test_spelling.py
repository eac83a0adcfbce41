"""A patient who is spelled otherwise in a second table is not left out of both without a word."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jecur.cohort.cohort import SlideEntry
from jecur.errors import TableError
from jecur.evaluation.given import ScoreFiles, evaluate_scores
from jecur.evaluation.score_table import refuse_other_spelling
from jecur.runs.folder import RunFolder
from jecur.scored.add import _same_slides
from jecur.scored.earlier import Earlier, settle
from jecur.scored.given import Given, GivenSlide
from jecur.scored.merge import Merged
from jecur.scored.slide_table import read_slide_table
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


@pytest.mark.parametrize("suffix", ["", ".tiff"])
def test_a_table_of_slides_finds_names_in_either_form_of_their_accents(tmp_path, suffix):
    stored = unicodedata.normalize("NFD", "Bärén")
    (tmp_path / f"{stored}.tiff").write_bytes(b"a slide")
    (tmp_path / "other.tiff").write_bytes(b"a slide")
    named = unicodedata.normalize("NFC", stored) + suffix
    (tmp_path / "t.csv").write_text(f"slide,patient\n{named},P1\nother,P2\n")
    found = read_slide_table(tmp_path / "t.csv", tmp_path)
    assert [entry.path.is_file() for entry, _ in found.slides] == [True, True]


def test_score_tells_of_one_file_under_two_patients():
    slides = {
        name: {"slide": name, "patient_id": patient, "content": content, "core": ""}
        for name, patient, content in (
            ("a", "P1", "x"), ("b", "P1", "x"), ("c", "P2", "y"), ("d", "P3", "y"), ("e", "P4", ""),
            ("f", "P5", ""),
        )
    }  # fmt: skip
    said = [
        list(_same_slides(Merged(slides, {}, pd.DataFrame(), t, ()))) for t in (("P1",), ("P3",))
    ]
    assert said[0] == []
    assert len(said[1]) == 1
    assert "c of P2, d of P3" in said[1][0]
