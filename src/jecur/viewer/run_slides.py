"""Where a run's slides are: pixels are found again, and nothing outside the slide folder is opened."""

from pathlib import Path, PurePosixPath

from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.runs.folder import SEEN
from jecur.slide.reader import Slide, open_slide
from jecur.viewer.run_tables import RunTables, SlideRow
from jecur.viewer.same_slide import SeenSlide, open_same_slide

__all__ = ["RunSlides", "file_inside", "slide_folder"]


def slide_folder(root: Path, given: Path | None) -> Path | None:
    """Folder that the paths of ``slides.csv`` are relative to; None if the run does not say.

    Parameters
    ----------
    root
        Of the run; a hidden file says where the slides lay, seen from there.
    given
        Where they are now, if they moved.
    """
    if given is not None:
        return given.resolve()
    path = root / SEEN
    seen = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return (root.resolve() / seen).resolve() if seen else None


def file_inside(folder: Path, named: str) -> Path | None:
    """File that a table names relative to the slide folder; None if it lies anywhere else."""
    parts = PurePosixPath(named)
    path = (folder / parts).resolve()
    outside = parts.is_absolute() or ".." in parts.parts or not path.is_relative_to(folder)
    return None if outside else path


class RunSlides:
    """Opens the slides of a run by number.

    Parameters
    ----------
    run
        Its tables.
    folder
        Of `slide_folder`.
    """

    def __init__(self, run: RunTables, folder: Path | None) -> None:
        self.run = run
        self.folder = folder
        self._known: dict[int, tuple[int, int]] = {}
        """Slides that were found to be the run's, by number: date and length of the file then."""

    def path(self, row: SlideRow) -> Path:
        """File of a slide.

        Raises
        ------
        SlideError
            "missing-file" if it is not there, "path-outside-folder" if the table points elsewhere.
        """
        if self.folder is None or not row.path:
            raise SlideError(
                f"{row.slide}: expected a run that says where its slides are, found an older one; "
                "name their folder with --slides, or run the same command again",
                code="missing-file",
            )
        path = file_inside(self.folder, row.path)
        if path is None:
            raise SlideError(
                f"{row.slide}: expected a file inside the slide folder, found {row.path!r}; nothing "
                "else is opened",
                code="path-outside-folder",
            )
        if not path.exists():
            raise SlideError(
                f"{row.slide}: expected the slide {path.name}, found none where the run found it; "
                "if the slides moved, name their folder with --slides",
                code="missing-file",
            )
        return path

    def open(self, number: int) -> Slide:
        """Open a slide, or the window of its core; to be closed.

        Raises
        ------
        SlideError
            Of `path` and `jecur.slide.reader.open_slide`; "other-slide" if it is not the slide that
            the run read.
        """
        row = self.run.slides[number]
        path = self.path(row)
        status = path.stat()
        mpp = row.mpp if row.mpp_is_given else None
        state = (status.st_mtime_ns, status.st_size)
        size, window = Size(*row.size), row.origin if row.core else None
        if self._known.get(number) == state:
            slide = open_slide(path, mpp=mpp)
        else:
            thumbnail = self.run.folder(row) / "thumbnail.png"
            slide = open_same_slide(path, SeenSlide(size, row.mpp, thumbnail, window), mpp=mpp)
            self._known[number] = state
        return slide.window(*row.origin, size) if row.core else slide
