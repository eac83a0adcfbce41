"""What a folder of scores holds, and which of its slides are given again."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from jecur.cohort.csv_text import plain_text
from jecur.cohort.plausible.words import alike, one_id
from jecur.cohort.slide_names import slide_ids, told_apart
from jecur.errors import RunFolderError
from jecur.explain.heatmap import ScoreScale
from jecur.runs.folder import SEEN, RunFolder, fingerprint, sha256_file
from jecur.runs.opening import read_manifest
from jecur.scored.given import Given, GivenSlide

__all__ = ["SCORES", "SLIDES", "TILES", "Earlier", "Row", "read_earlier", "settle"]

SLIDES, SCORES, TILES = "slides.csv", "scores.csv", "tile_scores.parquet"

Row = dict[str, str]
"""Heading -> cell, as text."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was scored here before by the same model.

    Parameters
    ----------
    slides
        Rows of ``slides.csv`` by slide.
    patients
        Rows of ``scores.csv`` by patient.
    tiles
        Tile scores of every scored slide.
    folder
        What the slides' paths are relative to; None where it is not known.
    scale
        Colors of the heat maps.
    """

    slides: Mapping[str, Row] = field(default_factory=dict)
    patients: Mapping[str, Row] = field(default_factory=dict)
    tiles: pd.DataFrame | None = None
    folder: Path | None = None
    scale: ScoreScale | None = None

    def file_of(self, row: Row) -> Path | None:
        """File of a slide, wherever it was."""
        if self.folder is None or not row.get("path"):
            return None
        return (self.folder / row["path"]).resolve()


def read_earlier(run: RunFolder, model_sha256: str, model: str) -> Earlier:
    """Read what a folder of scores holds.

    Raises
    ------
    RunFolderError
        With code ``other-model`` if its scores are those of another model, ``other-recipe`` if it holds
        the results of another command, ``damaged`` if they are not as they were written.
    """
    facts = read_manifest(run.root)
    command = facts.get("command")
    if command is None:
        return Earlier()
    if command != "score":
        raise RunFolderError(
            f"expected an empty folder or earlier scores at {run.root}, found the results of jecur "
            f"{command}; name another --out",
            code="other-recipe",
        )
    if facts.get("model_sha256") != model_sha256:
        raise RunFolderError(
            f"expected scores of {model} at {run.root}, found those of another model "
            f"({facts.get('model', 'unknown')}); nothing is mixed: name another --out",
            code="other-model",
        )
    for name in (SLIDES, SCORES, TILES):
        path = run.root / name
        if not path.is_file() or sha256_file(path) != facts.get("sha256", {}).get(name):
            raise _damaged(path)
    return Earlier(
        {row["slide"]: row for row in _rows(run.root / SLIDES)},
        {row["patient_id"]: row for row in _rows(run.root / SCORES)},
        pd.read_parquet(run.root / TILES),
        _folder(run, facts),
        ScoreScale(*facts["color_scale"]) if facts.get("color_scale") else None,
    )


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield {str(k): plain_text(v or "") for k, v in row.items()}


def _damaged(path: Path) -> RunFolderError:
    return RunFolderError(
        f"expected {path.name} as it was written at {path.parent}, found it gone or changed; name another "
        "--out and score all slides again",
        code="damaged",
    )


def _folder(run: RunFolder, facts: Mapping[str, Any]) -> Path | None:
    path = run.root / SEEN
    if path.is_file():
        return (run.root / path.read_text(encoding="utf-8").strip()).resolve()
    return Path(facts["slides"]).resolve() if facts.get("slides") else None


def settle(given: Given, earlier: Earlier) -> tuple[list[GivenSlide], list[str]]:
    """Give each slide the id it has in the folder, or one that no other slide has there.

    A slide is known by its file. A known slide of which nobody said whose it is stays its patient's.

    Returns
    -------
    tuple
        Slides in the order given, each with a patient; and what is to be said about them.
    """
    files = {name: earlier.file_of(row) for name, row in earlier.slides.items()}
    known = {(f, earlier.slides[n].get("core", "")): n for n, f in files.items() if f is not None}
    taken = {told_apart(name): name for name in earlier.slides}
    settled, notes = [], []
    for one in given.slides:
        entry = one.entry
        path = entry.path.resolve()
        name = known.get((path, entry.core.core if entry.core else ""))
        if name is None:
            name = _free(entry.id, path, taken, files)
            taken[told_apart(name)] = name
            files[name] = path
        before = earlier.slides.get(name, {}).get("patient_id", "")
        patient = one.patient or before or name
        if before and patient != before:
            notes.append(f"{name}: was a slide of {before}, is now one of {patient}")
        elif before and not one.patient and before != name:
            notes.append(f"{name}: stays a slide of {before}")
        settled.append(GivenSlide(replace(entry, id=name), patient))
    return settled, [*notes, *_spelled_otherwise(given, settled, earlier)]


def _spelled_otherwise(
    given: Given, settled: Sequence[GivenSlide], earlier: Earlier
) -> Iterator[str]:
    """Tell of patients who were named here, and are another's name but for the spelling."""
    named = {one.patient for one in given.slides if one.patient}
    everybody = [*earlier.patients, *(one.patient for one in settled)]
    for group in alike(everybody, one_id):
        if named & set(group):
            yield (
                f"{', '.join(map(repr, group[:4]))}: expected each patient in one spelling, found these; "
                "if they are one patient, spell them alike and score all their slides again "
                "[names-alike]"
            )


def _free(name: str, path: Path, taken: Mapping[str, str], files: Mapping[str, Path | None]) -> str:
    """Return the id, unless a slide that is another has it: then with more of its folders."""
    for candidate in _candidates(name, path):
        owner = taken.get(told_apart(candidate))
        if owner is None:
            return candidate
        other = files.get(owner)
        if other is None or not other.exists():  # moved or replaced since
            return owner
    raise AssertionError(name)


def _candidates(name: str, path: Path) -> Iterator[str]:
    yield name
    parts = path.parts
    for n in range(2, len(parts)):
        yield slide_ids([PurePath(*parts[-n:])])[0]
    yield f"{name}-{fingerprint(str(path))[:12]}"
