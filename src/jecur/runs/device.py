"""Which device networks run on: the processor, or a graphics card that was asked for and proved.

What is asked for is settled once a command (`jecur.study.devices`); everything else reads it here. Slides are
prepared and scored through ONNX Runtime; training and the encoders of others run on torch, which has a
device of its own. Never run on a graphics card: tests use stand-ins for one.
"""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from jecur.errors import SystemRefusedError
from jecur.runs.files import write_json

__all__ = [
    "Device",
    "Devices",
    "Part",
    "Wanted",
    "available_providers",
    "computing_on",
    "device_mark",
    "device_record",
    "devices_in_use",
    "no_card",
    "open_session",
    "why_no_card",
    "write_device_record",
]

RECORD = ".devices"
"""Hidden in a run folder: on which devices it was begun. The manifest says the same at the end."""

Device = Literal["cpu", "cuda"]
Part = Literal["slides", "torch"]
Wanted = Literal["auto", "cpu", "cuda"]

INSTALL = (
    'pip install "jecur[gpu]", then pip uninstall onnxruntime, then '
    "pip install --force-reinstall --no-deps onnxruntime-gpu"
)
"""What brings ONNX Runtime for graphics cards: it and the usual one overwrite each other's files."""

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_CUDA_OPTIONS = {
    "arena_extend_strategy": "kSameAsRequested",  # several processes share a card
    "cudnn_conv_algo_search": "HEURISTIC",  # trying which is fastest differs from process to process
    "use_tf32": "0",  # numbers of 10 bits
}
_NEGATIVE = bytes.fromhex(
    "080812003a340a0b0a017812017922034e656712036f6e655a0f0a0178120a0a08080112040a02"
    "0801620f0a0179120a0a08080112040a02080142040a00100d"
)
"""An ONNX graph of one node, y = -x of one float32: whether a card can be opened."""


@dataclass(frozen=True, slots=True)
class Devices:
    """Where the networks of a command run.

    Parameters
    ----------
    slides
        Slides are prepared and scored there.
    torch
        Training, and encoders of others; "auto" until torch is needed, which is slow to import.
    """

    slides: Device = "cpu"
    torch: Wanted = "cpu"


_in_use = Devices()


def devices_in_use() -> Devices:
    """Devices of the block at work; the processor where none was chosen."""
    return _in_use


@contextmanager
def computing_on(devices: Devices) -> Iterator[None]:
    """Let networks run on these devices for the length of a block.

    Of this process, all its threads alike: pieces of work that cross to others name their device.
    """
    global _in_use  # noqa: PLW0603 - a context variable would be lost in threads
    before, _in_use = _in_use, devices
    try:
        yield
    finally:
        _in_use = before


def device_mark(device: Device) -> tuple[object, ...]:
    """Parts of a fingerprint: work on a card is marked by it, work on the processor names no device."""
    return () if device == "cpu" else (("device", device),)


def device_record(root: Path) -> dict[Part, Device]:
    """Devices on which a run folder was begun: of its slides, and of torch if that had a part."""
    try:
        told = json.loads((root / RECORD).read_bytes())
    except (OSError, ValueError):
        told = {}
    parts: tuple[Part, ...] = ("slides", "torch")
    known = told if isinstance(told, dict) else {}
    found = {part: known[part] for part in parts if known.get(part) in ("cpu", "cuda")}
    if "slides" not in found and any((root / "slides").glob("*/complete")):
        found["slides"] = "cpu"  # before this was kept, nuclei were marked by the processor
    return found


def write_device_record(root: Path, part: Part, device: Device) -> bool:
    """Remember the device of one part of a run; False if it was known."""
    before = device_record(root)
    if before.get(part) == device and (root / RECORD).is_file():
        return False
    write_json(root / RECORD, {**before, part: device})
    return True


def available_providers() -> Sequence[str]:
    """Name what the installed ONNX Runtime was built for; whether it can be opened is another question."""
    import onnxruntime as ort  # noqa: PLC0415 - commands without a network need not wait for it

    return tuple(ort.get_available_providers())


def why_no_card() -> str:
    """Say what was found in place of a card that ONNX Runtime can open; "" if it can."""
    found = available_providers()
    if _CUDA not in found:
        return f"ONNX Runtime with {', '.join(found)} alone"
    if find_spec("onnx") is None:
        return "no package onnx, which the nuclei network needs on a card"
    import onnxruntime as ort  # noqa: PLC0415

    try:
        open_session(_NEGATIVE, ort.SessionOptions(), "cuda").run(None, {"x": _one()})
    except Exception as error:  # noqa: BLE001 - libraries, drivers and cards fail in ways of their own
        return f"ONNX Runtime for CUDA that cannot open a card ({_line(error)})"
    return ""


def no_card(found: str, remedy: str = INSTALL) -> SystemRefusedError:
    """Return the error of a card that was asked for and cannot be opened."""
    return SystemRefusedError(
        f'expected a graphics card for device = "cuda", found {found}; take device = "cpu" or "auto", or '
        f"install what is lacking: {remedy}",
        code="no-card",
    )


def open_session(onnx: bytes, options: Any, device: Device) -> Any:  # noqa: ANN401 - ONNX Runtime's own
    """Open a graph on a device, and on no other in its place.

    Parameters
    ----------
    onnx
        The graph.
    options
        ``onnxruntime.SessionOptions``.
    device
        On "cuda", float32 is computed in 23 bits, by algorithms that are chosen alike in every process.

    Raises
    ------
    SystemRefusedError
        With code ``no-card``, where ONNX Runtime would take the processor instead.
    Exception
        Whatever ONNX Runtime raises on a graph that it cannot use.
    """
    import onnxruntime as ort  # noqa: PLC0415

    if device == "cpu":
        return ort.InferenceSession(onnx, options, providers=[_CPU])
    if _CUDA not in available_providers():
        raise no_card(f"ONNX Runtime with {', '.join(available_providers())} alone")
    _load_libraries(ort)
    options.use_deterministic_compute = True
    session = ort.InferenceSession(onnx, options, providers=[(_CUDA, _CUDA_OPTIONS), _CPU])
    if _CUDA not in session.get_providers():
        raise no_card("ONNX Runtime for CUDA that cannot open a card (driver, CUDA or cuDNN)")
    return session


def _load_libraries(ort: Any) -> None:  # noqa: ANN401 - the module
    """Find CUDA and cuDNN where pip puts them; what is missing the session will say."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls()


def _one() -> Any:  # noqa: ANN401
    import numpy as np  # noqa: PLC0415

    return np.ones(1, np.float32)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
