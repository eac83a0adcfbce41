"""A run's own tables as the viewer shows them: patients, slides, and the scores of their tiles.

Patients and slides are known by number, in the order of the tables: no name and no path comes from
the page.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from jecur.arrays import Logits
from jecur.cohort.csv_text import plain_text
from jecur.errors import RunFolderError
from jecur.explain.heatmap import TURN, ScoreScale, score_scale
from jecur.runs.folder import MANIFEST

__all__ = ["RunTables", "SlideRow", "ViewedPatient", "read_run_tables"]

_CSV = {"dtype": str, "keep_default_na": False}
_UNLIKE, _SEEN = "unlike-training", "seen-in-training"


@dataclass(frozen=True, slots=True)
class SlideRow:
    """One slide of ``slides.csv``."""

    number: int
    slide: str
    patient: int
    status: str
    code: str
    reason: str
    flags: tuple[str, ...]
    path: str
    """Relative to the slide folder; "" if the run does not say."""
    mpp: float | None
    mpp_is_given: bool
    """The scale is the user's, not the file's."""
    core: str
    origin: tuple[float, float]
    """Level-0 pixels of the file at which the slide, or the core's window, begins."""
    size: tuple[int, int]
    """Level-0 pixels."""
    n_tiles: int
    pictured: bool
    """The run has a thumbnail of it; of features it has none."""


@dataclass(frozen=True, slots=True)
class ViewedPatient:
    """One patient: their risk, follow-up, flags and slides."""

    number: int
    id: str
    risk: float | None
    group: str
    """"high", "low", or "" without a risk."""
    reason: str
    """Why there is no risk; "" if there is one, or nothing is known."""
    months: float | None
    event: int | None
    """1 with the event, 0 without, 2 a competing event; None if not known."""
    flags: tuple[str, ...]
    slides: tuple[int, ...]
    part: str
    """Part of the run (a fold) whose model scored them; "" for the run's own."""


