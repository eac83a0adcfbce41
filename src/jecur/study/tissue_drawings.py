"""What somebody drew on the slides of a study, and the classes of tissue that it tells apart."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from jecur.cohort.annotation_files import annotations_in
from jecur.cohort.cohort import Patient, SlideEntry
from jecur.errors import AnnotationError, Problems, SettingsError, TableError, TrainingError
from jecur.printable import is_printable
from jecur.runs.progress import Progress
from jecur.settings import StudySettings
from jecur.slide.annotation.reading import Region
from jecur.slide.annotation.regions import read_placed_regions
from jecur.slide.annotation.tile_classes import drawn_classes
from jecur.slide.reader import open_slide
from jecur.study.cohort_slides import study_cohort

__all__ = [
    "DrawnSlide",
    "TissueOrder",
    "classes_to_tell_apart",
    "patients_drawn_on",
    "read_drawings",
    "too_few_drawings",
]

_LONGEST_NAME, _MOST_CLASSES = 100, 64
"""Of classes, as a card takes them."""


@dataclass(frozen=True, slots=True)
class TissueOrder:
    """What is asked for.

    Parameters
    ----------
    annotations
        Folder of drawn regions, a file a slide under its name; None takes what the study's table names.
    classes
        Classes to tell apart; empty: all that are drawn.
    cover
        Share of a tile that its class covers, see `classes_of_tiles`.
    fewest, most
        Tiles that a class needs; tiles of a class that are taken of one patient, evenly over them.
    seed
        Divides patients among folds.
    prepared_in
        Run folder whose prepared slides are taken.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """

    annotations: Path | None = None
    classes: tuple[str, ...] = ()
    cover: float = 0.75
    fewest: int = 30
    most: int = 200
    seed: int = 0
    prepared_in: Path | None = None

    def __post_init__(self) -> None:
        if not (
            0.5 <= self.cover <= 1.0 and self.fewest >= 2 and self.most >= 2 and self.seed >= 0
        ):
            raise SettingsError(
                "expected cover from 0.5 to 1, fewest and most of 2 or more and a seed of 0 or more, found "
                f"{self.cover:g}, {self.fewest}, {self.most}, {self.seed}; correct them"
            )


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSlide:
    """A slide and what was drawn on it."""

    patient: Patient
    entry: SlideEntry
    regions: tuple[Region, ...]


def read_drawings(
    study: StudySettings, folder: Path, order: TissueOrder, progress: Progress
) -> list[DrawnSlide]:
    """Read what was drawn on each slide; what cannot be read is refused at once."""
    everybody = study_cohort(study, folder, everybody=True).patients
    entries = [(p, e) for p in everybody for e in p.slides]
    files = _files(entries, order.annotations)
    kept = [(p, e) for p, e in entries if e.id in files and p.role != "validation"]
    unseen = sorted({p.id for p, e in entries if e.id in files} - {p.id for p, _ in kept})
    if unseen:
        progress.say(
            f"{len(unseen)} patients of the validation role have drawings (first: {unseen[0]}); nothing is "
            "trained on them"
        )
    found, problems = [], Problems()
    for patient, entry in kept:
        with problems.gathering():
            found.append(DrawnSlide(patient, entry, _regions(entry, files[entry.id])))
    problems.refuse()
    return found


def _files(
    entries: Sequence[tuple[Patient, SlideEntry]], annotations: Path | None
) -> dict[str, Path]:
    """Slide -> its file of drawn regions."""
    if annotations is None:
        return {e.id: e.annotation for _, e in entries if e.annotation is not None}
    if not annotations.is_dir():
        raise TableError(
            f"expected a folder of drawn regions at {annotations}, found none; export a file a slide from "
            "QuPath, each under its slide's name",
            code="missing-annotation",
        )
    named = {e.id: PurePath(e.named or e.path.name) for _, e in entries}
    found = annotations_in(annotations.resolve(), named.values())
    return {slide: found[name] for slide, name in named.items() if name in found}


def _regions(entry: SlideEntry, path: Path) -> tuple[Region, ...]:
    regions = read_placed_regions(path, (0.0, 0.0))
    if any(region.on_canvas for region in regions):
        with open_slide(entry.path, mpp=entry.mpp) as slide:
            regions = read_placed_regions(path, slide.canvas_offset)
    return tuple(regions)


def classes_to_tell_apart(drawn: Sequence[DrawnSlide], order: TissueOrder) -> tuple[str, ...]:
    """Classes to tell apart; all that is wrong with them is refused at once."""
    patients: dict[str, set[str]] = {}
    for one in drawn:
        for name in drawn_classes(one.regions):
            patients.setdefault(name, set()).add(one.patient.id)
    wanted = order.classes or tuple(sorted(patients))
    known = ", ".join(sorted(patients)) or "none"
    problems = Problems()
    for name in wanted:
        n = len(patients.get(name, ()))
        if n < 2:
            problems.found.append(
                too_few_drawings(
                    f"expected class {name} drawn in 2 patients or more, found {n} (drawn: {known})"
                )
            )
        if not is_printable(name) or len(name) > _LONGEST_NAME:
            problems.found.append(
                AnnotationError(
                    f"expected names of classes of up to {_LONGEST_NAME} letters that can be seen, found "
                    f"{name[:40]!a}; name the class anew"
                )
            )
    alike = [n for n, count in Counter(w.casefold() for w in wanted).items() if count > 1]
    if alike:
        problems.found.append(
            too_few_drawings(
                f"expected names of classes that differ, found {alike[0]!r} written in two ways"
            )
        )
    if not 2 <= len(wanted) <= _MOST_CLASSES:
        problems.found.append(
            too_few_drawings(
                f"expected regions of 2 to {_MOST_CLASSES} classes in {len(drawn)} slides with drawings, "
                f"found {len(wanted)} ({known})"
            )
        )
    problems.refuse()
    return tuple(wanted)


def too_few_drawings(said: str) -> TrainingError:
    """Refuse drawings from which no classifier can be trained; ``said`` is what was expected and found."""
    return TrainingError(
        f"{said}; draw more, or name the classes to tell apart (--classes)", code="too-few-drawings"
    )


def patients_drawn_on(drawn: Sequence[DrawnSlide]) -> list[Patient]:
    """Patients with the slides alone that were drawn on."""
    slides: dict[str, list[SlideEntry]] = {}
    for one in drawn:
        slides.setdefault(one.patient.id, []).append(one.entry)
    return [
        replace(p, slides=tuple(slides[p.id]))
        for p in {one.patient.id: one.patient for one in drawn}.values()
    ]
