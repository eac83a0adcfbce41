"""The model file ``.jecur``: networks, weights and a card, verified at every load.

Layout: one line ``JECUR 1 <sha256 of the rest>``, then a ZIP archive (any unzip program opens
it) of ``card.json``, ``encoder.onnx``, ``nuclei.onnx``, ``weights.safetensors`` and, where the
pooling has trained parameters, ``pooling.safetensors``. The first line covers every later byte, so a
changed byte anywhere is refused. Nothing is executed on load but the ONNX graphs, by ONNX Runtime;
there is no pickle.

The digest shows damage and says nothing about who wrote the file, so everything in it is checked as
if an unknown person had written it: archive, card and graphs here, pooling and a trial run in
`jecur.mil.passport`.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from jecur.errors import BundleError
from jecur.model.archive import is_bomb_like, read_members
from jecur.model.card import MAX_CARD_BYTES, ModelCard, read_card, write_card
from jecur.model.graph import look_over
from jecur.runs.folder import atomic_path

__all__ = ["MAX_ENCODER_BYTES", "Bundle", "read_bundle", "write_bundle"]

_MAGIC = b"JECUR 1 "
_HEAD_BYTES = len(_MAGIC) + 64 + 1
_MAX_BYTES = 512 * 2**20
_LIMITS = {
    "card.json": MAX_CARD_BYTES,
    "encoder.onnx": 400 * 2**20,
    "nuclei.onnx": 100 * 2**20,
    "weights.safetensors": 400 * 2**20,
    "pooling.safetensors": 50 * 2**20,
}
_ROOM_BYTES = 2**20
"""Of what the archive adds to its members."""
MAX_ENCODER_BYTES = _LIMITS["weights.safetensors"] - 2**20
"""Weights of an encoder that can be written: known before it is trained."""
_REQUIRED = {"card.json", "encoder.onnx", "weights.safetensors"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_OF_WEIGHTS = frozenset({"encoder.onnx", "weights.safetensors"})
"""Stored as they are: deflated, trained weights are a tenth smaller for twenty times the time."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Bundle:
    """A model as trained: nothing in it is trained or chosen later."""

    card: ModelCard
    """What the model is."""
    encoder_onnx: bytes
    """Tile (n, 224, 224, c) uint8, or features (n, d) -> logit (n,) float32, or (n, 2) with gates."""
    nuclei_onnx: bytes | None
    """Tile (n, 224, 224, 3) uint8 -> nuclei probability; None where the built-in one serves."""
    weights: bytes
    """The encoder's weights as safetensors, to go on training."""
    pooling: bytes | None = None
    """Trained parameters of the pooling, as safetensors; None if it has none."""
    _digest: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """Of all that scores, once it was asked for: nothing of a bundle changes."""

    @property
    def cutoff(self) -> float:
        """High risk if and only if the risk is above this."""
        return self.card.cutoff

    @property
    def sha256(self) -> str:
        """Digest of all that scores: card with cut-off and recipe, graphs, pooling; hexadecimal."""
        if not self._digest:
            parts = (
                write_card(self.card),
                self.encoder_onnx,
                self.nuclei_onnx or b"",
                self.pooling or b"",
                self.weights,
            )
            each = "".join(hashlib.sha256(part).hexdigest() for part in parts)
            self._digest.append(hashlib.sha256(each.encode()).hexdigest())
        return self._digest[0]


_IN_USE: WeakValueDictionary[str, Bundle] = WeakValueDictionary()
"""By the digest of their bytes, models that somebody in this process holds: the same bytes, read again by
another part of a command, are not inflated and checked again."""


