"""Tissue classes from drawings to tables: trained, applied, refused, used as a covariate."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tests.rivals.tissue_study import drawing, write_tissue_study
from tests.virtual.tiny_study import quick_study

from jecur.cli import OK, USER_ERROR, run
from jecur.model.tissue_file import read_tissue_file
from jecur.settings import SimulationSettings, TrainingSettings, read_study, write_study
from jecur.simulate.cohort import simulate_cohort
from jecur.study import tissue_training
from jecur.study.cohort_slides import study_cohort
from jecur.study.tissue_apply import classes_of_ratio


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study with drawings, and the folder of its classifier."""
    folder = tmp_path_factory.mktemp("tissue")
    study, share = write_tissue_study(folder / "study", n_training=12, n_unseen=6)
    out = folder / "out"
    assert train(study, out) == OK
    return study, share, out


def train(study, out, *more):
    drawings = study.parent / "drawings"
    command = ["tissue", "train", str(study), "--annotations", str(drawings), "-j", "1"]
    return run([*command, "--out", str(out), *more])


def model_in(out):
    return out / "models" / "tissue.safetensors"


def test_the_card_says_what_it_was_trained_on(trained):
    _, share, out = trained
    card = read_tissue_file(model_in(out)).card
    stroma = sum(round(s * 24) for s in share[:8])
    assert card.classes == ("Stroma", "Tumor")
    assert card.n_tiles == {"Stroma": stroma, "Tumor": 8 * 24 - stroma}
    assert card.n_patients == {"Stroma": 8, "Tumor": 8}
    assert set(card.left_out.values()) == {0}
    assert card.test.balanced_accuracy > 0.97
    assert len(card.trained_on.tiles) == 8
    assert "P000" not in model_in(out).read_bytes().decode("latin-1")
    table = pd.read_csv(out / "classes.csv")
    assert table["n_tiles"].tolist() == [stroma, 192 - stroma]
    called = table[["called Stroma", "called Tumor"]].to_numpy()
    np.testing.assert_array_equal(called.sum(axis=1), table["n_tiles"])


def test_training_again_gives_the_same_file(trained, tmp_path):
    study, _, out = trained
    assert train(study, tmp_path / "again") == OK
    assert model_in(tmp_path / "again").read_bytes() == model_in(out).read_bytes()


def test_fractions_and_ratio_are_those_of_the_tissue_and_become_covariates(trained, tmp_path):
    study, share, out = trained
    applied = tmp_path / "applied"
    command = ["tissue", "apply", str(study), "--model", str(model_in(out)), "-j", "1"]
    assert run([*command, "--out", str(applied)]) == OK
    table = pd.read_csv(applied / "tissue.csv")
    truth = np.round(share * 24) / 24
    assert len(table) == 18
    np.testing.assert_allclose(table["fraction_Stroma"], truth, atol=0.06)
    np.testing.assert_allclose(table["fraction_Stroma"] + table["fraction_Tumor"], 1.0)
    np.testing.assert_allclose(table["stroma_tumor_ratio"], table["fraction_Stroma"])
    assert table["drawings_trained"].tolist() == [True] * 8 + [False] * 10
    tiles = pd.read_parquet(applied / "tile_classes.parquet")
    means = tiles.groupby("patient_id")["p_Stroma"].mean()
    np.testing.assert_allclose(means, table.set_index("patient_id")["fraction_Stroma"], atol=1e-6)
    shutil.copy(applied / "clinical.csv", study.parent / "with_tissue.csv")
    text = study.read_text().replace('table = "clinical.csv"', 'table = "with_tissue.csv"')
    text += '\n[[cohort.covariates]]\ncolumn = "stroma_tumor_ratio"\n'
    named = study.parent / "with_tissue.toml"
    named.write_text(text)
    patients = study_cohort(read_study(named), study.parent, everybody=True).patients
    found = [p.covariates["stroma_tumor_ratio"] for p in patients]
    np.testing.assert_allclose(found, table["stroma_tumor_ratio"], atol=1e-6)


