"""Find TCGA's files in a folder: as `jecur fetch` lays them out, or slides just lying there."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jecur.cohort.tcga.lihc import TcgaFiles
from jecur.errors import TableError
from jecur.fetch.lists import shipped_series

__all__ = ["FoundSlides", "find_clinical", "find_slides"]

_NAME = re.compile(
    r"(?P<patient>TCGA-[0-9A-Z]{2}-[0-9A-Z]{4})"
    r"(?P<sample>-\d{2}[A-Z]-\d{2}-(?P<kind>[A-Z]+)(?P<number>[0-9A-Z]*))?(?=[.\-_ ])",
    re.ASCII,
)
_SUFFIXES = frozenset({".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".dcm"})
_PORTAL = ("data_clinical_patient.txt", "data_bcr_clinical_data_patient.txt", "data_clinical.txt")


@dataclass(frozen=True, slots=True)
class FoundSlides:
    """Slides of a folder.

    Parameters
    ----------
    of_patient
        Patient -> paths relative to the folder, by number of the slide (DX1 first).
    n_other
        Slides that are not diagnostic: frozen sections.
    """

    of_patient: Mapping[str, tuple[str, ...]]
    n_other: int

    @property
    def n_slides(self) -> int:
        """Diagnostic slides."""
        return sum(len(slides) for slides in self.of_patient.values())


def find_slides(data: Path) -> FoundSlides:
    """Find diagnostic slides anywhere in a folder, by TCGA's names or as fetched DICOM series.

    Raises
    ------
    TableError
        If there is none, or one slide lies there twice; all such are named.
    """
    found: dict[str, dict[str, str]] = {}
    twice, n_other = [], 0
    for patient, slide, path in (*_named(data), *_series(data)):
        if not slide:
            n_other += 1
            continue
        own = found.setdefault(patient, {})
        if slide in own:
            twice.append(f"{patient} {slide}: {own[slide]} and {path}")
        own[slide] = path
    if twice:
        raise TableError(
            f"{data}: expected each slide once, found {'; '.join(twice[:8])}; take one of them out",
            code="duplicate-slide",
        )
    if not found:
        raise TableError(
            f"{data}: expected diagnostic slides (TCGA-...-DX1....svs, in any folder below), found none; "
            "fetch them with `jecur fetch tcga-lihc`, or name their folder as --data",
            code="no-slides",
        )
    ordered = {p: tuple(own[k] for k in sorted(own)) for p, own in sorted(found.items())}
    return FoundSlides(ordered, n_other)


def _named(data: Path) -> Iterator[tuple[str, str, str]]:
    """(patient, number, path) of each file under a TCGA name; no number if it is not diagnostic."""
    for path in sorted(data.rglob("TCGA-*")):
        match = _NAME.match(path.name)
        if match is None or path.suffix.lower() not in _SUFFIXES or not path.is_file():
            continue
        diagnostic = match["sample"] is None or match["kind"] == "DX"
        number = f"DX{match['number'] or '1'}" if diagnostic else ""
        yield match["patient"], number, path.relative_to(data).as_posix()


def _series(data: Path) -> Iterator[tuple[str, str, str]]:
    """DICOM series in folders named as the Imaging Data Commons names them."""
    listed, _ = shipped_series()
    known = {one.id: one for one in listed}
    for folder in sorted(p for p in data.rglob("*-*-*-*-*") if p.name in known and p.is_dir()):
        if any(folder.glob("*.dcm")):
            one = known[folder.name]
            yield one.patient, one.slide, folder.relative_to(data).as_posix()


def find_clinical(folders: tuple[Path, ...]) -> TcgaFiles:
    """Find cBioPortal's table and the BCR tables below the first folder that has the former.

    Raises
    ------
    TableError
        If there is none, or more than one.
    """
    for folder in folders:
        tables = sorted(path for name in _PORTAL for path in folder.rglob(name))
        if len(tables) > 1:
            raise TableError(
                f"{folder}: expected one table of patients of cBioPortal, found "
                f"{', '.join(str(p.relative_to(folder)) for p in tables)}; name one folder with --clinical"
            )
        if tables:
            biotab = sorted({p.parent for p in folder.rglob("*clinical_patient_lihc.txt")})
            return TcgaFiles(tables[0], biotab=biotab[0] if len(biotab) == 1 else None)
    raise TableError(
        f"expected {_PORTAL[0]} of cBioPortal's study lihc_tcga in {' or '.join(map(str, folders))}, "
        "found none; fetch it with `jecur fetch tcga-lihc --what clinical`, or name its folder with "
        "--clinical",
        code="no-clinical-table",
    )
