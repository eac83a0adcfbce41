"""The built-in nuclei network and what any other must keep to."""

import csv
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jecur.errors import NucleiModelError
from jecur.nuclei.agreement import dice
from jecur.nuclei.segmentation import BUILTIN, NucleiModel, add_nuclei_channel
from jecur.settings import NucleiSettings

PALE, DARK = (232, 190, 214), (84, 52, 130)


@pytest.fixture(scope="module")
def model() -> NucleiModel:
    return NucleiModel.load(threads=1)


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx", reason="needs the onnx package (jecur[train])")


def drawn_tile(*, side: int = 224, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A tile with round dark nuclei on pale cytoplasm, and where they are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    nuclei = np.zeros((side, side), dtype=bool)
    for cy in range(16, side - 10, 28):
        for cx in range(16, side - 10, 28):
            jitter = rng.uniform(-4, 4, 2)
            nuclei |= (y - cy - jitter[0]) ** 2 + (x - cx - jitter[1]) ** 2 < rng.uniform(6, 8) ** 2
    colors = np.where(nuclei[..., None], DARK, PALE) + rng.normal(0, 6, (side, side, 3))
    return np.clip(colors, 0, 255).astype(np.uint8), nuclei


def test_the_built_in_card_describes_the_file(model):
    assert model.card["sha256"] == model.sha256
    assert "Research use only" in str(model.card["not_for"])
    assert "CC BY-NC-SA 4.0" in json.dumps(model.card["data"])
    assert BUILTIN.stat().st_size <= 4 * 2**20


def test_the_built_in_card_reaches_the_dice_of_the_paper_within_its_interval(model):
    found = model.card["agreement"]["test_same_organ"]["dice"]
    assert found["mean"] >= 0.79
    assert found["lower"] < found["mean"] < found["upper"]


def test_drawn_nuclei_are_found(model):
    rgb, nuclei = drawn_tile()
    assert dice(model.map(rgb[None])[0] >= 128, nuclei) > 0.75


def test_white_glass_holds_no_nuclei(model):
    glass = np.full((1, 224, 224, 3), 244, dtype=np.uint8)
    assert (model.map(glass) >= 128).mean() < 0.001


def test_a_tile_has_the_same_map_alone_and_in_any_batch(model):
    tiles = np.stack([drawn_tile(side=64, seed=k)[0] for k in range(5)])
    together = model.map(tiles)
    assert np.array_equal(together[3], model.map(tiles[3:4])[0])
    assert np.array_equal(together[::-1], model.map(tiles[::-1]))


def test_the_map_is_the_rounded_probability(model):
    tile = drawn_tile(side=64)[0][None]
    probability = model.probability(tile)
    assert probability.dtype == np.float32
    assert 0.0 <= probability.min() <= probability.max() <= 1.0
    assert np.abs(model.map(tile) / 255.0 - probability).max() <= 0.5 / 255 + 1e-6


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2))
def test_any_size_is_taken_and_kept(h, w, n):
    tiles = np.full((n, h, w, 3), 200, dtype=np.uint8)
    found = NucleiModel.load(threads=1).map(tiles)
    assert (found.shape, found.dtype) == ((n, h, w), np.uint8)


def test_padding_changes_nothing_away_from_the_seam(model):
    rgb, _ = drawn_tile(side=224)
    whole, cut = model.map(rgb[None])[0], model.map(rgb[None, :200, :200])[0]
    difference = np.abs(whole[:96, :96].astype(int) - cut[:96, :96])  # no pixel sees 104 px far
    assert difference.max() <= 1


def test_adding_the_channel_keeps_the_colors(model):
    rgb = drawn_tile(side=64)[0][None]
    kept = rgb.copy()
    bag = add_nuclei_channel(model, rgb)
    assert (bag.shape, bag.dtype) == ((1, 64, 64, 4), np.uint8)
    assert np.array_equal(bag[..., :3], rgb)
    assert np.array_equal(rgb, kept)
    assert np.array_equal(bag[..., 3], model.map(rgb))


def test_bytes_make_the_same_network(model):
    tile = drawn_tile(side=48)[0][None]
    again = NucleiModel.from_bytes(model.onnx_bytes, card=model.card, threads=1)
    assert again.sha256 == model.sha256
    assert np.array_equal(again.map(tile), model.map(tile))


def test_a_network_survives_the_way_to_another_process(model):
    tile = drawn_tile(side=48)[0][None]
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    assert np.array_equal(again.map(tile), model.map(tile))


