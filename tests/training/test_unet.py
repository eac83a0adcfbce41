"""The nuclei U-Net, its loss, and its training from drawn data to a usable file."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs jecur[train]")

from jecur.errors import NucleiModelError, TrainingError  # noqa: E402
from jecur.nuclei import agreement as nuclei_agreement  # noqa: E402
from jecur.nuclei.segmentation import NucleiModel  # noqa: E402
from jecur.settings import NucleiSettings  # noqa: E402
from jecur.training.nuclei import fit as nuclei_training  # noqa: E402
from jecur.training.nuclei.agreement import bootstrap_mean, evaluate_nuclei  # noqa: E402
from jecur.training.nuclei.data import CropSource, perturb_colors, read_fields  # noqa: E402
from jecur.training.nuclei.fit import (  # noqa: E402
    NucleiTrainingSettings,
    fit_nuclei,
    settle_threshold,
)
from jecur.training.nuclei.quantize import calibration_tiles, quantize_nuclei  # noqa: E402
from jecur.training.nuclei.release import export_nuclei, train_nuclei  # noqa: E402
from jecur.training.nuclei.unet import NucleiUNet, dice_loss, segmentation_loss  # noqa: E402

SMALL = NucleiTrainingSettings(
    widths=(8, 8, 8, 8),
    steps=4,
    batch_size=2,
    crop_px=32,
    evaluate_every=2,
    bfloat16=False,
    seam_weight=0.0,
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def drawn_data(tmp_path_factory) -> Path:
    """Four fields of dark disks at 0.25 um/px in the layout of the real data."""
    root = tmp_path_factory.mktemp("nuclei")
    rng = np.random.default_rng(0)
    rows = []
    for k, split in enumerate(["train", "train", "val", "test_same_organ"]):
        side = 192
        y, x = np.mgrid[:side, :side]
        labels = np.zeros((side, side), dtype=np.uint16)
        for n, (cy, cx) in enumerate(rng.integers(15, side - 15, (12, 2)), start=1):
            labels[(y - cy) ** 2 + (x - cx) ** 2 < 144] = n
        rgb = np.where(labels[..., None] > 0, (84, 52, 130), (232, 190, 214))
        rgb = np.clip(rgb + rng.normal(0, 5, (side, side, 3)), 0, 255).astype(np.uint8)
        for kind, array in (("images", rgb), ("labels", labels)):
            (root / "drawn" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / "drawn" / kind / f"field{k}.png")
        rows.append({"dataset": "drawn", "image": f"field{k}.png", "split": split})
    with (root / "split.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["dataset", "image", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return root


# The loss


def test_dice_loss_by_hand():
    probability = torch.tensor([[0.5, 1.0], [0.0, 0.0]])
    target = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    # sum py = 1.5, sum p = 1.5, sum y = 2, e = 1
    assert dice_loss(probability, target).item() == pytest.approx(1 - (3 + 1) / (3.5 + 1))


def test_on_an_empty_tile_the_stable_form_is_zero_and_the_literal_one_minus_one():
    empty = torch.zeros(2, 8, 8, dtype=torch.float64)
    assert dice_loss(empty, empty).item() == 0.0
    assert dice_loss(empty, empty, form="literal").item() == pytest.approx(-1.0)


def test_on_a_full_tile_both_forms_agree():
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(2, 64, 64, generator=generator)
    target = (torch.rand(2, 64, 64, generator=generator) > 0.5).float()
    stable, literal = (dice_loss(probability, target, form=f) for f in ("stable", "literal"))
    assert stable.item() == pytest.approx(literal.item(), abs=2e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_stable_dice_loss_lies_between_zero_and_one(seed, sparse):
    generator = torch.Generator().manual_seed(seed)
    probability = torch.rand(1, 8, 8, generator=generator)
    target = (torch.rand(1, 8, 8, generator=generator) > (0.95 if sparse else 0.3)).float()
    assert 0.0 <= dice_loss(probability, target).item() <= 1.0


def test_dice_loss_has_a_gradient_on_an_empty_tile():
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    segmentation_loss(logits, torch.zeros(1, 8, 8), cross_entropy_weight=0.0).backward()
    assert (logits.grad > 0).all()


def test_the_gradient_of_the_dice_loss_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(1)
    probability = torch.rand(3, 4, dtype=torch.float64, generator=generator).requires_grad_()
    target = (torch.rand(3, 4, dtype=torch.float64, generator=generator) > 0.5).double()
    for form in ("stable", "literal"):
        assert torch.autograd.gradcheck(lambda p, f=form: dice_loss(p, target, form=f), probability)


def test_cross_entropy_is_added_with_its_weight():
    logits, target = torch.randn(2, 8, 8), torch.ones(2, 8, 8)
    alone, half, one = (
        segmentation_loss(logits, target, cross_entropy_weight=w).item() for w in (0.0, 0.5, 1.0)
    )
    assert half - alone == pytest.approx((one - alone) / 2, rel=1e-4)
    assert one - alone == pytest.approx(torch.log1p(torch.exp(-logits)).mean().item(), rel=1e-4)


def test_a_seam_is_background_that_weighs_more():
    logits, target = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    seam = torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])
    # p = 1/2 everywhere; the target keeps three of four pixels: sum py = 1.5, sum p = 2, sum y = 3
    expected = 1 - (2 * 1.5 + 1) / (2 + 3 + 1) + 0.5 * np.log(2) * (3 + 5) / 4
    found = segmentation_loss(logits, target, seam=seam, seam_weight=4.0)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_probability_and_target_of_different_shape_are_refused():
    with pytest.raises(TrainingError, match="one shape"):
        dice_loss(torch.zeros(2, 4), torch.zeros(2, 1))


# The network


def test_the_network_keeps_the_size_and_sees_every_pixel():
    torch.manual_seed(0)
    network = NucleiUNet((8, 8, 8, 8)).eval()
    rgb = torch.randn(2, 3, 32, 48, requires_grad=True)
    logits = network(rgb)
    assert logits.shape == (2, 32, 48)
    logits.sum().backward()
    assert (rgb.grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("widths", [(4, 6), (4, 4, 8, 8, 8)])
def test_the_network_may_have_any_depth(widths):
    network = NucleiUNet(widths).eval()
    side = 2 * network.stride
    assert network.stride == 2 ** len(widths)
    assert network(torch.randn(1, 3, side, side)).shape == (1, side, side)
    assert export_nuclei(network)[1] < 1e-5
    with pytest.raises(TrainingError, match="two to five levels"):
        NucleiUNet(widths[:1])


def test_the_exported_network_agrees_with_torch():
    torch.manual_seed(0)
    onnx_bytes, difference = export_nuclei(NucleiUNet((8, 8, 8, 8)))
    assert difference < 1e-5
    assert NucleiModel.from_bytes(onnx_bytes, threads=1).map(
        np.zeros((1, 20, 30, 3), np.uint8)
    ).shape == (1, 20, 30)


def test_integers_keep_the_contract_and_nearly_the_probabilities(drawn_data):
    torch.manual_seed(0)
    floats, _ = export_nuclei(NucleiUNet())
    tiles = calibration_tiles(read_fields(drawn_data, "train"), rng=np.random.default_rng(0))
    assert tiles.shape == (6, 64, 64, 3)
    integers = quantize_nuclei(floats, tiles)
    assert len(integers) < 0.35 * len(floats)
    before, after = (
        NucleiModel.from_bytes(content, threads=1).probability(tiles)
        for content in (floats, integers)
    )
    assert 0 < np.abs(after - before).mean() < 0.02


def test_calibration_refuses_fields_smaller_than_a_stride(drawn_data):
    (field,) = read_fields(drawn_data, "val", um_per_px=4.0)
    with pytest.raises(TrainingError, match="32 px for calibration, found 12"):
        calibration_tiles([field], rng=np.random.default_rng(0))


# The data


def test_fields_are_read_at_the_working_scale(drawn_data):
    (field,) = read_fields(drawn_data, "val")
    assert field.rgb.shape == (84, 84, 3)  # 192 px x 0.25 / 0.5714
    assert field.labels.shape == field.cover.shape == (84, 84)
    # The area of the nuclei in um2 is the same at every scale.
    (fine,) = read_fields(drawn_data, "val", um_per_px=0.25)
    assert field.cover.sum() * (128 / 224) ** 2 == pytest.approx(fine.cover.sum() / 16, rel=0.01)
    assert (field.labels > 0).mean() == pytest.approx(fine.cover.mean(), rel=0.05)


def test_crops_repeat_with_the_generator_and_keep_color_and_cover_together(drawn_data):
    source = CropSource(drawn_data, "train", side=32)
    rgb, cover, _ = source.draw(8, np.random.default_rng(3))
    again, _, _ = source.draw(8, np.random.default_rng(3))
    assert torch.equal(rgb, again)
    assert (rgb.shape, cover.shape) == ((8, 3, 32, 32), (8, 32, 32))
    blue = rgb[:, 0]  # nuclei are dark in red: full cover must be darker than none
    assert blue[cover == 1].max() < blue[cover == 0].min()


def test_perturbed_colors_stay_in_range_and_some_crops_stay_as_they_were():
    rgb = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    perturbed = perturb_colors(rgb.clone(), np.random.default_rng(0))
    assert perturbed.shape == rgb.shape
    assert 0.0 <= perturbed.min() <= perturbed.max() <= 255.0
    change = (perturbed - rgb).abs().amax(dim=(1, 2, 3))
    assert 1 <= int((change < 0.01).sum()) <= 16
    assert float(change.median()) > 10.0


def test_crops_larger_than_the_fields_are_refused(drawn_data):
    with pytest.raises(TrainingError, match="at most 42 px, found 64"):
        CropSource(drawn_data, "train", side=64)


def test_missing_data_are_named(tmp_path, drawn_data):
    with pytest.raises(TrainingError, match=r"split\.csv"):
        read_fields(tmp_path, "train")
    with pytest.raises(TrainingError, match="split 'nowhere'"):
        read_fields(drawn_data, "nowhere")


def test_seams_lie_where_outlined_nuclei_touch(drawn_data):
    (field,) = read_fields(drawn_data, "test_same_organ", um_per_px=0.25)
    beside = np.zeros(field.labels.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            other = np.roll(field.labels, step, axis)
            beside |= (field.labels > 0) & (other > 0) & (other != field.labels)
    assert beside.any()
    assert (field.seam[beside] == 1).all()
    assert (field.cover[field.seam > 0] == 1).all()
    assert (field.seam > 0).sum() < 2 * beside.sum()


def test_images_published_at_a_wrong_scale_are_read_at_their_own(drawn_data, tmp_path):
    shutil.copytree(drawn_data, tmp_path, dirs_exist_ok=True)
    name = "TCGA-HE-7128-01Z-00-DX1.png"
    for kind in ("images", "labels"):
        (tmp_path / "drawn" / kind / "field2.png").rename(tmp_path / "drawn" / kind / name)
    table = tmp_path / "split.csv"
    table.write_text(table.read_text().replace("field2.png", name))
    (field,) = read_fields(tmp_path, "val")
    assert field.rgb.shape == (168, 168, 3)  # 192 px x 0.5 / 0.5714
    header, *rows = table.read_text().split()
    own = [row + (",0.25" if name in row else ",") for row in rows]
    table.write_text("\n".join([header + ",mpp", *own]) + "\n")
    (field,) = read_fields(tmp_path, "val")
    assert field.rgb.shape == (84, 84, 3)


# Training


def weights(network: NucleiUNet) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in network.state_dict().values()]


def test_training_repeats_exactly_for_a_seed_and_differs_for_another(drawn_data, tmp_path):
    one, two, other = (
        fit_nuclei(drawn_data, tmp_path / name, replace(SMALL, seed=seed))
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one.history == two.history
    pairs = zip(weights(one.network), weights(two.network), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert not np.array_equal(weights(one.network)[0], weights(other.network)[0])


def test_a_stopped_run_resumes_to_the_same_weights(drawn_data, tmp_path, monkeypatch):
    whole = fit_nuclei(drawn_data, tmp_path / "whole", SMALL)
    real = nuclei_training._draw

    def stop_at_third_step(crops, n, rng):
        stop_at_third_step.calls += 1
        if stop_at_third_step.calls == 3:
            raise KeyboardInterrupt
        return real(crops, n, rng)

    stop_at_third_step.calls = 0
    monkeypatch.setattr(nuclei_training, "_draw", stop_at_third_step)
    with pytest.raises(KeyboardInterrupt):
        fit_nuclei(drawn_data, tmp_path / "stopped", SMALL)
    monkeypatch.setattr(nuclei_training, "_draw", real)
    resumed = fit_nuclei(drawn_data, tmp_path / "stopped", SMALL)
    assert resumed.history == whole.history
    pairs = zip(weights(whole.network), weights(resumed.network), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_checkpoint_of_other_settings_is_not_resumed(drawn_data, tmp_path):
    fit_nuclei(drawn_data, tmp_path, SMALL)
    with pytest.raises(TrainingError, match="checkpoint of the settings given"):
        fit_nuclei(drawn_data, tmp_path, replace(SMALL, learning_rate=1e-4))


def test_training_finds_drawn_nuclei_and_writes_a_network_with_its_card(drawn_data, tmp_path):
    run = replace(SMALL, steps=60, batch_size=4, evaluate_every=30, learning_rate=1e-2)
    run = replace(run, averaging=0.9)
    released = train_nuclei(drawn_data, tmp_path, run, provenance={"license": "drawn here"})
    card = json.loads(released.card.read_text())
    model = NucleiModel.from_bytes(released.onnx.read_bytes(), card=card, threads=1)
    assert card["sha256"] == model.sha256
    assert card["data"] == {"n_training_fields": 2, "license": "drawn here"}
    assert card["parity_torch_onnx"] < 1e-4
    assert "not_measured" in card["agreement"]["external_40x"]
    stated = card["agreement"]["test_same_organ"]
    measured = evaluate_nuclei(drawn_data, "test_same_organ", model)
    assert stated["dice"]["mean"] == pytest.approx(measured.estimate("dice").mean, abs=1e-4)
    assert measured.estimate("dice").mean > 0.85
    quantization = card["quantization"]
    assert quantization["used"] == (
        quantization["validation_dice_float32"] - quantization["validation_dice_integers"] <= 0.005
    )
    floats = (tmp_path / "nuclei_unet_float32.onnx").read_bytes()
    assert (floats == model.onnx_bytes) != quantization["used"]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_finer_network_is_measured_and_used_at_its_scale(drawn_data, tmp_path):
    fine = replace(SMALL, um_per_px=0.25, crop_px=64, seam_weight=2.0)
    released = train_nuclei(drawn_data, tmp_path, fine, quantize=False)
    model = NucleiModel.load(NucleiSettings(model=str(released.onnx)), threads=1)
    assert model.um_per_px == pytest.approx(0.25)
    (field,) = read_fields(drawn_data, "val", um_per_px=0.25)
    truth = evaluate_nuclei(drawn_data, "val", model).fields[0].agreement
    inside = model.probability(field.rgb[None])[0] >= 0.5
    assert truth.dice == pytest.approx(nuclei_agreement.dice(inside, field.labels > 0), abs=1e-3)
    with pytest.raises(NucleiModelError, match=r"0\.571 um/px, found one of 0\.250"):
        model.require_working_scale()


@pytest.mark.parametrize("wrong", [{"crop_px": 40}, {"steps": 0}, {"batch_size": 0}])
def test_settings_that_cannot_train_are_refused(drawn_data, tmp_path, wrong):
    with pytest.raises(TrainingError, match="correct that option"):
        fit_nuclei(drawn_data, tmp_path, replace(SMALL, **wrong))


def test_the_threshold_is_settled_where_dice_is_best(drawn_data):
    fields = read_fields(drawn_data, "val")
    torch.manual_seed(0)
    network = NucleiUNet((8, 8)).eval()

    class Blurred(torch.nn.Module):
        """Logits of a map that is right but for its level: 0.2 inside, -2 outside, less 0.9."""

        stride = 4

        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Conv2d(1, 1, 1)
            torch.nn.init.zeros_(self.head.bias)

        def forward(self, rgb):
            inside = rgb[:, 0] < 0
            return torch.where(inside, 0.2, -2.0) - 0.9 + self.head.bias

    blurred = Blurred()
    before = nuclei_training.mean_dice(blurred, fields)
    shift = settle_threshold(blurred, fields)
    assert before < 0.1
    assert nuclei_training.mean_dice(blurred, fields) > 0.9
    assert shift == pytest.approx(0.7)  # the smallest that brings the inside to 0 or above
    again = settle_threshold(blurred, fields)
    assert again == 0.0
    assert settle_threshold(network, fields) in nuclei_training.SHIFTS


def test_a_loss_that_is_not_finite_stops_the_training(drawn_data, tmp_path):
    with pytest.raises(TrainingError, match="finite loss"):
        fit_nuclei(drawn_data, tmp_path, replace(SMALL, steps=20, learning_rate=1e30))


def test_the_bootstrap_interval_holds_the_mean_and_shrinks_to_it():
    rng = np.random.default_rng(0)
    wide = bootstrap_mean([0.6, 0.7, 0.8, 0.9], rng=rng)
    assert wide.mean == pytest.approx(0.75)
    assert 0.6 <= wide.lower < 0.75 < wide.upper <= 0.9
    point = bootstrap_mean([0.7, 0.7, 0.7], rng=rng)
    assert point.lower == pytest.approx(0.7) == pytest.approx(point.upper)


def test_bfloat16_is_computed_only_where_the_device_has_it(drawn_data, tmp_path, monkeypatch):
    """A processor without it imitates it, many times slower."""
    seen = []

    class Seen(torch.autocast):
        def __init__(self, *given, enabled, **named):
            seen.append(enabled)
            super().__init__(*given, enabled=enabled, **named)

    monkeypatch.setattr("jecur.training.nuclei.fit.torch.autocast", Seen)
    asked = replace(SMALL, steps=1, evaluate_every=1, bfloat16=True)
    for has in (True, False):
        monkeypatch.setattr("jecur.training.nuclei.fit.has_fast_bfloat16", lambda _, has=has: has)
        fit_nuclei(drawn_data, tmp_path / str(has), asked)
    assert seen == [True, False]
