"""Lists of files: those that ship, dated, and a GDC manifest that somebody gives; a part of either."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from jecur.errors import FetchError
from jecur.fetch.remote import RemoteFile, address, patient_of, whole_told

__all__ = [
    "DicomSeries",
    "choose",
    "read_ids",
    "read_manifest_files",
    "shipped_series",
    "shipped_slides",
]

_MOST_SHOWN = 8
_LARGEST_LIST = 64 << 20


@dataclass(frozen=True, slots=True)
class DicomSeries:
    """One slide of the Imaging Data Commons: a folder of its bucket.

    Parameters
    ----------
    id
        UUID; the folder's name.
    n_files
        DICOM files in it.
    size
        Bytes, rounded by the index to a hundredth of a kilobyte.
    patient, slide
        Barcode, and DX1, DX2 or DX3.
    """

    id: str
    n_files: int
    size: int
    patient: str
    slide: str


def _shipped(name: str) -> tuple[str, list[dict[str, str]]]:
    text = (resources.files("jecur.fetch") / "lists" / name).read_text(encoding="utf-8")
    lines = text.splitlines()
    remarks = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    heading, *rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return " ".join(remarks[:2]), [dict(zip(heading, row, strict=True)) for row in rows]


def shipped_slides(base: str) -> tuple[tuple[RemoteFile, ...], str]:
    """Diagnostic slides of TCGA-LIHC at the GDC as listed in this package, and what list that is."""
    remark, rows = _shipped("gdc_tcga_lihc.tsv")
    return tuple(slide_file(base, row) for row in rows), remark


def shipped_series() -> tuple[tuple[DicomSeries, ...], str]:
    """Diagnostic slides of TCGA-LIHC at the IDC as listed in this package, and what list that is."""
    remark, rows = _shipped("idc_tcga_lihc.tsv")
    series = (
        DicomSeries(
            row["series"],
            int(row["files"]),
            round(float(row["megabytes"]) * 1e6),
            row["patient"],
            row["slide"],
        )
        for row in rows
    )
    return tuple(series), remark


def slide_file(base: str, row: dict[str, str]) -> RemoteFile:
    """File of the GDC from a row of a manifest: id, filename, md5, size."""
    return RemoteFile(
        id=row["id"],
        name=row["filename"],
        size=int(row["size"]),
        md5=row["md5"].lower(),
        url=address(base, "data", row["id"]),
        folder=f"slides/{row['id']}",
        patient=patient_of(row["filename"]),
    )


def read_manifest_files(path: Path, base: str) -> tuple[RemoteFile, ...]:
    """Read a GDC manifest: tab-separated, columns id, filename, md5, size.

    Raises
    ------
    FetchError
        With every row that is wrong, what was expected and what was found.
    """
    lines = [(n, line.split("\t")) for n, line in _lines(path)]
    columns = ("id", "filename", "md5", "size")
    heading = [cell.strip() for cell in lines[0][1]] if lines else []
    if missing := [name for name in columns if name not in heading]:
        raise FetchError(
            f"{path.name}: expected the columns {', '.join(columns)}, found none called "
            f"{', '.join(missing)}; give a manifest as the GDC writes it",
            code="bad-manifest",
        )
    if twice := sorted({name for name in columns if heading.count(name) > 1}):
        raise FetchError(
            f"{path.name}: expected each column once, found {', '.join(twice)} twice; give a manifest as "
            "the GDC writes it",
            code="bad-manifest",
        )
    faults, files = [], []
    ids: dict[str, int] = {}
    for n, cells in lines[1:]:
        if len(cells) != len(heading):
            faults.append(f"row {n}: expected {len(heading)} cells, found {len(cells)}")
            continue
        row = dict(zip(heading, (cell.strip() for cell in cells), strict=True))
        size = whole_told(row["size"])
        wrong = RemoteFile.faults(row["id"], row["filename"], size, row["md5"].lower())
        if not row["md5"]:
            wrong.append("expected an MD5, found none")
        if row["id"] in ids:
            wrong.append(f"expected each file once, found {row['id']} in row {ids[row['id']]} too")
        ids.setdefault(row["id"], n)
        faults += [f"row {n}: {text}" for text in wrong]
        if not wrong:
            files.append(slide_file(base, row))
    if not lines[1:]:
        faults.append("expected at least one file, found none")
    if faults:
        raise FetchError(f"{path.name}: {_few(faults)}", code="bad-manifest")
    return tuple(files)


def read_ids(path: Path) -> tuple[str, ...]:
    """Read patients, file ids or file names, one a line; ``#`` begins a remark."""
    words = [line.partition("#")[0].strip() for _, line in _lines(path)]
    ids = tuple(dict.fromkeys(word for word in words if word))
    if not ids:
        raise FetchError(
            f"{path.name}: expected patients, file ids or file names, one a line, found none",
            code="bad-list",
        )
    return ids


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        if path.stat().st_size > _LARGEST_LIST:
            raise FetchError(
                f"{path.name}: expected a list of files, found a file too large for one"
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError(f"{path.name}: expected text in UTF-8, found other bytes") from error
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise FetchError(f"expected a list at {path}, found none; correct the path") from error
    return [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def choose(
    named: Sequence[tuple[str, frozenset[str]]],
    *,
    ids: Sequence[str] | None,
    patients: int | None,
    seed: int,
) -> list[int]:
    """Choose files: those asked for by name, or all those of some patients drawn at random.

    Parameters
    ----------
    named
        (patient, other names of it) of each file.
    ids
        Patients, ids or names; None takes all.
    patients
        So many patients, drawn; None takes all. With one seed the fewer are among the more.
    seed
        Of the draw.

    Returns
    -------
    list of int
        Positions, rising.

    Raises
    ------
    FetchError
        If a name is not on the list, with all such; or there are not so many patients.
    """
    chosen = list(range(len(named)))
    if ids is not None:
        known = {name for patient, others in named for name in (patient, *others)}
        if unknown := [name for name in ids if name not in known]:
            raise FetchError(
                f"expected patients, file ids or names of this list, found {_few(unknown, ', ')}; "
                "correct them, or give a newer list as --manifest",
                code="not-on-the-list",
            )
        wanted = set(ids)
        chosen = [k for k in chosen if wanted & {named[k][0], *named[k][1]}]
    if patients is None:
        return chosen
    everybody = sorted({named[k][0] for k in chosen})
    if not 0 < patients <= len(everybody):
        raise FetchError(
            f"expected --patients from 1 to {len(everybody)}, found {patients}", code="bad-list"
        )
    if seed < 0:
        raise FetchError(f"expected --seed of 0 or more, found {seed}", code="bad-list")
    order = np.random.default_rng(seed).permutation(len(everybody))
    drawn = {everybody[k] for k in order[:patients]}
    return [k for k in chosen if named[k][0] in drawn]


def _few(texts: Sequence[str], between: str = "; ") -> str:
    more = len(texts) - _MOST_SHOWN
    return between.join(texts[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
