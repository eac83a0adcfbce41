"""Who is to be scored: slides named one by one, folders of slides, a table, or the patients of a study."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from jecur.cohort.annotation_files import annotations_of
from jecur.cohort.cohort import Exclusion, SlideEntry, read_cohort
from jecur.cohort.slide_names import common_folder, file_ids
from jecur.errors import Problems, SettingsError, SlideError, TableError
from jecur.intake.slide_match import slide_files
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.scored.slide_table import read_slide_table
from jecur.settings import read_study

__all__ = ["Given", "GivenSlide", "Request", "ScoredRole", "find_given"]

ScoredRole = Literal["validation", "training", "tuning", "all"]


@dataclass(frozen=True, slots=True)
class GivenSlide:
    """One slide to score.

    Parameters
    ----------
    entry
        The slide; its id may yet change for one that the folder of scores knows.
    patient
        Whose it is; "" where nobody said: then each slide is a patient of its own.
    """

    entry: SlideEntry
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """Everybody to be scored.

    Parameters
    ----------
    slides
        In the order given.
    folder
        What the slides' names are relative to.
    left_out
        Patients of a study without anything to score, and why.
    notes
        How a table was read.
    """

    slides: tuple[GivenSlide, ...]
    folder: Path
    left_out: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a command was given.

    Parameters
    ----------
    paths
        Slide files, and folders of slides.
    table
        One row a slide; names are relative to the one folder in ``paths``, else to the table.
    study, role
        Study file, and whose slides of it.
    patient
        One patient that all the slides belong to.
    mpp
        Micrometers per pixel, where the table does not say.
    annotations
        Drawn regions of the one slide, or a folder of them.
    """

    paths: tuple[Path, ...] = ()
    table: Path | None = None
    study: Path | None = None
    role: ScoredRole | None = None
    patient: str = ""
    mpp: float | None = None
    annotations: Path | None = None

    def require(self) -> None:
        """Refuse what contradicts itself, all at once.

        Raises
        ------
        SettingsError, SlideError
            Naming the options.
        """
        problems = Problems()
        if not (self.paths or self.table or self.study):
            problems.found.append(
                SettingsError(
                    "expected slides, folders of slides, --table or --study, found none; name what is to "
                    "be scored"
                )
            )
        for first, second, both in (
            ("--study", "slides", self.study and self.paths),
            ("--study", "--table", self.study and self.table),
            ("--study", "--patient", self.study and self.patient),
            ("--study", "--mpp", self.study and self.mpp is not None),
            ("--study", "--annotations", self.study and self.annotations),
            ("--table", "--patient", self.table and self.patient),
        ):
            if both:
                problems.found.append(
                    SettingsError(
                        f"expected {first} or {second}, found both; leave one out, as {first} says it"
                    )
                )
        if self.role is not None and self.study is None:
            problems.found.append(
                SettingsError("expected --study beside --role, found none; name the study file")
            )
        if self.mpp is not None and not 0 < self.mpp < 100:
            problems.found.append(
                SlideError(
                    f"expected --mpp between 0 and 100 um per pixel, found {self.mpp}",
                    code="bad-mpp",
                )
            )
        problems.refuse()


def find_given(request: Request, *, features: bool) -> Given:
    """Find every slide that is to be scored; none is opened.

    Parameters
    ----------
    request
        What was given.
    features
        The model takes files of features: these are looked for in folders, else slides.

    Raises
    ------
    JecurError
        All that is wrong with the options or the table, at once.
    """
    request.require()
    if request.study is not None:
        return _of_study(request.study, request.role or "validation")
    if request.table is not None:
        return _of_table(request, request.table)
    return _of_paths(request, features=features)


def _of_paths(request: Request, *, features: bool) -> Given:
    problems, files = Problems(), list[Path]()
    for path in request.paths:
        with problems.gathering():
            files += _in_folder(path, features=features) if _is_folder(path) else [path]
    problems.refuse()
    only = request.paths[0]
    folder = only if len(request.paths) == 1 and _is_folder(only) else common_folder(files)
    entries = [
        SlideEntry(name, path, None) for name, path in zip(file_ids(files), files, strict=True)
    ]
    given = [GivenSlide(entry, request.patient) for entry in _named(entries, folder)]
    return Given(tuple(_with_options(given, request)), folder)


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder of slides; one with DICOM files in it is a slide."""
    return path.is_dir() and not any(name.suffix.lower() == ".dcm" for name in path.iterdir())


def _in_folder(folder: Path, *, features: bool) -> list[Path]:
    names = slide_files(folder)
    found = [n for n in names if (Path(n).suffix.lower() in FEATURE_SUFFIXES) == features]
    if not found:
        wanted = "files of features" if features else "slides"
        others = (
            "" if not names else f" ({len(names)} {'slides' if features else 'files of features'})"
        )
        raise SlideError(
            f"expected {wanted} in {folder}, as the model takes them, found none{others}; name another "
            "folder, or the files",
            code="no-slides",
        )
    return [folder / name for name in found]


def _named(entries: Iterable[SlideEntry], folder: Path) -> list[SlideEntry]:
    root = os.path.abspath(folder)  # noqa: PTH100 - links stay links
    return [
        replace(e, named=Path(os.path.relpath(os.path.abspath(e.path), root)).as_posix())  # noqa: PTH100
        for e in entries
    ]


def _with_options(given: Sequence[GivenSlide], request: Request) -> list[GivenSlide]:
    """Put in the scale and the drawings that options name."""
    paths = [g.entry.path for g in given]
    drawn = annotations_of(request.annotations, paths)
    entries = [
        replace(
            g.entry, mpp=request.mpp if g.entry.mpp is None else g.entry.mpp, annotation=drawing
        )
        for g, drawing in zip(given, drawn, strict=True)
    ]
    return [replace(g, entry=entry) for g, entry in zip(given, entries, strict=True)]


def _of_table(request: Request, table: Path) -> Given:
    if len(request.paths) > 1 or not all(map(_is_folder, request.paths)):
        raise SettingsError(
            "expected one folder of slides beside --table, found "
            f"{', '.join(map(str, request.paths[:4]))}; the table names the slides in it"
        )
    folder = request.paths[0] if request.paths else table.parent
    read = read_slide_table(table, folder)
    given = [GivenSlide(entry, patient) for entry, patient in read.slides]
    return Given(tuple(_with_options(given, request)), folder, (), read.notes)


def _of_study(study: Path, role: ScoredRole) -> Given:
    settings, here = read_study(study), study.parent
    cohort = read_cohort(settings.cohort, here.resolve())
    patients = [p for p in cohort.patients if role in {"all", p.role}]
    if not patients:
        roles = sorted({str(p.role) for p in cohort.patients})
        raise TableError(
            f"expected patients of the {role} role in {settings.cohort.table}, found none "
            f"({'roles: ' + ', '.join(roles) if roles else 'nobody can be used'}); name another --role",
            code="no-roles",
        )
    slides = [GivenSlide(entry, p.id) for p in patients for entry in p.slides]
    left_out = tuple(e for e in cohort.excluded if role in {"all", e.role})
    return Given(tuple(slides), here / settings.cohort.slide_folder, left_out)
