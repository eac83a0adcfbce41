"""The cohort: patients with follow-up, role, clinical factors and slides, and who was left out.

No patient is lost silently: patients in the table = patients used + patients excluded with a reason.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path, PurePath

import msgspec
import pandas as pd

from jecur.cohort.annotation_files import find_annotations, named_annotations
from jecur.cohort.covariates import number_notes, read_covariate
from jecur.cohort.endpoint import read_follow_up
from jecur.cohort.identifiers import id_notes, read_identifiers, refuse_one_in_two_roles
from jecur.cohort.plausible.check import judge_table
from jecur.cohort.plausible.doubts import Doubt
from jecur.cohort.roles import Role, divide_patients, read_days, read_roles
from jecur.cohort.slide_cells import join_rows, left_out_slides, named_slides
from jecur.cohort.slide_names import slide_ids
from jecur.cohort.table import Table, read_table
from jecur.cohort.tissue_array import CoreEntries, read_core_entries
from jecur.errors import Problems, TableError
from jecur.geometry import CorePlace
from jecur.settings import CohortSettings, Covariate
from jecur.settings.cohort import SplitSettings

__all__ = ["Cohort", "Exclusion", "Patient", "Role", "SlideEntry", "read_clinical", "read_cohort"]

_SLIDE_SUFFIXES = {".svs", ".mrxs", ".ndpi", ".scn", ".bif", ".vms", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class SlideEntry:
    """A slide named in the table.

    Parameters
    ----------
    id
        Unique in the study: see `jecur.cohort.slide_names.slide_ids`.
    path
        The file; inside the slide folder, whatever the table says.
    mpp
        Micrometers per pixel from the table, or None to take the file's.
    """

    id: str
    path: Path
    mpp: float | None
    core: CorePlace | None = None
    """The core of a tissue array that this slide is; None for a whole slide."""
    annotation: Path | None = None
    """File of drawn regions."""
    named: str = ""
    """Path relative to the slide folder, with ``/``; "" where no folder is known."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient: the unit of everything that is reported."""

    id: str
    role: Role
    months: float
    event: bool
    site: str
    slides: tuple[SlideEntry, ...]
    covariates: Mapping[str, float | str | None]
    """Column -> number, level, or None if unknown."""
    competing: bool = False
    """Died without the event, where the study declares that a competing risk."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A patient left out, where and why."""

    patient: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cohort:
    """Everybody in the table."""

    patients: tuple[Patient, ...]
    excluded: tuple[Exclusion, ...]
    covariates: tuple[Covariate, ...]
    unmatched_slides: tuple[str, ...] = ()
    """Slide files in the slide folder that no patient names, and cores without a patient."""
    source: str = ""
    """How the table was read: file, encoding, separator, sheet."""
    notes: tuple[str, ...] = ()
    """What a reader of the table should know: it is not wrong, but it was not declared."""
    doubts: tuple[Doubt, ...] = ()
    """What is not plausible in the table, but can be true."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Everything that whoever reads a result should know about the table."""
        return (*self.notes, *(f"Check {d.message}." for d in self.doubts))

    def of_role(self, role: Role) -> tuple[Patient, ...]:
        """Patients of one role, in the table's order."""
        return tuple(p for p in self.patients if p.role == role)


def read_cohort(settings: CohortSettings, folder: Path) -> Cohort:
    """Read the clinical table: one row a patient.

    Parameters
    ----------
    settings
        Columns, coding, covariates.
    folder
        Where the study file lies; its paths are relative to it.

    Raises
    ------
    TableError
        If the table cannot be read as declared: names columns and rows.
    """
    table = read_table(folder / settings.table, settings.format)
    if settings.repeated_patients == "join":
        table = join_rows(table, settings)
    columns, problems = settings.columns, Problems()
    ids = read_identifiers(table, settings, problems)
    with problems.gathering():
        follow_up = read_follow_up(table, columns, settings.endpoint, settings.missing_values)
    with problems.gathering():
        roles, days = read_roles(table, settings), read_days(table, settings)
    with problems.gathering():
        arrays = read_core_entries(settings, folder, list(ids))
        slides = _with_cores(_slides(table, ids, settings, folder), ids, arrays, settings, folder)
    factors = {}
    for c in settings.covariates:
        with problems.gathering():
            factors[c.column] = read_covariate(table, c)
    with problems.gathering():
        sites = _sites(table, settings, ids.index)
    problems.refuse()  # all of the above is there from here on
    doubts = judge_table(table, settings, follow_up.months, factors, sites)
    reasons = [
        unknown or ("no slide named" if _needs_slides(settings) and not own else "")
        for unknown, own in zip(follow_up.unknown, slides, strict=True)
    ]
    if settings.split is not None:
        sides = ids.tolist(), follow_up.event.tolist(), sites.tolist(), days
        roles = _divided(settings.split, list(zip(*sides, strict=True)), reasons)
    if settings.implausible == "refuse":
        refuse_one_in_two_roles(table.name, ids, roles)
    patients: list[Patient] = []
    excluded: list[Exclusion] = []
    for i, (name, role, reason) in enumerate(zip(ids, roles, reasons, strict=True)):
        if reason or role is None:
            excluded.append(Exclusion(name, role or "unknown", reason or _no_role(settings)))
            continue
        values = {column: series[i] for column, series in factors.items()}
        months, seen = float(follow_up.months[i]), bool(follow_up.event[i])
        person = name, role, months, seen, sites.iloc[i], slides[i]
        patients.append(Patient(*person, values, bool(follow_up.competing[i])))
    named = {entry.path for entries in slides for entry in entries}
    named |= left_out_slides(settings, folder)
    unmatched = _unmatched((folder / settings.slide_folder).resolve(), named)
    return Cohort(
        tuple(patients),
        tuple(excluded),
        settings.covariates,
        (*unmatched, *arrays.unmatched) if _needs_slides(settings) else (),
        table.source,
        (*table.notes, *id_notes(table, columns.patient), *number_notes(table, settings)),
        doubts,
    )


