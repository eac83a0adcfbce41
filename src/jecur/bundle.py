"""The model file ``.jecur``: networks, weights and a card, verified at every load.

Layout: one line ``JECUR 1 <sha256 of the rest>``, then a ZIP archive (any unzip program opens
it) of ``card.json``, ``encoder.onnx``, ``nuclei.onnx``, ``weights.safetensors`` and, where the
pooling learnt something, ``pooling.safetensors``. The first line covers every later byte, so a
changed byte anywhere is refused. Nothing is executed on load but the ONNX graphs, by ONNX Runtime;
there is no pickle.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jecur.artifacts import atomic_path
from jecur.errors import BundleError

__all__ = ["Bundle", "read_bundle", "write_bundle"]

_MAGIC = b"JECUR 1 "
_MEMBERS = (
    "card.json",
    "encoder.onnx",
    "nuclei.onnx",
    "weights.safetensors",
    "pooling.safetensors",
)
_OPTIONAL = ("nuclei.onnx", "pooling.safetensors")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAX_BYTES = 2**31


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model as trained: nothing in it is learnt or chosen later."""

    card: Mapping[str, Any]
    """What the model is: see ``docs/model_card.md`` for every field."""
    encoder_onnx: bytes
    """Tile (n, 224, 224, c) uint8, or features (n, d) -> logit (n,) float32, or (n, 2) with gates."""
    nuclei_onnx: bytes | None
    """Tile (n, 224, 224, 3) uint8 -> nuclei probability; None for an RGB model."""
    weights: bytes
    """The encoder's weights as safetensors, to go on training."""
    pooling: bytes | None = None
    """What the pooling learnt, as safetensors; None if it learns nothing."""

    @property
    def cutoff(self) -> float:
        """High risk if and only if the risk is above this."""
        return float(self.card["cutoff"])

    @property
    def sha256(self) -> str:
        """Digest of the encoder graph and of what the pooling learnt, hexadecimal."""
        return hashlib.sha256(self.encoder_onnx + (self.pooling or b"")).hexdigest()


def write_bundle(bundle: Bundle, path: Path) -> Path:
    """Write a model file, whole or not at all; the same model gives the same bytes."""
    members = {
        "card.json": json.dumps(bundle.card, indent=2, allow_nan=False).encode(),
        "encoder.onnx": bundle.encoder_onnx,
        "weights.safetensors": bundle.weights,
    }
    if bundle.nuclei_onnx is not None:
        members["nuclei.onnx"] = bundle.nuclei_onnx
    if bundle.pooling is not None:
        members["pooling.safetensors"] = bundle.pooling
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])
    body = buffer.getvalue()
    with atomic_path(path) as temporary:
        temporary.write_bytes(_MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    return path


def read_bundle(path: Path) -> Bundle:
    """Read and verify a model file.

    Raises
    ------
    BundleError
        If there is no such file, it is no Jecur model, or a byte of it was changed.
    """
    if not path.is_file():
        raise BundleError(
            f"expected a model file at {path}, found none; train one with `jecur run` or `jecur demo`",
            code="missing-model",
        )
    if path.stat().st_size > _MAX_BYTES:
        raise BundleError(f"{path.name}: expected a model file under 2 GiB, found a larger one")
    head, _, body = path.read_bytes().partition(b"\n")
    if not head.startswith(_MAGIC):
        raise BundleError(f"{path.name}: expected a Jecur model file, found something else")
    if hashlib.sha256(body).hexdigest().encode() != head[len(_MAGIC) :]:
        raise BundleError(
            f"{path.name}: expected the bytes that were written, found changed ones; "
            "the file is damaged or was edited: get it again",
            code="changed-model-file",
        )
    members = _members(body, path.name)
    return Bundle(
        card=json.loads(members["card.json"]),
        encoder_onnx=members["encoder.onnx"],
        nuclei_onnx=members.get("nuclei.onnx"),
        weights=members["weights.safetensors"],
        pooling=members.get("pooling.safetensors"),
    )


def _members(body: bytes, name: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = set(archive.namelist())
            size = sum(info.file_size for info in archive.infolist())
            missing = set(_MEMBERS) - set(_OPTIONAL) - names
            if missing or names - set(_MEMBERS) or size > _MAX_BYTES:
                raise BundleError(f"{name}: expected {', '.join(_MEMBERS)}, found {sorted(names)}")
            return {member: archive.read(member) for member in names}
    except zipfile.BadZipFile as error:
        raise BundleError(f"{name}: expected a ZIP archive inside, found none: {error}") from error
