"""Slides as a study would take them: its settings, and the scale, cores and drawings of its table."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from jecur.cohort.annotation_files import annotations_of
from jecur.cohort.cohort import SlideEntry, read_cohort
from jecur.cohort.core_map import read_core_map
from jecur.cohort.slide_names import file_ids
from jecur.errors import SlideError
from jecur.geometry import CorePlace
from jecur.settings import (
    NucleiSettings,
    QualitySettings,
    Recipe,
    StainSettings,
    StudySettings,
    TilingSettings,
    TissueSettings,
    read_study,
)
from jecur.slide.reader import open_slide
from jecur.stain.reference import builtin_reference
from jecur.study.recipe import recipe_of_study
from jecur.study.survey import Survey, lay_tiles, survey_slide

__all__ = ["SlideView", "default_recipe", "view_slides"]


@dataclass(frozen=True, slots=True)
class SlideView:
    """One slide, or one core of it, and how it is looked at.

    Parameters
    ----------
    name
        No two views of one call share it; a core's is the slide's and its own, joined by "__".
    path
        The file.
    recipe
        Settings of the study.
    mpp
        Micrometers per pixel in place of the file's own.
    core, annotation
        The core of a tissue array, and the file of drawn regions, if any.
    """

    name: str
    path: Path
    recipe: Recipe
    mpp: float | None = None
    core: CorePlace | None = None
    annotation: Path | None = None

    @property
    def title(self) -> str:
        """Name of the file, and of the core."""
        return self.path.name if self.core is None else f"{self.path.name} core {self.core.core}"

    @contextmanager
    def laid(self) -> Iterator[Survey]:
        """Open the slide and lay its tiles.

        Raises
        ------
        SlideError
            If it cannot be opened; what goes wrong later is in the survey.
        """
        with open_slide(self.path, mpp=self.mpp) as slide:
            yield lay_tiles(slide, self.recipe, core=self.core, annotation=self.annotation)

    @contextmanager
    def surveyed(self) -> Iterator[Survey]:
        """Open the slide and walk over it to the end; errors are those of `laid`."""
        with open_slide(self.path, mpp=self.mpp) as slide:
            yield survey_slide(slide, self.recipe, core=self.core, annotation=self.annotation)


def default_recipe() -> Recipe:
    """Return the settings of a study that changes none; a verdict needs no nuclei network."""
    return Recipe(
        tissue=TissueSettings(),
        tiling=TilingSettings(),
        quality=QualitySettings(),
        stain=StainSettings(),
        stain_reference=builtin_reference().to_dict(),
        nuclei=NucleiSettings(),
        nuclei_sha256="",
    )


def view_slides(
    paths: Sequence[Path],
    study: Path | None = None,
    *,
    mpp: float | None = None,
    cores: Path | None = None,
    annotations: Path | None = None,
) -> list[SlideView]:
    """Say how each slide would be taken; a slide of a tissue array gives one view a core.

    Parameters
    ----------
    paths
        Slide files.
    study
        Study file. Its settings are followed, and where its clinical table is there and names a
        slide, so are the table's scale, the slide's cores and its drawings. None: the defaults.
    mpp, cores, annotations
        Micrometers per pixel, map of the cores of a tissue array, drawn regions (one file, or a
        folder of files under the slides' names): each in place of what the study says.

    Raises
    ------
    JecurError
        If the study, its table, the map or the drawings cannot be read as declared.
    """
    settings = read_study(study) if study else None
    recipe = recipe_of_study(settings) if settings else default_recipe()
    known = _entries(settings, study.resolve().parent) if settings and study else {}
    views = []
    drawn, names = annotations_of(annotations, paths), file_ids(paths)
    for path, name, drawing in zip(paths, names, drawn, strict=True):
        plain = SlideEntry(name, path, None)
        entries: Sequence[SlideEntry] = known.get(path.resolve(), (plain,))
        if cores is not None:
            entries = _of_map(entries[0], cores)
        views += [
            SlideView(
                name if entry.core is None else f"{name}__{entry.core.core}",
                path,
                recipe,
                entry.mpp if mpp is None else mpp,
                entry.core,
                entry.annotation if drawing is None else drawing,
            )
            for entry in entries
        ]
    return views


def _entries(settings: StudySettings, folder: Path) -> Mapping[Path, Sequence[SlideEntry]]:
    """File -> what the clinical table says of it; empty while there is no table."""
    if not (folder / settings.cohort.table).is_file():
        return {}
    found: dict[Path, list[SlideEntry]] = {}
    for patient in read_cohort(settings.cohort, folder).patients:
        for entry in patient.slides:
            found.setdefault(entry.path.resolve(), []).append(entry)
    return found


def _of_map(entry: SlideEntry, path: Path) -> list[SlideEntry]:
    """Every core of a map as a slide, those marked as missing too: they fail by name, as in a run."""
    cores = read_core_map(path)
    if not cores.cores:
        raise SlideError(
            f"{path.name}: expected at least one core in the map, found none", code="no-cores"
        )
    return [replace(entry, core=CorePlace(core.id, cores)) for core in cores.cores]
