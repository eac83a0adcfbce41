"""Which slides a patient has: names out of the clinical table, or out of a table of slides.

Several rows of one patient, as tables with a row a slide have them, are joined here too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import pandas as pd

from jecur.cohort.slide_names import as_on_disk
from jecur.cohort.table import Table, name_rows, read_table
from jecur.errors import Problems, TableError
from jecur.settings import CohortSettings

__all__ = ["NamedSlide", "join_rows", "left_out_slides", "named_slides", "used_columns"]


@dataclass(frozen=True, slots=True)
class NamedSlide:
    """A slide that a table names.

    Parameters
    ----------
    owner
        Row of the clinical table whose patient has it.
    row
        Row in the table that names it; ``table`` is that table's name.
    name
        As written, relative to the slide folder.
    path
        The file, inside the slide folder.
    mpp
        Micrometers per pixel from the table; None takes the file's.
    """

    owner: int
    row: int
    table: str
    name: str
    path: Path
    mpp: float | None


def named_slides(
    table: Table, ids: pd.Series, settings: CohortSettings, folder: Path
) -> list[NamedSlide]:
    """Every slide that is named, once.

    Raises
    ------
    TableError
        If a name leads out of the slide folder, is there twice, or belongs to no patient of the table.
    """
    root = (folder / settings.slide_folder).resolve()
    found = list(
        _of_list(table, ids, settings, folder, root)
        if settings.slide_list
        else _of_column(table, settings, root)
    )
    owners: dict[Path, NamedSlide] = {}
    for slide in found:
        first = owners.setdefault(slide.path, slide)
        if first is not slide:
            column = "slide" if settings.slide_list else settings.columns.slide
            raise TableError(
                f"{slide.table}: expected each slide once in column '{column}', found {slide.name!r} in "
                f"rows {first.row} and {slide.row}; a slide belongs to one patient",
                code="duplicate-slide",
            )
    return found


def _of_column(table: Table, settings: CohortSettings, root: Path) -> Iterator[NamedSlide]:
    text = table.column(settings.columns.slide, "slide")
    mpp = pd.Series(float("nan"), index=text.index)
    if settings.columns.mpp:
        mpp = table.numbers(settings.columns.mpp, "micrometers per pixel", settings.missing_values)
    for row, cell in text.items():
        names = [name.strip() for name in cell.split(";") if name.strip()]
        for name in [] if cell in settings.missing_values else names:
            path = _inside(table, int(row), root, name)
            scale = None if pd.isna(mpp[row]) else float(mpp[row])
            yield NamedSlide(int(row), int(row), table.name, name, path, scale)


def _of_list(
    table: Table, ids: pd.Series, settings: CohortSettings, folder: Path, root: Path
) -> Iterator[NamedSlide]:
    listed = read_table(folder / settings.slide_list, fixed_headings=True)
    names, owners = listed.column("slide", "slide"), listed.identifiers("patient_id", "patient")
    mpp = pd.Series(float("nan"), index=names.index)
    if "mpp" in listed.frame.columns:
        mpp = listed.numbers("mpp", "micrometers per pixel", settings.missing_values)
    row_of = {patient: int(row) for row, patient in ids.items()}
    given = owners[(owners != "") & (names != "")]
    unknown = given[~given.isin(row_of)]
    if len(unknown):
        raise TableError(
            f"{listed.name}: expected patients of {table.name} in column 'patient_id', found "
            f"{unknown.iloc[0]!r} in {name_rows(unknown.index)}; correct them, or leave the cell empty "
            "for a slide that is left out",
            code="unknown-patient",
        )
    for row, patient in given.items():
        path = _inside(listed, int(row), root, names[row])
        scale = None if pd.isna(mpp[row]) else float(mpp[row])
        yield NamedSlide(row_of[patient], int(row), listed.name, names[row], path, scale)


def left_out_slides(settings: CohortSettings, folder: Path) -> set[Path]:
    """Slides that the list of slides names without a patient: left out on purpose."""
    if not settings.slide_list:
        return set()
    listed = read_table(folder / settings.slide_list, fixed_headings=True)
    names, owners = listed.column("slide", "slide"), listed.column("patient_id", "patient")
    root = (folder / settings.slide_folder).resolve()
    return {as_on_disk(root, name).resolve() for name in names[owners == ""] if name}


def _inside(table: Table, row: int, root: Path, name: str) -> Path:
    path = as_on_disk(root, name).resolve()
    if PurePath(name).is_absolute() or not path.is_relative_to(root) or path == root:
        raise TableError(
            f"{table.name}: expected a file inside the slide folder in the slide column, found "
            f"{name!r} in row {row}; name slides relative to slide_folder",
            code="path-outside-folder",
        )
    return path


def join_rows(table: Table, settings: CohortSettings) -> Table:
    """Join the rows of each patient: slides are put together, all else that is used must agree.

    Raises
    ------
    TableError
        Naming every column and its rows that do not agree.
    """
    ids = table.identifiers(settings.columns.patient, "patient")
    repeated = ids[ids.duplicated(keep=False) & (ids != "")]
    if not len(repeated):
        return table
    frame, problems = table.frame.copy(), Problems()
    apart = [settings.columns.slide] if settings.columns.slide in frame.columns else []
    apart += [settings.columns.annotation] if settings.columns.annotation in frame.columns else []
    for column in [c for c in used_columns(settings) if c in frame.columns and c not in apart]:
        with problems.gathering():
            _require_agreement(table, column, repeated)
    problems.refuse()
    for patient in repeated.unique():
        rows = repeated.index[repeated == patient]
        for column in apart:
            names = [c for c in frame.loc[rows, column] if c and c not in settings.missing_values]
            frame.loc[rows[0], column] = ";".join(dict.fromkeys(names))
        frame = frame.drop(index=rows[1:])
    return replace(table, frame=frame, kinds={c: _kept(k, frame) for c, k in table.kinds.items()})


def _kept(kinds: Mapping[int, str], frame: pd.DataFrame) -> dict[int, str]:
    return {row: kind for row, kind in kinds.items() if row in frame.index}


def _require_agreement(table: Table, column: str, repeated: pd.Series) -> None:
    for patient in repeated.unique():
        rows = list(repeated.index[repeated == patient])
        cells = table.frame.loc[rows, column]
        if len(set(cells)) > 1:
            raise TableError(
                f"{table.name}: expected the rows of one patient to agree in column '{column}', found "
                f"{' and '.join(map(repr, cells.unique()[:3]))} for {patient!r} in {name_rows(rows)}; "
                "correct the table",
                code="duplicate-patient",
            )


def used_columns(settings: CohortSettings) -> list[str]:
    """Columns of the clinical table that the study uses, each once; the patient's is not among them."""
    columns, endpoint, dates = settings.columns, settings.endpoint, settings.endpoint.dates
    named = [columns.role, columns.site, columns.mpp, columns.slide, columns.annotation]
    if dates is None or not (dates.recurrence or dates.death):
        named.append(columns.event)
    if dates is None:
        named.append(columns.time)
    else:
        named += [dates.surgery, dates.last_contact, dates.death]
        named += [] if endpoint.kind == "overall survival" else [dates.recurrence]
    if settings.split is not None and settings.split.by == "date":
        named.append(settings.split.date_column)
    named += [covariate.column for covariate in settings.covariates]
    return [name for name in dict.fromkeys(named) if name]
