"""Class fractions of patients by a trained classifier of tissue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jecur.arrays import Matrix
from jecur.cohort.cohort import Exclusion, Patient
from jecur.mil.bag import bag_file, open_bag
from jecur.mil.tissue_classes import TissueClassifier, class_fractions
from jecur.model.tissue_file import TissueCard, read_tissue_file
from jecur.runs.progress import Progress
from jecur.settings import StudySettings
from jecur.study.memory import memory_beside
from jecur.study.tissue_tiles import (
    TileSource,
    TissueInput,
    require_same_input,
    require_same_recipe,
    tissue_input,
)

__all__ = [
    "FRACTION",
    "TRAINED_ON",
    "PatientFractions",
    "TissueModel",
    "measure_fractions",
    "open_tissue_model",
    "tell_virtual",
]

FRACTION, PROBABILITY = "fraction_", "p_"
"""In front of a class, in tables of patients and of tiles."""
TRAINED_ON = "drawings_trained"
"""Column: whether the patient's drawings trained the classifier."""

_AT_ONCE = 4096
"""Tiles classified at once: bounds memory."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueModel:
    """A classifier of tissue, ready to use."""

    path: Path
    card: TissueCard
    classifier: TissueClassifier


@dataclass(frozen=True, slots=True, eq=False)
class PatientFractions:
    """Patients and their tissue."""

    patients: tuple[Patient, ...]
    classes: tuple[str, ...]
    fractions: Matrix
    """(patients, classes); rows sum to 1."""
    n_slides: tuple[int, ...]
    n_tiles: tuple[int, ...]
    trained_on: frozenset[str]
    """Patients whose drawings trained the classifier."""
    left_out: tuple[Exclusion, ...]
    """Patients without a usable slide."""
    tiles: Mapping[str, pd.DataFrame]
    """Slide -> ``patient_id``, ``x``, ``y`` and the probability of each class; empty if not asked for."""

    def table(self) -> pd.DataFrame:
        """One row a patient: slides, tiles, fractions, and whether drawings of theirs trained."""
        table = pd.DataFrame(self.fractions, columns=[f"{FRACTION}{c}" for c in self.classes])
        table.insert(0, "patient_id", [p.id for p in self.patients])
        table.insert(1, "n_slides", list(self.n_slides))
        table.insert(2, "n_tiles", list(self.n_tiles))
        table[TRAINED_ON] = [p.id in self.trained_on for p in self.patients]
        return table


def open_tissue_model(path: Path) -> TissueModel:
    """Read a classifier of tissue; errors as `read_tissue_file`."""
    found = read_tissue_file(path)
    return TissueModel(path, found.card, TissueClassifier(**found.arrays))


def tell_virtual(model: TissueModel, study: StudySettings, progress: Progress) -> None:
    """Say where a classifier of virtual tissue is used on real slides."""
    if model.card.virtual and not study.virtual:
        progress.say(
            "The classifier was trained on virtual tissue: what it says of real slides means nothing."
        )


def measure_fractions(
    model: TissueModel,
    patients: Sequence[Patient],
    source: TileSource,
    *,
    progress: Progress,
    keep_tiles: bool = False,
) -> PatientFractions:
    """Classify all tiles of patients, and average.

    Parameters
    ----------
    model
        Of `open_tissue_model`.
    patients
        Their order is kept.
    source
        Prepared slides.
    progress
        Shows a bar.
    keep_tiles
        Keep the probabilities of every tile.

    Raises
    ------
    SettingsError
        As `require_same_input` and `require_same_recipe`.
    """
    require_same_recipe(model.card, source.recipe)
    used = [p for p in patients if source.usable(p)]
    reason = "no usable slide"
    out = tuple(Exclusion(p.id, p.role, reason) for p in patients if not source.usable(p))
    rows, n_tiles, tiles = [], [], {}
    slides = [slide for p in used for slide in source.usable(p)]
    if slides:
        seen = tissue_input(source, slides, progress)
        require_same_input(model.card, seen)
        with progress.task("Classifying tissue", len(used)) as advance:
            for p in used:
                found = {slide: _probabilities(model, seen, slide) for slide in source.usable(p)}
                rows.append(class_fractions(np.concatenate(list(found.values()))))
                n_tiles.append(sum(map(len, found.values())))
                for slide, probabilities in found.items() if keep_tiles else ():
                    tiles[slide] = _tile_table(model, seen, slide, p.id, probabilities)
                advance()
    classes = model.card.classes
    return PatientFractions(
        tuple(used),
        classes,
        np.array(rows).reshape(len(used), len(classes)),
        tuple(len(source.usable(p)) for p in used),
        tuple(n_tiles),
        _trained_on(model, used, source),
        out,
        tiles,
    )


def _trained_on(
    model: TissueModel, patients: Sequence[Patient], source: TileSource
) -> frozenset[str]:
    """Patients whose drawings trained the classifier: known by their tiles, or by the study's own list."""
    memory, known = memory_beside(model.path), model.card.trained_on
    found = set()
    for p in patients:
        digests = [source.digests(slide) for slide in source.usable(p)]
        drawn_on = any(d.tiles_sha256 in known.tiles or d.bag_sha256 in known.bags for d in digests)
        if drawn_on or memory.saw(p.id):
            found.add(p.id)
    return frozenset(found)


def _probabilities(model: TissueModel, seen: TissueInput, slide: str) -> Matrix:
    bag = open_bag([bag_file(seen.run.slide_folder(slide))])
    parts = [model.classifier.probabilities(tiles) for tiles in bag.batches(_AT_ONCE)]
    return np.concatenate(parts)


def _tile_table(
    model: TissueModel, seen: TissueInput, slide: str, patient: str, probabilities: Matrix
) -> pd.DataFrame:
    places = pd.read_parquet(seen.run.slide_folder(slide) / "tiles.parquet")
    table = places[["x", "y", "side_px"]].assign(slide=slide, patient_id=patient)
    for name, column in zip(model.card.classes, probabilities.T, strict=True):
        table[f"{PROBABILITY}{name}"] = column.astype(np.float32)
    return table
