"""The device that a study's settings name, settled before anything is written and kept by its run folder.

Risks of two devices agree to rounding and not to the last bit, so what one run prepares, scores or trains is
of one device each: a folder remembers on which it was begun. Training may take another than slides, which
may be prepared on machines without a card.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jecur.errors import RunFolderError, TrainingError
from jecur.model.card import ModelCard
from jecur.runs.device import (
    Device,
    Devices,
    Part,
    Wanted,
    computing_on,
    device_record,
    devices_in_use,
    no_card,
    why_no_card,
    write_device_record,
)
from jecur.runs.folder import RunFolder
from jecur.runs.progress import Progress
from jecur.settings import ComputeSettings
from jecur.study.torch_wing import needing_torch

__all__ = ["devices_line", "on_devices", "record_slides", "settle_torch", "tell_other_device"]

NAMES = {"cpu": "the processor", "cuda": "a graphics card"}
_BEGUN = {"slides": "the slides of this run were prepared", "torch": "this run was trained"}


@contextmanager
def on_devices(
    compute: ComputeSettings,
    out: Path | None,
    *,
    parts: tuple[Part, ...] = ("slides",),
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Devices]:
    """Settle where networks run, and let them run there for the length of a block. Nothing is written.

    Parameters
    ----------
    compute
        Settings of the study, with what the command line says.
    out
        Run folder, which may not be there yet: work begun in it stays on its device.
    parts
        What the command does: prepares or scores slides, runs torch.
    say
        Shows a line to the user.

    Raises
    ------
    SystemRefusedError
        With code ``no-card``, if ``device = "cuda"`` and there is none that can be opened.
    RunFolderError
        With code ``other-device``, if another device is asked for than that on which the folder was begun.
    """
    begun = device_record(out) if out is not None else {}
    wanted = {part: _wanted(compute.device, begun.get(part), part) for part in parts}
    slides = wanted.get("slides", "cpu")
    if slides == "auto":
        slides = "cpu" if why_no_card() else "cuda"
    elif slides == "cuda" and compute.device == "cuda" and (found := why_no_card()):
        raise no_card(found)
    torch = wanted.get("torch", "cpu")
    if torch == "cuda" and compute.device == "cuda":
        _require_torch_card()
    if slides == "cuda":
        say("networks see slides on the graphics card")
    devices = Devices(slides, torch)
    with computing_on(devices):
        yield devices


def record_slides(run: RunFolder, *, log: bool = True) -> None:
    """Write into the run folder, and its log, on which device its slides are prepared and scored."""
    _record(run, "slides", devices_in_use().slides, log=log)


def settle_torch(run: RunFolder) -> Device:
    """Settle torch's device, if it is not yet, and write it into the run folder and its log.

    Raises
    ------
    TrainingError
        If torch is not installed.
    """
    device = _torch_device()
    _record(run, "torch", device)
    return device


def _torch_device() -> Device:
    with needing_torch("training"):
        from jecur.training.device import training_device  # noqa: PLC0415 - torch only where needed
    return "cpu" if training_device().type == "cpu" else "cuda"


def devices_line(compute: ComputeSettings, out: Path | None) -> str:
    """Say where a run would see slides and train, and why where "auto" found no card.

    Raises
    ------
    SystemRefusedError, RunFolderError
        As `on_devices`.
    """
    with on_devices(compute, out, parts=("slides", "torch")) as devices:
        slides = f"slides on {NAMES[devices.slides]}"
        if compute.device == "auto" and devices.slides == "cpu" and (found := why_no_card()):
            slides += f" ({found})"
        return f"Device: {slides}; training on {_place_of_training(devices)}."


def _place_of_training(devices: Devices) -> str:
    try:
        here = NAMES[_torch_device()]
    except TrainingError:
        return "no device: torch is not installed"
    if devices.torch != "auto":
        return here
    from jecur.training.device import why_no_torch_card  # noqa: PLC0415 - torch is there

    found = why_no_torch_card()
    return f"{here} ({found})" if found else here


def tell_other_device(card: ModelCard, progress: Progress) -> None:
    """Say where slides are seen on another device than those that a model was trained on."""
    here, there = devices_in_use().slides, card.computed_on
    if there is not None and there.slides != here:
        progress.say(
            f"The model was trained on slides seen by {NAMES[there.slides]}, these are seen by "
            f"{NAMES[here]}: risks agree to rounding, and a slide it was trained on is known by its patient "
            "alone, not by its tiles [other-device]"
        )


def _record(run: RunFolder, part: Part, device: Device, *, log: bool = True) -> None:
    if write_device_record(run.whole or run.root, part, device) and log:
        run.log("device", part=part, device=device)


def _wanted(wanted: Wanted, begun: Device | None, part: Part) -> Wanted:
    if begun is None or wanted == begun:
        return wanted
    if wanted == "auto":
        return begun
    raise RunFolderError(
        f'expected device = "{begun}", on which {_BEGUN[part]}, found "{wanted}": numbers of two devices '
        'agree to rounding alone; take "auto", which goes on as it was begun, or name another --out',
        code="other-device",
    )


def _require_torch_card() -> None:
    with needing_torch("training"):
        from jecur.training.device import why_no_torch_card  # noqa: PLC0415
    if found := why_no_torch_card():
        raise no_card(found, "a build of torch for CUDA (see pytorch.org), and the card's driver")
