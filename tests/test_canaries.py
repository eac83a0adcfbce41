"""What a slide or a table says of people, places and machines stays in it.

Texts are planted wherever a file can hold them; then every file that a command writes, and every line
that it prints, is searched, also inside pictures, archives, tables and encoded parts.
"""

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.canaries import Cage, everything_in, with_private_columns, write_features, write_slides
from tests.model_files import write_toy

from jecur.cli import OK, SOME_FAILED, run
from jecur.demo import study_of_virtual_cohort
from jecur.settings import TrainingSettings, read_study, write_study
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.study.recipe import recipe_of_study
from jecur.study.training_card import study_card

pytest.importorskip("h5py", reason="needs the extra: features")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(5)
    site = site_stain(rng, angle_deg=4.0, intensity_sd=0.12)
    stain = slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06)
    tissue = render_tissue(TissueFeatures(0.4, 0.5, 0.5, 0.3), (512, 512), 0.5, rng)
    framed = np.full((640, 640, 3), 243, np.uint8)
    framed[64:576, 64:576] = render_rgb(tissue, stain, rng)
    return framed


def _said(capsys: pytest.CaptureFixture[str]) -> tuple[str, bytes]:
    printed = capsys.readouterr()
    return "what was printed", (printed.out + printed.err).encode()


def test_slides_keep_their_labels_names_dates_and_places(image, tmp_path, capsys):
    plant = Cage()
    folder = tmp_path / f"at-{plant('folder of the slides')}"
    slides = write_slides(folder, image, plant)
    model = write_toy(tmp_path / "toy.jecur")
    out = tmp_path / "out"
    out.mkdir()
    command = ["score", *map(str, slides), "--model", str(model), "--out", str(out / "scored")]
    assert run([*command, "--mpp", "0.5", "-j", "1"]) == SOME_FAILED
    rows = pd.read_csv(out / "scored" / "slides.csv").set_index("slide")
    assert (rows["status"] != "failed").sum() >= 5, rows[["status", "code", "reason"]]
    places = [_said(capsys)]
    run(["inspect", *map(str, slides), "--json"])
    run(["inspect", str(slides[0]), str(slides[3]), "--preview", str(out / "pictures")])
    places.append(_said(capsys))
    table = pd.DataFrame(
        {"patient_id": [s.stem for s in slides], "slide": [s.name for s in slides]}
    )
    table = with_private_columns(table.assign(time=9.0, event=1, role="training"), plant)
    table.to_csv(folder / "clinical.csv", index=False)
    run(["doctor", str(folder), "--table", str(folder / "clinical.csv")])
    places.append(_said(capsys))
    assert len(plant.planted) >= 40
    assert plant.found_in([*places, *everything_in(out)]) == []


def _study(folder: Path, plant: Cage) -> Path:
    rng = np.random.default_rng(2)
    (folder / "slides").mkdir(parents=True)
    rows = []
    for k in range(24):
        poor = bool(k % 2)
        write_features(
            folder / "slides" / f"P{k}.h5", rng, 1.5 if poor else -1.5, plant if k < 2 else None
        )
        months = rng.uniform(2, 18) if poor else rng.uniform(50, 90)
        rows.append(
            (f"P{k}", "training" if k < 12 else "validation", months, int(poor), f"P{k}.h5", "a")
        )
    table = pd.DataFrame(
        rows, columns=["patient_id", "role", "months", "recurrence", "slide", "site"]
    )
    with_private_columns(table, plant).to_csv(folder / "clinical.csv", index=False)
    training = TrainingSettings.from_flat(epochs=1, pooling="mean", start="random")
    study = study_of_virtual_cohort("Canaries", training)
    study = msgspec.structs.replace(
        study, cohort=msgspec.structs.replace(study.cohort, covariates=())
    )
    (folder / "study.toml").write_text(write_study(study))
    return folder / "study.toml"


def test_a_study_keeps_what_its_table_says_of_people(tmp_path, capsys):
    plant = Cage()
    folder = tmp_path / f"at-{plant('folder of the study')}"
    study = _study(folder, plant)
    out = tmp_path / "out"
    assert run(["run", str(study), "--out", str(out / "run"), "-j", "1"]) == OK
    places = [_said(capsys)]
    scores = pd.read_csv(out / "run" / "scores.csv")
    scores["note"] = [plant(f"note beside a score, row {k}") for k in range(len(scores))]
    scores.to_csv(folder / "scores.csv", index=False)
    assert run(["evaluate", "--scores", str(folder / "scores.csv"), "--study", str(study),
                "--out", str(out / "evaluated")]) == OK  # fmt: skip
    places.append(_said(capsys))
    assert len(plant.planted) >= 40
    assert plant.found_in([*places, *everything_in(out)]) == []


def test_a_model_names_no_patient_and_no_folder(tmp_path):
    plant = Cage()
    study = _study(tmp_path / f"at-{plant('folder of the study')}", plant)
    out = tmp_path / "run"
    assert run(["train", str(study), "--out", str(out), "-j", "1"]) == OK
    model = next((out / "models").iterdir())
    names = Cage()
    names.planted = {f"P{k}.h5": f"slide P{k}" for k in range(24)}
    inside = [layer for layer in everything_in(model.parent) if "jecur" in layer[0]]
    assert any("card.json" in name for name, _ in inside)
    assert plant.found_in(inside) == []
    assert names.found_in(inside) == []


def test_the_search_finds_what_is_there(tmp_path, image):
    """The clean twin of the tests above: a text that is in a file is found in it."""
    plant = Cage()
    write_slides(tmp_path / "slides", image, plant)
    left = set(plant.planted.values()) - {
        found.rpartition(" in ")[0] for found in plant.found_in(_raw(tmp_path))
    }
    assert len(plant.planted) - len(left) >= 40


def _raw(folder: Path):
    for path in folder.rglob("*.*"):
        yield path.name, path.read_bytes()


def test_settings_with_paths_go_into_the_card_by_name_alone(tmp_path):
    folder = tmp_path / "at-secret-place"
    study = read_study(_study(folder, Cage()))
    training = study.training.with_changes(start=str(folder / "mine.safetensors"))
    recipe = recipe_of_study(study)
    nuclei = msgspec.structs.replace(recipe.nuclei, model=r"C:\at-secret-place\net.onnx")
    card = study_card(
        msgspec.structs.replace(study, training=training),
        msgspec.structs.replace(recipe, nuclei=nuclei),
        created="2026-11-25",
    )
    assert b"secret" not in msgspec.json.encode(card)
    assert (card["training"].encoder.start, card["recipe"].nuclei.model) == (
        "mine.safetensors",
        "net.onnx",
    )
