"""Frozen encoders look at every tile once, whatever the number of folds and of models on top of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING

import numpy as np

import jecur
from jecur.errors import TrainingError
from jecur.mil.bag import Bag, bag_file, open_bag, open_part, writing_features
from jecur.mil.looks import LOOKS_FILE, read_looks
from jecur.runs.device import device_mark
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, sha256_file, write_json
from jecur.runs.progress import Progress
from jecur.settings import TrainingSettings
from jecur.study.devices import settle_torch
from jecur.study.torch_wing import needing_torch

if TYPE_CHECKING:
    from jecur.training.bag_model import BagModel

__all__ = ["describe_tiles", "require_one_kind", "starting_encoder"]

_FILES = ("bag.npy", "tiles.parquet", LOOKS_FILE)


def describe_tiles(
    run: RunFolder,
    slides: Sequence[str],
    training: TrainingSettings,
    progress: Progress,
    encoder: "BagModel | None" = None,
) -> RunFolder:
    """Describe the tiles of slides by the encoder of a recipe, as it starts.

    Parameters
    ----------
    run
        With prepared slides.
    slides
        Those with tiles.
    training
        Names encoder, starting weights and channels.
    progress
        Shows a bar.
    encoder
        That encoder, where the caller has it; None builds it if a slide is to be described.

    Returns
    -------
    RunFolder
        The same run, in whose slides' folders the tiles are features, (n, d) float32; ``run`` itself where
        they are features already.

    Raises
    ------
    TrainingError
        As `require_one_kind` and `starting_encoder`.
    """
    if not slides or require_one_kind(run, slides).holds_features:
        return run
    start, device = training.encoder.start, settle_torch(run)
    how = fingerprint(
        training.encoder.architecture,
        sha256_file(Path(start)) if Path(start).is_file() else start,
        training.n_channels,
        training.seed if start == "random" else 0,
        jecur.__version__,
        *device_mark(device),
    )
    described = replace(run, slides=(run.whole or run.root) / "described" / how)
    marks = {slide: fingerprint(how, run.bag_sha256(slide)) for slide in slides}
    missing = [slide for slide in slides if not described.is_complete(slide, marks[slide])]
    if missing:
        wanted = {slide: marks[slide] for slide in missing}
        if encoder is None:
            encoder = starting_encoder(training)
        _describe(run, described, wanted, training, encoder, progress)
    return described


def require_one_kind(run: RunFolder, slides: Sequence[str]) -> Bag:
    """Return the tiles of the first of some slides, at least one; those of all are alike.

    Raises
    ------
    TrainingError
        With code ``other-features`` if some are pixels and some features, or features of several encoders.
    """
    first = open_bag([bag_file(run.slide_folder(slides[0]))])
    for slide in slides:
        shape = open_part(bag_file(run.slide_folder(slide))).shape[1:]
        if shape != first.tile_shape:
            raise TrainingError(
                f"expected tiles of one kind and size, found {first.tile_shape} in {slides[0]} and {shape} "
                f"in {slide}; use one encoder's features, or slides alone",
                code="other-features",
            )
    return first


def starting_encoder(training: TrainingSettings) -> "BagModel":
    """Build the encoder of a recipe as it starts.

    Raises
    ------
    TrainingError
        If torch is not installed, or the encoder or its weights are not to be had.
    """
    with needing_torch("an encoder"):
        from jecur.training.mobilenet import build_encoder  # noqa: PLC0415 - torch only where needed
    return build_encoder(
        training.encoder.architecture,
        channels=training.n_channels,
        start=training.encoder.start,
        seed=training.seed,
    )


def _describe(
    run: RunFolder,
    described: RunFolder,
    marks: Mapping[str, str],
    training: TrainingSettings,
    encoder: "BagModel",
    progress: Progress,
) -> None:
    with progress.task("Describing tiles once", len(marks)) as advance:
        for slide, mark in marks.items():
            source, target = run.slide_folder(slide), described.slide_folder(slide)
            _describe_slide(encoder, source, target, training)
            with atomic_path(target / "tiles.parquet") as temporary:
                copyfile(source / "tiles.parquet", temporary)
            write_json(target / LOOKS_FILE, read_looks(source))
            described.mark_complete(slide, mark, _FILES)
            advance()


def _describe_slide(
    encoder: "BagModel", source: Path, target: Path, training: TrainingSettings
) -> None:
    from jecur.training.bag_chunks import BagChunks  # noqa: PLC0415
    from jecur.training.device import training_device  # noqa: PLC0415

    encoder = encoder.to(training_device()).eval()
    bag = open_bag([bag_file(source)])
    chunks = BagChunks(bag, np.arange(len(bag)), training.n_channels, training.optimizer.chunk_size)
    width = len(encoder.feature_mean)
    with writing_features(target / "bag.npy", len(bag), width) as append:
        for chunk in chunks:
            append(encoder.features(chunk).detach().cpu().float().numpy())
