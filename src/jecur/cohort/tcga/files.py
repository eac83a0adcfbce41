"""TCGA clinical files as they are downloaded, as tables of text.

cBioPortal puts comment lines (``#``) above the heading. BCR biotab has three heading rows: short
name, BCR name, CDE id. Neither quotes anything, so a quote is a letter. ``None`` is data in both:
in ``VASCULAR_INVASION`` it says that there is none.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from jecur.cohort.table import Table, name_rows, read_table
from jecur.cohort.text_file import decode
from jecur.errors import TableError
from jecur.settings import TableFormat

__all__ = [
    "MISSING",
    "read_biotab",
    "read_cbioportal_patients",
    "read_cdr",
    "read_manifest",
]

MISSING = (
    "",
    "NA",
    "[Not Available]",
    "[Not Applicable]",
    "[Not Evaluated]",
    "[Unknown]",
    "[Discrepancy]",
)
"""Codes by which TCGA says that a value is unknown."""

_BARCODE = re.compile(r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-|$)")
_PATIENTS = (
    "data_clinical_patient.txt",
    "data_bcr_clinical_data_patient.txt",
    "data_clinical_patients.txt",
    "data_clinical_data_patient.txt",
    "data_clinical.txt",
    "data_clinical_patient.tsv",
)
"""Names that cBioPortal has given the file of patients, the present one first."""
_SAMPLES = re.compile(r"sample|timeline|supp|cna|mutation", re.IGNORECASE)


def read_cbioportal_patients(path: Path) -> Table:
    """Read cBioPortal's patient file.

    Parameters
    ----------
    path
        The file, or the study's folder that holds it under any of the names that cBioPortal has
        used (``data_clinical_patient.txt``, ``data_bcr_clinical_data_patient.txt``,
        ``data_clinical.txt``).

    Returns
    -------
    Table
        One row a patient; row numbers are the file's lines.

    Raises
    ------
    TableError
        If it is absent, has no PATIENT_ID, or rows of other lengths or repeated patients.
    """
    file = _patient_file(path) if path.is_dir() else path
    lines = [(i, line) for i, line in _lines(file) if not line.startswith("#")]
    return _one_row_a_patient(_table(file, lines), "PATIENT_ID")


def _patient_file(folder: Path) -> Path:
    """Find the file of patients in a study's folder, by name and else by its columns."""
    named = [folder / name for name in _PATIENTS if (folder / name).is_file()]
    if named:
        return named[0]
    clinical = sorted(p for p in folder.glob("*clinical*") if p.suffix in {".txt", ".tsv"})
    found = [p for p in clinical if not _SAMPLES.search(p.name) and _has_patients(p)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(p.name for p in found or clinical) or "no file of clinical data"
    raise TableError(
        f"expected one file of patients in {folder.name} ({', '.join(_PATIENTS[:2])} or the like), "
        f"found {there}; name the file itself"
    )


def _has_patients(path: Path) -> bool:
    """Whether a file's heading has cBioPortal's column of patients and no column of samples."""
    heading = next((line for _, line in _lines(path) if not line.startswith("#")), "")
    columns = set(heading.split("\t"))
    return "PATIENT_ID" in columns and "SAMPLE_ID" not in columns


def read_biotab(folder: Path, name: str) -> Table:
    """Read one BCR biotab table.

    Parameters
    ----------
    folder
        Holds ``..._clinical_<name>_lihc.txt``.
    name
        Such as ``patient``, ``follow_up_v4.0``, ``nte``.

    Raises
    ------
    TableError
        If it is absent or does not have the three heading rows.
    """
    found = sorted(folder.glob(f"*clinical_{name}_lihc.txt")) if folder.is_dir() else []
    if len(found) != 1:
        raise TableError(
            f"expected one *clinical_{name}_lihc.txt in {folder.name}, found {len(found)}; "
            "download the LIHC clinical supplement (BCR biotab) whole"
        )
    lines = _lines(found[0])
    if len(lines) < 3 or "CDE_ID" not in lines[2][1]:
        raise TableError(
            f"{found[0].name}: expected three heading rows, the third of CDE ids, found none in "
            "row 3; give the file as it was downloaded"
        )
    return _table(found[0], [lines[0], *lines[3:]])


def read_cdr(path: Path) -> Table:
    """Read the LIHC rows of TCGA-CDR: the workbook, or its sheet as TSV or CSV.

    Raises
    ------
    TableError
        If it has no such columns, or patients twice.
    """
    workbook = path.suffix.lower() == ".xlsx"
    table = read_table(path, TableFormat(sheet="TCGA-CDR" if workbook else ""), fixed_headings=True)
    kind = table.column("type", "cancer type")
    kept = Table(table.name, table.frame[kind == "LIHC"], table.decimal, table.kinds, table.source)
    return _one_row_a_patient(kept, "bcr_patient_barcode")


def read_manifest(path: Path, *, by_file_id: bool) -> tuple[dict[str, list[str]], int]:
    """Read a GDC manifest of slides.

    Parameters
    ----------
    path
        Columns id, filename.
    by_file_id
        Name slides ``<id>/<filename>``, as the GDC's own download tool lays them out.

    Returns
    -------
    slides
        Patient -> diagnostic slides (``-DX``), sorted by name.
    n_left_out
        Files of other kinds: frozen sections, anything that is no slide.

    Raises
    ------
    TableError
        If a diagnostic slide's name has no patient barcode; names the rows.
    """
    table = _table(path, _lines(path))
    files, ids = table.column("filename", "slide"), table.column("id", "file id")
    diagnostic = files[files.str.contains("-DX", regex=False) & files.str.endswith(".svs")]
    strange = [row for row, name in diagnostic.items() if not _BARCODE.match(name)]
    if strange:
        raise TableError(
            f"{path.name}: expected a TCGA barcode in front of each name in column 'filename', "
            f"found {files[strange[0]]!r} in {name_rows(strange)}; give the manifest as downloaded"
        )
    slides: dict[str, list[str]] = {}
    for row in diagnostic.sort_values().index:
        name = files[row]
        shown = f"{ids[row]}/{name}" if by_file_id else name
        slides.setdefault(name[:12], []).append(shown)
    return slides, len(files) - len(diagnostic)


def _lines(path: Path) -> list[tuple[int, str]]:
    if not path.is_file():
        raise TableError(f"expected {path.name} at {path}, found none; correct the path")
    text, _ = decode(path)
    return [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def _table(path: Path, lines: list[tuple[int, str]]) -> Table:
    if len(lines) < 2:
        raise TableError(
            f"{path.name}: expected a heading and at least one row, found {len(lines)}"
        )
    heading = _told_apart(lines[0][1].split("\t"))
    rows = [(i, [cell.strip() for cell in line.split("\t")]) for i, line in lines[1:]]
    wrong = [i for i, cells in rows if len(cells) != len(heading)]
    if wrong:
        raise TableError(
            f"{path.name}: expected {len(heading)} cells in every row, found another number in "
            f"{name_rows(wrong)}; download the file again"
        )
    frame = pd.DataFrame(
        [cells for _, cells in rows], columns=heading, index=[i for i, _ in rows], dtype="object"
    )
    return Table(path.name, frame, source=f"{path.name}, as downloaded")


def _told_apart(heading: Iterable[str]) -> list[str]:
    """Give columns that share a name, as biotab has some, a number from the second on."""
    seen: dict[str, int] = {}
    names = []
    for name in heading:
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _one_row_a_patient(table: Table, column: str) -> Table:
    ids = table.column(column, "patient")
    repeated = ids[ids.duplicated(keep=False)]
    strange = ids[~ids.str.fullmatch(_BARCODE.pattern)]
    for rows, expected in ((repeated, "each patient once"), (strange, "TCGA patient barcodes")):
        if len(rows):
            raise TableError(
                f"{table.name}: expected {expected} in column '{column}', found "
                f"{rows.iloc[0]!r} in {name_rows(rows.index)}; give the file as downloaded"
            )
    return table
