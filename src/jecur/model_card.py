"""What a model file says about itself: recipe, cohort, cut-off, direction, and who was learnt from."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np

import jecur
from jecur.artifacts import library_versions
from jecur.bundle import Bundle
from jecur.cohort.cohort import Patient
from jecur.cohort.endpoint import endpoint_definition
from jecur.errors import NotEstimableError
from jecur.mil.bag import Bag
from jecur.preparation import Recipe
from jecur.settings import StudySettings, TrainingSettings
from jecur.survival.concordance import harrell_concordance

__all__ = [
    "RESEARCH_USE_ONLY",
    "hashed_memory",
    "input_of",
    "learnt_from",
    "selection",
    "study_card",
    "tuning_metrics",
]

RESEARCH_USE_ONLY = (
    "Research use only. Not a medical device; not validated on patients; "
    "must not guide the care of anyone."
)


def study_card(study: StudySettings, recipe: Recipe) -> dict[str, Any]:
    """Write down what the study file decides of a model."""
    training = study.training
    endpoint = study.cohort.endpoint
    return {
        "name": study.name,
        "virtual": study.virtual,
        "intended_use": RESEARCH_USE_ONLY,
        "licence": "Weights follow the licences of the data they were fitted on, nuclei included.",
        "created": datetime.now(UTC).date().isoformat(),
        "jecur": jecur.__version__,
        "versions": library_versions(),
        "endpoint": {"kind": endpoint.kind, "definition": endpoint_definition(endpoint)},
        "direction": "higher risk = earlier event; fixed at training",
        "cutoff_source": _CUTOFF_SOURCES[training.loss],
        "encoder": training.encoder,
        "tile": {"side_um": study.tiling.side_um, "px": study.tiling.output_px},
        "recipe": msgspec.to_builtins(recipe),
        "training": msgspec.to_builtins(training),
    }


_CUTOFF_SOURCES = {
    "cutoff": "set in the study file before training; inside the loss (paper, Eq. 3)",
    "cross-entropy": "1/2: where the loss is indifferent",
    "cox": "median risk of the training patients",
}


def selection(training: TrainingSettings) -> str:
    """Say which patients were learnt from."""
    if training.loss == "cox":
        return "everybody with follow-up; good is without the event, poor with it"
    return (
        f"distinct outcome: event before {training.poor_months:g} months, "
        f"or free of it for {training.good_months:g}"
    )


def input_of(bag: Bag) -> dict[str, Any]:
    """Say what the network takes: tiles of a shape, or features of a length."""
    if bag.holds_features:
        return {"kind": "features", "width": bag.tile_shape[0]}
    return {"kind": "tiles", "shape": list(bag.tile_shape)}


def tuning_metrics(patients: Sequence[Patient], scores: Sequence[float]) -> dict[str, Any]:
    """Judge the finished model on the tuning patients, whom it has not learnt from.

    Parameters
    ----------
    patients
        Of the tuning role, as selected for the loss.
    scores
        Their pooled scores, in the same order; higher means earlier event.

    Returns
    -------
    dict
        Harrell's concordance with its 95 % interval, or why there is none.
    """
    told = "a model is judged on validation patients, in the report"
    if not patients:
        return {"note": f"none here: {told}"}
    found: dict[str, Any] = {
        "note": f"tuning patients, watched but not learnt from, selected as those learnt from; {told}",
        "n": len(patients),
        "n_events": sum(p.event for p in patients),
    }
    try:
        c = harrell_concordance(
            np.asarray(scores, float),
            np.array([p.months for p in patients]),
            np.array([p.event for p in patients]),
        )
    except NotEstimableError as error:
        return found | {"concordance": None, "why": error.message}
    return found | {"concordance": {"estimate": c.estimate, "lower": c.lower, "upper": c.upper}}


def learnt_from(bundle: Bundle, *, patient: str = "", bag_sha256: str = "") -> bool:
    """Whether the model learnt from this patient, or from these very tiles."""
    memory = bundle.card.get("learnt_from", {})
    salt = str(memory.get("salt", ""))
    return _salted(salt, patient) in memory.get("patients", []) or _salted(
        salt, bag_sha256
    ) in memory.get("bags", [])


def hashed_memory(patients: set[str], digests: Mapping[str, str], *, salt: str) -> dict[str, Any]:
    """Remember who was learnt from without naming anybody: salted hashes."""
    return {
        "salt": salt,
        "patients": sorted(_salted(salt, patient) for patient in patients),
        "bags": sorted(_salted(salt, digest) for digest in digests.values()),
    }


def _salted(salt: str, text: str) -> str:
    return sha256(f"{salt}:{text}".encode()).hexdigest()[:32] if text else ""
