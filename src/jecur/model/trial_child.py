"""The child process of `jecur.model.trial`: limits first, then ONNX Runtime, one JSON line."""

import json
import sys
from typing import Any

from jecur.runs.orphans import end_with_parent

__all__ = ["main"]


def main() -> None:
    """Read an order and a graph from standard input, try the graph, say what was found."""
    end_with_parent(int(sys.argv[1]))
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    onnx = sys.stdin.buffer.read()
    _limit(order["cpu"], order["memory"])
    sys.stdout.write(json.dumps({"found": _found(onnx, order)}))


def _limit(cpu: int, memory: int) -> None:
    try:
        import resource  # noqa: PLC0415 - not on Windows, where time alone is limited
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _found(onnx: bytes, order: dict[str, Any]) -> str:
    """Open and run the graph; "" if it keeps its contract."""
    import numpy as np  # noqa: PLC0415 - after the limits
    import onnxruntime as ort  # noqa: PLC0415

    try:
        session = ort.InferenceSession(onnx, _options(ort), providers=["CPUExecutionProvider"])
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            return f"{len(inputs)} inputs and {len(outputs)} outputs"
        shape = tuple(order["shape"])
        for levels in ((0,), (255, 128, 0)):
            tiles = np.stack([np.full(shape, level, order["dtype"]) for level in levels])
            given = np.asarray(session.run(None, {inputs[0].name: tiles})[0])
            if given.dtype != np.float32 or given.shape != (len(levels), *order["outputs"]):
                return f"{given.dtype} {given.shape} for {len(levels)} tiles"
            if not np.isfinite(given).all():
                return "numbers that are not finite"
            low, high = order["low"], order["high"]
            if low is not None and not (given.min() >= low and given.max() <= high):
                return f"values from {given.min():.3g} to {given.max():.3g}"
    except Exception as error:  # noqa: BLE001 - whatever ONNX Runtime raises, the graph is refused
        return f"that ONNX Runtime refuses it: {' '.join(str(error).split())[:300]}"
    return ""


def _options(ort: Any) -> Any:  # noqa: ANN401
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


if __name__ == "__main__":
    main()
