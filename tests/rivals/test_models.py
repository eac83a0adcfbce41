"""Each rival finds what it is given to see, and its weights come from nobody who is held out."""

import shutil
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch

from jecur.cohort.cohort import Patient, SlideEntry
from jecur.demo import study_of_virtual_cohort
from jecur.errors import NotEstimableError, SettingsError, TrainingError
from jecur.rivals import lstm
from jecur.rivals.bench import Bench, Division, follow_up, locked_scores
from jecur.rivals.described import described_bench
from jecur.rivals.fusion import LateFusion
from jecur.rivals.one import scores_of
from jecur.rivals.probability import probabilities
from jecur.rivals.registry import RIVALS, rivals_named
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import Covariate, TrainingSettings, preset_training
from jecur.study.slide_task import PreparedSlide
from jecur.survival.concordance_index import concordance
from jecur.training.mobilenet import build_encoder
from jecur.training.sequence import SequenceRecipe, score_sequences, train_sequences


def _cohort(n=160, seed=0, tissue=1.2, age=1.2):
    rng = np.random.default_rng(seed)
    x, years = rng.normal(size=n), rng.normal(size=n)
    months = rng.exponential(20 * np.exp(-tissue * x - age * years))
    patients = tuple(
        Patient(
            f"P{k}",
            "training",
            float(months[k]),
            bool(rng.random() < 0.8),
            "",
            (),
            {"age": float(years[k])},
        )
        for k in range(n)
    )
    return patients, {p.id: float(v) for p, v in zip(patients, x, strict=True)}


def _bench(tmp_path):
    study = study_of_virtual_cohort("x", TrainingSettings())
    cohort = msgspec.structs.replace(study.cohort, covariates=(Covariate(column="age"),))
    study = msgspec.structs.replace(study, cohort=cohort)
    recipe = TrainingSettings()
    return Bench(study, {}, recipe, RunFolder.open(tmp_path / "run"), 1, SilentProgress())


def _division(patients, n_training=100):
    return Division("fold-1", 1, patients[:n_training], (), patients[n_training:])


def _c(scores, patients):
    s = [scores.held_out[p.id] for p in patients]
    return concordance(s, [p.months for p in patients], [p.event for p in patients]).estimate


class Overfitted:
    """Knows the patients it was trained on by heart, and a little of the others."""

    name, title = "overfitted", "Overfitted"

    def __init__(self, truth):
        self.truth = truth
        self.trained = []

    def require(self, study, divisions):
        pass

    def inputs(self, bench):
        return ()

    def train(self, bench, division, part):
        self.trained.append(division.name)
        months, _ = follow_up(division.training)
        rng = np.random.default_rng(len(division.training))
        known = {p.id: -10 * m for p, m in zip(division.training, months, strict=True)}
        new = {p.id: 200 * (self.truth[p.id] + rng.normal()) for p in division.held_out}
        return locked_scores(new, known)


def test_late_fusion_weighs_a_score_by_what_it_is_worth_on_patients_not_seen(tmp_path):
    patients, truth = _cohort()
    division, model = _division(patients), Overfitted(truth)
    bench = _bench(tmp_path)
    fusion = LateFusion(model)
    fused = fusion.train(bench, division, bench.run.part("x"))
    assert model.trained == ["fold-1-inner-1", "fold-1-inner-2", "fold-1-inner-3", "fold-1"]
    alone = model.train(bench, division, bench.run.part("y"))
    (clinical,) = rivals_named(["clinical"])
    covariates = clinical.train(bench, division, bench.run.part("z"))
    held = division.held_out
    assert _c(fused, held) > max(_c(covariates, held), _c(alone, held))


