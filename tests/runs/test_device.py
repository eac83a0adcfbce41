"""Which device networks run on. There is no graphics card here: stand-ins say that there is one, or not."""

import json
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from jecur.errors import RunFolderError, SettingsError, SystemRefusedError
from jecur.runs import device
from jecur.runs.device import Devices, computing_on, devices_in_use, open_session, why_no_card
from jecur.runs.folder import MANIFEST, RunFolder
from jecur.settings import ComputeSettings
from jecur.study.devices import on_devices, record_slides, settle_torch
from jecur.study.slide_task import SlideTask

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
AUTO, ON_CPU, ON_CUDA = (ComputeSettings(device=name) for name in ("auto", "cpu", "cuda"))


class StandIn:
    """An ONNX Runtime for CUDA whose sessions open a card, or fall back on the processor in silence."""

    def __init__(self, *, opens: bool) -> None:
        self.opens, self.asked = opens, []

    def session(self, graph, options, providers):
        self.asked.append((providers, options))
        found = [CUDA, CPU] if self.opens else [CPU]
        real = onnxruntime_session(graph, options, providers=[CPU])
        return SimpleNamespace(get_providers=lambda: found, run=real.run)


onnxruntime_session = onnxruntime.InferenceSession


@pytest.fixture
def card(request, monkeypatch):
    """A stand-in for ONNX Runtime with a card; `opens=False`: one whose driver is lacking."""
    stand_in = StandIn(opens=getattr(request, "param", True))
    monkeypatch.setattr(device, "available_providers", lambda: (CUDA, CPU))
    monkeypatch.setattr(onnxruntime, "InferenceSession", stand_in.session)
    return stand_in


def settled(compute, out=None, parts=("slides",)):
    with on_devices(compute, out, parts=parts) as found:
        assert devices_in_use() == found
        return found


def test_the_processor_is_used_where_nobody_chose():
    assert devices_in_use() == Devices("cpu", "cpu")


def test_without_a_card_auto_takes_the_processor_and_cuda_is_refused_with_the_remedy():
    assert why_no_card() == f"ONNX Runtime with {', '.join(device.available_providers())} alone"
    assert settled(AUTO) == settled(ON_CPU) == Devices("cpu", "cpu")
    with pytest.raises(
        SystemRefusedError, match=r"expected a graphics card.*found.*jecur\[gpu\]"
    ) as e:
        settled(ON_CUDA)
    assert e.value.code == "no-card"


