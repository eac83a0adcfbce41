"""The tables of a folder of scores: what is new put beside, or in place of, what was there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from jecur.cohort.cohort import Exclusion
from jecur.cohort.csv_text import csv_rows
from jecur.mil.scoring import pool_outputs, pooling_of_bundle
from jecur.model.file import Bundle
from jecur.runs.folder import atomic_path, write_text
from jecur.scored.earlier import SCORES, SLIDES, TILES, Earlier, Row
from jecur.study.memory import memory_beside
from jecur.study.score import TILE_COLUMNS, ScoredPatient
from jecur.study.slide_task import PreparedSlide
from jecur.study.training_card import was_trained_on

__all__ = ["PATIENT_COLUMNS", "SLIDE_COLUMNS", "Addition", "Merged", "merge", "write_tables"]

SLIDE_COLUMNS = (*(f.name for f in fields(PreparedSlide)), "seen_in_training")
PATIENT_COLUMNS = (
    "patient_id", "risk", "group", "n_slides", "n_tiles", "model", "cutoff", "seen_in_training",
    "unlike_training", "training_distance", "status", "code", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Addition:
    """What a command adds.

    Parameters
    ----------
    slides, patients
        Given slides, with or without a score, and whoever was scored by these slides alone.
    tiles
        Tile scores of these slides.
    left_out
        Patients without anything to score.
    paths
        Slide -> path as the table is to have it, for every slide there is.
    """

    slides: Sequence[PreparedSlide]
    patients: Sequence[ScoredPatient]
    tiles: pd.DataFrame
    left_out: Sequence[Exclusion]
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Merged:
    """All that a folder of scores holds.

    Parameters
    ----------
    slides, patients
        Rows of ``slides.csv`` and ``scores.csv``, by slide and by patient.
    tiles
        Tile scores of every scored slide.
    touched
        Patients whose row was made anew.
    gone
        Patients who have no slide any more: theirs are now another's.
    """

    slides: Mapping[str, Row]
    patients: Mapping[str, Row]
    tiles: pd.DataFrame
    touched: tuple[str, ...]
    gone: tuple[str, ...]


def merge(earlier: Earlier, added: Addition, model: Path, bundle: Bundle) -> Merged:
    """Put what was added beside what was there.

    Patients of the slides added, before or now, are pooled anew from all their slides; the rows of all
    others stay as they are.
    """
    slides = _slide_rows(earlier, added)
    touched = _touched(earlier, added)
    outputs = _by_slide(earlier, added)
    rows, gone = dict(earlier.patients), []
    tables = {str(p): table for p, table in _groups(earlier.tiles, "patient_id")}
    left_out, memory = {e.patient: e for e in added.left_out}, memory_beside(model)
    for patient in touched:
        own = [row for row in slides.values() if row["patient_id"] == patient]
        tables.pop(patient, None)
        if own:
            known = memory.saw(patient) or was_trained_on(bundle, patient=patient)
            row, table = _pooled(patient, own, outputs, bundle, known=known)
            rows[patient] = row | {"model": model.name}
            if table is not None:
                tables[patient] = table
        elif patient in left_out:
            rows[patient] = _left_out(left_out[patient], model, bundle.cutoff)
        else:
            rows.pop(patient, None)
            gone.append(patient)
    kept = [tables[patient] for patient in rows if patient in tables]
    tiles = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=TILE_COLUMNS)
    return Merged(slides, rows, tiles, tuple(p for p in touched if p in rows), tuple(gone))


def write_tables(merged: Merged, folder: Path) -> None:
    """Write the three tables of a folder of scores."""
    for name, columns, rows in (
        (SLIDES, SLIDE_COLUMNS, merged.slides),
        (SCORES, PATIENT_COLUMNS, merged.patients),
    ):
        cells = [[row.get(column, "") for column in columns] for row in rows.values()]
        write_text(folder / name, csv_rows(columns, cells))
    with atomic_path(folder / TILES) as temporary:
        merged.tiles.to_parquet(temporary, index=False)


def _slide_rows(earlier: Earlier, added: Addition) -> dict[str, Row]:
    rows = dict(earlier.slides)
    seen = {slide for patient in added.patients for slide in patient.slides_seen}
    scored = {slide for patient in added.patients for slide in patient.slides}
    for slide in added.slides:
        row = {name: _cell(value) for name, value in slide.row().items()}
        row["seen_in_training"] = str(slide.slide in seen) if slide.slide in scored else ""
        rows[slide.slide] = row
    return {name: row | {"path": added.paths.get(name, "")} for name, row in rows.items()}


def _touched(earlier: Earlier, added: Addition) -> tuple[str, ...]:
    now = [slide.patient_id for slide in added.slides]
    before = [
        earlier.slides[s.slide]["patient_id"] for s in added.slides if s.slide in earlier.slides
    ]
    return tuple(dict.fromkeys([*now, *before, *(e.patient for e in added.left_out)]))


def _by_slide(earlier: Earlier, added: Addition) -> dict[str, pd.DataFrame]:
    """Tile scores of every slide, those added in place of those from before."""
    given = {slide.slide for slide in added.slides}
    old = {str(s): t for s, t in _groups(earlier.tiles, "slide") if s not in given}
    return old | {str(s): t for s, t in _groups(added.tiles, "slide")}


def _groups(tiles: pd.DataFrame | None, by: str) -> Iterable[tuple[object, pd.DataFrame]]:
    return () if tiles is None or not len(tiles) else iter(tiles.groupby(by, sort=False))


def _pooled(
    patient: str,
    own: Sequence[Row],
    outputs: Mapping[str, pd.DataFrame],
    bundle: Bundle,
    *,
    known: bool,
) -> tuple[Row, pd.DataFrame | None]:
    """Row of a patient, and the scores of their tiles; the latter only if there are any."""
    usable = [row for row in own if row["slide"] in outputs and row["status"] != "failed"]
    lost = [row for row in own if row not in usable]
    row = dict.fromkeys(PATIENT_COLUMNS, "") | {
        "patient_id": patient,
        "n_slides": str(len(usable)),
        "n_tiles": "0",
        "cutoff": _cell(bundle.cutoff),
        "status": "failed" if not usable else "incomplete" if lost else "scored",
        "code": ";".join(sorted({r["code"] or "no-tiles" for r in lost})),
        "reason": _said(lost, len(own)),
    }
    if not usable:
        return row, None
    table = pd.concat([outputs[r["slide"]] for r in usable], ignore_index=True)
    columns = ["score", "gate"] if "gate" in table else ["score"]
    values = np.ascontiguousarray(table[columns], np.float32)
    score = pool_outputs(
        values if len(columns) == 2 else values[:, 0], pooling_of_bundle(bundle), bundle.cutoff
    )
    farthest = _farthest(usable)
    row |= {
        "risk": _cell(score.risk),
        "group": score.group,
        "n_tiles": str(len(table)),
        "seen_in_training": str(known or any(r.get("seen_in_training") == "True" for r in usable)),
        "unlike_training": "" if farthest is None else str(_unlike(farthest)),
        "training_distance": "" if farthest is None else farthest["training_distance"],
    }
    return row, table.assign(patient_id=patient, contribution=score.contributions)


def _said(lost: Sequence[Row], of: int) -> str:
    named = ", ".join(f"{row['slide']} ({row['code'] or 'no-tiles'})" for row in lost)
    if len(lost) == of:
        return f"no usable slide: {named}"
    return f"{len(lost)} of {of} slides without a score: {named}" if lost else ""


def _farthest(usable: Sequence[Row]) -> Row | None:
    """Slide that is least like the training slides; None where the model does not know them."""
    known = [row for row in usable if row["training_distance"]]
    return max(known, key=lambda r: (_unlike(r), float(r["training_distance"])), default=None)


def _unlike(row: Row) -> bool:
    return "unlike-training" in row["flags"].split(";")


def _left_out(gone: Exclusion, model: Path, cutoff: float) -> Row:
    return dict.fromkeys(PATIENT_COLUMNS, "") | {
        "patient_id": gone.patient,
        "n_slides": "0",
        "n_tiles": "0",
        "model": model.name,
        "cutoff": _cell(cutoff),
        "status": "excluded",
        "code": "excluded-patient",
        "reason": gone.reason,
    }


def _cell(value: object) -> str:
    """Text of a cell: every digit of a number, nothing for what is not known."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
