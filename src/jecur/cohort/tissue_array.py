"""Cores of tissue arrays joined to patients by the maps that a study declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from jecur.cohort.core_map import read_core_map
from jecur.cohort.slide_names import as_on_disk, slide_ids
from jecur.errors import TableError
from jecur.geometry import CorePlace
from jecur.settings import CohortSettings

__all__ = ["CoreEntries", "CoreEntry", "read_core_entries"]


@dataclass(frozen=True, slots=True)
class CoreEntry:
    """One core of one patient.

    Parameters
    ----------
    id
        The slide's id and the core's, joined by "__".
    slide, path
        Slide of the array as named, and its file.
    mpp
        Micrometers per pixel from the study, or None.
    place
        The core in its array.
    """

    id: str
    slide: str
    path: Path
    mpp: float | None
    place: CorePlace


@dataclass(frozen=True, slots=True)
class CoreEntries:
    """Patient -> cores, and the cores that are present but have no patient."""

    of_patient: Mapping[str, Sequence[CoreEntry]]
    unmatched: tuple[str, ...]


def read_core_entries(
    settings: CohortSettings, folder: Path, patients: Sequence[str]
) -> CoreEntries:
    """Read every declared map; a core marked missing stays in, and fails by name when prepared.

    Parameters
    ----------
    settings
        ``tissue_arrays`` and ``slide_folder``.
    folder
        Where the study file lies.
    patients
        Ids of the clinical table.

    Raises
    ------
    TableError
        If a map cannot be read, a slide lies outside its folder or is declared twice, or a core
        belongs to a patient who is not in the clinical table.
    """
    root = (folder / settings.slide_folder).resolve()
    known = set(patients)
    of_patient: dict[str, list[CoreEntry]] = {}
    unmatched: list[str] = []
    seen: set[Path] = set()
    ids = slide_ids([PurePath(array.slide) for array in settings.tissue_arrays])
    for array, slide_id in zip(settings.tissue_arrays, ids, strict=True):
        path = as_on_disk(root, array.slide).resolve()
        if PurePath(array.slide).is_absolute() or not path.is_relative_to(root) or path == root:
            raise TableError(
                "expected a file inside the slide folder under [[cohort.tissue_arrays]], found "
                f"{array.slide!r}; name slides relative to slide_folder",
                code="path-outside-folder",
            )
        if path in seen:
            raise TableError(
                f"expected each tissue array once, found {array.slide!r} twice; keep one",
                code="duplicate-slide",
            )
        seen.add(path)
        cores = read_core_map(folder / array.map)
        for core in cores.cores:
            if not core.patient:
                unmatched += [f"{array.slide} core {core.id}"] if core.present else []
                continue
            if core.patient not in known:
                raise TableError(
                    f"{PurePath(array.map).name}: expected patients of the clinical table, found "
                    f"{core.patient!r} for core {core.id}; correct the id or leave it empty",
                    code="unknown-patient",
                )
            place = CorePlace(core.id, cores)
            entry = CoreEntry(f"{slide_id}__{core.id}", array.slide, path, array.mpp, place)
            of_patient.setdefault(core.patient, []).append(entry)
    return CoreEntries(of_patient, tuple(unmatched))
