"""The file of a tissue classifier: safetensors with a card, checked at every load.

Arrays are ``mean`` and ``spread`` (d,), ``weights`` (K, d) and ``intercepts`` (K,), all float64. The card is
JSON in the file's own metadata under ``card``; it holds a digest of the arrays. The digest shows damage and
says nothing about who wrote the file, so whatever is no such file is refused. There is no pickle.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import safetensors.numpy
from msgspec import Meta
from numpy.typing import NDArray
from safetensors import SafetensorError

from jecur.errors import BundleError, SettingsError
from jecur.model.card import (
    MAX_CARD_BYTES,
    Digest,
    Line,
    NetworkInput,
    Prose,
    TrainedOn,
    plain_table,
    write_card,
)
from jecur.runs.folder import atomic_path
from jecur.settings import Recipe
from jecur.settings.base import Count, CountOrZero, Fraction, Positive, Stage, make_settings

__all__ = ["TissueCard", "TissueFile", "TissueTest", "read_tissue_file", "write_tissue_file"]

_MAX_BYTES = 64 * 2**20
_ARRAYS = ("mean", "spread", "weights", "intercepts")
_ClassName = Annotated[str, Meta(min_length=1, max_length=100)]


class TissueTest(Stage, frozen=True):
    """How tiles of patients whom the classifier had not seen were classified."""

    n_folds: Count
    """Each patient's tiles are in one of them."""
    balanced_accuracy: Fraction
    """Mean of the classes' sensitivities."""
    sensitivity: dict[_ClassName, Fraction]
    """Class -> share of its tiles that were called by it."""


class TissueCard(Stage, frozen=True):
    """What a tissue classifier is; ``docs/tissue.md`` says every field."""

    intended_use: Prose
    created: Annotated[str, Meta(pattern=r"^[0-9T:+-]{8,32}$")]
    jecur: Annotated[str, Meta(max_length=40)]
    study: Line
    virtual: bool
    classes: Annotated[tuple[_ClassName, ...], Meta(min_length=2, max_length=64)]
    encoder: Line
    encoder_sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
    """Of its weights; "" where tiles came as features, whose encoder nobody named."""
    input: NetworkInput
    """What tiles are before the encoder, or how many features they come with."""
    n_features: Annotated[int, Meta(ge=1, le=1_000_000)]
    recipe: Recipe
    cover: Annotated[float, Meta(ge=0.5, le=1)]
    """Share of a tile's area that its class covers."""
    n_tiles: dict[_ClassName, Count]
    n_patients: dict[_ClassName, Count]
    left_out: dict[Line, CountOrZero]
    """Reason -> tiles of the slides drawn on that were not trained on."""
    strength: Positive
    """Of the ridge penalty."""
    test: TissueTest
    trained_on: TrainedOn
    """Slides drawn on, by the digests of their tiles."""
    arrays_sha256: Digest

    def contradictions(self) -> Iterator[str]:
        """Yield where two parts of the card say different things."""
        if len(set(self.classes)) < len(self.classes):
            yield "expected every class once"
        for name in ("n_tiles", "n_patients"):
            if set(getattr(self, name)) != set(self.classes):
                yield f"expected {name} of each class"
        if set(self.test.sensitivity) != set(self.classes):
            yield "expected a sensitivity of each class"
        if self.input.kind == "features" and self.input.width != self.n_features:
            yield f"expected {self.input.width} features, found {self.n_features}"
        if (self.encoder_sha256 == "") != (self.input.kind == "features"):
            yield "expected the digest of an encoder where there is one, and there alone"


@dataclass(frozen=True, slots=True, eq=False)
class TissueFile:
    """A tissue classifier as it lies on disk."""

    card: TissueCard
    arrays: Mapping[str, NDArray[np.float64]]
    """``mean``, ``spread``, ``weights``, ``intercepts``."""


def arrays_sha256(arrays: Mapping[str, NDArray[np.float64]]) -> str:
    """Digest of the arrays, in the order in which their names are given above."""
    digest = hashlib.sha256()
    for name in _ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name], dtype="<f8").tobytes())
    return digest.hexdigest()


def write_tissue_file(found: TissueFile, path: Path) -> Path:
    """Write a tissue classifier, whole or not at all; the same one gives the same bytes.

    Raises
    ------
    BundleError
        If its arrays are none that `read_tissue_file` takes.
    """
    card = msgspec.structs.replace(found.card, arrays_sha256=arrays_sha256(found.arrays))
    _refuse_arrays(found.arrays, card)
    arrays = {name: np.ascontiguousarray(found.arrays[name]) for name in _ARRAYS}
    data = safetensors.numpy.save(arrays, metadata={"card": write_card(card).decode()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path


def read_tissue_file(path: Path) -> TissueFile:
    """Read and check a tissue classifier.

    Raises
    ------
    BundleError
        If there is none, or it is not one of this version: arrays of other shapes or numbers that are not
        finite, a card that contradicts them or itself, changed bytes.
    """
    if not path.is_file():
        raise BundleError(
            f"expected a tissue classifier at {path}, found none; train one with jecur tissue train",
            code="missing-model",
        )
    try:
        return _read(path)
    except BundleError as error:
        raise error.within(path.name) from error


def _read(path: Path) -> TissueFile:
    with path.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise _refused(f"more than {_MAX_BYTES >> 20} MiB")
    try:
        arrays = safetensors.numpy.load(data)
        card = make_settings(plain_table(_card_text(data)), TissueCard)
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        said = error.message if isinstance(error, SettingsError) else str(error)
        raise _refused(" ".join(said.split())[:400]) from error
    _refuse_arrays(arrays, card)
    if arrays_sha256(arrays) != card.arrays_sha256:
        raise BundleError(
            "expected the numbers that were written, found changed ones; the file is damaged or was "
            "edited: get it again",
            code="changed-model-file",
        )
    return TissueFile(card, arrays)


def _card_text(data: bytes) -> bytes:
    """Text of the card in the header, which safetensors has found to be sound."""
    (length,) = struct.unpack("<Q", data[:8])
    if length > MAX_CARD_BYTES:
        raise ValueError("a header larger than any card")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    if "card" not in metadata:
        raise ValueError("no card")
    return str(metadata["card"]).encode()


def _refuse_arrays(arrays: Mapping[str, NDArray[np.float64]], card: TissueCard) -> None:
    """Refuse arrays of other names, shapes or types, and numbers that are none."""
    k, d = len(card.classes), card.n_features
    shapes = {"mean": (d,), "spread": (d,), "weights": (k, d), "intercepts": (k,)}
    if set(arrays) != set(shapes):
        raise _refused(f"the arrays {', '.join(sorted(arrays)[:8]) or 'none'}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.dtype != np.float64 or array.shape != shape:
            raise _refused(f"{name} {array.dtype} {array.shape} where float64 {shape} belongs")
        if not np.isfinite(array).all():
            raise _refused(f"numbers in {name} that are not finite")
    if not (arrays["spread"] > 0).all():
        raise _refused("a spread that is not above 0")


def _refused(found: str) -> BundleError:
    return BundleError(
        f"expected a tissue classifier of this version, found: {found}; train it again with jecur tissue "
        "train, or get the file again"
    )
