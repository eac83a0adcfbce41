"""Small model files written by hand: ONNX graphs as protocol buffers, cards, archives.

Everything a hostile file could change is an argument somewhere, so that a test changes one thing and
leaves the rest as in a good file. Needs neither torch nor the onnx package.
"""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from jecur.model.card import (
    CohortFacts,
    EndpointText,
    ModelCard,
    NetworkInput,
    PoolingFacts,
    TileFacts,
    TrainedOn,
    TrainingEpoch,
    TuningMetrics,
    write_card,
)
from jecur.model.file import Bundle, write_bundle
from jecur.nuclei.segmentation import BUILTIN
from jecur.settings import (
    NucleiSettings,
    QualitySettings,
    Recipe,
    StainSettings,
    TilingSettings,
    TissueSettings,
    TrainingSettings,
)
from jecur.stain.reference import builtin_reference

UINT8, FLOAT, INT64 = 2, 1, 7
SHAPE = ("n", 224, 224, 4)


# protocol buffers


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: object) -> bytes:
    out = field(1, name)
    if isinstance(value, float):
        return out + varint(2 << 3 | 5) + struct.pack("<f", value) + field(20, 1)
    if isinstance(value, int):
        return out + field(3, value) + field(20, 2)
    if isinstance(value, bytes):  # a graph
        return out + field(6, value) + field(20, 5)
    return out + b"".join(field(8, v) for v in value) + field(20, 7)


def node(
    op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: object
) -> bytes:
    out = b"".join(field(1, name) for name in inputs)
    out += b"".join(field(2, name) for name in outputs)
    out += field(4, op) + b"".join(field(5, attribute(*pair)) for pair in attributes.items())
    return out + (field(7, domain) if domain else b"")


def tensor(
    name: str, values: Sequence[float], kind: int = FLOAT, dims: Sequence[int] | None = None
) -> bytes:
    code = {FLOAT: "f", INT64: "q", UINT8: "B"}[kind]
    out = b"".join(field(1, d) for d in ([len(values)] if dims is None else dims))
    return (
        out
        + field(2, kind)
        + field(8, name)
        + field(9, struct.pack(f"<{len(values)}{code}", *values))
    )


def external_tensor(name: str, path: str, n: int) -> bytes:
    entry = field(1, "location") + field(2, path)
    return field(1, n) + field(2, FLOAT) + field(8, name) + field(13, entry) + field(14, 1)


def value_info(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def graph(
    nodes: Sequence[bytes],
    *,
    tensors: Sequence[bytes] = (),
    inputs: Sequence[bytes] = (),
    outputs: Sequence[bytes] = (),
    more: bytes = b"",
) -> bytes:
    out = b"".join(field(1, n) for n in nodes) + field(2, "g")
    out += b"".join(field(5, t) for t in tensors)
    out += b"".join(field(11, i) for i in inputs)
    return out + b"".join(field(12, o) for o in outputs) + more


def model(
    graph_bytes: bytes, *, opset: int = 17, domains: Sequence[str] = (), more: bytes = b""
) -> bytes:
    opsets = field(8, field(1, "") + field(2, opset))
    opsets += b"".join(field(8, field(1, d) + field(2, 1)) for d in domains)
    return field(1, 8) + field(7, graph_bytes) + opsets + more


TILES = value_info("tiles", UINT8, SHAPE)
LOGITS = value_info("logits", FLOAT, ("n",))


def toy_encoder(
    middle: Sequence[bytes] = (),
    *,
    tensors: Sequence[bytes] = (),
    last: str = "mean",
    inputs: Sequence[bytes] = (TILES,),
    outputs: Sequence[bytes] = (LOGITS,),
    more: bytes = b"",
) -> bytes:
    """Mean level of a tile, 128 taken off: darker is lower. ``middle`` goes on from "mean" to ``last``."""
    nodes = [
        node("Cast", ["tiles"], ["x"], to=FLOAT),
        node("ReduceMean", ["x"], ["level"], axes=(1, 2, 3), keepdims=0),
        node("Sub", ["level", "middle"], ["mean"]),
        *middle,
        node("Mul", [last, "slope"], ["logits"]),
    ]
    given = (tensor("middle", [128.0]), tensor("slope", [0.01]), *tensors)
    return model(graph(nodes, tensors=given, inputs=inputs, outputs=outputs, more=more))


# cards and files


def toy_card(**changes: object) -> ModelCard:
    recipe = Recipe(
        tissue=TissueSettings(),
        tiling=TilingSettings(max_tiles=4),
        quality=QualitySettings(),
        stain=StainSettings(method="macenko", n_pixels=20_000),
        stain_reference=builtin_reference().to_dict(),
        nuclei=NucleiSettings(),
        nuclei_sha256=hashlib.sha256(BUILTIN.read_bytes()).hexdigest(),
    )
    fields: dict[str, object] = {
        "name": "toy",
        "intended_use": "Research use only.",
        "licence": "none",
        "created": "2026-11-25",
        "jecur": "0.1.0",
        "versions": {"python": "3.11"},
        "endpoint": EndpointText(
            kind="recurrence-free survival", definition="months to recurrence"
        ),
        "direction": "higher risk = earlier event; fixed at training",
        "cutoff": 0.4457,
        "cutoff_source": "set before training",
        "encoder": "toy",
        "tile": TileFacts(side_um=128.0, px=224),
        "recipe": recipe,
        "training": TrainingSettings(),
        "cohort": CohortFacts(n_good=1, n_poor=1, n_tuning=0, n_tiles=8, selection="all"),
        "metrics": TuningMetrics(note="none"),
        "pooling": PoolingFacts(kind="generalized-mean", exponent=3.0, reduction="mean"),
        "input": NetworkInput(kind="tiles", shape=(224, 224, 4)),
        "channels": 4,
        "training_curve": (TrainingEpoch(epoch=1, learning_rate=1e-4, training_loss=0.7),),
        "nuclei": {},
        "trained_on": TrainedOn(bags=("ab" * 32,)),
    }
    return ModelCard(**(fields | changes))


def toy_bundle(**changes: object) -> Bundle:
    members = {
        "card": toy_card(),
        "encoder_onnx": toy_encoder(),
        "nuclei_onnx": None,
        "weights": b"",
    }
    return Bundle(**(members | changes))


def write_toy(path: Path, **changes: object) -> Path:
    return write_bundle(toy_bundle(**changes), path)


def plain_card() -> dict[str, object]:
    """Card of the toy as plain values, to be changed."""
    return json.loads(write_card(toy_card()))


def good_members() -> dict[str, bytes]:
    return {
        "card.json": write_card(toy_card()),
        "encoder.onnx": toy_encoder(),
        "weights.safetensors": msgspec.json.encode({}),
    }


def sealed(body: bytes) -> bytes:
    """A model file of any body, its digest right: what a stranger would make."""
    return b"JECUR 1 " + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def archive(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, data)
    return buffer.getvalue()
