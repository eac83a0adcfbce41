"""Which file of drawn regions belongs to a slide: by a column of the table, or by name."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from jecur.cohort.slide_names import as_on_disk, names_without_suffix
from jecur.errors import TableError
from jecur.settings import CohortSettings

__all__ = ["annotations_in", "annotations_of", "find_annotations", "named_annotations"]

_SUFFIXES = (".geojson", ".json", ".xml")


def find_annotations(
    settings: CohortSettings, folder: Path, slides: Iterable[PurePath]
) -> dict[PurePath, Path]:
    """Slide -> its file in the annotation folder; empty if there is no such folder.

    Parameters
    ----------
    settings
        ``annotation_folder``.
    folder
        Where the study file lies.
    slides
        As named in the table, relative to the slide folder.

    Raises
    ------
    TableError
        As `annotations_in`.
    """
    if not settings.annotation_folder:
        return {}
    return annotations_in((folder / settings.annotation_folder).resolve(), slides)


def annotations_in(root: Path, slides: Iterable[PurePath]) -> dict[PurePath, Path]:
    """Slide -> the file in ``root`` that bears its name; slides without one are absent.

    QuPath strips a double suffix (``x.ome.tiff`` gives ``x.geojson``) or none (``x.svs.geojson``),
    ASAP the last one (``x.xml``): each of these is tried, in any case.

    Raises
    ------
    TableError
        With code ``ambiguous-annotation``, if a slide has two files, or two slides share one.
    """
    found: dict[PurePath, Path] = {}
    listings: dict[Path, dict[str, list[Path]]] = {}
    problems = []
    for slide in dict.fromkeys(slides):
        where = as_on_disk(root, slide.parent.as_posix()).resolve()
        if not where.is_relative_to(root):
            continue
        if where not in listings:
            listings[where] = _by_name(where)
        wanted = {_folded(n) + s for n in names_without_suffix(slide.name) for s in _SUFFIXES}
        files = sorted(file for name in wanted for file in listings[where].get(name, ()))
        inside = [file for file in files if file.resolve().is_relative_to(root)]
        if len(inside) > 1:
            names = ", ".join(file.name for file in inside)
            problems.append(f"{slide}: {len(inside)} files ({names})")
        elif inside:
            found[slide] = inside[0].resolve()
    owners: dict[Path, list[PurePath]] = defaultdict(list)
    for slide, file in found.items():
        owners[file].append(slide)
    problems += [
        f"{file.name}: {len(group)} slides ({', '.join(map(str, group))})"
        for file, group in owners.items()
        if len(group) > 1
    ]
    if problems:
        raise TableError(
            f"expected one file of drawn regions a slide, found {'; '.join(problems)}; delete or "
            "rename the wrong ones (the whole name of a slide, as x.svs.geojson, fits no other), or "
            "name them in a column of the table",
            code="ambiguous-annotation",
        )
    return found


def annotations_of(given: Path | None, slides: Sequence[Path]) -> list[Path | None]:
    """Files of drawn regions of slides named one by one.

    Parameters
    ----------
    given
        The file of the one slide, or a folder to look for each slide's by name; None: none has any.
    slides
        Slide files.

    Raises
    ------
    TableError
        If one file is given for several slides, or as `annotations_in`.
    """
    if given is None:
        return [None] * len(slides)
    if given.is_dir():
        names = [PurePath(slide.name) for slide in slides]
        found = annotations_in(given.resolve(), names)
        return [found.get(name) for name in names]
    if len(slides) > 1:
        raise TableError(
            f"expected a folder of drawn regions for {len(slides)} slides, found the file "
            f"{given.name}; put one file a slide into a folder, each under its slide's name",
            code="ambiguous-annotation",
        )
    return [given]


def _by_name(folder: Path) -> dict[str, list[Path]]:
    names: dict[str, list[Path]] = defaultdict(list)
    if folder.is_dir():
        for file in folder.iterdir():
            if file.suffix.lower() in _SUFFIXES and file.is_file():
                names[_folded(file.name)].append(file)
    return names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def named_annotations(
    settings: CohortSettings, folder: Path, cell: str, n_slides: int, where: str
) -> list[Path | None]:
    """Files that a cell names, one a slide in the slides' order; a blank between ``;`` is none.

    Raises
    ------
    TableError
        If their number differs from that of the slides, or one lies outside its folder.
    """
    names = [name.strip() for name in cell.split(";")]
    if cell in settings.missing_values:
        names = [""] * n_slides
    if len(names) != n_slides:
        raise TableError(
            f"{where}: expected {n_slides} files of regions, one a slide, found {len(names)}; "
            "separate them by ;"
        )
    root = (folder / (settings.annotation_folder or settings.slide_folder)).resolve()
    found: list[Path | None] = []
    for name in names:
        path = as_on_disk(root, name).resolve()
        if name and (PurePath(name).is_absolute() or not path.is_relative_to(root)):
            raise TableError(
                f"{where}: expected a file inside the annotation folder, found {name!r}; name it "
                "relative to annotation_folder",
                code="path-outside-folder",
            )
        found.append(path if name else None)
    return found