def _sites(table: Table, settings: CohortSettings, rows: pd.Index) -> pd.Series:
    """Site of each row; "" where there is no column or the text says that nobody knows."""
    if not settings.columns.site:
        return pd.Series("", index=rows)
    text = table.column(settings.columns.site, "site")
    return text.mask(text.isin(settings.missing_values), "")


def _divided(
    split: SplitSettings,
    people: Sequence[tuple[str, bool, str, date | None]],
    reasons: Sequence[str],
) -> list[Role | None]:
    """Give roles by a way to divide patients (name, event, site, day), to those whom nothing leaves out."""
    usable = [i for i, reason in enumerate(reasons) if not reason]
    chosen = [people[i] for i in usable]
    names, event = [name for name, *_ in chosen], [seen for _, seen, *_ in chosen]
    sites, days = [site for _, _, site, _ in chosen], [day for *_, day in chosen]
    roles: list[Role | None] = [None] * len(people)
    for i, role in zip(usable, divide_patients(split, names, event, sites, days), strict=True):
        roles[i] = role
    return roles


def _no_role(settings: CohortSettings) -> str:
    """Say why a patient with follow-up has no role."""
    by = settings.split.by if settings.split else ""
    return {"site": "site unknown", "date": "date unknown"}.get(by, "role unknown")


def read_clinical(settings: CohortSettings, folder: Path) -> Cohort:
    """Read a clinical table for statistics alone: no slide and no role is asked for.

    Everybody with known follow-up is a validation patient; parameters and errors are those of
    `read_cohort`.
    """
    columns = msgspec.structs.replace(settings.columns, slide="", role="", mpp="", annotation="")
    plain = msgspec.structs.replace(
        settings, columns=columns, tissue_arrays=(), slide_list="", split=None
    )
    return read_cohort(plain, folder)


def _needs_slides(settings: CohortSettings) -> bool:
    return bool(settings.columns.slide or settings.slide_list or settings.tissue_arrays)


def _with_cores(
    slides: list[tuple[SlideEntry, ...]],
    ids: pd.Series,
    arrays: CoreEntries,
    settings: CohortSettings,
    folder: Path,
) -> list[tuple[SlideEntry, ...]]:
    """Put each patient's cores behind their slides."""
    taken = {entry.id for entries in slides for entry in entries}
    named = (PurePath(core.slide) for cores in arrays.of_patient.values() for core in cores)
    drawn = find_annotations(settings, folder, named)
    joined = []
    for patient, entries in zip(ids, slides, strict=True):
        cores = tuple(
            SlideEntry(
                c.id,
                c.path,
                c.mpp,
                c.place,
                drawn.get(PurePath(c.slide)),
                PurePath(c.slide).as_posix(),
            )
            for c in arrays.of_patient.get(patient, ())
        )
        twice = [core.id for core in cores if core.id in taken]
        if twice:
            raise TableError(
                f"expected each slide and core once, found {twice[0]} twice; rename the slide",
                code="duplicate-slide",
            )
        joined.append((*entries, *cores))
    return joined


def _unmatched(root: Path, named: set[Path]) -> tuple[str, ...]:
    """Files that look like slides and belong to no patient."""
    if not root.is_dir():
        return ()
    # Feature files lie beside slides as often as they stand for them: only if a patient names one.
    features = {p.suffix.lower() for p in named} & {".h5", ".hdf5"}
    known = _SLIDE_SUFFIXES | features
    found = (p for p in root.rglob("*") if p.suffix.lower() in known and p.is_file())
    return tuple(sorted(str(p.relative_to(root)) for p in found if p.resolve() not in named))


def _slides(
    table: Table, ids: pd.Series, settings: CohortSettings, folder: Path
) -> list[tuple[SlideEntry, ...]]:
    if not (settings.columns.slide or settings.slide_list):
        return [()] * len(table.frame)
    root = (folder / settings.slide_folder).resolve()
    named = named_slides(table, ids, settings, folder)
    slides = [_relative(root, slide.name) for slide in named]
    drawn = find_annotations(settings, folder, slides)
    found: dict[int, list[SlideEntry]] = {int(row): [] for row in ids.index}
    for one, slide, slide_id in zip(named, slides, slide_ids(slides), strict=True):
        entry = SlideEntry(
            slide_id, one.path, one.mpp, annotation=drawn.get(slide), named=slide.as_posix()
        )
        found[one.owner].append(entry)
    entries = [tuple(found[int(row)]) for row in ids.index]
    if settings.columns.annotation:
        cells = table.column(settings.columns.annotation, "drawn regions")
        entries = [
            _annotated(own, cell, settings, folder, f"{table.name}, row {row}")
            for own, (row, cell) in zip(entries, cells.items(), strict=True)
        ]
    return entries


def _annotated(
    entries: tuple[SlideEntry, ...], cell: str, settings: CohortSettings, folder: Path, where: str
) -> tuple[SlideEntry, ...]:
    files = named_annotations(settings, folder, cell, len(entries), where)
    return tuple(replace(e, annotation=file) for e, file in zip(entries, files, strict=True))


def _relative(root: Path, name: str) -> PurePath:
    """Return the name as written, less its dots."""
    plain = Path(os.path.normpath(root / name))
    return plain.relative_to(root) if plain.is_relative_to(root) else PurePath(name)