def test_all_that_is_wrong_with_the_drawings_is_said_at_once(trained, tmp_path, capsys):
    study, share, _ = trained
    bad = tmp_path / "bad"
    bad.mkdir()
    for k in range(2):
        (bad / f"P{k:03}.geojson").write_text("{}")
    (bad / "P002.geojson").write_text(json.dumps(drawing(share[2])))
    base = ["tissue", "train", str(study), "--out", str(tmp_path / "a"), "-j", "1", "--annotations"]
    assert run([*base, str(bad)]) == USER_ERROR
    said = capsys.readouterr().err
    assert "P000" in said
    assert "P001" in said
    for k in range(2):
        (bad / f"P{k:03}.geojson").write_text(json.dumps(drawing(share[k], ("Stroma", "Stroma"))))
    assert run([*base, str(bad)]) == USER_ERROR
    assert "class Tumor drawn in 2 patients" in capsys.readouterr().err
    assert run([*base, str(study.parent / "drawings"), "--fewest", "150"]) == USER_ERROR
    said = capsys.readouterr().err
    assert "regions of Stroma" in said
    assert "regions of Tumor" in said
    assert run([*base, str(tmp_path / "nowhere")]) == USER_ERROR
    assert "missing-annotation" in capsys.readouterr().err


def test_names_that_cannot_be_seen_are_refused(trained, tmp_path, capsys):
    study, share, _ = trained
    for k in range(3):
        drawn = drawing(share[k], ("Str\u202eoma", "T" * 101))
        (tmp_path / f"P{k:03}.geojson").write_text(json.dumps(drawn))
    command = ["tissue", "train", str(study), "--annotations", str(tmp_path), "-j", "1"]
    assert run([*command, "--out", str(tmp_path / "out")]) == USER_ERROR
    said = capsys.readouterr().err
    assert said.count("[bad-annotation]") == 2
    assert "\u202e" not in said


def test_tiles_of_classes_that_are_not_asked_for_are_left_out(trained, tmp_path):
    """A third class, drawn over half of the tumor: its tiles are neither, and those of both are none."""
    study, share, _ = trained
    for k in range(8):
        drawn, other = drawing(share[k]), drawing((1 + share[k]) / 2)
        necrosis = other["features"][1]
        necrosis["properties"]["classification"]["name"] = "Necrosis"
        drawn["features"].append(necrosis)
        (tmp_path / f"P{k:03}.geojson").write_text(json.dumps(drawn))
    command = ["tissue", "train", str(study), "--annotations", str(tmp_path), "-j", "1"]
    asked = ["--classes", "Tumor,Stroma", "--out", str(tmp_path / "out")]
    assert run([*command, *asked]) == OK
    card = read_tissue_file(model_in(tmp_path / "out")).card
    assert card.classes == ("Tumor", "Stroma")
    stroma = sum(round(s * 24) for s in share[:8])
    necrosis = sum(24 - round((1 + s) / 2 * 24) for s in share[:8])
    assert card.n_tiles == {"Tumor": 192 - stroma - necrosis, "Stroma": stroma}
    assert card.left_out["two classes"] == necrosis


def test_drawings_of_validation_patients_train_nothing(trained, tmp_path, capsys):
    study, share, out = trained
    drawings = tmp_path / "drawings"
    shutil.copytree(study.parent / "drawings", drawings)
    (drawings / "P015.geojson").write_text(json.dumps(drawing(1 - share[15])))
    command = ["tissue", "train", str(study), "--annotations", str(drawings), "-j", "1"]
    assert run([*command, "--out", str(tmp_path / "out")]) == OK
    assert "P015" in capsys.readouterr().err
    before, after = (read_tissue_file(model_in(o)).arrays for o in (out, tmp_path / "out"))
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_a_classifier_of_virtual_tissue_on_real_slides_is_said(trained, tmp_path, capsys):
    study, _, out = trained
    real = study.parent / "real.toml"
    real.write_text(study.read_text().replace("virtual = true", "virtual = false"))
    for name, said in ((real, True), (study, False)):
        command = ["tissue", "apply", str(name), "--model", str(model_in(out)), "-j", "1"]
        assert run([*command, "--out", str(tmp_path / name.stem)]) == OK
        assert ("means nothing" in capsys.readouterr().err) is said


def test_classes_of_the_ratio_are_known_by_name_or_asked_for():
    assert classes_of_ratio(("Stroma", "Tumor", "Necrosis"), (), ()) == ([0], [1])
    assert classes_of_ratio(("TUM", "STR", "MUS"), (), ()) == ([1], [0])
    assert classes_of_ratio(("a", "b", "c"), ("a", "b"), ("c",)) == ([0, 1], [2])
    assert classes_of_ratio(("a", "b"), (), ()) is None
    assert classes_of_ratio(("Tumor epithelium", "Stroma"), (), ()) == ([1], [0])
    assert classes_of_ratio(("Tumour", "Stroma", "Normal tumor-free"), (), ()) == ([1], [0])
    for other in ("Tumor stroma", "Tumor: Immune", "tumor_necrosis", "Stroma of the tumor"):
        with pytest.raises(ValueError, match="--tumor"):
            classes_of_ratio(("Tumor", "Stroma", other), (), ())
        named = classes_of_ratio(("Tumor", "Stroma", other), ("Stroma",), ("Tumor",))
        assert named == ([1], [0])
    with pytest.raises(ValueError, match="--tumor"):
        classes_of_ratio(("Stroma", "Tumor stroma"), (), ())
    for asked in ((("x",), ("b",)), (("a",), ("a",)), (("a",), ())):
        with pytest.raises(ValueError, match="--stroma"):
            classes_of_ratio(("a", "b"), *asked)


def test_tiles_to_train_on_are_taken_evenly_over_all_slides_of_a_patient():
    label = np.array([0, 0, -1, 1] * 100)
    slides = [("P1", label), ("P2", label[:40]), ("P1", label), ("P1", np.full(5, -1))]
    taken = tissue_training._spread(slides, 30)
    of_class = [
        [int((own[k] == c).sum()) for c in (0, 1)]
        for (_, own), k in zip(slides, taken, strict=True)
    ]
    assert of_class == [[15, 15], [20, 10], [15, 15], [0, 0]]
    reversed_ = tissue_training._spread(slides[::-1], 30)[::-1]
    assert [len(k) for k in reversed_] == [len(k) for k in taken]
    (alone,) = tissue_training._spread([("P1", label)], 30)
    zeros = np.flatnonzero(label == 0)
    assert set(zeros[np.linspace(0, 199, 30).round().astype(int)]) < set(alone)


def test_virtual_tissue_with_drawings_trains_a_classifier(tmp_path):
    """Slides, stains, nuclei, encoder: the whole way, on two small slides."""
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    settings = SimulationSettings(
        n_training=2, n_validation=0, seed=14, size_px=768, tissue_fraction=0.8, plant="stroma",
        drawings=2,
    )  # fmt: skip
    simulate_cohort(settings, cohort)
    study = cohort / "study.toml"
    study.write_text(write_study(quick_study("Virtual", TrainingSettings())))
    assert train(study, out, "--fewest", "2", "--cover", "0.5") == OK
    card = read_tissue_file(model_in(out)).card
    assert card.classes == ("Stroma", "Tumor")
    assert card.n_features == 1280
    assert card.input.shape == (224, 224, 4)
    command = ["tissue", "apply", str(study), "--model", str(model_in(out)), "--run", str(out)]
    assert run([*command, "--out", str(tmp_path / "applied"), "-j", "1"]) == OK
    table = pd.read_csv(tmp_path / "applied" / "tissue.csv")
    assert table["drawings_trained"].tolist() == [True, True]
    assert table["stroma_tumor_ratio"].between(0, 1).all()
    assert not (tmp_path / "applied" / "slides").exists()  # taken from the run, not made again
    study.write_text(study.read_text().replace('method = "vahadane"', 'method = "macenko"'))
    other = [
        "tissue",
        "apply",
        str(study),
        "--model",
        str(model_in(out)),
        "--out",
        str(tmp_path / "b"),
    ]
    assert run([*other, "-j", "1"]) == USER_ERROR
