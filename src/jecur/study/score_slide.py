"""One slide from file to tile scores in one pass: no pixel of it is written.

What is written is what people look at (thumbnail, outline, places of the tiles), the scores, and the digests
that the tiles are recognized by. A slide of features, or one whose tiles are kept, is scored from its bag.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec

from jecur.errors import SlideError
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.mil.looks import LOOKS_FILE, LooksSample, write_looks
from jecur.mil.scoring import TileScorer
from jecur.mil.tile_digest import DIGESTS_FILE, TileDigest, write_digests
from jecur.model.file import Bundle, read_bundle
from jecur.slide.reader import Slide
from jecur.study.prepare import (
    PICTURE_FILES,
    PreparedSlide,
    SlideTask,
    finished_slide,
    nuclei_network,
    prepare_slide,
    write_slide,
)
from jecur.study.stream import OUTPUTS_FILE, ScoreTiles, bag_tile, complete_digests, write_outputs
from jecur.study.survey import Survey, judge_tiles, lay_tiles

__all__ = ["prepare_or_score", "score_in_passing", "score_slide"]

SCORED_FILES = (*PICTURE_FILES, OUTPUTS_FILE, DIGESTS_FILE)
"""What is left of a slide that was scored in one pass, beside its looks."""


def score_in_passing(order: SlideTask, bundle: Bundle) -> SlideTask:
    """Order that a slide's tiles are scored as they pass by, unless they are there or are features."""
    if order.path.suffix.lower() in FEATURE_SUFFIXES or order.run.finished_slide(
        order.slide, order.mark
    ):
        return order
    return replace(order, model_sha256=bundle.sha256)


def prepare_or_score(order: SlideTask) -> PreparedSlide:
    """Do what is ordered of a slide: score its tiles as they pass by, or keep them."""
    return score_slide(order) if order.model_sha256 else prepare_slide(order)


def score_slide(order: SlideTask) -> PreparedSlide:
    """Slide file -> tile scores, thumbnail, tissue outline, tile table and quality in the run folder.

    Does nothing if the same work was done before. What goes wrong is told as by `prepare_slide`.
    """
    mark = order.mark
    finished, _ = finished_slide(order)
    return finished or write_slide(order, mark, _score_pixels)


def _score_pixels(order: SlideTask, whole: Slide) -> tuple[Survey, tuple[str, ...]]:
    """Walk over a slide once; write what the network gave, the looks and the digests."""
    laid = lay_tiles(whole, order.recipe, core=order.core, annotation=order.annotation)
    if laid.stopped or laid.grid is None:
        return laid, ()
    network = nuclei_network(order)
    bundle, scorer = _model(order)
    folder = order.run.slide_folder(order.slide)
    n = len(laid.grid)
    end = ScoreTiles(network, scorer, TileDigest(order.recipe.tiling.output_px, n), LooksSample(n))
    survey = judge_tiles(laid, end, threads=order.threads)
    if survey.stopped:
        return survey, ()
    digests = end.digest.digests()
    if not digests.bag_sha256 and bundle.card.trained_on.bags and not bundle.card.trained_on.tiles:
        digests = complete_digests(digests, laid, network, threads=order.threads)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bag.npy").unlink(missing_ok=True)  # of another recipe: these scores are not its
    write_outputs(folder, end.outputs)
    write_digests(folder, msgspec.structs.replace(digests, model_sha256=order.model_sha256))
    if not survey.kept:
        return survey, SCORED_FILES
    tiles = end.sample.tiles(lambda tile: bag_tile(survey, network, tile))
    write_looks(folder, tiles, survey.stain.to_dict() if survey.stain else None)
    return survey, (*SCORED_FILES, LOOKS_FILE)


def _model(order: SlideTask) -> tuple[Bundle, TileScorer]:
    if order.bundle is None:
        raise ValueError("expected a model to score with")
    bundle, scorer = _cached_model(order.bundle)
    if bundle.sha256 != order.model_sha256:
        raise SlideError(
            f"{order.bundle.name}: expected the model to stay as it was while slides are scored, found "
            "it replaced; run the same command again",
            code="changed-while-read",
        )
    return bundle, scorer


@cache
def _cached_model(path: Path) -> tuple[Bundle, TileScorer]:
    # One thread a call: processes, and threads over the batches of a slide, share the cores.
    bundle = read_bundle(path)
    return bundle, TileScorer(bundle, threads=1)
