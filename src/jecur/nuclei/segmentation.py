"""The fourth channel: probability that a pixel is nucleus, from a small U-Net.

The network is an ONNX file run by ONNX Runtime; no torch. Its contract, checked at load: one
input, uint8 (n, h, w, 3) RGB with h and w multiples of 32; one output, float32 (n, h, w) in
[0, 1]. Scaling of the colors is part of the graph. A run takes networks of the working scale,
0.571 um/px; maps and agreement can be had at the scale that the network's card states.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from jecur.arrays import BagArray, NucleiBatch, RGBBatch
from jecur.errors import BundleError, NucleiModelError
from jecur.model.graph import look_over
from jecur.model.trial import Contract, try_graph
from jecur.nuclei.float_graph import float_parent
from jecur.runs.device import Device, open_session
from jecur.settings import NucleiSettings

__all__ = ["BUILTIN", "STRIDE", "WORKING_UM_PER_PX", "NucleiModel", "add_nuclei_channel"]

WORKING_UM_PER_PX = 128.0 / 224.0
"""The scale of a tile: 128 um on 224 px, 0.571 um/px."""

BUILTIN = Path(__file__).parent / "weights" / "nuclei_unet.onnx"
"""The network that comes with Jecur; its card lies beside it."""

MAX_BYTES = 100 * 2**20
"""Of a network's file."""

STRIDE = 32
"""Sides given to the network are padded to multiples of this."""

UNUSABLE = (
    runtime_errors.EPFail,
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)
"""What ONNX Runtime raises on a file or a graph it cannot use."""


