"""A table of slides to score: one row a slide, whose it is, and its scale."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from jecur.cohort.cohort import SlideEntry
from jecur.cohort.plausible.names import names_nobody
from jecur.cohort.raw_table import read_raw_table
from jecur.cohort.slide_names import as_on_disk, slide_ids
from jecur.cohort.table import Table, list_cells, name_rows, read_table
from jecur.errors import Problems, TableError
from jecur.intake.columns import says
from jecur.intake.interview import Interview
from jecur.intake.rows import ask_rows
from jecur.intake.slide_match import files_by_name, folded, names_in_cell, slide_files
from jecur.settings import TableFormat

__all__ = ["SlideTable", "read_slide_table"]

_MISSING = ("", "NA")
_MPP = re.compile(r"mpp[xy]?|(um|mic\w*|mue?)(per|/)?(px|pixels?)")
_EXACT = {
    "slide": ("slide", "slides", "file"),
    "patient": ("patient_id", "patient"),
    "mpp": ("mpp",),
}
"""Headings that decide where several could be meant."""
_MANY = 12


@dataclass(frozen=True, slots=True)
class SlideTable:
    """Slides with their patients ("" where the table has no such column), in its order."""

    slides: tuple[tuple[SlideEntry, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Columns:
    slide: str
    patient: str
    mpp: str


def read_slide_table(path: Path, folder: Path) -> SlideTable:
    """Read a table of slides.

    Parameters
    ----------
    path
        CSV, TSV or Excel, with a column of slides, and if need be of patients and micrometers per
        pixel, under the headings that people give them.
    folder
        Where the slides lie. A name may lack its folder and its suffix if only one slide can be meant.

    Raises
    ------
    TableError
        All that is wrong with it, with rows.
    """
    table, notes = _read(path)
    columns = _find_columns(table)
    problems = Problems()
    patients, scales = dict.fromkeys(map(int, table.frame.index), ""), dict[int, float | None]()
    if columns.patient:
        with problems.gathering():
            patients = _patients(table, columns.patient)
    if columns.mpp:
        with problems.gathering():
            scales = _scales(table, columns.mpp)
    found: list[tuple[int, PurePath]] = []
    with problems.gathering():
        found = _slides(table, columns.slide, folder)
    problems.refuse()
    names = [name for _, name in found]
    entries = [
        SlideEntry(slide, folder / name, scales.get(row), named=name.as_posix())
        for (row, name), slide in zip(found, slide_ids(names), strict=True)
    ]
    said = [f"slides from '{columns.slide}'"]
    said += [f"patients from '{columns.patient}'" if columns.patient else "each slide a patient"]
    said += [f"um per pixel from '{columns.mpp}'"] if columns.mpp else []
    owners = [patients[row] for row, _ in found]
    return SlideTable(
        tuple(zip(entries, owners, strict=True)),
        (f"{path.name}: {', '.join(said)} ({table.source})", *notes, *table.notes),
    )


def _read(path: Path) -> tuple[Table, list[str]]:
    """Read the table from its heading on, less its legend."""
    if not path.is_file():
        raise TableError(f"expected a table of slides at {path}, found none; correct --table")
    raw, interview = read_raw_table(path, TableFormat()), Interview({})
    if not raw.rows:
        raise TableError(f"{path.name}: expected a heading and at least one row, found 0")
    heading, ignored = ask_rows(raw, interview)
    table = read_table(path, TableFormat(heading_row=heading, ignored_rows=ignored))
    return table, [
        f"{path.name}: {q.key} {q.value}: {q.reason}" for q in interview.questions if q.value
    ]


def _find_columns(table: Table) -> _Columns:
    """Find the columns by their headings.

    Raises
    ------
    TableError
        If none or several could be meant; all at once.
    """
    names, problems = [str(name) for name in table.frame.columns], Problems()
    found = dict.fromkeys(("slide", "patient", "mpp"), "")
    for kind in found:
        free = [name for name in names if name not in found.values()]
        likely = [name for name in free if _means(name, kind)]
        plain = [n for exact in _EXACT[kind] for n in likely if n.casefold() == exact]
        best = plain[:1] or likely
        if len(best) > 1 or (kind == "slide" and not best):
            problems.found.append(_unclear(table, kind, best, names))
        else:
            found[kind] = best[0] if best else ""
    problems.refuse()
    return _Columns(**found)


def _means(heading: str, kind: str) -> bool:
    squashed = re.sub(
        r"[\s_.()\[\]-]+", "", heading.casefold().replace("\u00b5", "u").replace("\u03bc", "u")
    )
    if kind == "mpp":
        return bool(_MPP.fullmatch(squashed))
    return says(heading, kind) and not _MPP.fullmatch(squashed)


def _unclear(table: Table, kind: str, likely: Sequence[str], names: Sequence[str]) -> TableError:
    found = ", ".join(map(repr, likely or names[:20])) or "none"
    return TableError(
        f"{table.name}: expected one column of {kind if kind == 'mpp' else kind + 's'}, found {found}; "
        f"call it {_EXACT[kind][0]}"
    )


def _patients(table: Table, column: str) -> dict[int, str]:
    ids = table.identifiers(column, "patient")
    empty = ids[ids.isin(_MISSING)]
    if len(empty):
        raise TableError(
            f"{table.name}: expected a patient in every row of column '{column}', found none in "
            f"{name_rows(empty.index)}; enter the id or delete the row"
        )
    nobody = ids[ids.isin(names_nobody(ids.tolist()))]
    if len(nobody):
        raise TableError(
            f"{table.name}: expected a patient in every row of column '{column}', found "
            f"{list_cells(nobody)}, whose slides would be one patient's; enter the ids, or call each slide a "
            "patient of its own"
        )
    return {int(row): str(text) for row, text in ids.items()}


def _scales(table: Table, column: str) -> dict[int, float | None]:
    numbers = table.numbers(column, "micrometers per pixel", _MISSING)
    wrong = numbers[~(numbers.isna() | ((numbers > 0) & (numbers < 100)))]
    if len(wrong):
        raise TableError(
            f"{table.name}: expected between 0 and 100 um per pixel in column '{column}', found "
            f"{wrong.iloc[0]:g} in {name_rows(wrong.index)}; correct them, or leave the cells empty to take "
            "the files' own",
            code="bad-mpp",
        )
    return {int(r): None if value != value else float(value) for r, value in numbers.items()}  # noqa: PLR0124 - NaN


def _slides(table: Table, column: str, folder: Path) -> list[tuple[int, PurePath]]:
    """Row and path under the folder of every slide that is named."""
    if not folder.is_dir():
        raise TableError(
            f"expected a folder of slides at {folder}, found none; name it before --table",
            code="missing-folder",
        )
    cells = table.column(column, "slide")
    empty = [int(row) for row, cell in cells.items() if cell in _MISSING]
    known, problems = files_by_name(slide_files(folder)), Problems()
    if empty:
        problems.found.append(
            TableError(
                f"{table.name}: expected a slide in every row of column '{column}', found none in "
                f"{name_rows(empty)}; enter the file's name or delete the row"
            )
        )
    found: list[tuple[int, PurePath]] = []
    for row, cell in cells.items():
        for name in [] if cell in _MISSING else names_in_cell(cell):
            with problems.gathering():
                found.append((int(row), _under(table, int(row), name, folder, known)))
    _require_once(table, column, found, problems)
    problems.refuse()
    if found and not any((folder / name).exists() for _, name in found):
        names = ", ".join(str(name) for _, name in found[:_MANY])
        raise TableError(
            f"{table.name}: expected the slides of column '{column}' in {folder}, found none of them "
            f"({names}{' ...' if len(found) > _MANY else ''}); name the folder they lie in before --table",
            code="missing-file",
        )
    return found


def _under(
    table: Table, row: int, name: str, folder: Path, known: Mapping[str, Sequence[str]]
) -> PurePath:
    """Path under the folder that a name means."""
    root = folder.resolve()
    if not PurePath(name).is_absolute():
        name = as_on_disk(folder, name).relative_to(folder).as_posix()
    inside = (root / name).resolve()
    if PurePath(name).is_absolute() or not inside.is_relative_to(root) or inside == root:
        raise TableError(
            f"{table.name}: expected a file inside {folder} in the slide column, found {name!r} in row "
            f"{row}; name slides relative to that folder",
            code="path-outside-folder",
        )
    if (folder / name).exists():
        plain = inside.relative_to(root)
        return plain if (folder / plain).exists() else PurePath(name)
    hits = known.get(folded(name), ())
    if len(hits) > 1:
        raise TableError(
            f"{table.name}: expected a name of one slide, found {name!r} in row {row}, which may be "
            f"{' or '.join(hits[:4])}; name it with its folder and suffix",
            code="ambiguous-slide",
        )
    return PurePath(hits[0] if hits else name)


def _require_once(
    table: Table, column: str, found: Sequence[tuple[int, PurePath]], problems: Problems
) -> None:
    rows: dict[PurePath, list[int]] = {}
    for row, name in found:
        rows.setdefault(name, []).append(row)
    problems.found += [
        TableError(
            f"{table.name}: expected each slide once in column '{column}', found {name.as_posix()!r} in "
            f"{name_rows(sorted(set(several)))}; a slide belongs to one patient",
            code="duplicate-slide",
        )
        for name, several in rows.items()
        if len(several) > 1
    ]