def write_bundle(bundle: Bundle, path: Path) -> Path:
    """Write a model file, whole or not at all; the same model gives the same bytes.

    Raises
    ------
    BundleError
        If the model is larger than what `read_bundle` takes.
    """
    members = {
        "card.json": write_card(bundle.card),
        "encoder.onnx": bundle.encoder_onnx,
        "weights.safetensors": bundle.weights,
    }
    if bundle.nuclei_onnx is not None:
        members["nuclei.onnx"] = bundle.nuclei_onnx
    if bundle.pooling is not None:
        members["pooling.safetensors"] = bundle.pooling
    _refuse_large(members)
    body = _archive(members)
    with atomic_path(path) as temporary:
        temporary.write_bytes(_MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    return path


def _archive(members: Mapping[str, bytes], stored: frozenset[str] = _OF_WEIGHTS) -> bytes:
    """Pack the members but weights, and those that pack too well for any reader (constant ones)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            kind = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name], kind)
        packed = {one.filename: one.compress_size for one in archive.infolist()}
    too_well = {name for name in members if is_bomb_like(len(members[name]), packed[name])}
    return _archive(members, stored | too_well) if too_well else buffer.getvalue()


def _refuse_large(members: Mapping[str, bytes]) -> None:
    total = sum(map(len, members.values()))
    over = [name for name, data in members.items() if len(data) > _LIMITS[name]]
    if over or total > _MAX_BYTES - _ROOM_BYTES:
        name = over[0] if over else "the whole model"
        size, limit = (len(members[over[0]]), _LIMITS[over[0]]) if over else (total, _MAX_BYTES)
        raise BundleError(
            f"expected {name} of at most {limit // 2**20} MiB, found {size // 2**20}: no reader would "
            "take the model; choose a smaller encoder or fewer hidden units",
            code="model-too-large",
        )


def read_bundle(path: Path) -> Bundle:
    """Read and verify a model file.

    Raises
    ------
    BundleError
        If there is no such file, it is no Jecur model, a byte of it was changed, or a part of it is
        not what it must be.
    """
    if not path.is_file():
        raise BundleError(
            f"expected a model file at {path}, found none; train one with `jecur run` or `jecur demo`",
            code="missing-model",
        )
    try:
        return _held(*_body(path))
    except BundleError as error:
        raise error.within(path.name) from error


def _held(digest: str, body: bytes) -> Bundle:
    bundle = _IN_USE.get(digest)
    if bundle is None:
        bundle = _IN_USE[digest] = _bundle(body)
    return bundle


def _body(path: Path) -> tuple[str, bytes]:
    """Read what follows the first line, which must be its digest; return both."""
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise BundleError(
            f"expected a model file of at most {_MAX_BYTES // 2**20} MiB, found {size // 2**20}"
        )
    with path.open("rb") as stream:
        head, body = stream.read(_HEAD_BYTES), stream.read(_MAX_BYTES)
    if not head.startswith(_MAGIC):
        raise BundleError("expected a Jecur model file, found something else")
    digest = hashlib.sha256(body).hexdigest()
    if _MAGIC + digest.encode() + b"\n" != head:
        raise BundleError(
            "expected the bytes that were written, found changed ones; "
            "the file is damaged or was edited: get it again",
            code="changed-model-file",
        )
    return digest, body


def _bundle(body: bytes) -> Bundle:
    members = read_members(body, required=_REQUIRED, limits=_LIMITS)
    bundle = Bundle(
        card=read_card(members["card.json"]),
        encoder_onnx=members["encoder.onnx"],
        nuclei_onnx=members.get("nuclei.onnx"),
        weights=members["weights.safetensors"],
        pooling=members.get("pooling.safetensors"),
    )
    look_over(bundle.encoder_onnx, "encoder.onnx")
    _refuse_nuclei(bundle)
    return bundle


def _refuse_nuclei(bundle: Bundle) -> None:
    """Refuse a nuclei network other than the recipe's, or one that lies elsewhere on the disk."""
    recipe, held = bundle.card.recipe, bundle.nuclei_onnx
    if held is None:
        if recipe.nuclei.model != "builtin":
            raise BundleError("expected the nuclei network of the recipe, found none in the file")
        return
    look_over(held, "nuclei.onnx")
    if hashlib.sha256(held).hexdigest() != recipe.nuclei_sha256:
        raise BundleError("expected the nuclei network of the recipe, found another in the file")
