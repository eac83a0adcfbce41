"""What a run will take on this machine: tiles, disk and time, from a trial on two slides.

The trial opens two slides as the run will, finds their tissue, and prepares a dozen tiles of each; the
other slides are taken to hold as many tiles for each byte of their file. It is a rough figure, there to
tell minutes from days before the first slide.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jecur.errors import JecurError, SlideError
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.printable import counted, duration
from jecur.runs.files import fingerprint, free_bytes
from jecur.runs.progress import Progress
from jecur.settings import BagForm, BagSettings, CrossvalSettings, Recipe, TrainingSettings
from jecur.slide.reader import open_slide
from jecur.slide.tiling import TileGrid
from jecur.study.slide_cache import is_in_cache
from jecur.study.slide_task import SlideTask
from jecur.study.survey import clean_tiles, lay_tiles

__all__ = [
    "Expected",
    "Trial",
    "expect",
    "form_for",
    "keeps_tiles",
    "pending",
    "size_of",
    "training_seconds",
    "try_two_slides",
]

_TRIED_TILES = 12
_CANDIDATES = 5
"""Slides that are tried until two could be read."""
_SCORES_BYTES, _FEATURES_BYTES = 100, 5_300
"""Of a tile, with its place: what a network gave, and 1,280 features."""
_BESIDE_A_SLIDE = 1_000_000
"""Bytes of pictures, outlines and tables of a slide."""
_PACKED = 0.65
"""Part of their bytes that tiles packed as JPEG XL take, or less (0.60 of real tissue, 0.44 of virtual)."""
_TRIALS: dict[str, "Trial"] = {}
"""Trials of this process: what is said before a run is not tried again in it."""
_USUAL_BAGS = BagSettings()


@dataclass(frozen=True, slots=True)
class Trial:
    """What two slides said.

    Parameters
    ----------
    n_slides
        Slides that could be tried; 0 says nothing of pixels.
    tiles_per_byte
        Tiles for each byte of a slide file.
    seconds_per_slide, seconds_per_tile
        For opening and finding tissue; for reading, normalizing and the nuclei of a tile.
    """

    n_slides: int = 0
    tiles_per_byte: float = 0.0
    seconds_per_slide: float = 0.0
    seconds_per_tile: float = 0.0


_WITH_TILES = {None: "", "raw": " with raw tiles", "jxl": " with tiles packed as JPEG XL"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run will take.

    Parameters
    ----------
    n_slides
        Slides still to be prepared.
    n_tiles
        Tiles that they should give.
    disk_bytes, free_bytes
        What they should take, and what is free.
    preparing_s, training_s
        Seconds; None where it was not tried.
    tried
        Slides of the trial.
    preset
        Recipe of training.
    """

    n_slides: int
    n_tiles: int
    disk_bytes: int
    free_bytes: int
    preparing_s: float | None
    training_s: float | None
    tried: int
    preset: str = ""
    bags: BagForm | None = None
    """How tiles are kept; None where none is."""

    def line(self) -> str:
        """Say it in one line."""
        tiles = f", about {counted(self.n_tiles, 'tile')}" if self.tried else ""
        said = [
            f"{counted(self.n_slides, 'slide')} to prepare{tiles}",
            f"{size_of(self.disk_bytes)} of disk{_WITH_TILES[self.bags]} ({size_of(self.free_bytes)} free)",
        ]
        if self.preparing_s is not None:
            said.append(f"preparing about {duration(max(1, self.preparing_s))}")
        if self.training_s is not None:
            said.append(
                f"training (preset {self.preset}) about {duration(max(1, self.training_s))}"
            )
        n = {0: "the files' sizes", 1: "a trial on one slide"}.get(
            self.tried, "a trial on two slides"
        )
        return f"Expected on this machine: {'; '.join(said)}. From {n}; half or twice is possible."


def try_two_slides(orders: Sequence[SlideTask], recipe: Recipe, progress: Progress) -> Trial:
    """Prepare a few tiles of two slides, once a process; nothing is written.

    Parameters
    ----------
    orders
        Slides that are to be prepared. Those that cannot be read are passed over.
    recipe
        Of preparation.
    progress
        Shows a bar: large slides take seconds.
    """
    pixels = [
        o for o in orders if o.path.suffix.lower() not in FEATURE_SUFFIXES and o.path.is_file()
    ]
    pixels.sort(key=lambda order: (order.path.stat().st_size, order.slide))
    middle = len(pixels) // 2
    likely = [*pixels[middle:], *reversed(pixels[:middle])][:_CANDIDATES]
    key = fingerprint([(str(o.path), o.path.stat().st_mtime_ns) for o in likely], recipe)
    if key not in _TRIALS:
        _TRIALS[key] = _two_of(likely, recipe, progress)
    return _TRIALS[key]


def pending(orders: Sequence[SlideTask], out: Path) -> list[SlideTask]:
    """Slides that were prepared neither in this folder before, nor for another study."""
    new = [o for o in orders if not (out / "slides" / o.slide / "complete").is_file()]
    return [o for o in new if o.cache is None or not is_in_cache(o.cache, o.cache_key)]


