"""Patients are known again inside their study, and a model alone says nothing of them."""

import hashlib
import json
import shutil

import pytest
from tests.model_files import write_toy

from jecur.errors import RunFolderError
from jecur.model.file import read_bundle
from jecur.runs.folder import RunFolder
from jecur.study import memory
from jecur.study.memory import FOLDER, memory_beside, remember_patients
from jecur.study.training_card import was_trained_on

PRICE = {"n": 2**14, "r": 8, "p": 1}
"""16 MiB for every guess."""
TRAINED_ON = [f"V-{k:04d}" for k in range(5)]
SECRET, PATIENTS = "secret.key", "trained_on-toy.json"


@pytest.fixture(autouse=True)
def at_its_price(monkeypatch):
    """Other files hash names for next to nothing."""
    monkeypatch.setitem(memory._COST, "n", PRICE["n"])


@pytest.fixture
def study(tmp_path):
    run = RunFolder(tmp_path / "run")
    model = write_toy(run.root / "models" / "toy.jecur")
    remember_patients(TRAINED_ON, model, run)
    return run, model


def test_inside_the_study_training_patients_are_known_and_no_others(study):
    known = memory_beside(study[1])
    assert all(known.saw(patient) for patient in TRAINED_ON)
    assert not any(known.saw(patient) for patient in ("V-0005", "V-000", "", "v-0001"))


def test_a_model_alone_knows_tiles_and_no_patient(study, tmp_path):
    alone = shutil.copy(study[1], tmp_path / "alone.jecur")
    assert not memory_beside(alone).patients
    bundle = read_bundle(alone)
    assert not any(was_trained_on(bundle, patient=patient) for patient in TRAINED_ON)
    assert was_trained_on(bundle, bag_sha256="ab" * 32)
    assert not was_trained_on(bundle, bag_sha256="cd" * 32)


def test_nobody_else_can_read_the_secret_and_no_manifest_has_it(study):
    run, _ = study
    for name in (SECRET, PATIENTS):
        assert (run.root / FOLDER / name).stat().st_mode & 0o777 == 0o600
    assert (run.root / FOLDER).stat().st_mode & 0o777 == 0o700
    run.write_manifest({})
    assert FOLDER not in (run.root / "manifest.json").read_text()


def test_guessing_every_name_fails_without_the_secret(study):
    """The attack that once found all 83 patients of a model: hash every possible identifier."""
    run, model = study
    stored = json.loads((run.root / FOLDER / PATIENTS).read_text())
    salts = [stored["model_sha256"], "", read_bundle(model).sha256]
    guesses = {
        hashlib.sha256(f"{salt}{between}V-{k:04d}".encode()).hexdigest()[:32]
        for salt in salts
        for between in (":", "")
        for k in range(10_000)
    }
    assert not guesses & set(stored["patients"])
    key = run.root / FOLDER / SECRET
    key.write_text("00" * 32)
    assert not any(memory_beside(model).saw(patient) for patient in TRAINED_ON)


def test_a_guess_has_its_price_even_with_the_secret(study):
    run, _ = study
    secret = bytes.fromhex((run.root / FOLDER / SECRET).read_text())
    hashed = {hashlib.scrypt(p.encode(), salt=secret, dklen=16, **PRICE).hex() for p in TRAINED_ON}
    assert hashed == set(json.loads((run.root / FOLDER / PATIENTS).read_text())["patients"])


def test_two_studies_of_the_same_patients_share_no_hash(study, tmp_path):
    other = RunFolder(tmp_path / "other")
    model = write_toy(other.root / "models" / "toy.jecur")
    remember_patients(TRAINED_ON, model, other)
    both = [
        set(json.loads((run.root / FOLDER / PATIENTS).read_text())["patients"])
        for run in (study[0], other)
    ]
    assert all(len(hashes) == len(TRAINED_ON) for hashes in both)
    assert not both[0] & both[1]


def test_the_parts_of_a_run_share_its_secret(study):
    run, _ = study
    part = run.part("repeat-1-fold-1").part("inner-1")
    model = write_toy(part.root / "models" / "toy.jecur")
    remember_patients(TRAINED_ON[:2], model, part)
    assert not (part.root / FOLDER / SECRET).exists()
    known = memory_beside(model)
    assert [known.saw(patient) for patient in TRAINED_ON] == [True, True, False, False, False]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"patients": []}', "\x00"])
def test_a_damaged_memory_is_an_error_and_not_nobody(study, text):
    run, model = study
    (run.root / FOLDER / PATIENTS).write_text(text)
    with pytest.raises(RunFolderError, match="memory"):
        memory_beside(model)


def test_a_model_that_was_replaced_has_no_memory_here(study):
    _, model = study
    write_toy(model, weights=b"other")
    assert not memory_beside(model).patients
