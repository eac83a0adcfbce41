"""Covariates in the last layer of a network: what is trained is what is scored, by nobody held out."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from tests.rivals.feature_study import WIDTH, write_feature_study

from jecur.cli import OK, USER_ERROR, run
from jecur.cohort.cohort import Patient
from jecur.mil.bag import Bag
from jecur.rivals.clinical import clinical_columns
from jecur.rivals.joint import _standardized
from jecur.settings import Covariate, TrainingSettings
from jecur.training.build import build_model
from jecur.training.checkpoint import TrainingState
from jecur.training.cohort_gradient import accumulate_cohort_gradient
from jecur.training.loop import LabeledBag, Trained, score_bags


def _compare(study, out, models):
    command = ["compare", str(study), "--models", models, "--out", str(out), "--draws", "50"]
    return run([*command, "-j", "1"])


def _part(out):
    (path,) = (out / "parts" / "jecur+joint").rglob("model-scores.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return write_feature_study(folder, n_training=80, n_unseen=80, tissue=1.2, age=1.2)


@pytest.fixture(scope="module")
def compared(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "compared"
    assert _compare(study, out, "clinical,jecur,jecur+joint") == OK
    return out


def test_the_truth_that_lies_in_both_is_found_in_both(compared):
    models = json.loads((compared / "compare.json").read_text())["comparison"]["models"]
    found = {m["name"]: m["statistics"]["concordance"]["estimate"] for m in models}
    assert found["jecur+joint"] > max(found["clinical"], found["jecur"]) + 0.03
    facts = _part(compared)["facts"]
    weights = {k: v for k, v in facts.items() if k.startswith("weight of")}
    assert set(weights) == {"weight of age", "weight of stage (II)"}
    assert weights["weight of age"] > abs(weights["weight of stage (II)"])  # stage has no effect


def test_scores_are_the_written_weights_times_tiles_and_covariates(study, compared):
    """Scores once more in NumPy, from the file of weights, the features and the table."""
    (path,) = (compared / "parts" / "jecur+joint").rglob("joint.safetensors")
    w = load_file(path)
    table = pd.read_csv(study.parent / "clinical.csv").set_index("patient_id")
    years, second = table["age"], (table["stage"].fillna("I") == "II").astype(float)
    x = np.stack([years, second], 1)
    own = x[(table["role"] == "training").to_numpy()]
    x = (x - own.mean(0)) / own.std(0)
    scores = pd.read_csv(compared / "scores.csv").query("model == 'jecur+joint'")
    by_id = scores.set_index("patient_id")["score"]
    for k, patient in enumerate(table.index):
        if patient in by_id:
            from_tiles = _mean_score(study.parent / "slides" / f"{patient}.h5", w)
            expected = from_tiles + x[k] @ w["of_covariates.weight"][0]
            assert by_id[patient] == pytest.approx(expected, abs=1e-4)
    assert len(by_id) == 80
    assert scores["cutoff"].iloc[0] == np.median(list(_part(compared)["training"].values()))


def _mean_score(path, w):
    import h5py  # noqa: PLC0415

    with h5py.File(path) as stored:
        features = (stored["features"][:] - w["feature_mean"]) / w["feature_std"]
    return float((features @ w["score.weight"][0] + w["score.bias"][0]).mean())


def test_outcomes_of_those_held_out_move_no_score(study, compared, tmp_path):
    shutil.copytree(study.parent, tmp_path / "study")
    table = pd.read_csv(tmp_path / "study" / "clinical.csv")
    unseen, columns = table["role"] == "validation", ["months", "recurrence"]
    table.loc[unseen, columns] = table.loc[unseen, columns].to_numpy()[::-1]
    table.to_csv(tmp_path / "study" / "clinical.csv", index=False)
    assert _compare(tmp_path / "study" / "study.toml", tmp_path / "out", "jecur+joint") == OK
    before, after = (pd.read_csv(out / "scores.csv") for out in (compared, tmp_path / "out"))
    same = before[before["model"] == "jecur+joint"].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, same, check_exact=True)


def test_follow_up_that_changed_in_a_used_folder_gives_the_scores_of_a_fresh_one(tmp_path):
    """Labels stay, and the weights that the covariates start from do not."""
    study = write_feature_study(tmp_path / "study", n_training=30, n_unseen=8, age=1.2)
    assert _compare(study, tmp_path / "used", "paper+joint") == OK
    before = (tmp_path / "used" / "scores.csv").read_text()
    table = pd.read_csv(study.parent / "clinical.csv")
    early = (table["role"] == "training") & (table["recurrence"] == 1) & (table["months"] < 12)
    table.loc[early, "months"] = table.loc[early, "months"].to_numpy()[::-1]
    table.to_csv(study.parent / "clinical.csv", index=False)
    for out in ("used", "fresh"):
        assert _compare(study, tmp_path / out, "paper+joint") == OK
    now = (tmp_path / "used" / "scores.csv").read_text()
    assert now == (tmp_path / "fresh" / "scores.csv").read_text() != before


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("coudray+joint", "tile by tile"),
        ("lstm+joint", "a network with"),
        ("clinical+joint", "+joint"),
    ],
)
def test_a_model_in_which_covariates_have_no_place_is_refused_before_the_first_slide(
    models, said, study, tmp_path, capsys
):
    assert _compare(study, tmp_path / "out", models) == USER_ERROR
    error = capsys.readouterr().err
    assert "[unknown-model]" in error
    assert said in error
    assert not (tmp_path / "out" / "slides").exists()


def test_a_study_without_covariates_is_told(study, tmp_path, capsys):
    shutil.copytree(study.parent, tmp_path / "study")
    path = tmp_path / "study" / "study.toml"
    text = path.read_text()
    start = text.index("[[cohort.covariates]]")
    after = text.index("\n[", text.rindex("[[cohort.covariates]]") + 1)
    path.write_text(text[:start] + text[after + 1 :])
    assert _compare(path, tmp_path / "out", "jecur+joint") == USER_ERROR
    assert "[no-covariates]" in capsys.readouterr().err


def test_covariates_have_mean_0_and_sd_1_where_they_were_trained_on_and_a_gap_is_the_middle():
    def patient(k, age):
        return Patient(f"P{k}", "training", 1.0, True, "", (), {"age": age})

    trained_on = [patient(k, age) for k, age in enumerate((40.0, 50.0, 60.0, 90.0))]
    gap = patient(9, None)
    columns = clinical_columns((Covariate(column="age"),), trained_on)
    rows = _standardized(columns, trained_on, [*trained_on, gap])
    own = np.array([rows[p.id][0] for p in trained_on])
    assert own.mean() == pytest.approx(0, abs=1e-12)
    assert own.std() == pytest.approx(1)
    assert own[1] < rows["P9"][0] < own[2]  # 55 years


@pytest.mark.parametrize("loss", ["cox", "cutoff"])
@pytest.mark.parametrize("chunk", [2, 5, 100])
def test_the_weights_of_covariates_have_the_gradient_of_the_whole_loss(loss, chunk):
    rng = np.random.default_rng(0)
    settings = TrainingSettings.from_flat(loss=loss, pooling="mean", learning_rate=1e-3)
    patients = [
        LabeledBag(
            f"P{k}",
            Bag((rng.normal(size=(7, WIDTH)).astype(np.float32),)),
            bool(k % 2),
            float(10 + k),
            tuple(rng.normal(size=3).tolist()),
        )
        for k in range(6)
    ]
    import torch  # noqa: PLC0415

    encoder, objective = build_model(patients, settings, of_covariates=(0.5, -1.0, 0.2))
    tiles = [torch.from_numpy(np.asarray(p.bag.parts[0])) for p in patients]
    accumulate_cohort_gradient(
        encoder, [t.split(chunk) for t in tiles], lambda out: objective.loss(out, patients)
    )
    found = encoder.of_covariates.weight.grad[0].tolist()
    for k in range(3):
        slope = []
        for step in (1e-3, -1e-3):
            with torch.no_grad():
                encoder.of_covariates.weight[0, k] += step
                slope.append(float(objective.loss([encoder(t) for t in tiles], patients)))
                encoder.of_covariates.weight[0, k] -= step
        assert found[k] == pytest.approx((slope[0] - slope[1]) / 2e-3, abs=2e-3)


def test_scoring_keeps_no_graph_of_the_tiles():
    """It would hold every activation of every tile of every patient."""
    rng = np.random.default_rng(0)
    settings = TrainingSettings.from_flat(loss="cox", pooling="mean")
    bag = Bag((rng.integers(0, 256, (3, 32, 32, 4), dtype=np.uint8),))
    patients = [LabeledBag(f"P{k}", bag, bool(k), float("nan"), (1.0,)) for k in range(2)]
    encoder, objective = build_model(patients, settings, of_covariates=(0.5,))
    seen = []
    encoder.register_forward_hook(lambda module, tiles, out: seen.append(out.requires_grad))
    trained = Trained(encoder, TrainingState(1, "m", ()), objective.pooling, 0.5)
    found = score_bags(trained, patients, settings)
    assert found[0] == found[1]
    assert seen == [False, False]
