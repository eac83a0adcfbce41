"""What a study needs of the machine: libraries, folders, files, room on the disk. Nothing is written."""

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from jecur.cohort.cohort import Cohort
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.printable import counted
from jecur.runs.files import free_bytes
from jecur.settings import StudySettings
from jecur.study.expected import Expected
from jecur.study.findings import Finding
from jecur.study.torch_wing import no_torch

__all__ = [
    "missing_extras",
    "missing_places",
    "missing_slides",
    "none_is_there",
    "reader_of_features",
    "too_little_disk",
    "writable",
]

_EXTRAS = ("torch", "timm", "onnx")
_MANY = 12
"""Missing files that are named one by one."""


def missing_extras(study: StudySettings, out: Path | None) -> Iterator[Finding]:
    """Libraries that training needs; with a model in the folder it may need none."""
    absent = [name for name in _EXTRAS if not _is_installed(name)]
    if not absent:
        return
    has_model = out is not None and any((out / "models").glob("*.jecur"))
    found = no_torch("torch, timm and onnx", "training", ", ".join(absent))
    yield Finding(
        "warning" if has_model else "error",
        found.code,
        f"preset {study.training.preset}",
        found.message,
    )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def reader_of_features(paths: Sequence[Path]) -> Iterator[Finding]:
    """Say if features are to be read and nothing here reads them."""
    features = [path for path in paths if path.suffix.lower() in FEATURE_SUFFIXES]
    if features and not _is_installed("h5py"):
        yield Finding(
            "error",
            "no-h5py",
            f"{len(features)} feature files",
            "expected h5py to read features, found none; install it with: "
            'pip install "jecur[features]"',
        )


def missing_places(study: StudySettings, folder: Path, out: Path | None) -> Iterator[Finding]:
    """Folders and files that the study file names and that are not there."""
    cohort = study.cohort
    if (cohort.columns.slide or cohort.slide_list) and not (folder / cohort.slide_folder).is_dir():
        yield _absent_folder("slide_folder", (folder / cohort.slide_folder).resolve())
    if cohort.annotation_folder and not (folder / cohort.annotation_folder).is_dir():
        yield _absent_folder("annotation_folder", (folder / cohort.annotation_folder).resolve())
    start = study.training.encoder.start
    if start not in {"builtin", "imagenet", "random"} and not Path(start).is_file():
        yield Finding(
            "error",
            "missing-file",
            "training.encoder.start",
            f'expected "builtin", "imagenet", "random" or a safetensors file, found none at {start}; '
            "correct it",
        )
    if out is not None:
        yield from writable(out)


def _absent_folder(setting: str, path: Path) -> Finding:
    parent = path.parent
    near = sorted(p.name for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
    there = f" (there are: {', '.join(near[:8])})" if near else ""
    return Finding(
        "error",
        "missing-folder",
        f"cohort.{setting}",
        f"expected a folder at {path}, found none{there}; correct it in the study file",
    )


def writable(out: Path) -> Iterator[Finding]:
    """Say if nothing can be written where the run is to lie."""
    there = out.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK):
        return
    kind = "a folder that cannot be written" if there.is_dir() else "a file"
    frozen = hasattr(os, "statvfs") and bool(os.statvfs(there).f_flag & os.ST_RDONLY)
    yield Finding(
        "error",
        "read-only" if frozen else "no-permission",
        "--out",
        f"expected a folder for the run, found {kind} at {there}; name another",
    )


def missing_slides(study: StudySettings, folder: Path, cohort: Cohort) -> Iterator[Finding]:
    """Slides that are named and not there: an error if it is all of them."""
    entries = [entry for patient in cohort.patients for entry in patient.slides]
    absent = [e for e in entries if not e.path.exists()]
    yield from reader_of_features([entry.path for entry in entries])
    if not absent or not (folder / study.cohort.slide_folder).is_dir():
        return
    every = len(absent) == len(entries)
    names = ", ".join(e.path.name for e in absent[:_MANY])
    more = f" and {len(absent) - _MANY} more" if len(absent) > _MANY else ""
    remedy = (
        "correct slide_folder or the names"
        if every
        else "their patients are left out if no slide of theirs remains"
    )
    yield Finding(
        "error" if every else "warning",
        "missing-file",
        f"{len(absent)} of {len(entries)} slides",
        f"expected files in {study.cohort.slide_folder}, found no {names}{more}; {remedy}",
    )


def none_is_there(paths: Sequence[Path]) -> Iterator[Finding]:
    """Say if no slide that was asked for exists: then a folder or a name is misspelt."""
    if any(path.exists() for path in paths):
        return
    names = ", ".join(map(str, paths[:_MANY]))
    more = f" and {len(paths) - _MANY} more" if len(paths) > _MANY else ""
    yield Finding(
        "error",
        "missing-file",
        f"{len(paths)} of {counted(len(paths), 'slide')}",
        f"expected slide files, found nothing at {names}{more}; correct the names",
    )


_LESS = {None: "", "jxl": "", "raw": 'set bags.format to "jxl", '}
"""What else would help, by the form in which tiles are kept."""


def too_little_disk(expected: Expected | None, out: Path) -> Iterator[Finding]:
    """Say if what is expected to be written does not fit on the disk, or hardly."""
    if expected is None:
        return
    free = free_bytes(out)
    if expected.disk_bytes > free:
        yield Finding(
            "error",
            "disk-full",
            "--out",
            f"expected {expected.disk_bytes / 1e9:.3g} GB free for {expected.n_tiles:,} tiles of "
            f"{counted(expected.n_slides, 'slide')}, found {free / 1e9:.3g} GB at {out}; make room, "
            f"name another --out, {_LESS[expected.bags]}or set tiling.max_tiles",
        )
    elif expected.disk_bytes > 0.8 * free:
        yield Finding(
            "warning",
            "disk-full",
            "--out",
            f"expected room to spare, found that the tiles take about {expected.disk_bytes / 1e9:.1f} of "
            f"{free / 1e9:.1f} GB",
        )
