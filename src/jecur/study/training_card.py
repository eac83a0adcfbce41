"""What a model file says about itself: recipe, cohort, cut-off, direction, training patients."""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from msgspec.structs import replace

import jecur
from jecur.cohort.cohort import Patient
from jecur.cohort.endpoint import endpoint_definition
from jecur.errors import NotEstimableError
from jecur.mil.bag import Bag
from jecur.mil.pooling import risk_from_score
from jecur.mil.tile_digest import TileDigests
from jecur.model.card import (
    EndpointText,
    Interval,
    NetworkInput,
    TileFacts,
    TrainedOn,
    TuningMetrics,
)
from jecur.model.file import Bundle
from jecur.model.risks import N_QUANTILES, TrainingRisks
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.runs.folder import library_versions
from jecur.settings import Recipe, StudySettings, TrainingSettings
from jecur.survival.concordance_index import harrell_concordance

__all__ = [
    "CUTOFF_SOURCES",
    "input_of",
    "selection",
    "shown_recipe",
    "shown_training",
    "study_card",
    "tile_memory",
    "training_risks",
    "tuning_metrics",
    "was_trained_on",
]


def study_card(study: StudySettings, recipe: Recipe, *, created: str) -> dict[str, Any]:
    """Write down what the study file decides of a model; of files on this disk, the name alone.

    ``created`` is the day on which training began.
    """
    training = study.training
    endpoint = study.cohort.endpoint
    return {
        "name": study.name[:500],
        "virtual": study.virtual,
        "intended_use": RESEARCH_USE_ONLY,
        "licence": "Weights follow the licences of the data they were fitted on, nuclei included.",
        "created": created,
        "jecur": jecur.__version__,
        "versions": library_versions(),
        "endpoint": EndpointText(
            kind=endpoint.kind, definition=endpoint_definition(endpoint)[:4000]
        ),
        "direction": "higher risk = earlier event; fixed at training",
        "cutoff_source": CUTOFF_SOURCES[training.loss.name],
        "encoder": training.encoder.architecture[:500],
        "tile": TileFacts(side_um=study.tiling.side_um, px=study.tiling.output_px),
        "recipe": shown_recipe(recipe),
        "training": shown_training(training),
    }


def shown_recipe(recipe: Recipe) -> Recipe:
    """Show a recipe as a card has it: of files on this disk, the name alone."""
    return replace(recipe, nuclei=replace(recipe.nuclei, model=_name_alone(recipe.nuclei.model)))


def shown_training(training: TrainingSettings) -> TrainingSettings:
    """Show settings of training as a card has them: of files on this disk, the name alone."""
    return training.with_changes(start=_name_alone(training.encoder.start))


CUTOFF_SOURCES = {
    "cutoff": "set in the study file before training; inside the loss (paper, Eq. 3)",
    "cross-entropy": "1/2: where the loss is indifferent",
    "cox": "median risk of the training patients",
}
"""Where the cut-off of a model comes from, by its loss."""


def selection(training: TrainingSettings) -> str:
    """Say which patients the model was trained on."""
    if training.loss.name == "cox":
        return "all patients with follow-up; n_good: without event, n_poor: with event"
    return (
        f"distinct outcome: event before {training.loss.poor_months:g} months, "
        f"or free of it for {training.loss.good_months:g}"
    )


def _name_alone(path: str) -> str:
    """Name of a file without its folders: where it lies says who works where."""
    return re.split(r"[/\\\\]", path)[-1] or path


def input_of(bag: Bag, channels: int, tile_px: int = 0) -> NetworkInput:
    """Say what the network takes: tiles of a shape, or features of a length.

    Parameters
    ----------
    bag, channels
        What it was trained on, and the channels of a tile that it sees.
    tile_px
        Side of a tile, where the bag holds tiles as the network's own encoder described them; else 0.
    """
    if tile_px:
        return NetworkInput(kind="tiles", shape=(tile_px, tile_px, channels))
    if bag.holds_features:
        return NetworkInput(kind="features", width=bag.tile_shape[0])
    height, width = bag.tile_shape[:2]
    return NetworkInput(kind="tiles", shape=(height, width, channels))


def tuning_metrics(patients: Sequence[Patient], scores: Sequence[float]) -> TuningMetrics:
    """Judge the finished model on the tuning patients, on whom it was not trained.

    Parameters
    ----------
    patients
        Of the tuning role, as selected for the loss.
    scores
        Their pooled scores, in the same order; higher means earlier event.

    Returns
    -------
    TuningMetrics
        Harrell's concordance with its 95 % interval, or why there is none.
    """
    judged = "a model is judged on validation patients, in the report"
    if not patients:
        return TuningMetrics(note=f"none here: {judged}")
    found = TuningMetrics(
        note=f"tuning patients, used to monitor training, selected as the training patients; {judged}",
        n=len(patients),
        n_events=sum(p.event for p in patients),
    )
    try:
        c = harrell_concordance(
            np.asarray(scores, float),
            np.array([p.months for p in patients]),
            np.array([p.event for p in patients]),
        )
    except NotEstimableError as error:
        return replace(found, why=error.message)
    return replace(found, concordance=Interval(estimate=c.estimate, lower=c.lower, upper=c.upper))


def training_risks(scores: Sequence[float], poor: Sequence[bool]) -> TrainingRisks:
    """Keep how the risks of the training patients lie, and whose each is not.

    Parameters
    ----------
    scores
        Pooled scores by the finished model.
    poor
        Whether the outcome is poor, or for Cox, whether the event was seen.
    """
    risks = np.array([risk_from_score(score) for score in scores])
    is_poor = np.array(poor, dtype=np.bool_)
    sides = [
        tuple(np.quantile(side, np.linspace(0, 1, N_QUANTILES)).round(4).tolist())
        for side in (risks[~is_poor], risks[is_poor])
    ]
    return TrainingRisks(
        n_good=int((~is_poor).sum()), n_poor=int(is_poor.sum()), good=sides[0], poor=sides[1]
    )


def was_trained_on(
    bundle: Bundle, *, patient: str = "", bag_sha256: str = "", tiles_sha256: str = ""
) -> bool:
    """Whether the model file itself knows these tiles, or, in files of version 0.1, this patient."""
    memory = bundle.card.trained_on
    if not memory.salt:
        return bag_sha256 in memory.bags or tiles_sha256 in memory.tiles
    return _salted(memory.salt, patient) in memory.patients or (
        _salted(memory.salt, bag_sha256) in memory.bags
    )


def tile_memory(digests: Sequence[TileDigests]) -> TrainedOn:
    """Remember tiles by digest; whose they are stays with the study (`jecur.study.memory`)."""
    return TrainedOn(
        bags=tuple(sorted({found.bag_sha256 for found in digests} - {""})),
        tiles=tuple(sorted({found.tiles_sha256 for found in digests})),
    )


def _salted(salt: str, text: str) -> str:
    return sha256(f"{salt}:{text}".encode()).hexdigest()[:32] if text else ""
