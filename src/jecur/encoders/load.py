"""From a name and a folder of weights to a network that describes tiles. Nothing is downloaded unasked.

Weights are read as safetensors alone: a pickle runs whatever its maker put into it.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import timm
import timm.data
import timm.layers
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from jecur.encoders.known import KNOWN_ENCODERS, KnownEncoder
from jecur.errors import SettingsError, TrainingError
from jecur.training.mobilenet import PIXEL_MEAN, PIXEL_STD, build_encoder

__all__ = ["BUILTIN_NAME", "LoadedEncoder", "load_encoder"]

BUILTIN_NAME = "builtin"
"""The shipped starting weights, colors alone."""
_LOCAL = "local-dir:"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    """A network, and what it wants its tiles to be.

    Parameters
    ----------
    name
        For folders and tables.
    network
        (n, 3, h, w) floats -> (n, d), or (n, t, d) tokens.
    px
        Side of a tile, pixels.
    mean, std
        (3,) of its training pixels, range 0 to 1.
    mpp
        Micrometers per pixel that it was trained at; None if nobody says.
    patch_tokens_from
        See `jecur.encoders.known.KnownEncoder`.
    digest
        SHA-256 of its weights and of what is done to pixels.
    terms
        Licence and gate, where they are known.
    """

    name: str
    network: nn.Module
    px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    mpp: float | None
    patch_tokens_from: int
    digest: str
    terms: str = ""


def load_encoder(name: str, weights: str = "", *, download: bool = False) -> LoadedEncoder:
    """Load an encoder.

    Parameters
    ----------
    name
        Of `KNOWN_ENCODERS`, "builtin", or any timm architecture.
    weights
        "" or a folder with ``config.json`` and ``model.safetensors`` (``local-dir:PATH`` or PATH), or a
        safetensors file of the architecture.
    download
        Let timm or transformers fetch the weights if none are given.

    Raises
    ------
    SettingsError
        "unknown-encoder" or "no-weights".
    TrainingError
        If the weights do not fit.
    """
    if name == BUILTIN_NAME:
        return _builtin()
    known = next((k for k in KNOWN_ENCODERS if k.name == name), None)
    if known is not None and known.family == "own":
        raise SettingsError(
            f"expected an encoder that timm or transformers builds, found {known.title}, which needs its "
            "makers' own package; make its features there and name the files in the study's table. "
            f"{known.terms}",
            code="unknown-encoder",
        )
    if known is None and not timm.is_model(name) and not weights:
        raise SettingsError(
            f"expected {BUILTIN_NAME}, {', '.join(k.name for k in KNOWN_ENCODERS)} or a timm architecture, "
            f"found {name!r}; name one, or a folder of weights (--weights local-dir:PATH)",
            code="unknown-encoder",
        )
    if not weights and not download:
        said = f" {known.terms}" if known else ""
        raise SettingsError(
            f"expected weights of {name}, found none; give a folder with config.json and {_WEIGHTS} "
            f"(--weights local-dir:PATH), or have them fetched (--download).{said}",
            code="no-weights",
        )
    folder = Path(weights.removeprefix(_LOCAL)) if weights else None
    try:
        if known is not None and known.family == "transformers":
            return _of_transformers(known, folder)
        return _of_timm(name, known, folder)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"expected weights of {name} in {folder or 'the hub'}, found: {error}; get them again, or "
            "name the architecture that they are of"
        ) from error


def _builtin() -> LoadedEncoder:
    encoder = build_encoder("mobilenetv2_100", channels=3, start="builtin", seed=0)
    network = encoder.backbone
    network.reset_classifier(0)
    mean, std = PIXEL_MEAN[:3], PIXEL_STD[:3]
    digest = _digest(network, (224, mean, std))
    return LoadedEncoder(BUILTIN_NAME, network.eval(), 224, mean, std, 128 / 224, 0, digest)


def _of_timm(name: str, known: KnownEncoder | None, folder: Path | None) -> LoadedEncoder:
    options = dict(known.options) if known else {}
    architecture = str(options.pop("architecture", name))
    options = {key: _layer(value) for key, value in options.items()}
    stated: Mapping[str, Any] = {}
    network: Any
    if folder is None:
        source = f"hf-hub:{known.hub}" if known else name
        network = timm.create_model(source, pretrained=True, num_classes=0, **options)
        stated = dict(network.pretrained_cfg)
    else:
        stated, own, file = _of_folder(folder)
        if known is not None and not {"mean", "std"} <= stated.keys():
            # the registered ones are not those that its makers trained with
            raise ValueError("no config.json that says mean and std of its pixels beside them")
        of = str(stated.get("architecture", architecture))
        if known is None and timm.is_model(name) and _plain(of) != _plain(name):
            raise ValueError(f"those of {of}")
        architecture, options = of, {**own, **options}
        if "input_size" not in stated and "img_size" in options:
            stated = {**stated, "input_size": (3, *np.broadcast_to(options["img_size"], 2))}
        network = timm.create_model(architecture, pretrained=False, num_classes=0, **options)
        _load(network, file)
        network.pretrained_cfg = {**network.pretrained_cfg, **stated}
    resolve: Any = timm.data.resolve_model_data_config  # type: ignore[attr-defined]
    data = resolve(network)
    px = int(data["input_size"][1])
    mean, std = _three(data["mean"]), _three(data["std"])
    skip = known.patch_tokens_from if known else 0
    label = name if known or timm.is_model(name) else architecture
    return LoadedEncoder(
        label.replace("/", "-"),
        network.eval(),
        px,
        mean,
        std,
        known.mpp if known else _stated_mpp(stated),
        skip,
        _digest(network, (px, mean, std, skip)),
        known.terms if known else _stated_terms(stated),
    )


def _plain(architecture: str) -> str:
    """Take off what names the weights: the part behind the dot."""
    return architecture.split(".", maxsplit=1)[0]


def _layer(value: object) -> object:
    """Find a layer that options name."""
    if value == "SwiGLUPacked":
        return vars(timm.layers)["SwiGLUPacked"]
    return nn.SiLU if value == "SiLU" else value


def _of_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """Return what ``config.json`` says, the options of its architecture, and the file of weights."""
    if folder.is_file() and folder.suffix == ".safetensors":
        return {}, {}, folder
    file, config = folder / _WEIGHTS, folder / "config.json"
    if not file.is_file() or not config.is_file():
        others = ", ".join(sorted(p.name for p in folder.glob("*"))[:6]) if folder.is_dir() else ""
        raise SettingsError(
            f"expected config.json and {_WEIGHTS} in {folder}, found {others or 'none'}; pickles (.bin, "
            ".pth) are not read, for they can run anything: save the weights as safetensors",
            code="no-weights",
        )
    stated = json.loads(config.read_text(encoding="utf-8"))
    if not isinstance(stated, dict):
        raise TypeError(f"{config.name} without a table")
    inner = stated.get(
        "pretrained_cfg", stated
    )  # once all stood at the top, and timm reads it still
    own = {k: v for k, v in stated.get("model_args", {}).items() if k != "num_classes"}
    return {**inner, "architecture": stated["architecture"], **_extra(stated)}, own, file


def _extra(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {k: stated[k] for k in ("mpp", "license") if k in stated}


def _load(network: nn.Module, file: Path) -> None:
    """Load weights; a classifier's are left out, all others must fit."""
    own, state = network.state_dict(), load_file(file)
    spare = [key for key in state if key not in own]
    heads = ("classifier.", "head.", "fc.")
    wrong = [key for key in spare if not key.startswith(heads)]
    wrong += [key for key in own if key not in state or state[key].shape != own[key].shape]
    if wrong:
        raise ValueError(f"{len(wrong)} arrays that do not fit (first: {wrong[0]})")
    network.load_state_dict({key: state[key] for key in own})