def test_a_card_that_opens_is_taken_by_auto_and_by_cuda(card):
    pytest.importorskip("onnx", reason="the extra train or gpu is not installed")
    assert settled(AUTO).slides == settled(ON_CUDA).slides == "cuda"
    assert settled(ON_CPU).slides == "cpu"
    (first, options), *_ = card.asked
    assert [first[0][0], first[1]] == [CUDA, CPU]
    assert first[0][1]["use_tf32"] == "0"
    assert first[0][1]["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options.use_deterministic_compute


@pytest.mark.parametrize("card", [False], indirect=True)
def test_a_card_that_does_not_open_is_none(card):
    assert "cannot open a card" in why_no_card()
    assert settled(AUTO).slides == "cpu"
    with pytest.raises(SystemRefusedError, match="driver, CUDA or cuDNN"):
        settled(ON_CUDA)


def test_a_card_without_the_package_onnx_is_none(card, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert "no package onnx" in why_no_card()
    assert settled(AUTO).slides == "cpu"


@pytest.mark.parametrize("card", [False], indirect=True)
def test_a_session_never_falls_back_on_the_processor(card):
    with pytest.raises(SystemRefusedError) as e:
        open_session(device._NEGATIVE, onnxruntime.SessionOptions(), "cuda")
    assert e.value.code == "no-card"


def test_the_graph_by_which_a_card_is_tried_is_one():
    session = open_session(device._NEGATIVE, onnxruntime.SessionOptions(), "cpu")
    assert session.get_providers() == [CPU]
    assert session.run(None, {"x": np.full(1, 3, np.float32)})[0] == -3


def test_a_run_goes_on_where_it_was_begun(card, tmp_path):
    run = RunFolder.open(tmp_path)
    with on_devices(ON_CPU, tmp_path):
        record_slides(run)
        record_slides(run)
    assert settled(AUTO, tmp_path).slides == "cpu"  # although there is a card
    with pytest.raises(RunFolderError, match=r'expected device = "cpu".*found "cuda".*"auto"') as e:
        settled(ON_CUDA, tmp_path)
    assert e.value.code == "other-device"
    told = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(e["part"], e["device"]) for e in told if e["event"] == "device"] == [("slides", "cpu")]


def test_a_run_begun_on_a_card_is_not_gone_on_with_by_the_processor(tmp_path):
    run = RunFolder.open(tmp_path)
    with computing_on(Devices("cuda", "cpu")):
        record_slides(run)
    assert settled(AUTO, tmp_path).slides == "cuda"  # what is finished can be taken up
    with pytest.raises(SystemRefusedError) as e:  # and what is not, is refused
        open_session(device._NEGATIVE, onnxruntime.SessionOptions(), "cuda")
    assert e.value.code == "no-card"
    with pytest.raises(RunFolderError, match="other --out"):
        settled(ON_CPU, tmp_path)
    with pytest.raises(SystemRefusedError, match=r"expected a graphics card"):
        settled(ON_CUDA, tmp_path)


def test_a_run_of_an_earlier_version_was_begun_on_the_processor(card, tmp_path):
    (tmp_path / "slides" / "a").mkdir(parents=True)
    (tmp_path / "slides" / "a" / "complete").write_text("{}")
    assert settled(AUTO, tmp_path).slides == "cpu"


def test_training_may_take_another_device_than_slides(card, tmp_path, monkeypatch):
    training = pytest.importorskip("jecur.training.device", reason="the extra train is missing")
    monkeypatch.setattr(training, "why_no_torch_card", lambda: "")
    run = RunFolder.open(tmp_path)
    with on_devices(ON_CPU, tmp_path):
        record_slides(run)
    with on_devices(AUTO, tmp_path, parts=("slides", "torch")) as found:
        assert found == Devices("cpu", "auto")  # torch is asked when it is needed
        assert settle_torch(run) == training.training_device().type == "cuda"
    run.write_manifest({})
    facts = json.loads((tmp_path / MANIFEST).read_text())
    assert facts["device"] == {"slides": "cpu", "torch": "cuda"}
    monkeypatch.setattr(training, "why_no_torch_card", lambda: "a torch that sees no card")
    with on_devices(AUTO, tmp_path, parts=("slides", "torch")) as found:
        assert found.torch == "cuda"
        with pytest.raises(SystemRefusedError, match="found a torch that sees no card"):
            settle_torch(run)


def test_torch_without_a_card_is_refused_where_one_is_asked_for(card, tmp_path):
    torch = pytest.importorskip("torch", reason="the extra train is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    pytest.importorskip("onnx")
    with pytest.raises(SystemRefusedError, match="build of torch for CUDA"):
        settled(ON_CUDA, tmp_path, parts=("slides", "torch"))
    assert settled(ON_CUDA, tmp_path).slides == "cuda"  # scoring needs no torch


def test_work_on_a_card_has_a_mark_of_its_own_and_crosses_processes(tmp_path):
    (tmp_path / "a.svs").write_bytes(b"x")

    def task():
        return SlideTask("a", "p", tmp_path / "a.svs", 0.5, {}, RunFolder(tmp_path))

    here = task()
    with computing_on(Devices("cuda", "cpu")):
        there = task()
    assert (here.device, there.device) == ("cpu", "cuda")
    assert here.mark != there.mark
    assert here.cache_key != there.cache_key
    assert here.mark == task().mark


@pytest.mark.parametrize("name", ["gpu", "CUDA", "", "cuda:0"])
def test_no_other_name_is_a_device(name):
    with pytest.raises(SettingsError, match="device: expected one of 'auto', 'cpu', 'cuda'"):
        ComputeSettings(device=name)


def test_devices_of_a_damaged_record_are_none(tmp_path):
    for text in ("", "[]", '{"slides": "gpu"}', "\x00"):
        (tmp_path / device.RECORD).write_text(text)
        assert device.device_record(tmp_path) == {}
