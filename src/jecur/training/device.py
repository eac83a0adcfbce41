"""The device that torch computes on: what the command settled, and proved before it is used.

Never run on a graphics card: tests use stand-ins for one.
"""

from functools import cache

import torch

from jecur.runs.device import devices_in_use, no_card

__all__ = ["has_fast_bfloat16", "to_device", "training_device", "why_no_torch_card"]


def training_device() -> torch.device:
    """Device of the block at work (`jecur.runs.device.computing_on`); the processor where none was chosen.

    Raises
    ------
    SystemRefusedError
        With code ``no-card``, if it is a card and none can be opened.
    """
    wanted = devices_in_use().torch
    if wanted == "cpu":
        return torch.device("cpu")
    found = why_no_torch_card()
    if found and wanted == "cuda":
        raise no_card(found, "a build of torch for CUDA (see pytorch.org), and the card's driver")
    return torch.device("cpu" if found else "cuda")


@cache
def why_no_torch_card() -> str:
    """Say what was found in place of a card that torch can open; "" if it can. Asked once a process."""
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} that sees no card"
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        return f"a card that torch cannot open ({' '.join(str(error).split())[:200]})"
    return ""


def to_device(tiles: torch.Tensor) -> torch.Tensor:
    """Bring a tensor to the training device; to a card while the processor goes on, if it is pinned."""
    device = training_device()
    return tiles if device.type == "cpu" else tiles.to(device, non_blocking=tiles.is_pinned())


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 is computed there; a processor without it imitates it, many times slower."""
    if device.type != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
