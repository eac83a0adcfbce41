"""Training through the command line: features as slides, other poolings and losses, presets."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.demo import study_of_virtual_cohort
from jecur.errors import SlideError
from jecur.mil.bag import open_bag
from jecur.mil.feature_file import write_feature_bag
from jecur.model.file import read_bundle
from jecur.settings import PRESETS, TrainingSettings, read_study, write_study
from jecur.survival.concordance_index import harrell_concordance

h5py = pytest.importorskip("h5py", reason="needs the extra: features")
WIDTH, N_TRAINING, N_UNSEEN = 12, 24, 12


def _write_features(path, shift, rng, *, width=WIDTH):
    n = int(rng.integers(3, 9))
    features = rng.normal(size=(n, width)).astype(np.float32)
    features[:, 0] += shift
    with h5py.File(path, "w") as stored:
        stored["features"] = features
        stored["coords"] = rng.integers(0, 9, (n, 2)) * 512
        stored["coords"].attrs["patch_size_level0"] = 512
    return features


def _study(folder: Path, training: TrainingSettings, *, missing="", alike=False) -> Path:
    """Two files of features a patient; the first feature decides when the event comes."""
    rng = np.random.default_rng(7)
    (folder / "slides").mkdir(parents=True)
    rows = []
    for k in range(N_TRAINING + N_UNSEEN):
        shift = 1.5 if k % 2 else -1.5
        names = [f"P{k}-{part}.h5" for part in (1, 2)]
        for name in names:
            _write_features(folder / "slides" / name, shift, rng)
        event = bool(k % 2) and not alike
        months = rng.uniform(2, 18) if event else rng.uniform(50, 90)
        role = "training" if k < N_TRAINING else "validation"
        rows.append((f"P{k}", role, round(months, 1), int(event), ";".join(names), "abcd"[k % 4]))
    columns = ["patient_id", "role", "months", "recurrence", "slide", "site"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "clinical.csv", index=False)
    if missing:
        (folder / "slides" / missing).unlink()
    study = study_of_virtual_cohort("Features", training)
    cohort = msgspec.structs.replace(study.cohort, covariates=())
    study = msgspec.structs.replace(study, cohort=cohort)
    (folder / "study.toml").write_text(write_study(study))
    return folder / "study.toml"


QUICK = TrainingSettings.from_flat(
    epochs=3, learning_rate=1e-2, l2=1e-3, pooling="attention", pooling_hidden=4
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("features")
    study = _study(folder / "study", QUICK, missing="P3-2.h5")
    assert run(["train", str(study), "--out", str(folder / "run"), "-j", "1"]) == SOME_FAILED
    return study, next((folder / "run" / "models").iterdir())


def _score(study: Path, patients: list[str], model: Path, out: Path) -> int:
    """Score both slides of some patients of a study by one command."""
    lines = [f"{patient},{patient}-{part}.h5" for patient in patients for part in (1, 2)]
    sheet = out.with_suffix(".csv")
    sheet.write_text("\n".join(["patient_id,slide", *lines]))
    command = ["score", str(study.parent / "slides"), "--table", str(sheet), "--model", str(model)]
    return run([*command, "--out", str(out), "-j", "1"])


def test_features_of_two_slides_a_patient_one_missing_are_trained_on(trained, tmp_path, capsys):
    study, model = trained
    card = read_bundle(model).card
    assert card.metrics.note.startswith("none here")
    assert (card.input.kind, card.input.width) == ("features", WIDTH)
    assert card.pooling.kind == "attention"
    assert (card.cohort.n_good, card.cohort.n_poor) == (12, 12)
    assert card.trained_on.bags
    assert not card.trained_on.patients
    unseen = [f"P{k}" for k in range(N_TRAINING, N_TRAINING + N_UNSEEN)]
    out = tmp_path / "unseen"
    assert _score(study, unseen[:4], model, out) == OK
    rows = pd.read_csv(out / "scores.csv").set_index("patient_id").loc[unseen[:4]]
    assert (rows["n_slides"] == 2).all()
    assert not rows["seen_in_training"].any()
    tiles = pd.read_parquet(out / "tile_scores.parquet")
    assert tiles["patient_id"].value_counts().to_dict() == rows["n_tiles"].to_dict()
    whole = tiles["contribution"].abs().groupby(tiles["patient_id"]).sum()
    assert whole.to_numpy() == pytest.approx(np.ones(4))
    assert tiles[["x", "y", "score", "gate"]].notna().all(axis=None)
    risks = list(rows["risk"])
    assert min(risks[1::2]) > max(risks[0::2])  # poor outcome is every second patient
    seen = [str(study.parent / "slides" / "P1-1.h5")]
    run(["score", *seen, "--model", str(model), "--out", str(tmp_path / "seen"), "-j", "1"])
    assert pd.read_csv(tmp_path / "seen" / "scores.csv")["seen_in_training"].all()


def test_scoring_again_takes_the_stored_scores_and_gates(trained, tmp_path):
    study, model = trained
    file = str(study.parent / "slides" / f"P{N_TRAINING}-1.h5")
    command = ["score", file, "--model", str(model), "--out", str(tmp_path / "s"), "-j", "1"]
    assert run(command) == OK
    first = (tmp_path / "s" / "scores.csv").read_bytes()
    assert run(command) == OK
    assert (tmp_path / "s" / "scores.csv").read_bytes() == first


def test_features_of_another_encoder_are_refused(trained, tmp_path, capsys):
    other = tmp_path / "other.h5"
    _write_features(other, 0.0, np.random.default_rng(0), width=WIDTH + 1)
    command = ["score", str(other), "--model", str(trained[1]), "--out", str(tmp_path / "o")]
    assert run([*command, "-j", "1"]) == USER_ERROR
    said = capsys.readouterr().err
    assert "12 features" in said
    assert "13 features" in said


def test_cox_and_top_bottom_are_cross_validated_by_site(tmp_path):
    training = QUICK.with_changes(loss="cox", pooling="top-bottom", pooling_ends=2, epochs=20)
    study = _study(tmp_path / "study", training)
    out = tmp_path / "cv"
    arguments = ["crossval", str(study), "--out", str(out), "--folds", "2", "--site-preserving"]
    assert run([*arguments, "-j", "1"]) == OK
    found = json.loads((out / "crossval.json").read_text())["statistics"]["concordance"]
    assert found["estimate"] > 0.7  # chance is 0.5; the best that can be expected 0.85
    bundle = read_bundle(next((out / "parts").rglob("*.jecur")))
    assert bundle.pooling is not None
    assert bundle.card.cutoff_source.startswith("median")
    assert 0.0 < bundle.cutoff < 1.0


def test_a_whole_run_on_features_ends_in_a_report(tmp_path):
    study = _study(tmp_path / "study", QUICK.with_changes(pooling="mean"))
    assert run(["run", str(study), "--out", str(tmp_path / "run"), "-j", "1"]) == OK
    assert (tmp_path / "run" / "report.html").is_file()
    assert len(pd.read_csv(tmp_path / "run" / "scores.csv")) == N_UNSEEN
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"{WIDTH} numbers a tile" in report
    assert "A linear function gave each tile one unbounded score" in report
    for absent in ("convolutional", "Tissue was found", "segmentation network"):
        assert absent not in report
    assert "12 patients (good outcome) and 12 (poor outcome)" in report


def test_the_card_judges_the_model_on_the_tuning_patients(tmp_path):
    study = _study(tmp_path / "study", QUICK.with_changes(pooling="mean"))
    table = pd.read_csv(study.parent / "clinical.csv")
    watched = table.index < 9
    table.loc[watched, "role"] = "tuning"
    table.to_csv(study.parent / "clinical.csv", index=False)
    assert run(["train", str(study), "--out", str(tmp_path / "run"), "-j", "1"]) == OK
    model = next((tmp_path / "run" / "models").iterdir())
    metrics = read_bundle(model).card.metrics
    watched_ids = list(table["patient_id"][watched])
    assert _score(study, watched_ids, model, tmp_path / "scored") == OK
    scored = pd.read_csv(tmp_path / "scored" / "scores.csv").set_index("patient_id")
    scores = list(scored.loc[watched_ids, "risk"])
    expected = harrell_concordance(scores, table["months"][watched], table["recurrence"][watched])
    assert (metrics.n, metrics.n_events) == (9, int(table["recurrence"][watched].sum()))
    assert metrics.concordance.estimate == pytest.approx(expected.estimate)
    assert metrics.concordance.lower == pytest.approx(expected.lower)


def test_a_cox_study_calls_its_patients_by_their_event(tmp_path, capsys):
    settings = QUICK.with_changes(pooling="mean", loss="cox", features_hidden=3)
    study = _study(tmp_path / "study", settings)
    command = [str(study), "--out", str(tmp_path / "run"), "-j", "1"]
    assert run(["train", *command]) == OK
    assert "Trained on 24 patients, 12 of them with event" in capsys.readouterr().out
    assert run(["run", *command]) == OK
    report = (tmp_path / "run" / "report.html").read_text()
    assert "12 patients (without event so far) and 12 (with event)" in report
    assert "hidden layer of 3 units" in report
    assert "good outcome" not in report


@pytest.mark.parametrize("loss", ["cutoff", "cox"])
@pytest.mark.parametrize("command", [["train"], ["crossval", "--folds", "2"]])
def test_labels_all_alike_are_not_estimable(tmp_path, capsys, loss, command):
    study = _study(tmp_path / "study", QUICK.with_changes(loss=loss), alike=True)
    out = str(tmp_path / "out")
    assert run([command[0], str(study), "--out", out, "-j", "1", *command[1:]]) == USER_ERROR
    said = capsys.readouterr().err
    assert "not estimable" in said
    assert "[labels-all-alike]" in said


def test_a_preset_fills_in_what_the_file_leaves_out(tmp_path):
    study = _study(tmp_path / "study", QUICK)
    lines = study.read_text().split("[training]")
    minimal = lines[0] + "[training]\nl2 = 0.25\n"
    study.write_text(minimal)
    assert read_study(study).training == TrainingSettings.from_flat(l2=0.25)
    preset = TrainingSettings.from_flat(**PRESETS["jecur"], preset="jecur").with_changes(l2=0.25)
    assert read_study(study, preset="jecur").training == preset
    study.write_text(minimal + 'preset = "jecur"\n')
    filled = read_study(study)
    assert filled.training == preset
    study.write_text(write_study(filled))
    assert read_study(study) == filled


def test_the_command_line_takes_a_preset(tmp_path, capsys):
    study = _study(tmp_path / "study", QUICK)
    study.write_text(study.read_text().split("[training]")[0] + "[training]\nepochs = 5\n")
    arguments = ["train", str(study), "--out", str(tmp_path / "run"), "-j", "1", "--json"]
    assert run([*arguments, "--preset", "jecur"]) == OK
    card = read_bundle(Path(json.loads(capsys.readouterr().out)["model"])).card
    told = {
        "preset": card.training.preset,
        "loss": card.training.loss.name,
        "l2": card.training.loss.l2,
        "epochs": card.training.optimizer.epochs,
    }
    assert told == {"preset": "jecur", "loss": "cox", "l2": 0.5, "epochs": 5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"coords": np.zeros((3, 2))}, "features"),
        ({"features": np.zeros((0, 4)), "coords": np.zeros((0, 2))}, "n >= 1"),
        ({"features": np.zeros((3, 4)), "coords": np.zeros((2, 2))}, "coords"),
        ({"features": np.full((3, 4), np.nan), "coords": np.zeros((3, 2))}, "finite"),
    ],
)
def test_files_that_are_no_features_are_refused(tmp_path, content, words):
    with h5py.File(tmp_path / "a.h5", "w") as stored:
        for name, value in content.items():
            stored[name] = value
    with pytest.raises(SlideError, match=words):
        write_feature_bag(tmp_path / "a.h5", tmp_path / "bag.npy")
    assert not (tmp_path / "bag.npy").exists()


def test_features_come_out_as_they_went_in_batched_or_not(tmp_path):
    features = _write_features(tmp_path / "a.h5", 0.0, np.random.default_rng(1))
    facts = write_feature_bag(tmp_path / "a.h5", tmp_path / "a.npy")
    assert (facts.width, facts.side_px) == (WIDTH, 512)
    assert np.array_equal(open_bag([tmp_path / "a.npy"]).take(range(len(features))), features)
    with h5py.File(tmp_path / "b.h5", "w") as stored:
        stored["features"] = features[None].astype(np.float64)
        stored["coords"] = np.zeros((1, len(features), 2), int)
    write_feature_bag(tmp_path / "b.h5", tmp_path / "b.npy")
    assert np.array_equal(open_bag([tmp_path / "b.npy"]).take(range(len(features))), features)
