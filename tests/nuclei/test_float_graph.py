"""The network of floats behind one of integers, made for graphics cards; here both run on the processor."""

import builtins
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from jecur.errors import NucleiModelError
from jecur.nuclei.agreement import dice
from jecur.nuclei.float_graph import float_parent
from jecur.nuclei.segmentation import BUILTIN, NucleiModel
from jecur.runs import device

onnx = pytest.importorskip("onnx", reason="the extra train or gpu is not installed")

MEAN_APART, MOST_APART, DICE_APART = 0.005, 0.2, 0.005
"""Tolerances: probability of a pixel on the mean and at most, Dice of a field."""


@pytest.fixture(scope="module")
def parent() -> bytes:
    return float_parent(BUILTIN.read_bytes())


def kinds(graph: bytes) -> set[str]:
    return {node.op_type for node in onnx.load_model_from_string(graph).graph.node}


def changed(change) -> bytes:
    model = onnx.load_model_from_string(BUILTIN.read_bytes())
    change(model.graph)
    return model.SerializeToString()


def test_no_integer_is_left_and_the_graph_is_sound(parent):
    assert not kinds(parent) & {"QuantizeLinear", "DequantizeLinear"}
    assert kinds(parent) == (
        kinds(BUILTIN.read_bytes()) - {"QuantizeLinear", "DequantizeLinear"} | {"Clip"}
    )
    onnx.checker.check_model(onnx.load_model_from_string(parent), full_check=True)
    stored = {t.data_type for t in onnx.load_model_from_string(parent).graph.initializer}
    assert stored <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_a_graph_of_floats_stays_as_it_is(parent):
    assert float_parent(parent) is parent


def test_weights_and_activations_are_those_that_the_integers_stood_for():
    """A convolution by hand: per-channel weights, an activation that its pair cuts off."""
    helper, kind = onnx.helper, onnx.TensorProto
    weights = np.array([[[[-3]]], [[[5]]]], np.int8)
    arrays = {
        "w": weights, "ws": np.array([0.5, 0.25], np.float32), "wz": np.array([1, 1], np.int8),
        "s": np.array(0.1, np.float32), "z": np.array(55, np.uint8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["f"], axis=0),
        helper.make_node("Conv", ["d", "f"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info("x", kind.FLOAT, [1, 1, 1, "n"])],
        [helper.make_tensor_value_info("y", kind.FLOAT, [1, 2, 1, "n"])],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = float_parent(model.SerializeToString())
    session = device.open_session(found, ort.SessionOptions(), "cpu")
    x = np.array([-100.0, 0.26, 100.0], np.float32).reshape(1, 1, 1, 3)
    (y,) = session.run(None, {"x": x})
    seen = np.array([-5.5, 0.26, 20.0])  # (0 - 55) / 10 and (255 - 55) / 10
    np.testing.assert_allclose(y[0, :, 0], [seen * -2.0, seen * 1.0], rtol=1e-6)


@pytest.mark.slow
def test_maps_of_real_fields_agree(parent, test_data: Path):
    data = pytest.importorskip("jecur.training.nuclei.data", reason="the extra train is missing")
    integers = NucleiModel.from_bytes(BUILTIN.read_bytes(), threads=1)
    floats = NucleiModel.from_bytes(parent, threads=1)
    fields = data.read_fields(test_data / "nuclei", "val")
    assert len(fields) >= 7
    apart = []
    for field in fields:
        rgb, truth = field.rgb[:448, :448], field.cover[:448, :448] >= 0.5
        one, other = (n.probability(rgb[None])[0] for n in (integers, floats))
        difference = np.abs(one - other)
        assert difference.mean() < MEAN_APART, field.name
        assert difference.max() < MOST_APART, field.name
        apart.append(dice(one >= 0.5, truth) - dice(other >= 0.5, truth))
    assert np.abs(apart).max() < DICE_APART


def test_on_a_card_the_parent_is_opened_and_the_digest_stays(parent, monkeypatch):
    opened = []

    def stand_in(graph, options, where):
        opened.append((graph, where))
        return device.open_session(graph, options, "cpu")

    monkeypatch.setattr("jecur.nuclei.segmentation.open_session", stand_in)
    on_card = NucleiModel.load(threads=1, device="cuda")
    here = NucleiModel.load(threads=1)
    assert opened == [(parent, "cuda"), (BUILTIN.read_bytes(), "cpu")]
    assert on_card.sha256 == here.sha256 == here.card["sha256"]
    assert on_card.__reduce__()[1][-1] == "cuda"


def _other_kind(graph):
    next(n for n in graph.node if n.op_type == "Sigmoid").op_type = "Erf"


def _integer_kind(graph):
    next(n for n in graph.node if n.op_type == "Conv").op_type = "ConvInteger"


def _unpaired(graph):
    quantize = next(n for n in graph.node if n.op_type == "QuantizeLinear")
    user = next(n for n in graph.node if n.op_type in {"Relu", "Conv", "Add"})
    user.input[0] = quantize.output[0]


def _other_scale(graph):
    quantize = next(n for n in graph.node if n.op_type == "QuantizeLinear")
    back = next(n for n in graph.node if n.input[0] == quantize.output[0])
    scale = onnx.numpy_helper.from_array(np.array(0.77, np.float32), "another scale")
    graph.initializer.append(scale)
    back.input[1] = scale.name


def _computed_scale(graph):
    next(n for n in graph.node if n.op_type == "QuantizeLinear").input[1] = "nowhere"


def _in_blocks(graph):
    node = next(n for n in graph.node if n.op_type == "DequantizeLinear")
    node.attribute.append(onnx.helper.make_attribute("block_size", 4))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_other_kind, "nodes of kind Erf"),
        (_integer_kind, "nodes of kind ConvInteger"),
        (_unpaired, "integers that go into a node of kind"),
        (_other_scale, "integers behind .* that are no weights and no pair"),
        (_computed_scale, "scales that are computed"),
        (_in_blocks, "the attribute block_size"),
    ],
)
def test_what_is_not_known_is_refused(change, found):
    with pytest.raises(NucleiModelError, match=f'found {found}.*device = "cpu"') as e:
        float_parent(changed(change))
    assert e.value.code == "not-dequantized"


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def absent(name, *arguments, **more):
        if name == "onnx":
            raise ModuleNotFoundError(name="onnx")
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(NucleiModelError, match=r"jecur\[gpu\]") as e:
        float_parent(b"")
    assert e.value.code == "no-onnx"