def test_a_path_in_the_settings_is_read_without_a_card(tmp_path, model):
    path = tmp_path / "mine.onnx"
    shutil.copy(BUILTIN, path)
    mine = NucleiModel.load(NucleiSettings(model=str(path)), threads=1)
    assert mine.sha256 == model.sha256
    assert mine.card == {}


def test_a_changed_file_is_refused_by_its_card(tmp_path):
    path = tmp_path / "mine.onnx"
    shutil.copy(BUILTIN, path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(NucleiModelError, match="SHA-256") as caught:
        NucleiModel.load(NucleiSettings(model=str(path)))
    assert caught.value.code == "nuclei-model-changed"


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_card_is_an_error_that_names_it(tmp_path, text):
    path = tmp_path / "mine.onnx"
    shutil.copy(BUILTIN, path)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(NucleiModelError, match=r"mine\.json"):
        NucleiModel.load(NucleiSettings(model=str(path)))


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(NucleiModelError, match=r"none\.onnx.*builtin"):
        NucleiModel.load(NucleiSettings(model=str(tmp_path / "none.onnx")))


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x07" * 50])
def test_bytes_that_are_no_network_are_refused(content):
    with pytest.raises(NucleiModelError, match="to be an ONNX graph"):
        NucleiModel.from_bytes(content)


def test_a_truncated_network_is_refused(model):
    with pytest.raises(NucleiModelError):
        NucleiModel.from_bytes(model.onnx_bytes[: len(model.onnx_bytes) // 2])


@pytest.mark.parametrize(
    "tiles",
    [
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 3, 32, 32), np.uint8),
        np.zeros((1, 32, 32, 4), np.uint8),
        np.zeros((1, 0, 32, 3), np.uint8),
    ],
)
def test_tiles_of_another_form_are_refused(model, tiles):
    with pytest.raises(NucleiModelError, match=r"\(n, h, w, 3\) uint8") as caught:
        model.map(tiles)
    assert caught.value.code == "bad-tiles"


def small_network(onnx, *, input_type: str = "UINT8", n_inputs: int = 1, bias: float = 0.0):
    """The mean of the three colors / 255, plus a bias, as an ONNX network."""
    helper, kinds = onnx.helper, onnx.TensorProto
    tiles = ["n", "h", "w", 3]
    inputs = [
        helper.make_tensor_value_info(f"rgb{k}", getattr(kinds, input_type), tiles)
        for k in range(n_inputs)
    ]
    output = helper.make_tensor_value_info("p", kinds.FLOAT, ["n", "h", "w"])
    nodes = [
        helper.make_node("Cast", ["rgb0"], ["x"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[3], keepdims=0),
        helper.make_node("Mul", ["m", "scale"], ["s"]),
        helper.make_node("Add", ["s", "bias"], ["p"]),
    ]
    constants = [
        helper.make_tensor("scale", kinds.FLOAT, [], [1 / 255]),
        helper.make_tensor("bias", kinds.FLOAT, [], [bias]),
    ]
    graph = helper.make_graph(nodes, "mean", inputs, [output], constants)
    opset = [helper.make_opsetid("", 17)]
    network = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return network.SerializeToString()


def test_any_network_that_keeps_the_contract_is_taken(onnx):
    mean = NucleiModel.from_bytes(small_network(onnx), threads=1)
    tile = drawn_tile(side=40)[0][None]
    assert np.allclose(mean.probability(tile), tile.mean(axis=3) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"input_type": "FLOAT"}, r"tensor\(float\)"),
        ({"n_inputs": 2}, "rgb1"),
        ({"bias": 0.5}, "values from"),
        ({"bias": float("nan")}, "values from"),
    ],
)
def test_a_network_that_breaks_the_contract_is_refused(onnx, change, found):
    with pytest.raises(NucleiModelError, match=f"expected one input uint8.*found.*{found}"):
        NucleiModel.from_bytes(small_network(onnx, **change))


def test_nuclei_of_an_independent_set_are_found(model, test_data: Path):
    """BBBC038 (CC0), real pink H&E at very high zoom, shrunk threefold; never trained on."""
    folder = test_data / "nuclei" / "dsb2018_brightfield"
    with (folder / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stain_group"] == "HE"]
    scores = []
    for row in rows:
        name = f"{row['file']}.png"
        image = Image.open(folder / "images" / name).convert("RGB")
        labels = np.asarray(Image.open(folder / "labels" / name)) > 0
        size = (image.width // 3, image.height // 3)
        truth = np.asarray(Image.fromarray(labels).resize(size)) > 0
        scores.append(dice(model.map(np.asarray(image.resize(size))[None])[0] >= 128, truth))
    assert len(scores) == 4
    assert np.mean(scores) > 0.6