def _two_of(likely: Sequence[SlideTask], recipe: Recipe, progress: Progress) -> Trial:
    tried: list[tuple[int, int, float, float]] = []
    with progress.task("Trying slides", min(2, len(likely))) as advance:
        network = (
            NucleiModel.load(recipe.nuclei, threads=1, device=likely[0].device) if likely else None
        )
        for order in likely:
            if len(tried) < 2 and network is not None:
                with suppress(SlideError):
                    tried.append(_try(order, recipe, network))
                    advance()
    if not tried:
        return Trial()
    n_bytes, n_tiles, laying, tiling = map(float, np.sum(tried, axis=0))
    return Trial(len(tried), n_tiles / max(n_bytes, 1.0), laying / len(tried), tiling / len(tried))


def _try(order: SlideTask, recipe: Recipe, network: NucleiModel) -> tuple[int, int, float, float]:
    """Bytes and tiles of a slide; seconds until its tiles are laid, and seconds a tile."""
    begun = time.perf_counter()
    with open_slide(order.path, mpp=order.mpp) as slide:
        laid = lay_tiles(
            slide, recipe, core=order.core, annotation=order.annotation
        ).require_walked()
        if laid.grid is None or laid.normalizer is None:
            raise SlideError("expected tiles, found none")
        laying, begun = time.perf_counter() - begun, time.perf_counter()
        some = _some(laid.grid)
        for batch, _, clean in clean_tiles(laid, some):
            if clean.any():
                add_nuclei_channel(network, laid.normalizer.apply(batch.rgb[clean]))
        tiling = (time.perf_counter() - begun) / len(some)
    return order.path.stat().st_size, len(laid.grid), laying, tiling


def _some(grid: TileGrid) -> TileGrid:
    """Pick a dozen tiles, spread over the slide."""
    return grid.part(
        np.unique(np.linspace(0, len(grid) - 1, min(_TRIED_TILES, len(grid))).astype(int))
    )


def expect(
    orders: Sequence[SlideTask],
    trial: Trial,
    recipe: Recipe,
    out: Path,
    *,
    workers: int,
    bags: BagSettings = _USUAL_BAGS,
) -> Expected:
    """Say what preparing slides will take, from what two of them said."""
    sizes = [o.path.stat().st_size for o in orders if o.path.is_file()]
    features = sum(
        o.path.stat().st_size
        for o in orders
        if o.path.is_file() and o.path.suffix.lower() in FEATURE_SUFFIXES
    )
    most = recipe.tiling.max_tiles or np.inf
    pixels = sum(sizes) - features
    n_tiles = int(min(trial.tiles_per_byte * pixels, most * len(sizes)))
    each = [_tile_bytes(order) for order in orders]
    kept = sum(n for n, order in zip(each, orders, strict=True) if keeps_tiles(order))
    tiles_of_each, free = n_tiles / max(1, len(orders)), free_bytes(out)
    form = form_for(bags, tiles_of_each * kept, free) if kept else None
    packed = kept * (1 - _PACKED) if form == "jxl" else 0.0
    disk = int(tiles_of_each * (sum(each) - packed)) + features + _BESIDE_A_SLIDE * len(orders)
    seconds = None
    if trial.n_slides:
        work = len(orders) * trial.seconds_per_slide + n_tiles * trial.seconds_per_tile
        seconds = work / max(1, min(workers, len(orders)))
    return Expected(len(orders), n_tiles, disk, free, seconds, None, trial.n_slides, bags=form)


def form_for(bags: BagSettings, raw_bytes: float, free: int) -> BagForm:
    """Form in which tiles are kept: as the settings say, or raw if twice their bytes are free."""
    if bags.format != "auto":
        return bags.format
    return "raw" if 2 * raw_bytes <= free else "jxl"


def keeps_tiles(order: SlideTask) -> bool:
    """Whether the pixels of a slide's tiles are kept."""
    features = order.path.suffix.lower() in FEATURE_SUFFIXES
    return not (features or order.model_sha256 or order.encoder_sha256)


def _tile_bytes(order: SlideTask) -> int:
    """Bytes that are left of a tile: its scores, its features, or its pixels."""
    if order.model_sha256:
        return _SCORES_BYTES
    return _FEATURES_BYTES if order.encoder_sha256 else 4 * order.recipe.tiling.output_px**2


def training_seconds(
    training: TrainingSettings,
    side_px: int,
    n_tiles: int,
    n_patients: int,
    division: CrossvalSettings | None,
) -> float | None:
    """Seconds of training; None where there is no torch, or no network, to try it with.

    Parameters
    ----------
    training, side_px
        Of the study.
    n_tiles, n_patients
        Of the training patients.
    division
        Of a cross-validation, which trains as often as it has folds.
    """
    try:
        from jecur.training.speed import seconds_per_step, seconds_per_tile  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    optimizer, passes, steps = training.optimizer, 1.0, 0.0
    try:
        each = seconds_per_tile(training, side_px)
        if training.encoder.trained:
            drawn = min(n_tiles, optimizer.tiles_per_bag * n_patients or n_tiles)
            passes = optimizer.epochs * drawn / max(1, n_tiles)
        else:  # tiles are described once, and a head is trained on what was seen
            steps = optimizer.epochs * n_patients * seconds_per_step(training, n_patients)
    except JecurError:
        return None
    models = 1.0
    if division is not None:
        models = division.repeats * division.folds * (1 + division.inner_folds)
    return (each * n_tiles * passes + steps) * models


def size_of(n_bytes: float) -> str:
    """Say a number of bytes in words."""
    if n_bytes < 1e9:
        return f"{n_bytes / 1e6:.0f} MB"
    return f"{n_bytes / 1e9:,.1f} GB"
