"""From outlined fields to a network that can be used: fit, export, quantize, measure, describe."""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import torch

from jecur.errors import TrainingError
from jecur.nuclei.segmentation import STRIDE, NucleiModel
from jecur.training.nuclei.agreement import evaluate_nuclei
from jecur.training.nuclei.data import UNLABELED, read_fields, rows_of_split
from jecur.training.nuclei.fit import (
    NucleiTrainingSettings,
    fit_nuclei,
    settle_threshold,
)
from jecur.training.nuclei.quantize import calibration_tiles, quantize_nuclei
from jecur.training.nuclei.teach import draw_maps
from jecur.training.nuclei.unet import ExportableUNet, NucleiUNet

__all__ = ["ReleasedNuclei", "export_nuclei", "train_nuclei"]

PARITY_LIMIT = 1e-4
"""Largest difference of probabilities allowed between torch and ONNX Runtime."""

DICE_LOSS_LIMIT = 0.005
"""Validation Dice that quantization may cost; beyond it the network stays in floats."""

MAPS = "maps"
"""Folder of the teacher's maps."""

TEACHER = NucleiTrainingSettings(
    network="pretrained",
    um_per_px=2 / 7,
    steps=1200,
    batch_size=8,
    crop_px=256,
    learning_rate=1e-3,
    averaging=0.99,
    evaluate_every=200,
    bfloat16=False,
)
"""Twice the resolution of what ships."""

REPORTED_SPLITS = ("val", "test_same_organ", "external_40x", "external_20x")


@dataclass(frozen=True, slots=True)
class ReleasedNuclei:
    """The two files of a finished network."""

    onnx: Path
    card: Path


def train_nuclei(  # noqa: PLR0913 - what is fitted on, how, and what is told of it
    data: Path,
    out: Path,
    settings: NucleiTrainingSettings | None = None,
    *,
    provenance: Mapping[str, object] | None = None,
    name: str = "nuclei_unet",
    quantize: bool = True,
    teacher: Path | None = None,
) -> ReleasedNuclei:
    """Fit the nuclei network, export it, measure it on every split present and write its card.

    Parameters
    ----------
    data
        Folder with ``split.csv``, see `jecur.training.nuclei.data`. Training sees the split
        ``train``, the choice of weights sees ``val``, the others are only reported.
    out
        Folder for ``<name>.onnx``, ``<name>.json`` and the checkpoint.
    settings
        See `NucleiTrainingSettings`; defaults if left out.
    provenance
        Where the data are from and what their license allows; copied into the card.
    name
        Stem of the files; the network in floats is written as ``<name>_float32.onnx``.
    quantize
        Ship eight-bit integers, about twice as fast, unless they cost more than 0.005 of the
        validation Dice.
    teacher
        Weights of EfficientNet-Lite0 (`jecur.training.nuclei.pretrained`), from which a strong network is
        fitted first; the one that ships learns from its maps of the split ``unlabeled``, too. None learns
        from outlines alone.

    Returns
    -------
    ReleasedNuclei
        Paths; set ``nuclei.model`` to the first one to use the network.
    """
    settings = settings or NucleiTrainingSettings()
    if settings.network != "small":
        raise TrainingError(
            "expected the small network to be released, found its teacher; give its settings"
        )
    taught: dict[str, object] = {}
    if teacher is not None:
        if not rows_of_split(data, UNLABELED):
            raise TrainingError(
                f"expected images of the split {UNLABELED!r} in {data / 'split.csv'} for the teacher "
                "to draw, found none; add some, or train without a teacher"
            )
        taught = {"teacher": _teach(data, out, teacher, settings.seed)}
    fit = fit_nuclei(data, out, settings, maps=out / MAPS if taught else None)
    shift = settle_threshold(fit.network, read_fields(data, "val", um_per_px=settings.um_per_px))
    small = cast("NucleiUNet", fit.network)
    floats, difference = export_nuclei(small)
    scale = {"um_per_px": settings.um_per_px}
    model = NucleiModel.from_bytes(floats, card=scale)
    quantization: dict[str, object] = {"used": False}
    if quantize:
        model, quantization = _quantized(data, model, settings.seed)
    card = {
        "task": "probability that a pixel of an H&E tile is nucleus",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "sha256": model.sha256,
        **_architecture(small, settings),
        "training": {
            **asdict(settings),
            **taught,
            "chosen_step": fit.step,
            "shift_of_logits": shift,
            "history": [
                {"step": step, "loss": round(loss, 4), "validation_dice": round(dice, 4)}
                for step, loss, dice in fit.history
            ],
        },
        "data": {"n_training_fields": len(read_fields(data, "train")), **(provenance or {})},
        "parity_torch_onnx": difference,
        "quantization": quantization,
        "agreement": _agreement(data, model),
        "not_for": "Research use only: not for diagnosis or treatment, not validated on liver, "
        "not for stains other than hematoxylin and eosin, not for counting nuclei.",
    }
    onnx_path, card_path = out / f"{name}.onnx", out / f"{name}.json"
    _write_whole(out / f"{name}_float32.onnx", floats)
    _write_whole(onnx_path, model.onnx_bytes)
    _write_whole(card_path, (json.dumps(card, indent=2) + "\n").encode())
    return ReleasedNuclei(onnx_path, card_path)


