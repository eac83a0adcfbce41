"""Frozen encoders look at every tile once, whatever the number of folds and of models on top of them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING

import numpy as np

import jecur
from jecur.mil.bag import bag_file, open_bag
from jecur.mil.looks import LOOKS_FILE, read_looks
from jecur.rivals.bench import Bench
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, sha256_file, write_json
from jecur.settings import TrainingSettings

if TYPE_CHECKING:
    from jecur.training.bag_model import BagModel

__all__ = ["described_bench"]

_FILES = ("bag.npy", "tiles.parquet", LOOKS_FILE)


def described_bench(bench: Bench, training: TrainingSettings) -> Bench:
    """Return the bench with every tile described by the encoder of a recipe, as it starts.

    Slides that come as features stay as they are.

    Parameters
    ----------
    bench
        With prepared slides.
    training
        Names encoder, starting weights and channels.
    """
    usable = [slide for slide, found in bench.prepared.items() if found.usable]
    if not usable or open_bag([bag_file(bench.run.slide_folder(usable[0]))]).holds_features:
        return bench
    start = training.encoder.start
    how = fingerprint(
        training.encoder.architecture,
        sha256_file(Path(start)) if Path(start).is_file() else start,
        training.n_channels,
        training.seed if start == "random" else 0,
        jecur.__version__,
    )
    run = replace(bench.run, slides=(bench.run.whole or bench.run.root) / "described" / how)
    marks = {slide: fingerprint(how, bench.run.bag_sha256(slide)) for slide in usable}
    missing = [slide for slide in usable if not run.is_complete(slide, marks[slide])]
    if missing:
        _describe(bench, run, {slide: marks[slide] for slide in missing}, training)
    return replace(bench, run=run)


def _describe(
    bench: Bench, run: RunFolder, marks: Mapping[str, str], training: TrainingSettings
) -> None:
    from jecur.training.mobilenet import build_encoder  # noqa: PLC0415 - torch only where it is needed

    encoder: BagModel = build_encoder(
        training.encoder.architecture,
        channels=training.n_channels,
        start=training.encoder.start,
        seed=training.seed,
    )
    with bench.progress.task("Describing tiles once", len(marks)) as advance:
        for slide, mark in marks.items():
            source, target = bench.run.slide_folder(slide), run.slide_folder(slide)
            _describe_slide(encoder, source, target, training)
            copyfile(source / "tiles.parquet", target / "tiles.parquet")
            write_json(target / LOOKS_FILE, read_looks(source))
            run.mark_complete(slide, mark, _FILES)
            advance()


def _describe_slide(
    encoder: "BagModel", source: Path, target: Path, training: TrainingSettings
) -> None:
    from jecur.training.bag_chunks import BagChunks, training_device  # noqa: PLC0415

    encoder = encoder.to(training_device()).eval()
    bag = open_bag([bag_file(source)])
    chunks = BagChunks(bag, np.arange(len(bag)), training.n_channels, training.optimizer.chunk_size)
    with atomic_path(target / "bag.npy") as temporary:
        width = len(encoder.feature_mean)
        out = np.lib.format.open_memmap(temporary, "w+", np.float32, (len(bag), width))
        done = 0
        for chunk in chunks:
            found = encoder.features(chunk).detach().cpu().float().numpy()
            out[done : done + len(found)] = found
            done += len(found)
        out.flush()
        del out
