"""The tiles of a comparison as a frozen encoder describes them."""

from dataclasses import replace

from jecur.rivals.bench import Bench
from jecur.settings import TrainingSettings
from jecur.study.described import describe_tiles

__all__ = ["described_bench"]


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
    run = describe_tiles(bench.run, usable, training, bench.progress)
    return bench if run is bench.run else replace(bench, run=run)