def _teach(data: Path, out: Path, weights: Path, seed: int) -> dict[str, object]:
    """Fit the teacher, let it draw its maps, and say what it was."""
    settings = replace(TEACHER, seed=seed)
    fit = fit_nuclei(data, out / "teacher", settings, weights=weights)
    fields = read_fields(data, "val", um_per_px=settings.um_per_px)
    shift = settle_threshold(fit.network, fields)
    drawn = draw_maps(fit.network, settings.um_per_px, data, out / MAPS)
    return {
        **asdict(settings),
        "start": weights.name,
        "chosen_step": fit.step,
        "shift_of_logits": shift,
        "validation_dice": round(fit.validation_dice, 4),
        "n_maps": drawn,
    }


def export_nuclei(network: NucleiUNet) -> tuple[bytes, float]:
    """Write the network as ONNX with the contract of `jecur.nuclei.segmentation`.

    Returns
    -------
    tuple[bytes, float]
        The file, and the largest difference of probabilities from torch on random tiles.

    Raises
    ------
    TrainingError
        If that difference exceeds 1e-4.
    """
    exportable = ExportableUNet(network).eval().to(memory_format=torch.contiguous_format)
    side = max(STRIDE, network.stride)
    shape = (2, 3 * side, 2 * side, 3)
    noise = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    tiles = torch.from_numpy(noise)
    axes = {0: "tiles", 1: "height", 2: "width"}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "network.onnx"
        warnings.simplefilter("ignore")  # the exporter without onnxscript announces its retirement
        torch.onnx.export(
            exportable,
            (tiles,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["rgb"],
            output_names=["probability"],
            dynamic_axes={"rgb": axes, "probability": axes},
        )
        onnx_bytes = path.read_bytes()
    with torch.inference_mode():
        expected = exportable(tiles).numpy()
    found = NucleiModel.from_bytes(onnx_bytes).probability(noise)
    difference = float(np.abs(found - expected).max())
    if difference > PARITY_LIMIT:
        raise TrainingError(
            f"expected the exported network within {PARITY_LIMIT} of the trained one, found "
            f"{difference:.2e}; report it with your versions of torch and onnxruntime"
        )
    return onnx_bytes, difference


def _quantized(data: Path, floats: NucleiModel, seed: int) -> tuple[NucleiModel, dict[str, object]]:
    """Return the network to ship, in integers if that costs little, and what was found."""
    fields = read_fields(data, "train", um_per_px=floats.um_per_px)
    tiles = calibration_tiles(fields, rng=np.random.default_rng(seed))
    integers = NucleiModel.from_bytes(quantize_nuclei(floats.onnx_bytes, tiles), card=floats.card)
    before, after = (
        evaluate_nuclei(data, "val", model).estimate("dice").mean for model in (floats, integers)
    )
    used = before - after <= DICE_LOSS_LIMIT
    found: dict[str, object] = {
        "used": used,
        "scheme": "uint8 activations, 7-bit weights per channel; first and last layer in floats",
        "n_calibration_tiles": len(tiles),
        "validation_dice_float32": round(before, 4),
        "validation_dice_integers": round(after, 4),
    }
    return (integers if used else floats), found


def _architecture(network: NucleiUNet, settings: NucleiTrainingSettings) -> dict[str, object]:
    return {
        "architecture": "U-Net, stem of stride 2, pixel-shuffle head, added skips",
        "widths": settings.widths,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "um_per_px": round(settings.um_per_px, 4),
        "input": "rgb, uint8 (n, h, w, 3), h and w multiples of 32",
        "output": "probability, float32 (n, h, w) in [0, 1]",
    }


def _agreement(data: Path, model: NucleiModel) -> dict[str, object]:
    found: dict[str, object] = {}
    for split in REPORTED_SPLITS:
        try:
            found[split] = evaluate_nuclei(data, split, model).summary()
        except TrainingError as error:
            found[split] = {"not_measured": error.message}
    return found


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(path.suffix + ".tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)
