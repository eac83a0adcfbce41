"""A first hour: messy slides and an Excel sheet; init, doctor, run, crossval, score at the first try."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from tests.virtual.tiny_study import made_once

from jecur.cli import OK, run
from jecur.model.file import read_bundle

pytest.importorskip("torch", reason="needs the extra: train")

ROOT = Path(__file__).resolve().parents[1]
_SPEC = importlib.util.spec_from_file_location(
    "walk_through", ROOT / "benchmarks" / "walk_through.py"
)
walk_through = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(walk_through)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Path:
    """Folder of the clinic after the walk, with the exit code of every command."""

    def walk(folder: Path) -> None:
        walk_through.make_clinic(folder, size_px=640)
        codes = []
        for command in walk_through.COMMANDS:
            arguments = [walk_through.in_folder(word, folder) for word in command]
            codes.append(int(run([*arguments, "-j", "1"] if command[0] in _WORKING else arguments)))
        (folder / "codes").write_text(" ".join(map(str, codes)))

    return made_once(tmp_path_factory, "clinic", walk)


_WORKING = {"run", "crossval", "score"}


def test_every_command_works_at_the_first_try(clinic):
    assert set((clinic / "codes").read_text().split()) == {str(OK)}


def test_nobody_is_lost_between_the_sheet_and_the_report(clinic):
    out = clinic / "study" / "run"
    roles = pd.read_csv(out / "roles.csv", keep_default_na=False).set_index("patient_id")
    assert len(roles) == walk_through.N_PATIENTS
    gone = roles[roles["role"] == ""]
    assert gone["why"].to_dict() == {"HCC-035": "no slide named"}
    scores = pd.read_csv(out / "scores.csv")
    assert set(scores["patient_id"]) == set(roles.index[roles["role"] == "validation"])
    slides = pd.read_csv(out / "slides.csv")
    assert len(slides) == walk_through.N_PATIENTS - 1 + walk_through.N_SECOND
    assert slides.groupby("patient_id").size().value_counts().to_dict() == {1: 31, 2: 3}
    assert not any("IHC" in name for name in slides["slide"])


def test_the_model_is_of_the_recipe_that_evidence_supports(clinic):
    card = read_bundle(clinic / "study" / "run" / "models" / "clinic.jecur").card
    assert card.training.preset == "jecur"
    assert card.endpoint.kind == "recurrence-free survival"


def test_the_cross_validation_left_the_validation_patients_alone(clinic):
    held_out = pd.read_csv(clinic / "study" / "cv" / "scores.csv")
    scores = pd.read_csv(clinic / "study" / "run" / "scores.csv")
    assert not set(held_out["patient_id"]) & set(scores["patient_id"])
    assert (clinic / "study" / "cv" / "report.html").is_file()


def test_the_second_score_adds_the_validation_patients_with_the_risks_of_the_run(clinic):
    text = {"keep_default_na": False, "dtype": str}
    scored = pd.read_csv(clinic / "study" / "scored" / "scores.csv", **text)
    ran = pd.read_csv(clinic / "study" / "run" / "scores.csv", **text)
    assert set(scored["patient_id"]) == {"HCC-005", *ran["patient_id"]}
    assert set(scored["status"]) == {"scored"}
    risks = scored.set_index("patient_id")["risk"]
    assert risks[ran["patient_id"]].tolist() == ran["risk"].tolist()
    pages = clinic / "study" / "scored" / "patients"
    assert {page.parent.name for page in pages.glob("*/report.html")} == set(ran["patient_id"])
