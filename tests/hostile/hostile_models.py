"""Model files that a stranger could write: every one well sealed, every one wrong in one place."""

import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.model_files import (
    FLOAT,
    INT64,
    LOGITS,
    TILES,
    UINT8,
    archive,
    attribute,
    external_tensor,
    field,
    good_members,
    graph,
    model,
    node,
    plain_card,
    sealed,
    tensor,
    toy_encoder,
    value_info,
)

__all__ = ["hostile_models"]

ESC, RLO, ZWSP = "\x1b]0;owned\x07\x1b[2J", "\u202egnp.exe", "\u200b"


def hostile_models() -> dict[str, bytes]:
    """Name -> bytes of the file."""
    found: dict[str, bytes] = {}
    for name, body in (*_cards(), *_graphs(), *_archives()):
        found[name] = sealed(body)
    return found | dict(_heads())


def _file(**members: bytes) -> bytes:
    return archive(
        good_members() | {name.replace("__", "."): data for name, data in members.items()}
    )


def _set(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(card: dict[str, Any]) -> None:
        place: Any = card
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return change


def _drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(card: dict[str, Any]) -> None:
        place: Any = card
        for name in path[:-1]:
            place = place[name]
        del place[path[-1]]

    return change


def _concordance(estimate: float, lower: float, upper: float) -> Callable[[dict[str, Any]], None]:
    interval = {"estimate": estimate, "lower": lower, "upper": upper}
    return _set("metrics", value={"note": "n", "concordance": interval})


def _looks(covariance: list[list[float]]) -> Callable[[dict[str, Any]], None]:
    looks = {
        "n_slides": 8,
        "n_patients": 8,
        "vendors": {"a": 8},
        "names": ["u", "v"],
        "mean": [0.0, 0.0],
    }
    return _set("looks", value=looks | {"covariance": covariance, "limit": 3.0, "distances": [1.0]})


def _cards() -> Iterator[tuple[str, bytes]]:
    deep: Any = 0
    for _ in range(40):
        deep = [deep]
    changes = {
        "cutoff_text": _set("cutoff", value="0.4"),
        "cutoff_list": _set("cutoff", value=[0.4]),
        "cutoff_null": _set("cutoff", value=None),
        "cutoff_zero": _set("cutoff", value=0.0),
        "cutoff_one": _set("cutoff", value=1.0),
        "cutoff_negative": _set("cutoff", value=-0.4),
        "cutoff_not_the_trained": _set("cutoff", value=0.3),
        "cutoff_absent": _drop("cutoff"),
        "cutoff_true": _set("cutoff", value=True),
        "unknown_field": _set("exec", value="rm"),
        "endpoint_absent": _drop("endpoint"),
        "endpoint_text": _set("endpoint", value="recurrence"),
        "endpoint_escape": _set("endpoint", "definition", value=ESC),
        "endpoint_turned": _set("endpoint", "definition", value=RLO),
        "name_hidden": _set("name", value="a" + ZWSP + "b"),
        "name_long": _set("name", value="x" * 100_000),
        "name_number": _set("name", value=3),
        "key_escape": _set("nuclei", value={ESC: 1}),
        "nested_nuclei": _set("nuclei", value={"a": deep}),
        "channels_3": _set("channels", value=3),
        "channels_7": _set("channels", value=7),
        "channels_float": _set("channels", value=4.5),
        "input_shape_2": _set("input", "shape", value=[224, 224]),
        "input_shape_negative": _set("input", "shape", value=[224, -224, 4]),
        "input_kind": _set("input", "kind", value="sound"),
        "input_features": _set("input", value={"kind": "features", "width": 10**9}),
        "input_other_px": _set("recipe", "tiling", "output_px", value=96),
        "tile_side": _set("tile", "side_um", value=256.0),
        "tile_px": _set("tile", "px", value=112),
        "tile_of_other_recipe": _set("recipe", "tiling", "side_um", value=256.0),
        "cutoff_not_of_cross_entropy": _set("training", "loss", "name", value="cross-entropy"),
        "pooling_exponent_not_trained": _set("pooling", "exponent", value=1.0),
        "pooling_sum_not_trained": _set("pooling", "reduction", value="sum"),
        "metrics_beyond": _concordance(1.5, 0.4, 0.8),
        "metrics_turned": _concordance(0.6, 0.8, 0.4),
        "metrics_events": _set("metrics", value={"note": "n", "n": 3, "n_events": 4}),
        "looks_lopsided": _looks([[1.0, 0.5], [0.0, 1.0]]),
        "looks_beyond_one": _looks([[1.0, 2.0], [2.0, 1.0]]),
        "pooling_unknown": _set("pooling", value={"kind": "median"}),
        "pooling_exponent_0": _set("pooling", "exponent", value=0),
        "pooling_exponent_huge": _set("pooling", "exponent", value=1e9),
        "pooling_exponent_text": _set("pooling", "exponent", value="3"),
        "pooling_without_numbers": _set("pooling", value={"kind": "generalized-mean"}),
        "pooling_foreign_number": _set("pooling", "ends", value=4),
        "pooling_reduction": _set("pooling", "reduction", value="product"),
        "pooling_not_trained": _set("pooling", value={"kind": "mean"}),
        "recipe_absent": _drop("recipe"),
        "recipe_no_stain": _drop("recipe", "stain"),
        "recipe_unknown": _set("recipe", "shell", value="sh"),
        "recipe_overview": _set("recipe", "tissue", "overview_um_per_px", value=1e-9),
        "recipe_huge_tile": _set("recipe", "tiling", "output_px", value=10**6),
        "recipe_huge_batch": _set("recipe", "tiling", "batch_size", value=10**9),
        "recipe_huge_sample": _set("recipe", "stain", "n_pixels", value=10**13),
        "recipe_seed": _set("recipe", "stain", "seed", value=-1),
        "recipe_path": _set("recipe", "nuclei", "model", value="/etc/passwd"),
        "recipe_digest": _set("recipe", "nuclei_sha256", value="zz"),
        "reference_short": _set("recipe", "stain_reference", "stains", value=[[1, 0, 0]]),
        "reference_not_unit": _set(
            "recipe", "stain_reference", "stains", value=[[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
        ),
        "reference_zero": _set("recipe", "stain_reference", "concentrations", value=[0, 1]),
        "reference_absent": _set("recipe", "stain_reference", value={}),
        "loss_unknown": _set("training", "loss", value="brier"),
        "training_absent": _drop("training"),
        "curve_text": _set("training_curve", value=["bad"]),
        "memory_names": _set("trained_on", value={"bags": ["Jane Doe"]}),
        "created_markup": _set("created", value="[red]today"),
        "versions_list": _set("versions", value=["python"]),
    }
    for name, change in changes.items():
        card = plain_card()
        change(card)
        yield f"card_{name}", _file(card__json=json.dumps(card).encode())
    text = json.dumps(plain_card())
    twice = text[:-1] + ', "cutoff": 0.1}'
    texts = {
        "nan": text.replace('"cutoff": 0.4457', '"cutoff": NaN', 1),
        "infinity": text.replace('"cutoff": 0.4457', '"cutoff": Infinity', 1),
        "overflow": text.replace('"cutoff": 0.4457', '"cutoff": 1e999', 1),
        "inner_nan": text.replace('"exponent": 3.0', '"exponent": NaN', 1),
        "long_number": text.replace('"n_tiles": 8', '"n_tiles": ' + "9" * 5000, 1),
        "name_twice": twice,
        "inner_name_twice": text.replace('"shape":', '"kind": "features", "shape":', 1),
        "deep": "[" * 30_000 + "]" * 30_000,
        "deep_objects": '{"a":' * 5_000 + "1" + "}" * 5_000,
        "list": "[]",
        "null": "null",
        "empty": "",
        "not_json": "{cutoff: 1}",
        "two": "{}{}",
    }
    for name, changed in texts.items():
        yield f"text_{name}", _file(card__json=changed.encode())
    yield "text_not_utf8", _file(card__json=b'{"name": "\xff\xfe"}')
    yield "text_utf16", _file(card__json=text.encode("utf-16"))


def _graphs() -> Iterator[tuple[str, bytes]]:
    good = toy_encoder()
    body = graph(
        [node("Identity", ["c"], ["c2"]), node("Identity", ["v"], ["v2"])],
        inputs=[value_info(n, k, ()) for n, k in (("i", INT64), ("c", 9), ("v", FLOAT))],
        outputs=[value_info("c2", 9, ()), value_info("v2", FLOAT, ())],
    )
    ends = [tensor("big", [200_000], INT64)]
    square = [tensor("sides", [12_000, 12_000], INT64)]
    slow = [node("ConstantOfShape", ["sides"], ["m0"])]
    slow += [node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(50)]
    slow += [node("ReduceMean", ["m50"], ["r"], keepdims=0), node("Add", ["mean", "r"], ["b"])]
    crunch = [tensor("sides", [3_000, 3_000], INT64)]
    crunched = [
        node("ConstantOfShape", ["sides"], ["k"]),
        node("ReduceMean", ["mean"], ["one"], keepdims=0),
    ]
    crunched += [node("Add", ["k", "one"], ["m0"])]
    crunched += [node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(400)]
    crunched += [node("ReduceMean", ["m400"], ["r"], keepdims=0), node("Add", ["mean", "r"], ["b"])]
    graphs = {
        "empty": b"",
        "garbage": b"\xff" * 400,
        "text": b"not a graph at all",
        "cut": good[: len(good) // 2],
        "two_graphs": good + good,
        "no_nodes": model(graph([], inputs=[TILES], outputs=[LOGITS])),
        "foreign_operator": toy_encoder([node("Evil", ["mean"], ["b"], domain="evil")], last="b"),
        "contrib_operator": toy_encoder(
            [node("Gelu", ["mean"], ["b"], domain="com.microsoft")], last="b"
        ),
        "unknown_operator": toy_encoder([node("Frobnicate", ["mean"], ["b"])], last="b"),
        "external": toy_encoder(
            [node("Add", ["mean", "secret"], ["b"])],
            last="b",
            tensors=[external_tensor("secret", "../../etc/passwd", 1)],
        ),
        "external_in_constant": toy_encoder(
            [
                field(2, "k")
                + field(4, "Constant")
                + field(
                    5,
                    field(1, "value")
                    + field(5, external_tensor("", "/etc/passwd", 1))
                    + field(20, 4),
                ),
                node("Add", ["mean", "k"], ["b"]),
            ],
            last="b",
        ),
        "loop": toy_encoder([node("Loop", ["", "", "mean"], ["b"], body=body)], last="b"),
        "branch": toy_encoder(
            [node("If", ["mean"], ["b"], then_branch=body, else_branch=body)], last="b"
        ),
        "hidden_subgraph": toy_encoder([node("Relu", ["mean"], ["b"], note=body)], last="b"),
        "random": toy_encoder([node("RandomNormalLike", ["mean"], ["b"])], last="b"),
        "function": good + field(25, field(1, "f") + field(10, "own")),
        "training_part": good + field(20, field(1, b"")),
        "sparse": toy_encoder(more=field(15, field(1, tensor("s", [1.0])))),
        "reference_attribute": toy_encoder(
            [
                field(1, "mean")
                + field(2, "b")
                + field(4, "LeakyRelu")
                + field(5, field(1, "alpha") + field(21, "x"))
            ],
            last="b",
        ),
        "not_a_number": toy_encoder(
            [
                node("Sqrt", ["neg"], ["b"]),
            ],
            last="b",
            tensors=[tensor("neg", [-1.0])],
        ),
        "infinite": toy_encoder(
            [node("Div", ["mean", "zero"], ["b"])], last="b", tensors=[tensor("zero", [0.0])]
        ),
        "one_for_all": toy_encoder([node("ReduceMean", ["mean"], ["b"], keepdims=1)], last="b"),
        "map_out": model(
            graph(
                [node("Cast", ["tiles"], ["logits"], to=FLOAT)],
                inputs=[TILES],
                outputs=[value_info("logits", FLOAT, ("n", 224, 224, 4))],
            )
        ),
        "bytes_out": model(
            graph(
                [node("ReduceMax", ["tiles"], ["logits"], axes=(1, 2, 3), keepdims=0)],
                inputs=[TILES],
                outputs=[value_info("logits", UINT8, ("n",))],
            )
        ),
        "other_input": toy_encoder(inputs=[value_info("tiles", UINT8, ("n", 96, 96, 4))]),
        "float_input": toy_encoder(inputs=[value_info("tiles", FLOAT, ("n", 224, 224, 4))]),
        "two_inputs": toy_encoder(inputs=[TILES, value_info("more", FLOAT, ("n",))]),
        "two_outputs": toy_encoder(outputs=[LOGITS, value_info("mean", FLOAT, ("n",))]),
        "memory": toy_encoder(
            [
                node("Concat", ["big", "big"], ["shape"], axis=0),
                node("ConstantOfShape", ["shape"], ["m"]),
                node("ReduceMean", ["m"], ["r"], keepdims=0),
                node("Add", ["mean", "r"], ["b"]),
            ],
            last="b",
            tensors=ends,
        ),
        "slow_when_opened": toy_encoder(slow, last="b", tensors=square),
        "slow_when_run": toy_encoder(crunched, last="b", tensors=crunch),
        "false_dims": toy_encoder(
            [node("Add", ["mean", "liar"], ["b"])],
            last="b",
            tensors=[tensor("liar", [1.0], dims=[2**40])],
        ),
        "cycle": toy_encoder(
            [node("Add", ["mean", "d"], ["b"]), node("Relu", ["b"], ["d"])], last="b"
        ),
    }
    for name, data in graphs.items():
        yield f"graph_{name}", _file(encoder__onnx=data)
    yield "graph_foreign_nuclei", _file(nuclei__onnx=good)
    yield (
        "graph_attribute_flood",
        _file(
            encoder__onnx=toy_encoder(
                [node("Relu", ["mean"], ["b"]) + field(5, attribute("x", 1)) * 1000], last="b"
            )
        ),
    )
    yield "pooling_damaged", _file(pooling__safetensors=b"\xff" * 64)
    yield (
        "pooling_needless",
        _file(pooling__safetensors=_tensors("threshold", (1,), struct.pack("<f", 0.0))),
    )
    for name, value in (("nan", float("nan")), ("infinite", float("inf"))):
        card = plain_card()
        card["pooling"] = {"kind": "noisy-and", "steepness": 10.0}
        card["training"]["pooling"]["method"] = "noisy-and"
        parameters = _tensors("threshold", (1,), struct.pack("<f", value))
        yield (
            f"pooling_{name}",
            _file(card__json=json.dumps(card).encode(), pooling__safetensors=parameters),
        )


def _tensors(name: str, shape: tuple[int, ...], data: bytes) -> bytes:
    head = json.dumps(
        {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, len(data)]}}
    ).encode()
    return struct.pack("<Q", len(head)) + head + data


def _archives() -> Iterator[tuple[str, bytes]]:
    members = good_members()
    good = archive(members)
    card = members["card.json"]
    yield "zip_nothing", b""
    yield "zip_no_archive", b"PK" * 40
    yield "zip_before", b"MZ" + good
    yield "zip_after", good + b"more"
    yield "zip_comment", _zipped(members, comment=b"hello")
    yield (
        "zip_member_twice",
        _zipped({**members}, twice=("card.json", card.replace(b"0.4457", b"0.0100"))),
    )
    yield "zip_other_member", archive({**members, "setup.py": b"import os"})
    yield "zip_upward_member", archive({**members, "../../card.json": card})
    yield "zip_absolute_member", archive({**members, "/etc/cron.d/x": b"x"})
    yield "zip_folder", archive({**members, "card.json/": b""})
    yield "zip_without_card", archive({k: v for k, v in members.items() if k != "card.json"})
    yield "zip_bomb", archive({**members, "weights.safetensors": bytes(300 * 2**20)})
    yield "zip_large_card", archive({**members, "card.json": card + b" " * (9 * 2**20)})
    yield "zip_bzip2", _zipped(members, method=zipfile.ZIP_BZIP2)
    yield "zip_lzma", _zipped(members, method=zipfile.ZIP_LZMA)
    yield "zip_encrypted", _with_flag(good, 1)
    yield "zip_streamed", _with_flag(good, 8)
    yield "zip_extra_field", _zipped(members, extra=b"\x01\x00\x04\x00abcd")
    yield "zip_gap", _with_gap(good)
    yield "zip_other_local_name", good.replace(b"card.json", b"card.jsom", 1)
    yield "zip_lying_size", _lying(good, 24, struct.pack("<L", 10))
    yield "zip_lying_size_huge", _lying(good, 24, struct.pack("<L", 2**31))
    yield "zip_zip64_size", _lying(good, 24, struct.pack("<L", 2**32 - 1))
    yield "zip_lying_packed", _lying(good, 20, struct.pack("<L", 2**31))
    yield "zip_wrong_checksum", _lying(good, 16, struct.pack("<L", zlib.crc32(b"no")))
    yield "zip_overlap", _lying(good, 42, struct.pack("<L", 0), which=1)
    yield "zip_end_lies", good[:-12] + struct.pack("<LLH", 46, 0, 0) + good[-2:]


def _zipped(
    members: dict[str, bytes],
    *,
    method: int = zipfile.ZIP_DEFLATED,
    comment: bytes = b"",
    extra: bytes = b"",
    twice: tuple[str, bytes] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as made:
        warnings.simplefilter("ignore")
        made.comment = comment
        for name, data in (*members.items(), *([twice] if twice else [])):
            info = zipfile.ZipInfo(name)
            info.compress_type, info.extra = method, extra
            made.writestr(info, data)
    return buffer.getvalue()


def _central(data: bytes, which: int = 0) -> int:
    place = struct.unpack("<L", data[-6:-2])[0]
    for _ in range(which):
        name, extra, comment = struct.unpack("<3H", data[place + 28 : place + 34])
        place += 46 + name + extra + comment
    return place


def _lying(data: bytes, offset: int, value: bytes, which: int = 0) -> bytes:
    place = _central(data, which) + offset
    return data[:place] + value + data[place + len(value) :]


def _with_flag(data: bytes, flag: int) -> bytes:
    changed = bytearray(data)
    changed[6] |= flag
    changed[_central(data) + 8] |= flag
    return bytes(changed)


def _with_gap(data: bytes) -> bytes:
    start = _central(data)
    return data[:start] + b"gap" + data[start:-6] + struct.pack("<L", start + 3) + data[-2:]


def _heads() -> Iterator[tuple[str, bytes]]:
    good = sealed(archive(good_members()))
    yield "head_empty", b""
    yield "head_alone", good[:73]
    yield "head_other_version", good.replace(b"JECUR 1", b"JECUR 2", 1)
    yield "head_upper_case", good[:8] + good[8:72].upper() + good[72:]
    yield "head_carriage_return", good.replace(b"\n", b"\r\n", 1)
    yield "head_pickle", b"\x80\x04\x95" + good
    yield "head_no_digest", b"JECUR 1 \n" + good[73:]
