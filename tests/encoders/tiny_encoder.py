"""A tiny timm network with random weights from a seed, saved as its makers would save it."""

import json
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from jecur.training.mobilenet import PIXEL_MEAN, PIXEL_STD

ARCHITECTURE = "test_efficientnet"


def write_tiny_encoder(folder: Path, seed: int = 0) -> Path:
    """Folder with config.json and model.safetensors; sees tiles as our own frozen encoders do."""
    torch.manual_seed(seed)
    network = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=0)
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": ARCHITECTURE,
        "num_classes": 0,
        "license": "of this test",
        "mpp": 128 / 224,
        "pretrained_cfg": {
            "input_size": [3, 224, 224],
            "mean": list(PIXEL_MEAN[:3]),
            "std": list(PIXEL_STD[:3]),
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder
