"""An ONNX graph looked over before ONNX Runtime sees it: no files, no foreign code, no loops.

The graph is a protocol buffer; the few fields that matter here are found by walking it, without the
onnx package, which scoring does not need. Refused are data in other files, operators outside ONNX's
own set, functions, training parts, graphs inside nodes (loops and branches run as long as they
like), and operators that draw random numbers (a score must come out the same twice).

References
----------
.. [1] ONNX, onnx.proto3: field numbers of ModelProto, GraphProto, NodeProto, AttributeProto and
   TensorProto.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jecur.errors import BundleError

__all__ = ["GraphFacts", "look_over"]

_MAX_NODES = 100_000

_MODEL = {7: "graph", 20: "training", 25: "function"}
_GRAPH = {1: "node", 5: "tensor", 15: "sparse", 11: "input", 12: "output"}
_NODE = {1: "", 4: "op", 5: "attribute", 7: "domain", 8: "overload"}
_ATTRIBUTE = {
    5: "tensor",
    10: "tensor",
    6: "subgraph",
    11: "subgraph",
    21: "ref",
    22: "sparse",
    23: "sparse",
}
_OWN_DOMAINS = ("", "ai.onnx")
_RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
_NO_NETWORK = ("If", "Loop", "NonMaxSuppression", "Scan", "StringNormalizer", "TfIdfVectorizer")
_NO_NETWORK_STEMS = (
    "Sequence",
    "Optional",
    "String",
    "Regex",
    "SplitToSequence",
    "ConcatFromSequence",
)


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """How large a graph is."""

    n_nodes: int
    n_inputs: int
    n_outputs: int


def look_over(onnx: bytes, what: str) -> GraphFacts:
    """Refuse a graph that is more than arithmetic on its own numbers.

    Parameters
    ----------
    onnx
        The file.
    what
        Its name in an error.

    Raises
    ------
    BundleError
        Says what was found.
    """
    try:
        nodes, inputs, outputs = _model(onnx)
    except _NotProtobufError as error:
        raise BundleError(
            f"expected {what} to be an ONNX graph, found {error}; get the file again",
            code="bad-graph",
        ) from error
    except _ForbiddenError as error:
        raise BundleError(
            f"expected {what} to be a graph of ONNX's own arithmetic, complete in its file, found "
            f"{error}; export it anew, or get the file again",
            code="bad-graph",
        ) from error
    return GraphFacts(nodes, inputs, outputs)


class _NotProtobufError(Exception):
    """The bytes are no protocol buffer of a model."""


class _ForbiddenError(Exception):
    """The graph is one, but not of the kind that is run."""


def _model(data: bytes) -> tuple[int, int, int]:
    graphs = []
    for name, value in _named(memoryview(data), _MODEL):
        if name in ("training", "function"):
            raise _ForbiddenError(f"a {name} part")
        graphs.append(_bytes(value))
    if len(graphs) != 1:
        raise _NotProtobufError(f"{len(graphs)} graphs")
    counts = {"node": 0, "input": 0, "output": 0}
    for name, value in _named(graphs[0], _GRAPH):
        if name == "sparse":
            raise _ForbiddenError("sparse initializers")
        if name == "tensor":
            _tensor(_bytes(value))
            continue
        counts[name] += 1
        if name == "node":
            _node(_bytes(value))
    if not 0 < counts["node"] <= _MAX_NODES or not counts["output"]:
        raise _NotProtobufError(f"{counts['node']} nodes and {counts['output']} outputs")
    return counts["node"], counts["input"], counts["output"]


def _node(data: memoryview) -> None:
    op = domain = ""
    for name, value in _named(data, _NODE):
        if name == "op":
            op = _text(value)
        elif name == "domain":
            domain = _text(value)
        elif name == "overload" and _bytes(value):
            raise _ForbiddenError("an overloaded function")
        elif name == "attribute":
            _attribute(_bytes(value))
    if domain not in _OWN_DOMAINS:
        raise _ForbiddenError(f"the operator {op!r} of {domain!r}")
    if op in (*_RANDOM, *_NO_NETWORK) or op.startswith(_NO_NETWORK_STEMS):
        raise _ForbiddenError(f"the operator {op!r}")


def _attribute(data: memoryview) -> None:
    for name, value in _named(data, _ATTRIBUTE):
        if name == "tensor":
            _tensor(_bytes(value))
        else:
            raise _ForbiddenError(f"a {name} inside a node")


def _tensor(data: memoryview) -> None:
    for name, value in _named(data, {13: "external", 14: "location"}):
        if name == "external" or value != 0:
            raise _ForbiddenError("numbers that lie in another file")


def _named(data: memoryview, names: Mapping[int, str]) -> Iterator[tuple[str, int | memoryview]]:
    """Yield the fields that have a name here, in the file's order."""
    for number, value in _fields(data):
        if names.get(number):
            yield names[number], value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of every field of a message; fixed-size ones as their bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _NotProtobufError(f"a field of kind {kind}")
        if number == 0 or place + length > len(data):
            raise _NotProtobufError("a field that reaches beyond its end")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _NotProtobufError("bytes that end within a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _NotProtobufError("a number of more than 64 bits")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _NotProtobufError("a number where a message belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode("utf-8", errors="replace")[:80]
