"""The paper's cells beside ours, and why they may differ."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import pandas as pd

from jecur.cohort.csv_text import csv_text
from jecur.cohort.tcga.lihc import TcgaStep
from jecur.reproduce.paper import ADJUSTED, N_EVENTS, N_PATIENTS, TABLE_2, TABLE_3
from jecur.statistics.tile_features import TileFeatures
from jecur.survival.cox import HazardRatio

__all__ = ["Cell", "cells_of_counts", "cells_of_table_2", "cells_of_table_3", "page", "table"]

_NOT_PUBLIC = "read from the slides by the authors; no public table has it"
_REVIEW = "fill in review/review.csv, then run the same command again"
WHY = (
    "The paper does not say how it came to 302 patients; the rule here gives both of its counts "
    "(docs/tcga.md).",
    "6 of these 302 patients have no diagnostic slide at the GDC: 296 with 161 recurrences do. The paper's "
    "302 all had tiles, so its rule was another, or it used frozen sections.",
    "Its endpoint is called recurrence-free survival. cBioPortal's DFS, which gives its counts, has no "
    "value for the 51 patients who died without recurrence; recurrence-free survival stands beside it.",
    "The paper gives no counts of missing values; here each row is of the patients who have the value.",
    "Sex is printed as female against male with the direction of male against female.",
    "AFP positive and poor grade are not defined there; here above 20 ng/ml, and G3 or G4.",
    "The paper's weights are not public: the classifier here is another network, trained on other "
    "patients, with its own locked cut-off.",
    "The paper does not say whether it used one slide of a patient or all, nor how many tiles.",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of the paper and ours."""

    where: str
    what: str
    paper: float | None
    ours: float | None
    n: int | None = None
    events: int | None = None
    note: str = ""


def cells_of_counts(n: int, events: int) -> list[Cell]:
    """Patients and recurrences."""
    return [
        Cell("Cohort", "patients", N_PATIENTS, n),
        Cell("Cohort", "recurrences", N_EVENTS, events),
    ]


def cells_of_table_2(
    found: dict[str, HazardRatio | str], beside: HazardRatio | str | None, *, scored_by: str
) -> list[Cell]:
    """Hazard ratio, z and p of every row, and Figure 5A."""
    cells = []
    for term, (label, *printed) in TABLE_2.items():
        ratio = found.get(term, _NOT_PUBLIC)
        for name, value in zip(("HR", "z", "p"), printed, strict=True):
            cells.append(_cell("Table 2", f"{label}: {name}", value, ratio, name, scored_by))
    if beside is None:
        return cells
    for name, value in zip(("HR", "lower", "upper"), ADJUSTED, strict=True):
        what = f"Classifier beside stage, AFP, grade, invasion: {name}"
        cells.append(_cell("Figure 5A", what, value, beside, name, scored_by))
    return cells


def _cell(
    where: str, what: str, printed: float, ratio: HazardRatio | str, name: str, scored_by: str
) -> Cell:
    if isinstance(ratio, str):
        return Cell(where, what, printed, None, note=ratio)
    ours = {
        "HR": ratio.estimate,
        "z": ratio.z,
        "p": ratio.p,
        "lower": ratio.lower,
        "upper": ratio.upper,
    }[name]
    note = scored_by if what.startswith("Classifier") else ""
    return Cell(where, what, printed, float(ours), ratio.n, ratio.events, note)


def cells_of_table_3(features: TileFeatures | None) -> list[Cell]:
    """Tiles with a feature, of high and of low score; empty before the review."""
    rows = {row.feature: row for row in features.rows} if features else {}
    cells = []
    for name, (high, low, p) in TABLE_3.items():
        row = rows.get(name)
        label = name.replace("_", " ")
        ours: tuple[tuple[str, float, float | None, int | None], ...] = (
            ("high risk", high, row.with_high if row else None, row.n_high if row else None),
            ("low risk", low, row.with_low if row else None, row.n_low if row else None),
            ("p", p, row.p if row else None, None),
        )
        for end, printed, value, n in ours:
            note = "" if row else _REVIEW
            cells.append(Cell("Table 3", f"{label}: {end}", printed, value, n, note=note))
    return cells


def table(cells: Sequence[Cell]) -> str:
    """All cells as CSV."""
    names = [field.name for field in fields(Cell)]
    return csv_text(pd.DataFrame([astuple(cell) for cell in cells], columns=names).astype(object))


def page(
    cells: Sequence[Cell], flow: Sequence[TcgaStep], remarks: Sequence[str], *, title: str
) -> str:
    """Everything for people, as Markdown."""
    lines = [f"# {title}", "", *(f"- {text}" for text in remarks), "", "## Who is in", ""]
    lines += ["| Step | left out | patients | recurrences |", "| --- | --- | --- | --- |"]
    lines += [f"| {s.reason} | {s.excluded or ''} | {s.left} | {s.events} |" for s in flow]
    lines += ["", "## Paper and ours, cell by cell", ""]
    lines += ["| | | paper | ours | n | events | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for cell in cells:
        shown = (_number(cell.paper), _number(cell.ours), _count(cell.n), _count(cell.events))
        lines.append(f"| {cell.where} | {cell.what} | {' | '.join(shown)} | {cell.note} |")
    lines += ["", "## Why they may differ", "", *(f"- {text}" for text in WHY)]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _count(value: int | None) -> str:
    return "" if value is None else str(value)