def _of_transformers(known: KnownEncoder, folder: Path | None) -> LoadedEncoder:
    try:
        transformers: Any = import_module("transformers")
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"expected transformers for {known.title}, found none; install it with: "
            "pip install transformers",
            code="no-transformers",
        ) from error
    logging.getLogger("transformers").setLevel(logging.ERROR)
    source = str(folder) if folder else known.hub
    offline = {"local_files_only": folder is not None, "trust_remote_code": False}
    network = transformers.AutoModel.from_pretrained(source, use_safetensors=True, **offline)
    pixels = transformers.AutoImageProcessor.from_pretrained(source, **offline)
    mean, std = _three(pixels.image_mean), _three(pixels.image_std)
    return LoadedEncoder(
        known.name,
        _ClassToken(network).eval(),
        224,
        mean,
        std,
        known.mpp,
        0,
        _digest(network, (224, mean, std)),
        known.terms,
    )


class _ClassToken(nn.Module):
    """First token of a transformers network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d)."""
        tokens: Tensor = self.network(pixel_values=pixels).last_hidden_state
        return tokens[:, 0]


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def _stated_mpp(stated: Mapping[str, Any]) -> float | None:
    value = stated.get("mpp")
    return float(value) if isinstance(value, int | float) and 0.05 <= value <= 10 else None


def _stated_terms(stated: Mapping[str, Any]) -> str:
    licence = stated.get("license")
    return f"weights under {licence}" if isinstance(licence, str) and licence else ""


@torch.no_grad()
def _digest(network: nn.Module, how: object) -> str:
    """SHA-256 of all weights, in order, and of what is done to pixels."""
    found = hashlib.sha256(repr(how).encode())
    for key, value in sorted(network.state_dict().items()):
        found.update(key.encode())
        found.update(
            value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return found.hexdigest()