@dataclass(frozen=True, slots=True)
class RunTables:
    """What a run's tables say."""

    root: Path
    facts: Mapping[str, Any]
    """Of the manifest."""
    patients: tuple[ViewedPatient, ...]
    slides: tuple[SlideRow, ...]
    cutoffs: Mapping[str, float]
    """Part of the run -> cut-off of its model, in (0, 1)."""
    _scales: dict[str, ScoreScale] = field(default_factory=dict)
    _sides: dict[int, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name of the study."""
        return str(self.facts.get("study", {}).get("name", "")) or "Scored slides"

    @property
    def virtual(self) -> bool:
        """Whether the patients were simulated."""
        return bool(self.facts.get("study", {}).get("virtual", False))

    @property
    def virtual_model(self) -> bool:
        """Whether the risks are of a model that was trained on virtual patients, and the patients are not."""
        return bool(self.facts.get("virtual_model", False)) and not self.virtual

    def folder(self, slide: SlideRow) -> Path:
        """Folder of what was made of a slide."""
        return self.root / "slides" / slide.slide

    def tile_side(self, slide: SlideRow) -> int:
        """Side of a slide's tiles, level-0 pixels; 0 if it has none, or nobody knows."""
        path = self.folder(slide) / "tiles.parquet"
        if slide.number not in self._sides:
            sides = pd.read_parquet(path, columns=["side_px"])["side_px"] if path.is_file() else []
            self._sides[slide.number] = int(max(sides, default=0))
        return self._sides[slide.number]

    def tile_scores(self, slide: SlideRow) -> pd.DataFrame:
        """Scored tiles of a slide: x, y in level-0 pixels of the file, score, contribution."""
        path = self._scores_file(self.patients[slide.patient].part)
        if not path.is_file():
            return pd.DataFrame(columns=["x", "y", "score", "contribution"])
        columns = ["x", "y", "score", "contribution"]
        return pd.read_parquet(path, columns=columns, filters=[("slide", "==", slide.slide)])

    def scores_of_part(self, part: str) -> pd.DataFrame:
        """Slide, patient, place and score of every tile that one model scored."""
        path = self._scores_file(part)
        columns = ["slide", "patient_id", "x", "y", "score"]
        return pd.read_parquet(path, columns=columns) if path.is_file() else pd.DataFrame()

    def scale(self, part: str) -> ScoreScale | None:
        """Color scale of all slides that one model scored, as on the run's pictures; None without scores."""
        path = self._scores_file(part)
        drawn = self.facts.get(
            "color_scale"
        )  # of scores that were added to, that of the first command
        if drawn and not part:
            return ScoreScale(*map(float, drawn))
        if part not in self._scales and path.is_file() and part in self.cutoffs:
            table = pd.read_parquet(path, columns=["score"])
            scores: Logits = table["score"].to_numpy()
            if len(scores):
                turn = table.attrs.get(TURN)
                self._scales[part] = score_scale(scores, self.cutoffs[part], turn)
        return self._scales.get(part)

    def _scores_file(self, part: str) -> Path:
        return (self.root / "parts" / part if part else self.root) / "tile_scores.parquet"


def read_run_tables(root: Path) -> RunTables:
    """Read the tables of a finished run.

    Raises
    ------
    RunFolderError
        If there is no run with slides and scores.
    """
    for name in ("slides.csv", "scores.csv"):
        if not (root / name).is_file():
            raise RunFolderError(
                f"expected a finished run with scores at {root}, found no {name}; name the folder of "
                "a run, score or crossval"
            )
    facts = {}
    if (root / MANIFEST).is_file():
        facts = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    slides = _read(root / "slides.csv")
    _require_names(slides["slide"].tolist(), root)
    scores = _read(root / "scores.csv")
    if "repeat" in scores:
        scores = scores[scores["repeat"] == "1"]
    reasons = _reasons(root)
    by_id = {row["patient_id"]: row for row in scores.to_dict("records")}
    order = list(dict.fromkeys([*by_id, *slides["patient_id"]]))
    number_of = {patient: number for number, patient in enumerate(order)}
    rows = tuple(
        _slide(number, row, number_of, root) for number, row in enumerate(slides.to_dict("records"))
    )
    follow_up = _follow_up(root)
    patients = tuple(
        _patient(
            number,
            patient,
            by_id.get(patient, {}),
            follow_up.get(patient, {}),
            [row for row in rows if row.patient == number],
            reasons,
        )
        for number, patient in enumerate(order)
    )
    cutoffs = {
        _part(row): float(row["cutoff"]) for row in by_id.values() if row.get("cutoff", "") != ""
    }
    return RunTables(root, facts, patients, rows, cutoffs)


def _read(path: Path) -> pd.DataFrame:
    """Read a table of ours: text, as it was before it was made safe for spreadsheets."""
    return pd.read_csv(path, **_CSV).map(plain_text)


def _reasons(root: Path) -> dict[str, str]:
    path = root / "exclusions.csv"
    if not path.is_file():
        return {}
    table = _read(path)
    return dict(zip(table["patient_id"], table["reason"], strict=True))


def _follow_up(root: Path) -> dict[str, dict[str, str]]:
    """Patient -> months and event, where the run knows them."""
    for name in ("follow_up.csv", "scores.csv"):
        path = root / name
        if path.is_file():
            table = _read(path)
            if {"months", "event"} <= set(table.columns):
                return {row["patient_id"]: row for row in table.to_dict("records")}
    return {}


def _part(row: Mapping[str, str]) -> str:
    """Part of a cross-validation in which a patient was scored; "" of another run."""
    return f"repeat-{int(row['repeat'])}-fold-{int(row['fold'])}" if row.get("fold") else ""


def _require_names(slides: Sequence[str], root: Path) -> None:
    """Refuse a slide whose name leads out of the run folder."""
    for name in slides:
        if name in {"", ".", ".."} or "/" in name or "\\" in name or "\0" in name:
            raise RunFolderError(
                f"expected names of slides in {root / 'slides.csv'}, found {name!r}; make the run anew"
            )


def _slide(
    number: int, row: Mapping[str, str], number_of: Mapping[str, int], root: Path
) -> SlideRow:
    x, _, y = row.get("origin", "").partition(" ")
    status, code, reason = (row[name] for name in ("status", "code", "reason"))
    return SlideRow(
        number=number,
        slide=row["slide"],
        patient=number_of[row["patient_id"]],
        status=status,
        code=code,
        reason=reason,
        flags=tuple(filter(None, row["flags"].split(";"))),
        path=row.get("path", ""),
        mpp=_number(row["mpp"]),
        mpp_is_given=row["mpp_source"] == "override",
        core=row.get("core", ""),
        origin=(_number(x) or 0.0, _number(y) or 0.0),
        size=(int(_number(row["width"]) or 0), int(_number(row["height"]) or 0)),
        n_tiles=int(_number(row["n_tiles"]) or 0),
        pictured=status != "failed"  # what is there then is of a file before
        and (root / "slides" / row["slide"] / "thumbnail.png").is_file(),
    )


def _patient(
    number: int,
    patient: str,
    score: Mapping[str, str],
    follow_up: Mapping[str, str],
    slides: list[SlideRow],
    reasons: Mapping[str, str],
) -> ViewedPatient:
    flags = dict.fromkeys(flag for slide in slides for flag in slide.flags)
    if score.get("unlike_training") == "True":
        flags[_UNLIKE] = None
    if score.get("seen_in_training") == "True":
        flags[_SEEN] = None
    risk = _number(score.get("risk", ""))
    event = _number(follow_up.get("event", ""))
    return ViewedPatient(
        number=number,
        id=patient,
        risk=risk,
        group=score.get("group", "") if risk is not None else "",
        reason="" if risk is not None else (score.get("reason") or reasons.get(patient, "")),
        months=_number(follow_up.get("months", "")),
        event=None if event is None else int(event),
        flags=tuple(flags),
        slides=tuple(slide.number for slide in slides),
        part=_part(score),
    )


def _number(text: str) -> float | None:
    """Read a finite number; None for an empty cell or anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
