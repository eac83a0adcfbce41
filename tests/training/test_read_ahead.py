"""Tiles read ahead: the same tensors, the same weights, one more in memory and never two."""

import threading

import numpy as np
import pytest
import torch

from jecur.mil.bag import Bag
from jecur.runs.device import Devices, computing_on
from jecur.runs.progress import SilentProgress
from jecur.settings import TrainingSettings
from jecur.training import bag_model, cohort_gradient, device, every_tile, loop, read_ahead
from jecur.training.export import encoder_weights
from jecur.training.mobilenet import build_encoder
from jecur.training.objective import LabeledBag

SETTINGS = TrainingSettings.from_flat(
    encoder="mobilenetv2_035", start="random", epochs=2, chunk_size=3, augment_stain=True
)


def _bags(n=4, side=32):
    rng = np.random.default_rng(0)
    return [
        LabeledBag(
            f"p{i}", Bag((rng.integers(30, 220, (7, side, side, 4), dtype=np.uint8),)), bool(i % 2)
        )
        for i in range(n)
    ]


def _one_after_the_other(reads, *, ahead=True):
    return (read() for read in reads)


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_weights_are_those_of_reading_one_after_the_other(tmp_path, monkeypatch, batch_norm):
    settings = SETTINGS.with_changes(batch_norm=batch_norm, patients_per_step=2)
    found, threads = [], set()
    read = loop.BagChunks.read

    def seen(self, index):
        threads.add(threading.current_thread() is threading.main_thread())
        return read(self, index)

    monkeypatch.setattr(loop.BagChunks, "read", seen)
    for way in (read_ahead.read_ahead, _one_after_the_other):
        monkeypatch.setattr(cohort_gradient, "read_ahead", way)
        monkeypatch.setattr(every_tile, "read_ahead", way)
        threads.clear()
        trained = loop.train_encoder(
            _bags(), _bags(2), settings, checkpoints=tmp_path / way.__name__, mark="m",
            progress=SilentProgress(),
        )  # fmt: skip
        assert False in threads or way is _one_after_the_other
        found.append((encoder_weights(trained.encoder), trained.state.curve))
    assert found[0] == found[1]


def test_the_next_is_read_while_the_one_at_hand_is_used_and_no_more():
    began = [threading.Event() for _ in range(4)]

    def read(k):
        began[k].set()
        return torch.full((1,), k)

    tiles = read_ahead.read_ahead([lambda k=k: read(k) for k in range(4)])
    assert not began[0].is_set()  # nothing before it is asked for
    assert next(tiles) == 0
    assert began[1].wait(10)
    assert not began[2].wait(0.05)
    assert [int(t) for t in tiles] == [1, 2, 3]


def test_an_error_of_reading_comes_where_its_tiles_were_wanted():
    def bad():
        raise OSError("no such tiles")

    tiles = read_ahead.read_ahead([lambda: torch.zeros(1), bad, lambda: torch.ones(1)])
    assert next(tiles) == 0
    with pytest.raises(OSError, match="no such tiles"):
        next(tiles)


def test_features_are_read_as_they_are_wanted_and_by_no_thread():
    here = threading.current_thread()
    tiles = read_ahead.read_ahead([lambda: threading.current_thread() is here] * 3, ahead=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_ahead, "to_device", lambda found: found)
        assert list(tiles) == [True] * 3


def test_for_a_card_memory_is_pinned_and_copied_while_it_computes(monkeypatch):
    """A stand-in: the device that holds no numbers, and a pinning that is written down."""
    pinned = []
    monkeypatch.setattr(read_ahead, "training_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(device, "training_device", lambda: torch.device("meta"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device", lambda card: torch.inference_mode(mode=False))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    found = list(read_ahead.read_ahead([lambda: torch.zeros(2, 3)] * 3))
    assert [tensor.device.type for tensor in found] == ["meta"] * 3
    assert len(pinned) == 3


def test_on_the_processor_nothing_is_pinned(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pytest.fail("pinned"))
    one = torch.zeros(2)
    assert [t is one for t in read_ahead.read_ahead([lambda: one] * 3)] == [True] * 3


@pytest.mark.parametrize(
    ("precision", "where", "half"),
    [
        ("auto", "cpu", False), ("auto", "cuda", True), ("float32", "cuda", False),
        ("bfloat16", "cpu", True),
    ],
)  # fmt: skip
def test_half_precision_by_itself_is_for_a_card_alone(monkeypatch, precision, where, half):
    monkeypatch.setattr(bag_model, "training_device", lambda: torch.device(where))
    encoder = build_encoder("mobilenetv2_035", channels=4, start="random", seed=0)
    encoder.add_pooling(SETTINGS.with_changes(precision=precision))
    assert encoder.half_precision is half
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


def test_torch_is_on_the_processor_unless_a_command_settled_otherwise(monkeypatch):
    monkeypatch.setattr(device, "why_no_torch_card", lambda: "")
    assert device.training_device().type == "cpu"
    for wanted, found in (("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")):
        with computing_on(Devices("cpu", wanted)):
            assert device.training_device().type == found
