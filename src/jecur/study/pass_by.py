"""One slide from file to what a network sees in its tiles, in one pass: no pixel of it is written.

A model gives scores; an encoder that is not trained gives features, which a head is then trained on. Beside
these is written what people look at (thumbnail, outline, places of the tiles), what the slide looks like, and
the digests that its tiles are recognized by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from jecur.errors import SlideError
from jecur.mil.bag import drop_bags
from jecur.mil.describing import FEATURES_FILE, TileDescriber
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.mil.looks import LOOKS_FILE, LooksSample, write_looks
from jecur.mil.scoring import TileScorer
from jecur.mil.tile_digest import DIGESTS_FILE, TileDigest, write_digests
from jecur.model.file import Bundle, read_bundle
from jecur.runs.device import Device
from jecur.runs.folder import sha256_file
from jecur.runs.leftovers import sweep
from jecur.slide.reader import Slide
from jecur.study.measured import drop_measured
from jecur.study.prepare import PICTURE_FILES, finished_slide, prepare_slide, write_slide
from jecur.study.recipe import nuclei_network
from jecur.study.slide_task import PreparedSlide, SlideTask
from jecur.study.stream import (
    OUTPUTS_FILE,
    See,
    SeeTiles,
    bag_tile,
    complete_digests,
    write_outputs,
)
from jecur.study.survey import Survey, judge_tiles, lay_tiles

__all__ = ["describe_in_passing", "prepare_or_pass_by", "score_in_passing"]


def score_in_passing(order: SlideTask, bundle: Bundle, model: Path) -> SlideTask:
    """Order that a slide's tiles are scored as they pass by.

    Features, tiles that are there already, and those that are to be shared with other studies are left
    as they are: they are scored from their bag.
    """
    if _is_kept(order):
        return order
    return replace(order, bundle=model.resolve(), model_sha256=bundle.sha256)


def describe_in_passing(
    orders: Sequence[SlideTask], encoder: Callable[[], Path]
) -> list[SlideTask]:
    """Order that slides are described as their tiles pass by, all of them or none.

    Parameters
    ----------
    orders
        Slides to train on. Where one comes as features, is there already, or is to be shared with other
        studies, the tiles of all are kept: a network is trained on one kind of bag.
    encoder
        Gives the graph of the encoder, if it is needed.
    """
    if any(_is_kept(order) for order in orders):
        return list(orders)
    graph = encoder().resolve()
    digest = sha256_file(graph)
    return [replace(order, encoder=graph, encoder_sha256=digest) for order in orders]


def _is_kept(order: SlideTask) -> bool:
    features = order.path.suffix.lower() in FEATURE_SUFFIXES
    return features or bool(order.cache or order.run.finished_slide(order.slide, order.mark))


def prepare_or_pass_by(order: SlideTask) -> PreparedSlide:
    """Do what is ordered of a slide: keep its tiles, or let a network see them as they pass by.

    Does nothing if the same work was done before. What goes wrong is told as by `prepare_slide`.
    """
    if not (order.model_sha256 or order.encoder_sha256):
        return prepare_slide(order)
    mark = order.mark
    finished, _ = finished_slide(order)
    if finished is not None:
        return finished
    sweep(order.run.slide_folder(order.slide))
    drop_measured(order)
    return write_slide(order, mark, _see_tiles)


@dataclass(frozen=True, slots=True)
class _Network:
    """What sees the tiles, where its answers go, and whether it knows bags by their files alone."""

    see: See
    file: str
    knows_bags_alone: bool = False


def _see_tiles(order: SlideTask, whole: Slide) -> tuple[Survey, tuple[str, ...]]:
    """Walk over a slide once; write what the network gave, the looks and the digests."""
    laid = lay_tiles(whole, order.recipe, core=order.core, annotation=order.annotation)
    if laid.stopped or laid.grid is None:
        return laid, ()
    nuclei, network = nuclei_network(order), _network(order)
    folder = order.run.slide_folder(order.slide)
    n, side = len(laid.grid), order.recipe.tiling.output_px
    digest = TileDigest(side, n if network.knows_bags_alone else None)
    end = SeeTiles(nuclei, network.see, digest, LooksSample(n))
    survey = judge_tiles(laid, end, threads=order.threads)
    if survey.stopped:
        return survey, ()
    digests = end.digest.digests()
    if network.knows_bags_alone and not digests.bag_sha256:
        digests = complete_digests(digests, laid, nuclei, threads=order.threads)
    folder.mkdir(parents=True, exist_ok=True)
    drop_bags(folder)  # of other work: the marker will not name them
    write_outputs(folder / network.file, end.outputs)
    write_digests(folder, msgspec.structs.replace(digests, model_sha256=order.model_sha256))
    files = (*PICTURE_FILES, network.file, DIGESTS_FILE)
    if not survey.kept:
        return survey, files
    tiles = end.sample.tiles(lambda tile: bag_tile(survey, nuclei, tile))
    stain = survey.stain.to_dict() if survey.stain else None
    write_looks(folder, tiles, stain, threads=order.threads)
    return survey, (*files, LOOKS_FILE)


def _network(order: SlideTask) -> _Network:
    """Open the model, or the encoder, once a process; one thread a call, as others share the cores."""
    if order.model_sha256 and order.bundle is not None:
        bundle, scorer = _cached_model(order.bundle, order.model_sha256, order.device)
        _require_same(order.bundle, bundle.sha256, order.model_sha256)
        memory = bundle.card.trained_on
        alone = bool(memory.bags) and not memory.tiles
        return _Network(scorer.score_tiles, OUTPUTS_FILE, alone)
    if order.encoder is None:
        raise ValueError("expected a model or an encoder that sees the tiles")
    digest, describer = _cached_encoder(order.encoder, order.encoder_sha256, order.device)
    _require_same(order.encoder, digest, order.encoder_sha256)
    return _Network(describer.describe, FEATURES_FILE)


def _require_same(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise SlideError(
            f"{path.name}: expected the network to stay as it was while slides are read, found "
            "it replaced; run the same command again",
            code="changed-while-read",
        )


@cache
def _cached_model(path: Path, _wanted: str, device: Device) -> tuple[Bundle, TileScorer]:
    bundle = read_bundle(path)
    return bundle, TileScorer(bundle, threads=1, device=device)


@cache
def _cached_encoder(path: Path, _wanted: str, device: Device) -> tuple[str, TileDescriber]:
    return sha256_file(path), TileDescriber(path.read_bytes(), threads=1, device=device)
