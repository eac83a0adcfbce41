"""The device of a study: refused before anything is written, and told in log, record and model card."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from jecur.cli import SOME_FAILED, USER_ERROR, run
from jecur.errors import SystemRefusedError
from jecur.model.file import read_bundle
from jecur.runs import device
from jecur.runs.device import Devices, computing_on
from jecur.runs.folder import MANIFEST, RunFolder
from jecur.runs.log import read_events
from jecur.runs.progress import SilentProgress
from jecur.settings import ComputeSettings, read_study
from jecur.study.cohort_slides import prepare_slides, study_slides
from jecur.study.devices import devices_line, tell_other_device
from jecur.study.prepare import prepare_slide


@pytest.fixture
def on_card(tiny_study):
    """Study file beside the shared one, which asks for a graphics card."""
    text = tiny_study.read_text()
    assert 'device = "auto"' in text
    named = tiny_study.parent / "on-card.toml"
    named.write_text(text.replace('device = "auto"', 'device = "cuda"'))
    yield named
    named.unlink()


@pytest.mark.parametrize("command", ["prepare", "train", "run", "crossval"])
def test_a_card_that_is_not_there_is_refused_before_anything_is_written(
    command, tiny_study, tmp_path, capsys
):
    out = tmp_path / "run"
    arguments = [command, str(tiny_study), "--out", str(out), "-j", "1", "--device", "cuda"]
    assert run(arguments) == USER_ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert 'expected a graphics card for device = "cuda", found ONNX Runtime with' in said
    assert "[no-card]" in said
    assert not out.exists()


def test_a_worker_and_scoring_without_their_card_are_refused_too(
    tiny_study, tiny_model, tmp_path, capsys
):
    out = tmp_path / "run"
    more = ["--out", str(out), "--device", "cuda"]
    assert run(["prepare", str(tiny_study), "--worker", *more]) == USER_ERROR
    slide = next((tiny_study.parent / "slides").glob("V-0008.tiff"))
    assert run(["score", str(slide), "--model", str(tiny_model), *more]) == USER_ERROR
    assert capsys.readouterr().err.count("[no-card]") == 2
    assert not out.exists()


def test_the_study_file_names_it_as_well_and_the_command_line_goes_before(
    tiny_study, on_card, tmp_path, capsys
):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(tiny_study.read_text().replace('device = "auto"', 'device = "gpu"'))
    out = tmp_path / "run"
    assert run(["prepare", str(on_card), "--out", str(out)]) == USER_ERROR
    assert "[no-card]" in capsys.readouterr().err
    assert run(["prepare", str(wrong), "--out", str(out)]) == USER_ERROR
    assert "device: expected one of 'auto', 'cpu', 'cuda'" in capsys.readouterr().err
    assert run(["prepare", str(on_card), "--out", str(out), "--device", "gpu"]) == USER_ERROR
    assert not out.exists()


def test_log_record_and_model_card_say_on_which_device_a_run_was_made(tiny_run, tiny_model):
    on_cpu = {"slides": "cpu", "torch": "cpu"}
    assert json.loads((tiny_run / MANIFEST).read_text())["device"] == on_cpu
    told = read_events(tiny_run / "log.jsonl", "device")
    assert {e["part"]: e["device"] for e in told} == on_cpu
    card = read_bundle(tiny_model).card
    assert msgspec.to_builtins(card.computed_on) == {"slides": "cpu", "training": "cpu"}


def test_a_run_is_not_gone_on_with_on_another_device(tiny_run, tiny_study, capsys, monkeypatch):
    monkeypatch.setattr("jecur.study.devices.why_no_card", lambda: "")
    before = sorted(p.name for p in tiny_run.iterdir())
    code = run(["run", str(tiny_study), "--out", str(tiny_run), "--device", "cuda"])
    assert code == USER_ERROR
    assert "[other-device]" in capsys.readouterr().err
    assert before == sorted(p.name for p in tiny_run.iterdir())


def test_a_worker_process_without_a_card_stops_the_command(tiny_study, tmp_path):
    settings = read_study(tiny_study)
    orders = study_slides(settings, tiny_study.parent, tmp_path)
    run_folder = RunFolder.open(tmp_path / "run")
    on_card = [replace(o, run=run_folder, device="cuda") for o in orders if o.slide == "V-0008"]
    with pytest.raises(SystemRefusedError) as e:
        prepare_slides(on_card, run_folder, workers=1, progress=SilentProgress())
    assert e.value.code == "no-card"


def test_a_slide_seen_by_a_card_has_the_colors_of_one_seen_here_and_nuclei_by_floats(
    tiny_study, tmp_path, monkeypatch
):
    pytest.importorskip("onnx", reason="the extra train or gpu is not installed")

    def stand_in(graph, options, where):
        return device.open_session(graph, options, "cpu")

    monkeypatch.setattr("jecur.nuclei.segmentation.open_session", stand_in)
    settings = read_study(tiny_study)
    bags = []
    for where in ("cpu", "cuda"):
        root = tmp_path / where
        with computing_on(Devices(where, "cpu")):
            (order,) = (
                o for o in study_slides(settings, tiny_study.parent, root) if o.slide == "V-0008"
            )
        assert prepare_slide(order).status != "failed"
        bags.append(np.load(root / "slides" / "V-0008" / "bag.npy"))
    here, there = (bag.astype(int) for bag in bags)
    np.testing.assert_array_equal(here[..., :3], there[..., :3])
    apart = np.abs(here[..., 3] - there[..., 3])
    assert 0 < apart.max() < 0.2 * 255
    assert apart.mean() < 0.005 * 255


def test_scoring_on_another_device_than_that_of_the_training_is_said(tiny_model):
    card, said = read_bundle(tiny_model).card, []
    progress = SilentProgress()
    progress.say = said.append
    tell_other_device(card, progress)
    assert not said
    with computing_on(Devices("cuda", "cpu")):
        tell_other_device(card, progress)
        tell_other_device(msgspec.structs.replace(card, computed_on=None), progress)
    (line,) = said
    assert "trained on slides seen by the processor, these are seen by a graphics card" in line


def test_doctor_says_where_networks_would_run_and_why_not_on_a_card(
    tiny_study, on_card, tmp_path, capsys
):
    run(["doctor", str(tiny_study), "--out", str(tmp_path / "run")])
    said = " ".join(capsys.readouterr().out.split())
    assert "no-card" not in said
    assert "Device: slides on the processor (ONNX Runtime with " in said
    assert "; training on the processor (torch " in said
    assert run(["doctor", str(on_card), "--out", str(tmp_path / "run")]) == SOME_FAILED
    assert "[no-card]" in capsys.readouterr().out


def test_doctor_says_that_a_folder_was_begun_on_another_device(tiny_run, on_card, capsys):
    assert run(["doctor", str(on_card), "--out", str(tiny_run)]) == SOME_FAILED
    assert "[other-device]" in capsys.readouterr().out


def test_with_a_card_doctor_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("jecur.study.devices.why_no_card", lambda: "")
    line = devices_line(ComputeSettings(), tmp_path / "run")
    assert line.startswith("Device: slides on a graphics card; training on the processor (torch ")
    line = devices_line(ComputeSettings(device="cpu"), tmp_path / "run")
    assert line == "Device: slides on the processor; training on the processor."
