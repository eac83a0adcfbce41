"""Which file of drawn regions belongs to a slide: by a column of the table, or by name."""

from pathlib import Path, PurePath

from jecur.errors import TableError
from jecur.settings import CohortSettings

__all__ = ["find_annotation", "named_annotations"]

_SUFFIXES = (".geojson", ".json", ".xml")


def find_annotation(settings: CohortSettings, folder: Path, slide: PurePath) -> Path | None:
    """File in the annotation folder with the slide's name; None if there is no folder or file.

    Parameters
    ----------
    settings
        ``annotation_folder``.
    folder
        Where the study file lies.
    slide
        The slide as named in the table, relative to the slide folder.
    """
    if not settings.annotation_folder:
        return None
    root = (folder / settings.annotation_folder).resolve()
    for suffix in _SUFFIXES:
        path = (root / slide.with_suffix(suffix)).resolve()
        if path.is_relative_to(root) and path.is_file():
            return path
    return None


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
        path = (root / name).resolve()
        if name and (PurePath(name).is_absolute() or not path.is_relative_to(root)):
            raise TableError(
                f"{where}: expected a file inside the annotation folder, found {name!r}; name it "
                "relative to annotation_folder",
                code="path-outside-folder",
            )
        found.append(path if name else None)
    return found