def test_late_fusion_without_covariates_or_with_a_constant_score_is_refused(tmp_path):
    patients, truth = _cohort(60)
    bench, division = _bench(tmp_path), _division(patients, 40)
    study = bench.study
    study = msgspec.structs.replace(
        study, cohort=msgspec.structs.replace(study.cohort, covariates=())
    )
    with pytest.raises(SettingsError, match="covariates"):
        LateFusion(Overfitted(truth)).require(study, [division])
    for always in (1.0, 0.1, -1 / 3, 0.0):  # 0.1 over and over has a deviation of 3e-17
        model = Overfitted(truth)
        model.name = f"always {always:g}"
        model.train = lambda bench, division, part, always=always: locked_scores(
            dict.fromkeys((p.id for p in division.held_out), always),
            dict.fromkeys((p.id for p in division.training), always),
        )
        with pytest.raises(TrainingError, match="vary"):
            LateFusion(model).train(bench, division, bench.run.part("x"))


def test_there_is_no_probability_by_a_time_to_which_nobody_was_followed_where_the_model_was_trained(
    tmp_path,
):
    patients, truth = _cohort()
    study, scores = _bench(tmp_path).study, locked_scores(truth, truth)
    landmark = study.statistics.landmark_months
    brief = [
        replace(p, months=min(p.months, 12.0), event=p.event and p.months <= 12) for p in patients
    ]
    assert max(p.months for p in patients) > landmark > 12
    assert np.isfinite(probabilities(scores, patients, list(truth), study)).all()
    with pytest.raises(NotEstimableError, match="followed to 36 months"):
        probabilities(scores, brief, list(truth), study)
    alike = locked_scores(truth, dict.fromkeys(truth, 0.5))
    with pytest.raises(NotEstimableError, match="followed to 36 months"):
        probabilities(alike, brief, list(truth), study)


def _pixels(tiny_run, tmp_path, n=3):
    slides = sorted(p.parent for p in (tiny_run / "slides").rglob("bag.npy"))[:n]
    run = RunFolder.open(tmp_path / "run")
    for slide in slides:
        shutil.copytree(slide, run.slide_folder(slide.name))
    prepared = {s.name: PreparedSlide(s.name, s.name, "ok", n_tiles=5) for s in slides}
    bench = replace(_bench(tmp_path / "other"), prepared=prepared, run=run)
    entries = [SlideEntry(s.name, s, None) for s in slides]
    return bench, [Patient(e.id, "training", 1.0, True, "", (e,), {}) for e in entries]


def test_tiles_are_described_once_as_the_frozen_encoder_sees_them(tiny_run, tmp_path):
    bench, patients = _pixels(tiny_run, tmp_path)
    training = preset_training("jecur")
    found = described_bench(bench, training)
    encoder = build_encoder("mobilenetv2_100", channels=4, start="builtin", seed=0).eval()
    path = found.run.slide_folder(patients[0].id) / "bag.npy"
    tiles = np.load(bench.run.slide_folder(patients[0].id) / "bag.npy")
    with torch.no_grad():
        expected = encoder.features(torch.from_numpy(tiles)).numpy()
    assert np.load(path) == pytest.approx(expected, abs=1e-4)
    before = path.stat().st_mtime_ns
    assert described_bench(bench, training).run.slides == found.run.slides
    assert path.stat().st_mtime_ns == before
    assert described_bench(found, training) is found  # features are not described again
    assert len(pd.read_parquet(path.parent / "tiles.parquet")) == len(tiles)


