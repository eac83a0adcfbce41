"""A graph tried once in a process of its own, before anything depends on it.

A graph can be well formed and still never end, take all memory, or bring ONNX Runtime down. So it is
opened and run first where that costs nothing: in a child with limits of time and memory, on
constant tiles and on a batch of several. A graph that passed is not tried again in this process.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jecur.errors import BundleError

__all__ = ["Contract", "try_graph"]

CPU_SECONDS = 3
"""Of the child, for a small graph; a large one gets a second more for every 5 MiB."""
WALL_SECONDS = 60
"""Longest wait for the child, whatever else the machine does."""
MEMORY_BYTES = 700 * 2**20
"""Most memory of the child, beside eight times the graph's own size."""

_tried: set[tuple[str, "Contract"]] = set()


@dataclass(frozen=True, slots=True)
class Contract:
    """What a graph takes and gives.

    Parameters
    ----------
    dtype
        Of its input: "uint8" for tiles, "float32" for features.
    shape
        Of one tile: (h, w, channels), or (features,).
    outputs
        Shape of what it gives for one tile: () a number, (2,) two, (h, w) a map.
    low, high
        Range of the output; None where it has none.
    """

    dtype: str
    shape: tuple[int, ...]
    outputs: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None


def try_graph(onnx: bytes, contract: Contract, what: str) -> None:
    """Open and run a graph in a child process.

    Parameters
    ----------
    onnx
        The file, looked over before by `jecur.model.graph.look_over`.
    contract
        What it must take and give.
    what
        Its name in an error.

    Raises
    ------
    BundleError
        With code ``bad-graph``: it does not keep the contract, gives a number that is not finite,
        takes too long or too much, or ends its process.
    """
    key = (hashlib.sha256(onnx).hexdigest(), contract)
    if key in _tried:
        return
    found = _run_child(onnx, contract)
    if found:
        raise BundleError(
            f"expected {what} to take {contract.dtype} (n, {_told(contract.shape)}) and to give "
            f"float32 (n{''.join(f', {n}' for n in contract.outputs)}), found {found}; "
            "get the file again from those who made it",
            code="bad-graph",
        )
    _tried.add(key)


def _told(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


def _run_child(onnx: bytes, contract: Contract) -> str:
    """Run `jecur.model.trial_child`; "" if the graph passed, else what was found."""
    limits = {
        "cpu": CPU_SECONDS + len(onnx) // (5 * 2**20),
        "memory": MEMORY_BYTES + 8 * len(onnx),
    }
    order = json.dumps(asdict(contract) | limits).encode() + b"\n"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "jecur.model.trial_child", str(os.getpid())],
            input=order + onnx,
            capture_output=True,
            timeout=WALL_SECONDS,
            env=os.environ | threads,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"that it does not end within {WALL_SECONDS} s on three tiles"
    except OSError as error:
        return f"that it cannot be tried: {error}"
    return _verdict(child.stdout, child.returncode)


def _verdict(said: bytes, code: int) -> str:
    try:
        answer: Any = json.loads(said)
    except ValueError:
        answer = None
    if code == 0 and isinstance(answer, dict) and isinstance(answer.get("found"), str):
        return str(answer["found"])
    return f"that it takes too long or too much memory, or ends its process (code {code})"
