"""The encoder of a study that does not train it, as a graph in the run folder."""

from pathlib import Path

import jecur
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, sha256_file
from jecur.settings import StudySettings, TrainingSettings
from jecur.study.torch_wing import needing_torch

__all__ = ["frozen_encoder", "starting_weights"]

FOLDER = "encoder"


def frozen_encoder(study: StudySettings, run: RunFolder) -> Path:
    """Write the encoder that a study starts from and never trains; nothing if it is there.

    Raises
    ------
    TrainingError
        If torch is not installed, or the encoder or its weights are not to be had.
    """
    training, px = study.training, study.tiling.output_px
    weights = starting_weights(training)
    mark = fingerprint(training.encoder, training.seed, weights, px, jecur.__version__)
    path = run.root / FOLDER / f"{mark[:16]}.onnx"
    if path.is_file():
        return path
    with needing_torch("training"):
        from jecur.training.frozen_encoder import frozen_encoder_onnx  # noqa: PLC0415
    with atomic_path(path) as temporary:
        temporary.write_bytes(frozen_encoder_onnx(training, tile_px=px))
    return path


def starting_weights(training: TrainingSettings) -> str:
    """SHA-256 of the file of weights that an encoder starts from; "" where it starts from no file."""
    start = Path(training.encoder.start)
    return sha256_file(start) if start.is_file() else ""