def test_the_lstm_tells_orders_apart_and_is_the_same_again():
    rng = np.random.default_rng(0)
    n, steps = 80, 12
    rising = rng.random(n) < 0.5
    ramp = np.linspace(-2, 2, steps)
    bags = [
        np.stack([ramp if up else ramp[::-1], rng.normal(size=steps)], 1).astype(np.float32)
        for up in rising
    ]  # the same tiles, in another order
    months = rng.exponential(np.where(rising, 5.0, 30.0))
    event = np.ones(n, dtype=bool)
    recipe = SequenceRecipe(units=8, epochs=20, learning_rate=0.02)
    model = train_sequences(bags[:60], months[:60], event[:60], recipe, seed=1)
    scores = score_sequences(model, bags[60:], recipe)
    assert concordance(scores, months[60:], event[60:]).estimate > 0.65
    again = train_sequences(bags[:60], months[:60], event[:60], recipe, seed=1)
    assert score_sequences(again, bags[60:], recipe) == scores
    one = score_sequences(model, [bags[0]], recipe)[0]
    with torch.no_grad():
        both = model([torch.from_numpy(bags[0]), torch.from_numpy(bags[1][:5])])
    assert float(both[0]) == pytest.approx(one, abs=1e-5)  # whoever is scored beside has no say


def test_the_order_in_a_file_of_features_is_not_that_of_the_scan(tmp_path):
    rng, run = np.random.default_rng(0), RunFolder.open(tmp_path / "run")
    row, column = np.divmod(np.arange(12), 4)
    scan = rng.normal(size=(12, 3)).astype(np.float32)
    for name, order in (("A", np.arange(12)), ("B", rng.permutation(12))):
        folder = run.slide_folder(name)
        folder.mkdir(parents=True)
        np.save(folder / "bag.npy", scan[order])
        places = pd.DataFrame({"x": 256 * column[order], "y": 256 * row[order], "side_px": 256})
        places.to_parquet(folder / "tiles.parquet")
    prepared = {s: PreparedSlide(s, s, "ok", n_tiles=12) for s in "AB"}
    bench = replace(_bench(tmp_path / "other"), prepared=prepared, run=run)
    patients = [
        Patient(s, "training", 1.0, True, "", (SlideEntry(s, tmp_path, None),), {}) for s in "AB"
    ]
    _, bags = lstm._bags(bench, patients)
    assert np.array_equal(bags[0], scan)
    assert np.array_equal(bags[1], scan)


@pytest.mark.parametrize("other", [(5, 7), (5, 4, 4, 4)], ids=["another encoder", "pixels"])
def test_features_of_two_encoders_and_features_beside_slides_are_told(tmp_path, other):
    run = RunFolder.open(tmp_path / "run")
    for name, shape in (("A", (5, 6)), ("B", other)):
        run.slide_folder(name).mkdir(parents=True)
        kind = np.float32 if len(shape) == 2 else np.uint8
        np.save(run.slide_folder(name) / "bag.npy", np.zeros(shape, kind))
    prepared = {s: PreparedSlide(s, s, "ok", n_tiles=5) for s in "AB"}
    for order in ("AB", "BA"):
        bench = replace(
            _bench(tmp_path / "other"), prepared={s: prepared[s] for s in order}, run=run
        )
        with pytest.raises(TrainingError, match="one kind") as caught:
            described_bench(bench, preset_training("jecur"))
        assert caught.value.code == "other-features"


def test_every_rival_has_a_name_of_its_own_and_fuses_by_name():
    names = [rival.name for rival in RIVALS]
    assert len(set(names)) == len(names)
    fused = rivals_named(["scnn+clinical", "scnn"])
    assert [f.name for f in fused] == ["scnn+clinical", "scnn"]
    with pytest.raises(SettingsError, match="each alone"):
        rivals_named(["clinical+clinical"])


def test_scores_are_in_one_order_whether_a_model_was_trained_now_or_before(tmp_path):
    @dataclass(frozen=True)
    class Stub:
        name: str = "stub"
        title: str = "Stub"

        def inputs(self, bench):
            return ()

        def train(self, bench, division, part):
            return locked_scores({"P11": 1.0}, {"P9": 0.1, "P10": 0.2, "P1": 0.3}, {})

    patients, _ = _cohort(12)
    found = [scores_of(Stub(), _bench(tmp_path), _division(patients, 11))[1] for _ in range(2)]
    assert [list(scores.training) for scores in found] == [["P1", "P10", "P9"]] * 2