class NucleiModel:
    """A nuclei network, ready to run; use `load` or `from_bytes`.

    Parameters
    ----------
    onnx_bytes
        The ONNX file.
    card
        What the network is, what it was fitted on and how well it does; empty if unknown.
    threads
        Threads of one call; None lets ONNX Runtime decide.
    device
        Where it runs. On a graphics card, a network of eight-bit integers is replaced by its parent of
        floats (`jecur.nuclei.float_graph`); digest and bytes stay those of the file.

    Raises
    ------
    NucleiModelError
        If the bytes are no network or do not keep the contract above.
    """

    __slots__ = ("_device", "_session", "_threads", "card", "onnx_bytes", "sha256")

    def __init__(
        self,
        onnx_bytes: bytes,
        card: Mapping[str, object] | None = None,
        threads: int | None = None,
        device: Device = "cpu",
    ) -> None:
        self.onnx_bytes = onnx_bytes
        self.sha256 = hashlib.sha256(onnx_bytes).hexdigest()
        self.card: Mapping[str, object] = dict(card or {})
        self._threads, self._device = threads, device
        try:
            look_over(onnx_bytes, "the nuclei network")
        except BundleError as error:
            raise NucleiModelError(error.message, code=error.code) from error
        self._session = _open(onnx_bytes, threads, device)
        self._require_contract()

    @classmethod
    def load(
        cls,
        settings: NucleiSettings | None = None,
        *,
        threads: int | None = None,
        tried: str = "",
        device: Device = "cpu",
    ) -> Self:
        """Open the network that the settings name; the built-in one by default.

        A card ``<name>.json`` beside the ONNX file is read, and its ``sha256``, if it states
        one, must be that of the file. Another network than the built-in one is first tried in a
        process of its own, but for the one that was before: its digest is ``tried``.
        """
        name = "builtin" if settings is None else settings.model
        path = BUILTIN if name == "builtin" else Path(name)
        if not path.is_file():
            raise NucleiModelError(
                f"expected an ONNX file at {path}, found no such file; "
                'set nuclei.model to "builtin" or to an existing file'
            )
        card = _read_card(path.with_suffix(".json"))
        onnx = _read_network(path)
        if name != "builtin" and hashlib.sha256(onnx).hexdigest() != tried:
            _try_network(onnx)
        model = cls(onnx, card, threads, device)
        stated = card.get("sha256", model.sha256)
        if stated != model.sha256:
            raise NucleiModelError(
                f"expected {path} with SHA-256 {stated} as its card says, found {model.sha256}; "
                "the file was changed or damaged: restore it",
                code="nuclei-model-changed",
            )
        return model

    @classmethod
    def from_bytes(
        cls,
        onnx_bytes: bytes,
        *,
        card: Mapping[str, object] | None = None,
        threads: int | None = None,
        device: Device = "cpu",
    ) -> Self:
        """Open a network that is already in memory, as in a model bundle."""
        return cls(onnx_bytes, card, threads, device)

    @property
    def um_per_px(self) -> float:
        """Scale at which the network sees tissue: its card's, or the working scale."""
        stated = self.card.get("um_per_px")
        if not isinstance(stated, int | float) or not 0.05 <= stated <= 2.0:
            return WORKING_UM_PER_PX
        return WORKING_UM_PER_PX if abs(stated / WORKING_UM_PER_PX - 1.0) < 0.01 else float(stated)

    def require_working_scale(self) -> None:
        """Refuse a network of a different scale, which would see nuclei of the wrong size.

        Raises
        ------
        NucleiModelError
            If the card states a scale other than 0.571 um/px.
        """
        if self.um_per_px != WORKING_UM_PER_PX:
            raise NucleiModelError(
                f"expected a nuclei network of {WORKING_UM_PER_PX:.3f} um/px, found one of "
                f"{self.um_per_px:.3f} um/px by its card; train one without --um-per-px, or use this "
                "one with nuclei map and nuclei evaluate alone",
                code="nuclei-model-scale",
            )

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders as the file's bytes; the session is opened anew."""
        return (type(self), (self.onnx_bytes, self.card, self._threads, self._device))

    def __repr__(self) -> str:
        return f"NucleiModel(sha256={self.sha256[:12]})"

    def probability(self, rgb: RGBBatch) -> NDArray[np.float32]:
        """Probability that a pixel is nucleus, (n, h, w) float32 in [0, 1].

        Parameters
        ----------
        rgb
            (n, h, w, 3) uint8 at `um_per_px`, any h and w >= 1: sides are continued by
            reflection to multiples of 32 and cut back.

        Raises
        ------
        NucleiModelError
            If ``rgb`` has the wrong shape or type, or the network fails on it.
        """
        _require_tiles(rgb)
        n, h, w, _ = rgb.shape
        padding = ((0, 0), (0, -h % STRIDE), (0, -w % STRIDE), (0, 0))
        padded = np.ascontiguousarray(np.pad(rgb, padding, mode="reflect"))
        probability = np.empty((n, h, w), dtype=np.float32)
        for k in range(n):  # one tile a call: a tile's map cannot depend on its neighbors
            probability[k] = self._run(padded[k : k + 1])[0, :h, :w]
        return probability

    def map(self, rgb: RGBBatch) -> NucleiBatch:
        """Probability x 255, rounded, (n, h, w) uint8; see `probability`."""
        nuclei: NucleiBatch = np.rint(self.probability(rgb) * 255.0).astype(np.uint8)
        return nuclei

    def _run(self, rgb: RGBBatch) -> NDArray[np.float32]:
        name = self._session.get_inputs()[0].name
        try:
            (probability,) = self._session.run(None, {name: rgb})
        except UNUSABLE as error:
            raise NucleiModelError(
                f"expected the nuclei network to take tiles of shape {rgb.shape}, found: "
                f"{error}; use a network with free or matching sides"
            ) from error
        return np.asarray(probability)

    def _require_contract(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = ", ".join(f"{p.name} {p.type} {p.shape}" for p in (*inputs, *outputs))
        wanted = "expected one input uint8 (n, h, w, 3) and one output float32 (n, h, w) in [0, 1]"
        remedy = "export the network again with this contract"
        if not (
            len(inputs) == len(outputs) == 1
            and inputs[0].type == "tensor(uint8)"
            and len(inputs[0].shape) == 4
            and inputs[0].shape[3] == 3
            and outputs[0].type == "tensor(float)"
        ):
            raise NucleiModelError(f"{wanted}, found {found}; {remedy}")
        sides = [s if isinstance(s, int) else 3 * STRIDE for s in inputs[0].shape[1:3]]
        ramp = np.arange(sides[0] * sides[1] * 3) % 256
        trial = self._run(ramp.astype(np.uint8).reshape(1, *sides, 3))
        if trial.shape != (1, *sides):
            raise NucleiModelError(f"{wanted}, found output of shape {trial.shape}; {remedy}")
        if not (trial.min() >= 0.0 and trial.max() <= 1.0):
            raise NucleiModelError(
                f"{wanted}, found values from {trial.min():.3g} to {trial.max():.3g}; {remedy}"
            )


def add_nuclei_channel(model: NucleiModel, rgb: RGBBatch) -> BagArray:
    """Append the nuclei map to color-normalized tiles.

    Parameters
    ----------
    model
        The network.
    rgb
        (n, h, w, 3) uint8.

    Returns
    -------
    BagArray
        (n, h, w, 4) uint8: R, G, B, nuclei probability x 255.
    """
    return np.concatenate([rgb, model.map(rgb)[..., None]], axis=3)


def _read_network(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise NucleiModelError(
            f"expected a nuclei network of at most {MAX_BYTES // 2**20} MiB, found {size // 2**20} at "
            f"{path}; use a smaller one"
        )
    return path.read_bytes()


def _try_network(onnx: bytes) -> None:
    """Look a network over and run it once in a child process."""
    side = 7 * STRIDE
    try:
        look_over(onnx, "the nuclei network")
        try_graph(
            onnx, Contract("uint8", (side, side, 3), (side, side), 0.0, 1.0), "the nuclei network"
        )
    except BundleError as error:
        raise NucleiModelError(error.message, code=error.code) from error


def _open(onnx_bytes: bytes, threads: int | None, device: Device) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    try:
        graph = onnx_bytes if device == "cpu" else float_parent(onnx_bytes)
        return open_session(graph, options, device)
    except UNUSABLE as error:
        raise NucleiModelError(
            f"expected an ONNX network, found {len(onnx_bytes)} bytes that ONNX Runtime refuses "
            f"({error}); export the network again"
        ) from error


def _read_card(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NucleiModelError(
            f"expected a JSON card in {path}, found: {error}; repair or remove it"
        ) from error
    if not isinstance(card, dict):
        raise NucleiModelError(
            f"expected a JSON object in {path}, found {type(card).__name__}; repair or remove it"
        )
    return card


def _require_tiles(rgb: RGBBatch) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3 or 0 in rgb.shape[1:3]:
        raise NucleiModelError(
            f"expected tiles (n, h, w, 3) uint8, found {rgb.shape} {rgb.dtype}; "
            "pass RGB tiles as read from the slide",
            code="bad-tiles",
        )
