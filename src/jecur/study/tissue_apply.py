"""`jecur tissue apply`: what the tissue of each patient is made of, as tables; also a covariate."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.arrays import Vector
from jecur.cohort.csv_text import csv_text
from jecur.cohort.table import read_table
from jecur.errors import SettingsError
from jecur.evaluation.patients import write_exclusions
from jecur.mil.tissue_classes import stroma_tumor_ratio
from jecur.runs.folder import RunFolder, atomic_path, sha256_file, write_text
from jecur.runs.progress import LoggedProgress, Progress
from jecur.settings import StudySettings
from jecur.study.cohort_slides import study_cohort
from jecur.study.recipe import recipe_of_study
from jecur.study.tissue_fractions import (
    FRACTION,
    PatientFractions,
    measure_fractions,
    open_tissue_model,
    tell_virtual,
)
from jecur.study.tissue_tiles import prepare_for_tissue, require_same_recipe

__all__ = ["RATIO", "AppliedTissue", "TissueQuestion", "apply_tissue", "classes_of_ratio"]

RATIO = "stroma_tumor_ratio"
_STROMA, _TUMOR = ("strom", "str"), ("tumo", "tum", "carcinom")
"""Beginnings of a class's name by which it is recognized; the short ones are whole names (Kather's)."""


@dataclass(frozen=True, slots=True)
class TissueQuestion:
    """What is asked of a classifier.

    Parameters
    ----------
    model
        File of `jecur tissue train`.
    stroma, tumor
        Classes that the ratio is made of; empty: recognized by name.
    prepared_in
        Run folder whose prepared slides are taken.
    """

    model: Path
    stroma: tuple[str, ...] = ()
    tumor: tuple[str, ...] = ()
    prepared_in: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AppliedTissue:
    """What was found, and where it lies."""

    found: PatientFractions
    ratio: Vector | None
    """(patients,) share of stroma in stroma and tumor; None where no class is either."""
    table: Path
    clinical: Path | None
    """The study's table with these columns added; None where it is no plain CSV."""
    n_failed: int


def apply_tissue(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    question: TissueQuestion,
    *,
    workers: int,
    progress: Progress,
) -> AppliedTissue:
    """Classify the tiles of every patient of a study.

    Parameters
    ----------
    study, folder, workers, progress
        As `jecur.pipeline.run_study`; the table need not name roles.
    run
        Gets ``tissue.csv`` (a row a patient), ``tile_classes.parquet``, ``exclusions.csv`` and, of a plain
        CSV, ``clinical.csv``.
    question
        Classifier, and the classes of the ratio.

    Raises
    ------
    BundleError, SettingsError
        If the file is no classifier, or was trained on tiles made in another way.
    """
    run.refuse_other_command("tissue apply")
    model = open_tissue_model(question.model)
    require_same_recipe(model.card, recipe_of_study(study))
    sides = classes_of_ratio(model.card.classes, question.stroma, question.tumor)
    progress = LoggedProgress(progress, run.log)
    tell_virtual(model, study, progress)
    patients = study_cohort(study, folder, everybody=True).patients
    source = prepare_for_tissue(
        study, folder, patients, run, question.prepared_in, workers=workers, progress=progress
    )
    found = measure_fractions(model, patients, source, progress=progress, keep_tiles=True)
    ratio = None
    if sides is not None:
        ratio = np.array([stroma_tumor_ratio(row, *sides) for row in found.fractions])
    table = found.table()
    if ratio is not None:
        table.insert(len(table.columns) - 1, RATIO, ratio)
    path = write_text(run.root / "tissue.csv", csv_text(table))
    _write_tiles(found, run)
    write_exclusions(found.left_out, run)
    clinical = _write_clinical(study, folder, table, run, progress)
    facts = {"tissue_model_sha256": sha256_file(question.model), "command": "tissue apply"}
    run.write_manifest({"study": msgspec.to_builtins(study), **facts})
    n_failed = sum(not s.usable for s in source.prepared.values())
    return AppliedTissue(found, ratio, path, clinical, n_failed)


def classes_of_ratio(
    classes: Sequence[str], stroma: Sequence[str], tumor: Sequence[str]
) -> tuple[list[int], list[int]] | None:
    """Numbers of the classes that are stroma and tumor; None where nobody says so and no name tells.

    Raises
    ------
    SettingsError
        If one named is no class, or is on both sides, or one side is missing; if names may mean either, as
        that of Tumor stroma, or of Tumor necrosis beside Tumor.
    """
    asked = bool(stroma or tumor)
    own = stroma or _recognized(classes, _STROMA, _TUMOR)
    other = tumor or _recognized(classes, _TUMOR, _STROMA)
    unknown = [c for c in (*own, *other) if c not in classes]
    if unknown or set(own) & set(other) or (asked and not (own and other)):
        raise SettingsError(
            f"expected classes of stroma and of tumor among {', '.join(classes)}, found "
            f"{', '.join(own) or 'none'} and {', '.join(other) or 'none'}; name them (--stroma, --tumor)"
        )
    if not own or not other:
        return None
    return [classes.index(c) for c in own], [classes.index(c) for c in other]


def _recognized(
    classes: Sequence[str], marks: tuple[str, ...], against: tuple[str, ...]
) -> list[str]:
    """Classes of one side by their names; names of several words are what they begin with only if alone."""
    found = [c for c in classes if _begins(_words(c)[0], marks)]
    long = [c for c in found if len(_words(c)) > 1]
    unclear = long if len(found) > 1 else []
    unclear += [c for c in long if any(_begins(word, against) for word in _words(c)[1:])]
    if unclear:
        raise SettingsError(
            f"expected names of classes that tell stroma and tumor apart, found {unclear[0]!r} among "
            f"{', '.join(classes)}; say which are which (--stroma, --tumor)"
        )
    return found


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name) or [name]


def _begins(word: str, marks: tuple[str, ...]) -> bool:
    plain = word.casefold()
    return any(plain == m if len(m) == 3 else plain.startswith(m) for m in marks)


def _write_tiles(found: PatientFractions, run: RunFolder) -> None:
    tables = list(found.tiles.values())
    if not tables:
        return
    with atomic_path(run.root / "tile_classes.parquet") as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)


def _write_clinical(
    study: StudySettings, folder: Path, tissue: pd.DataFrame, run: RunFolder, progress: Progress
) -> Path | None:
    """Write the clinical table with the tissue beside it, to be named in a study file in its place."""
    source = folder / study.cohort.table
    form = study.cohort.format
    if source.suffix.lower() not in {".csv", ".txt"} or form.delimiter not in {"", ","}:
        return None
    table = read_table(source, form)
    new = [c for c in tissue.columns if c.startswith(FRACTION) or c == RATIO]
    twice = [c for c in new if c in table.frame.columns]
    if table.decimal == "," or twice:
        why = f"it has the column {twice[0]} already" if twice else "its decimals have commas"
        progress.say(f"clinical.csv is not written: {table.name}: {why}; join tissue.csv yourself")
        return None
    ids = table.identifiers(study.cohort.columns.patient, "patient")
    values = tissue.set_index("patient_id")[new].round(6)
    added = values.reindex(ids.to_numpy()).set_index(table.frame.index)
    return write_text(run.root / "clinical.csv", csv_text(pd.concat([table.frame, added], axis=1)))
