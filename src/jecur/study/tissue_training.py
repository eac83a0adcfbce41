"""`jecur tissue train`: a classifier of tissue from the regions that somebody drew.

No outcome is looked at: the patients' follow-up has no part in it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

import jecur
from jecur.arrays import FeatureArray, IntVector
from jecur.cohort.csv_text import csv_text
from jecur.errors import Problems, TrainingError
from jecur.mil.bag import bag_file, open_bag
from jecur.mil.tissue_classes import (
    OutOfPatient,
    classify_other_patients,
    fit_tissue_classifier,
)
from jecur.model.tissue_file import TissueCard, TissueFile, TissueTest, write_tissue_file
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, write_text
from jecur.runs.progress import LoggedProgress, Progress
from jecur.settings import StudySettings
from jecur.slide.annotation.tile_classes import classes_of_tiles, drawn_classes
from jecur.study.memory import remember_patients
from jecur.study.tissue_drawings import (
    DrawnSlide,
    TissueOrder,
    classes_to_tell_apart,
    patients_drawn_on,
    read_drawings,
    too_few_drawings,
)
from jecur.study.tissue_tiles import TileSource, TissueInput, prepare_for_tissue, tissue_input
from jecur.study.training_card import shown_recipe, tile_memory

__all__ = ["MODEL_FILE", "TrainedTissue", "train_tissue"]

MODEL_FILE = Path("models") / "tissue.safetensors"
"""Of the classifier, in the folder of its training."""


@dataclass(frozen=True, slots=True)
class TrainedTissue:
    """What was trained, and where it lies."""

    path: Path
    card: TissueCard
    n_failed: int
    """Slides drawn on that have no tiles."""


@dataclass(frozen=True, slots=True, eq=False)
class _Labeled:
    """Tiles with a class, of all slides."""

    features: FeatureArray
    label: IntVector
    places: pd.DataFrame
    """``slide``, ``patient_id``, ``x``, ``y`` of each."""
    left_out: Mapping[str, int]

    @property
    def patient(self) -> IntVector:
        """(n,) number of each tile's patient."""
        codes, _ = pd.factorize(self.places["patient_id"])
        return np.asarray(codes, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """What was trained on, and how it does on patients left out."""

    tiles: _Labeled
    classes: tuple[str, ...]
    judged: OutOfPatient


def train_tissue(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    order: TissueOrder,
    *,
    workers: int,
    progress: Progress,
) -> TrainedTissue:
    """Train a classifier of tissue on drawn regions.

    Patients of the validation role are left out, whatever was drawn on their slides.

    Parameters
    ----------
    study, folder, workers, progress
        As `jecur.pipeline.run_study`; the table need not name roles.
    run
        Gets ``models/tissue.safetensors``, ``classes.csv``, ``drawn_tiles.parquet`` and, where slides are
        prepared here, these.
    order
        Drawings, classes and limits.

    Raises
    ------
    JecurError
        All that is wrong with the drawings before the first slide, and all classes that have too few tiles.
    """
    run.refuse_other_command("tissue train")
    progress = LoggedProgress(progress, run.log)
    drawn = read_drawings(study, folder, order, progress)
    classes = classes_to_tell_apart(drawn, order)
    drawn = [d for d in drawn if set(classes) & set(drawn_classes(d.regions))]
    patients = patients_drawn_on(drawn)
    source = prepare_for_tissue(
        study, folder, patients, run, order.prepared_in, workers=workers, progress=progress
    )
    slides = [slide for p in patients for slide in source.usable(p)]
    if not slides:
        raise TrainingError(
            "expected a slide with drawings that has tiles, found none; slides.csv says what became of them"
        )
    seen = tissue_input(source, slides, progress)
    tiles = _labeled(drawn, source, seen, classes, order)
    _require_enough(tiles, classes, order)
    rng = np.random.default_rng(order.seed)
    judged = classify_other_patients(
        tiles.features, tiles.label, tiles.patient, len(classes), rng=rng
    )
    result = _Result(tiles, classes, judged)
    card = _card(study, run, order, (source, seen), result)
    model = fit_tissue_classifier(
        tiles.features, tiles.label, len(classes), strength=judged.strength
    )
    path = write_tissue_file(TissueFile(card, model.arrays), run.root / MODEL_FILE)
    remember_patients([p.id for p in patients], path, run)
    _write_tables(run, result, card)
    run.log_private()
    run.write_manifest(
        {"study": msgspec.to_builtins(study), "command": "tissue train", "classes": list(classes)}
    )
    return TrainedTissue(path, card, sum(len(p.slides) for p in patients) - len(slides))


def _labeled(
    drawn: Sequence[DrawnSlide],
    source: TileSource,
    seen: TissueInput,
    classes: tuple[str, ...],
    order: TissueOrder,
) -> _Labeled:
    """Gather the tiles that have a class."""
    found_in: list[tuple[DrawnSlide, pd.DataFrame, IntVector]] = []
    reasons = ("two classes", "border", "undrawn", "another class", "more than enough")
    counts: Counter[str] = Counter(dict.fromkeys(reasons, 0))
    for one in drawn:
        slide = one.entry.id
        if slide not in source.prepared or not source.prepared[slide].usable:
            continue
        folder = seen.run.slide_folder(slide)
        table = pd.read_parquet(folder / "tiles.parquet", columns=["x", "y", "side_px"])
        side = int(table["side_px"].iloc[0])
        if side <= 0:
            raise TrainingError(
                f"{slide}: expected tiles whose side is known, found features that do not say it; export "
                "them with patch_size_level0"
            )
        others = tuple(name for name in drawn_classes(one.regions) if name not in classes)
        found = classes_of_tiles(
            one.regions,
            (*classes, *others),
            table[["x", "y"]].to_numpy(np.int64),
            side,
            cover=order.cover,
        )
        label = np.where(found.label < len(classes), found.label, -1)
        counts["another class"] += int((found.label >= len(classes)).sum())
        counts["two classes"] += found.n_two
        counts["border"] += found.n_partly
        counts["undrawn"] += found.n_outside
        found_in.append((one, table, label))
    features, labels, places = [], [], []
    taken = _spread([(one.patient.id, label) for one, _, label in found_in], order.most)
    for (one, table, label), chosen in zip(found_in, taken, strict=True):
        slide = one.entry.id
        counts["more than enough"] += int((label >= 0).sum()) - len(chosen)
        bag = open_bag([bag_file(seen.run.slide_folder(slide))])
        if bag.tile_shape != (seen.n_features,):
            raise TrainingError(
                f"{slide}: expected {seen.n_features} features a tile as in the other slides, found "
                f"{bag.tile_shape}; describe all slides by one encoder"
            )
        features.append(bag.take(chosen))
        labels.append(label[chosen])
        places.append(table.iloc[chosen][["x", "y"]].assign(slide=slide, patient_id=one.patient.id))
    return _Labeled(
        np.concatenate(features),
        np.concatenate(labels),
        pd.concat(places, ignore_index=True),
        dict(counts),
    )


def _spread(slides: Sequence[tuple[str, IntVector]], most: int) -> list[IntVector]:
    """Tiles to train on, of each slide: of a class at most so many a patient, evenly over their slides.

    Parameters
    ----------
    slides
        Patient, and (n,) class of each tile or -1.
    most
        Tiles of a class that are taken of one patient.
    """
    chosen = [np.zeros(len(label), dtype=np.bool_) for _, label in slides]
    for patient in dict.fromkeys(name for name, _ in slides):
        own = [k for k, (name, _) in enumerate(slides) if name == patient]
        for of_class in sorted({int(c) for k in own for c in slides[k][1] if c >= 0}):
            here = [(k, int(i)) for k in own for i in np.flatnonzero(slides[k][1] == of_class)]
            steps = np.linspace(0, len(here) - 1, min(most, len(here)))
            for step in np.unique(steps.round().astype(np.int64)):
                k, i = here[step]
                chosen[k][i] = True
    return [np.flatnonzero(kept) for kept in chosen]


def _require_enough(tiles: _Labeled, classes: tuple[str, ...], order: TissueOrder) -> None:
    """Refuse classes of too few tiles or patients, all at once."""
    problems = Problems()
    for k, name in enumerate(classes):
        own = tiles.label == k
        n, n_patients = int(own.sum()), int(tiles.places["patient_id"][own].nunique())
        if n < order.fewest or n_patients < 2:
            problems.found.append(
                too_few_drawings(
                    f"expected {order.fewest} tiles or more of 2 patients or more inside the regions of "
                    f"{name}, found {n} of {n_patients} (a tile counts if its class covers "
                    f"{order.cover:g} of it)"
                )
            )
    problems.refuse()


def _card(
    study: StudySettings,
    run: RunFolder,
    order: TissueOrder,
    made_of: tuple[TileSource, TissueInput],
    result: _Result,
) -> TissueCard:
    (source, seen), tiles, classes, judged = made_of, result.tiles, result.classes, result.judged
    slides = tiles.places["slide"].unique().tolist()
    digests = [source.digests(slide) for slide in slides]
    work = fingerprint(study.name, classes, order.cover, [d.tiles_sha256 for d in digests])
    sensitivity = _sensitivity(tiles.label, judged, classes)
    return TissueCard(
        intended_use=RESEARCH_USE_ONLY,
        created=run.day_begun("tissue", work),
        jecur=jecur.__version__,
        study=study.name[:500],
        virtual=study.virtual,
        classes=classes,
        encoder=seen.encoder,
        encoder_sha256=seen.encoder_sha256,
        input=seen.input,
        n_features=seen.n_features,
        recipe=shown_recipe(source.recipe),
        cover=order.cover,
        n_tiles={name: int((tiles.label == k).sum()) for k, name in enumerate(classes)},
        n_patients={
            name: int(tiles.places["patient_id"][tiles.label == k].nunique())
            for k, name in enumerate(classes)
        },
        left_out=dict(tiles.left_out),
        strength=judged.strength,
        test=TissueTest(
            n_folds=judged.n_folds,
            balanced_accuracy=float(np.mean(list(sensitivity.values()))),
            sensitivity=sensitivity,
        ),
        trained_on=tile_memory(digests),
        arrays_sha256="0" * 64,
    )


def _sensitivity(
    label: IntVector, judged: OutOfPatient, classes: tuple[str, ...]
) -> dict[str, float]:
    return {
        name: float((judged.predicted[label == k] == k).mean()) for k, name in enumerate(classes)
    }


def _write_tables(run: RunFolder, result: _Result, card: TissueCard) -> None:
    """Write ``classes.csv`` (counts, and what each class was taken for) and ``drawn_tiles.parquet``."""
    tiles, classes, judged = result.tiles, result.classes, result.judged
    rows = [
        {
            "class": name,
            "n_patients": card.n_patients[name],
            "n_tiles": card.n_tiles[name],
            "sensitivity": card.test.sensitivity[name],
            **{
                f"called {other}": int((judged.predicted[tiles.label == k] == j).sum())
                for j, other in enumerate(classes)
            },
        }
        for k, name in enumerate(classes)
    ]
    write_text(run.root / "classes.csv", csv_text(pd.DataFrame(rows)))
    names = np.array(classes)
    table = tiles.places.assign(drawn=names[tiles.label], called=names[judged.predicted])
    with atomic_path(run.root / "drawn_tiles.parquet") as temporary:
        table.to_parquet(temporary, index=False)
