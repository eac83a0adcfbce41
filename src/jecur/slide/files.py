"""Before any library sees a path: can this be a slide, and is it whole."""

import stat
from pathlib import Path

from jecur.errors import SlideError
from jecur.slide.reader_tifffile import missing_bytes

__all__ = ["refuse_truncated_tiff", "require_slide_file"]


def require_slide_file(path: Path) -> Path:
    """Return the file to open: ``path`` itself, or the largest file of a DICOM folder.

    Raises
    ------
    SlideError
        "missing-file" if nothing is there, "not-a-slide" for other folders, pipes, devices and
        link loops, "truncated" for an empty file, "unreadable" if permission is refused.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise SlideError(
            f"{path.name}: expected a slide file, found nothing at this path; "
            "correct the path in the slide table",
            code="missing-file",
        ) from error
    except PermissionError as error:
        raise SlideError(
            f"{path.name}: expected a readable file, found one this user may not open; "
            "change its permissions",
            code="unreadable",
        ) from error
    except OSError as error:
        raise SlideError(
            f"{path.name}: expected a slide file, found {error.strerror or 'a broken link'}; "
            "correct the path in the slide table",
            code="not-a-slide",
        ) from error
    if stat.S_ISDIR(status.st_mode):
        return _largest_dicom(path)
    if not stat.S_ISREG(status.st_mode):
        raise SlideError(
            f"{path.name}: expected a slide file, found a pipe or device; "
            "correct the path in the slide table",
            code="not-a-slide",
        )
    if status.st_size == 0:
        raise SlideError(
            f"{path.name}: expected a slide file, found 0 bytes; copy the file again",
            code="truncated",
        )
    return path


def refuse_truncated_tiff(path: Path) -> None:
    """Refuse a TIFF whose directories point beyond its end.

    Raises
    ------
    SlideError
        With code "truncated".
    """
    missing = missing_bytes(path)
    if missing:
        raise SlideError(
            f"{path.name}: expected a whole file, found it ends early (at least {missing} bytes "
            "missing); copy the file again from the scanner or archive",
            code="truncated",
        )


def _largest_dicom(folder: Path) -> Path:
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".dcm" and file.is_file()]
    if not files:
        raise SlideError(
            f"{folder.name}: expected a slide file or a folder of .dcm files, found a folder "
            "without any; name the file itself",
            code="not-a-slide",
        )
    return max(files, key=lambda file: (file.stat().st_size, file.name))
