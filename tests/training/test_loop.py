"""Training: finds what is there, goes on after a stop as if there had been none."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from jecur.errors import TrainingError
from jecur.mil.bag import Bag
from jecur.runs.progress import SilentProgress
from jecur.settings import TrainingSettings
from jecur.training.checkpoint import load_newest
from jecur.training.export import encoder_to_onnx, encoder_weights
from jecur.training.loop import LabeledBag, train_encoder
from jecur.training.losses import cutoff_cross_entropy
from jecur.training.mobilenet import build_encoder
from jecur.training.objective import Objective
from jecur.training.pooling import BagPooling, generalized_mean
from jecur.training.processes import Processes

SETTINGS = TrainingSettings.from_flat(
    encoder="mobilenetv2_035", start="random", epochs=4, halve_every=2, l2=0.0, learning_rate=3e-4
)


def _bags(n=6, side=32):
    rng = np.random.default_rng(0)
    bags = []
    for i in range(n):
        tiles = rng.integers(90, 160, (4, side, side, 4), dtype=np.uint8)
        tiles[..., 0] = 40 if i % 2 else 215
        bags.append(LabeledBag(f"p{i}", Bag((tiles,)), bool(i % 2)))
    return bags


def _train(folder, settings=SETTINGS, bags=None, mark="m"):
    bags = bags or _bags()
    return train_encoder(
        bags, bags[:2], settings, checkpoints=folder, mark=mark, progress=SilentProgress()
    )


def _weights(trained):
    return torch.cat([v.float().flatten() for v in trained.encoder.state_dict().values()])


def test_training_picks_up_a_difference_of_color(tmp_path):
    # slow enough that the order of sums, which changes with the number of threads, decides nothing
    curve = _train(tmp_path, SETTINGS.with_changes(learning_rate=3e-5)).state.curve
    assert [row["epoch"] for row in curve] == [1, 2, 3, 4]
    assert [row["learning_rate"] for row in curve] == [3e-5, 3e-5, 1.5e-5, 1.5e-5]
    assert curve[-1]["training_loss"] < 0.5 * curve[0]["training_loss"]
    assert curve[-1]["tuning_loss"] < 0.3


def test_stopping_and_going_on_gives_bitwise_the_same_weights(tmp_path):
    whole = _train(tmp_path / "whole")
    for epochs in (1, 3):
        stopped = tmp_path / f"stopped{epochs}"
        _train(stopped, SETTINGS.with_changes(epochs=epochs))
        resumed = _train(stopped)
        assert torch.equal(_weights(whole), _weights(resumed))
        assert resumed.state.curve == whole.state.curve


def test_a_head_alone_is_written_down_every_tenth_epoch_and_gone_on_from(tmp_path):
    settings = SETTINGS.with_changes(encoder_learns=False, epochs=12)
    whole = _train(tmp_path, settings)
    kept = sorted((tmp_path / "m").glob("epoch-*"))
    assert [path.stem for path in kept] == ["epoch-0010", "epoch-0012"]
    kept[-1].unlink()
    again = _train(tmp_path, settings)
    assert torch.equal(_weights(whole), _weights(again))
    assert again.state.curve == whole.state.curve


def _cut_short(content):
    return content[: len(content) // 2]


def _flip_a_bit_of_the_weights(content):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


def _lose_the_curve(content):
    return content.replace(b'"epoch\\"', b'"epocH\\"', 1)


@pytest.mark.parametrize("damage", [_cut_short, _flip_a_bit_of_the_weights, _lose_the_curve])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    whole = _train(tmp_path)
    checkpoints = sorted((tmp_path / "m").glob("epoch-*"))
    assert [path.stem for path in checkpoints] == ["epoch-0003", "epoch-0004"]
    content = checkpoints[-1].read_bytes()
    checkpoints[-1].write_bytes(damage(content))
    assert checkpoints[-1].read_bytes() != content
    encoder = build_encoder("mobilenetv2_035", channels=4, start="random", seed=9)
    state = load_newest(tmp_path, "m", encoder, torch.optim.Adam(encoder.parameters()))
    assert state.epoch == 3
    again = _train(tmp_path)
    assert torch.equal(_weights(whole), _weights(again))
    assert again.state.curve == whole.state.curve


def test_another_training_in_the_same_folder_neither_uses_nor_removes_checkpoints(tmp_path):
    first = _train(tmp_path, mark="one")
    fresh = _train(tmp_path, SETTINGS.with_changes(epochs=1), mark="two")
    assert len(fresh.state.curve) == 1
    assert [p.stem for p in (tmp_path / "two").iterdir()] == ["epoch-0001"]
    assert len(list((tmp_path / "one").iterdir())) == 2
    assert torch.equal(_weights(_train(tmp_path, mark="one")), _weights(first))


def test_labels_all_alike_are_not_estimable(tmp_path):
    same = [bag for bag in _bags() if bag.recurred]
    with pytest.raises(TrainingError) as caught:
        _train(tmp_path, bags=same)
    assert caught.value.code == "labels-all-alike"


@pytest.mark.parametrize("channels", [3, 4])
def test_the_exported_graph_scores_as_torch_does(channels):
    encoder = build_encoder("mobilenetv2_035", channels=channels, start="random", seed=0).eval()
    tiles = np.random.default_rng(1).integers(0, 256, (5, 64, 64, channels), dtype=np.uint8)
    session = ort.InferenceSession(encoder_to_onnx(encoder, tile_px=64))
    with torch.no_grad():
        expected = encoder(torch.from_numpy(tiles)).numpy()
    found = session.run(None, {"tiles": tiles})[0]
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    assert len(encoder_weights(encoder)) > 1e6


def _best_offset(bags):
    patients = [LabeledBag(str(k), Bag(()), poor) for k, (_, poor) in enumerate(bags)]
    objective = Objective(SETTINGS, BagPooling(SETTINGS))
    with torch.no_grad():
        return objective.best_offset([scores for scores, _ in bags], patients)


@pytest.mark.parametrize("drift", [-6.0, 0.0, 4.0])
def test_the_offset_undoes_a_common_drift_of_all_scores(drift):
    rng = np.random.default_rng(4)
    bags = [
        (torch.tensor(rng.normal(1.0 if k % 2 else -1.0, 1.0, 9)), bool(k % 2)) for k in range(20)
    ]
    drifted = [(scores + drift, poor) for scores, poor in bags]
    straight, found = _best_offset(bags), _best_offset(drifted)
    assert found + drift == pytest.approx(straight, abs=1e-3)

    def loss(shift):
        pooled = [(generalized_mean(s + shift, exponent=3.0), poor) for s, poor in bags]
        return np.mean([float(cutoff_cross_entropy(p, y, cutoff=0.4457)) for p, y in pooled])

    assert loss(straight) <= min(loss(straight + d) for d in (-2.0, -0.1, 0.1, 2.0))


def test_unknown_starting_weights_are_named():
    with pytest.raises(TrainingError, match="built-in weights"):
        build_encoder("mobilenetv2_035", channels=4, start="builtin", seed=0)


def test_an_encoder_that_does_not_learn_stays_and_the_rest_learns(tmp_path):
    settings = SETTINGS.with_changes(
        encoder_learns=False,
        loss="cox",
        pooling="noisy-and",
        epochs=30,
        learning_rate=1e-2,
    )
    bags = [
        LabeledBag(bag.patient, bag.bag, bag.recurred, 10.0 + 50 * (not bag.recurred) + k)
        for k, bag in enumerate(_bags())
    ]
    trained = _train(tmp_path, settings, bags)
    start = build_encoder("mobilenetv2_035", channels=4, start="random", seed=0).state_dict()
    moved = {
        name
        for name, value in trained.encoder.state_dict().items()
        if name in start and not torch.equal(value, start[name])
    }
    standardized = {"feature_mean", "feature_std"}
    assert moved - {"backbone.classifier.bias"} == {"backbone.classifier.weight"} | standardized
    curve = trained.state.curve
    assert curve[-1]["training_loss"] < 0.7 * curve[0]["training_loss"]
    with torch.no_grad():
        risks = [
            trained.pooling(trained.encoder(torch.from_numpy(bag.bag.take(range(4)))))
            for bag in bags
        ]
    assert min(risks[1::2]) > max(risks[0::2])
    assert 0.0 < trained.cutoff < 1.0


def test_half_precision_learns_and_scores_in_single(tmp_path):
    settings = SETTINGS.with_changes(precision="bfloat16")
    half = _train(tmp_path / "half", settings)
    single = _train(tmp_path / "single")
    assert half.state.curve != single.state.curve
    assert half.state.curve[-1]["training_loss"] < 0.5 * half.state.curve[0]["training_loss"]
    scores = half.encoder(torch.from_numpy(_bags()[0].bag.take([0, 1])))
    assert scores.dtype == torch.float32


def test_patients_of_one_step_count_alike(tmp_path):
    together = SETTINGS.with_changes(patients_per_step=6, epochs=1)
    apart = SETTINGS.with_changes(patients_per_step=6, epochs=1, chunk_size=3)
    first, second = _train(tmp_path / "a", together), _train(tmp_path / "b", apart)
    loss = [t.state.curve[0]["training_loss"] for t in (first, second)]
    assert loss[0] == pytest.approx(loss[1], rel=1e-5)


def test_statistics_of_bags_are_not_gathered_by_several_processes(tmp_path):
    with pytest.raises(TrainingError, match="one process"):
        train_encoder(
            _bags(), [], SETTINGS.with_changes(batch_norm="train"), checkpoints=tmp_path, mark="m",
            progress=SilentProgress(), processes=Processes(1, 2),
        )  # fmt: skip


def test_tiles_of_two_kinds_are_refused(tmp_path):
    mixed = [*_bags(), LabeledBag("f", Bag((np.zeros((3, 8), np.float32),)), True)]
    with pytest.raises(TrainingError) as caught:
        _train(tmp_path, bags=mixed)
    assert caught.value.code == "other-features"
