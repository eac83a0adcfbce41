"""The network of floats behind one of eight-bit integers, for graphics cards, which gain nothing by integers.

A quantized graph (QDQ format) has its weights as integers behind a `DequantizeLinear`, and its activations
pass through pairs `QuantizeLinear`, `DequantizeLinear`, which round them to 256 levels of a range. Here the
weights are dequantized once, and each pair leaves a clip to its range: what is lost is the rounding alone.

References
----------
.. [1] ONNX, operators QuantizeLinear and DequantizeLinear: x = (q - zero point) * scale.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jecur.errors import NucleiModelError

__all__ = ["float_parent"]

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_FLOAT_KINDS = frozenset(
    {
        "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv",
        "ConvTranspose", "DepthToSpace", "Div", "Gather", "HardSigmoid", "HardSwish", "Identity",
        "LeakyRelu", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
        "Squeeze", "Sub", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Kinds of nodes that stand between pairs and mean the same of floats."""
_INTEGER_KINDS = frozenset(
    {
        "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        _QUANTIZE, _DEQUANTIZE,
    }
)  # fmt: skip
_INTEGERS = (np.int8, np.uint8, np.int16, np.uint16, np.int32)

Arrays = Mapping[str, NDArray[Any]]


def float_parent(onnx_bytes: bytes) -> bytes:
    """Return the graph of floats behind a graph of integers; one of floats as it is.

    Parameters
    ----------
    onnx_bytes
        An ONNX file that was looked over.

    Raises
    ------
    NucleiModelError
        With code ``no-onnx``, if the package is not installed; with ``not-dequantized``, if the graph is
        quantized in another way than by pairs, or holds kinds of nodes that are not known.
    """
    try:
        import onnx  # noqa: PLC0415 - of the extra, and for graphics cards alone
        from onnx import numpy_helper  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise NucleiModelError(
            "expected the package onnx, to run the nuclei network on a graphics card, found none; install "
            'it with: pip install "jecur[gpu]", or take device = "cpu"',
            code="no-onnx",
        ) from error
    model = onnx.load_model_from_string(onnx_bytes)
    kinds = {node.op_type for node in model.graph.node}
    if not kinds & _INTEGER_KINDS:
        return onnx_bytes
    unknown = kinds - _FLOAT_KINDS - {_QUANTIZE, _DEQUANTIZE}
    if unknown:
        raise _refusal(f"nodes of kind {', '.join(sorted(unknown))}")
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes, floats = _dequantized(model.graph.node, arrays)
    taken = {name for node in nodes for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in taken]
    kept += [numpy_helper.from_array(values, name) for name, values in floats.items()]
    for field, values in (("node", nodes), ("initializer", kept)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    model.graph.ClearField("value_info")  # of tensors that are gone
    return bytes(model.SerializeToString())


def _dequantized(nodes: Iterable[Any], arrays: Arrays) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """Return the nodes with clips in place of pairs, and the numbers they need, by name."""
    from onnx import helper  # noqa: PLC0415

    quantized = {node.output[0]: node for node in nodes if node.op_type == _QUANTIZE}
    kept, floats = [], {}
    for node in nodes:
        if node.op_type == _QUANTIZE:
            continue
        if node.op_type != _DEQUANTIZE:
            if set(node.input) & quantized.keys():
                raise _refusal(f"integers that go into a node of kind {node.op_type}")
            kept.append(node)
            continue
        source, (output,) = node.input[0], node.output
        if source in arrays:
            floats[output] = _weights(node, arrays)
        elif source in quantized and _numbers(node, arrays) == _numbers(quantized[source], arrays):
            limits = [f"{output}_lowest", f"{output}_highest"]
            floats |= zip(limits, map(np.array, _numbers(node, arrays)), strict=True)
            kept.append(helper.make_node("Clip", [quantized[source].input[0], *limits], [output]))
        else:
            raise _refusal(f"integers behind {output!r} that are no weights and no pair")
    return kept, floats


def _weights(node: Any, arrays: Arrays) -> NDArray[np.float32]:  # noqa: ANN401 - onnx's own
    """Dequantize weights: one scale for all, or one along an axis."""
    source = arrays[node.input[0]]
    scale, zero = _scale_and_zero(node, arrays)
    if source.dtype not in _INTEGERS:
        raise _refusal(f"weights of type {source.dtype}")
    if scale.ndim == 1 and scale.size > 1:
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 1)
        shape = [1] * source.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    elif scale.size != 1:
        raise _refusal("weights quantized in blocks")
    floats = (source.astype(np.int64) - zero) * scale.astype(np.float64)
    return np.asarray(floats.reshape(source.shape), dtype=np.float32)


def _numbers(node: Any, arrays: Arrays) -> tuple[np.float32, np.float32]:  # noqa: ANN401
    """Least and greatest number that a pair lets through."""
    scale, zero = _scale_and_zero(node, arrays)
    if scale.size != 1 or zero.dtype not in _INTEGERS:
        raise _refusal("activations with more than one scale, or of no known type")
    limits, step, middle = np.iinfo(zero.dtype), float(scale.ravel()[0]), int(zero.ravel()[0])
    low, high = ((int(end) - middle) * step for end in (limits.min, limits.max))
    return np.float32(low), np.float32(high)


def _scale_and_zero(node: Any, arrays: Arrays) -> tuple[NDArray[Any], NDArray[Any]]:  # noqa: ANN401
    if any(name not in arrays for name in node.input[1:]) or not 2 <= len(node.input) <= 3:
        raise _refusal("scales that are computed")
    if any(a.name != "axis" for a in node.attribute):
        raise _refusal(f"the attribute {next(a.name for a in node.attribute if a.name != 'axis')}")
    scale = arrays[node.input[1]]
    zero = arrays[node.input[2]] if len(node.input) == 3 else np.zeros(scale.shape, np.uint8)
    if scale.dtype != np.float32 or zero.size not in (1, scale.size):
        raise _refusal(f"scales of type {scale.dtype}, or zero points that do not fit them")
    return scale, zero


def _refusal(found: str) -> NucleiModelError:
    return NucleiModelError(
        "expected a nuclei network of floats, or one quantized by pairs of QuantizeLinear and "
        f"DequantizeLinear around nodes that are known, to run it on a graphics card, found {found}; export "
        'it without integers, or take device = "cpu"',
        code="not-dequantized",
    )
