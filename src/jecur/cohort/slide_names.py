"""Names of slides: ids that no two slides share, and the names that go with a file.

Two slides may have one stem (``a.svs`` and ``a.tif``), lie in two folders under one name, or differ
in case alone, which some file systems do not tell apart. Each still gets its own id, and its own
folder of outputs.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from jecur.errors import TableError

__all__ = [
    "as_on_disk",
    "common_folder",
    "file_ids",
    "names_without_suffix",
    "slide_ids",
    "stem_of",
    "told_apart",
]

_SUFFIXES = frozenset({
    ".bif", ".btf", ".czi", ".dcm", ".dicom", ".dng", ".h5", ".hdf5", ".isyntax", ".jp2", ".jpeg",
    ".jpg", ".jxl", ".lif", ".mrxs", ".ndpi", ".ndpis", ".png", ".scn", ".svs", ".svslide", ".tf2",
    ".tf8", ".tif", ".tiff", ".vms", ".vmu", ".vsi", ".zarr", ".zvi",
})  # fmt: skip
_DOUBLE = (".ome", ".ndpi", ".svs", ".zarr", ".vsi", ".ome.zarr")
"""What stands before the last suffix of a converted file, and belongs to it: QuPath strips both."""


def as_on_disk(root: Path, name: str) -> Path:
    """Path of a file in ``root``, which may spell letters with marks in another way than a table does.

    Returns
    -------
    Path
        ``root / name``, with the parts that are not there as the one entry that differs in its form of
        accents alone (NFC, NFD); as it was where there is none, or more than one.
    """
    path, plain = root / name, PurePath(name)
    if name.isascii() or plain.is_absolute() or ".." in plain.parts:
        return path
    try:
        return path if path.exists() else _spelled_otherwise(root, plain)
    except (OSError, ValueError):  # a name that no file can have, a folder that cannot be listed
        return path


def _spelled_otherwise(root: Path, name: PurePath) -> Path:
    found = root
    for part in name.parts:
        here = found / part
        if not here.exists() and found.is_dir():
            wanted = unicodedata.normalize("NFC", part)
            alike = [e for e in found.iterdir() if unicodedata.normalize("NFC", e.name) == wanted]
            here = alike[0] if len(alike) == 1 else here
        found = here
    return found


def stem_of(name: str) -> str:
    """Name without the suffix of an image or feature file; any other dot is part of the name."""
    suffix = PurePath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in _SUFFIXES else name


def names_without_suffix(name: str) -> tuple[str, ...]:
    """Names that programs give a slide: whole, without its suffix, without a double suffix.

    ``x.ome.tiff`` gives ``x.ome.tiff``, ``x.ome`` and ``x``; ``x.y.svs`` does not give ``x``, which
    may be another slide.
    """
    names = [name]
    for _ in range(2):
        shorter = stem_of(names[-1])
        if shorter != names[-1]:
            names.append(shorter)
    last = names[-1]
    for double in _DOUBLE:
        if len(names) > 1 and last.lower().endswith(double) and len(last) > len(double):
            names.append(last[: -len(double)])
    return tuple(dict.fromkeys(names))


def slide_ids(slides: Sequence[PurePath]) -> tuple[str, ...]:
    """Id of each slide, none like another.

    Parameters
    ----------
    slides
        Paths relative to one folder, each once.

    Returns
    -------
    tuple
        The path without suffix, "/" as "__". Slides that would share it keep their suffix; those
        that would still share it (``a/b.svs`` and ``a__b.svs``, or ``A.svs`` and ``a.svs``) also get
        eight letters of their path's hash.
    """
    forms: tuple[Callable[[PurePath], str], ...] = (_short, _whole, _hashed)
    ids = [forms[0](slide) for slide in slides]
    for form in forms[1:]:
        counts = Counter(told_apart(name) for name in ids)
        ids = [
            form(slide) if counts[told_apart(name)] > 1 else name
            for slide, name in zip(slides, ids, strict=True)
        ]
    return tuple(ids)


def file_ids(files: Sequence[Path]) -> tuple[str, ...]:
    """Id of each file, wherever it lies: its name, and as many folders as tell it apart.

    Raises
    ------
    TableError
        With code ``duplicate-slide`` if a file is named twice.
    """
    whole = [file.resolve() for file in files]
    twice = sorted({file.name for file in whole if whole.count(file) > 1})
    if twice:
        raise TableError(
            f"expected each slide once, found {', '.join(twice)} named twice; name it once",
            code="duplicate-slide",
        )
    depths = [1] * len(whole)
    while True:
        names = [PurePath(*file.parts[-n:]) for file, n in zip(whole, depths, strict=True)]
        counts = Counter(told_apart(name.as_posix()) for name in names)
        same = [counts[told_apart(name.as_posix())] > 1 for name in names]
        deeper = [
            n + (again and n < len(file.parts) - 1)
            for file, n, again in zip(whole, depths, same, strict=True)
        ]
        if deeper == depths:
            return slide_ids(names)
        depths = deeper


def common_folder(files: Sequence[Path]) -> Path:
    """Deepest folder that all files lie in: relative if all were named so, else absolute."""
    folders = [os.path.abspath(file.parent) for file in files]  # noqa: PTH100 - links stay links
    deepest = os.path.commonpath(folders) if folders else str(Path.cwd())
    if any(file.is_absolute() for file in files):
        return Path(deepest)
    return Path(os.path.relpath(deepest))


def _short(slide: PurePath) -> str:
    return "__".join((*slide.parts[:-1], stem_of(slide.name)))


def _whole(slide: PurePath) -> str:
    return "__".join(slide.parts)


def _hashed(slide: PurePath) -> str:
    digest = hashlib.sha256(slide.as_posix().encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_whole(slide)}-{digest[:8]}"


def told_apart(name: str) -> str:
    """Name as a file system without case, or with one form of accents, sees it."""
    return unicodedata.normalize("NFKC", name).casefold()
